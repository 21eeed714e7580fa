/* SPDX-License-Identifier: MIT */
#include "http/login.h"

#include <crypt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/test.h"

enum { GUESSERS = 20, HASHED = 8 /* at most of one address */ };

static const char doctor[] = "Basic ZG9jdG9yOnJpZ2h0"; /* doctor:right */
static const char nurse[] = "Basic bnVyc2U6cmlnaHQ=";  /* nurse:right */
static const char guess[] = "Basic ZG9jdG9yOndyb25n";  /* doctor:wrong */

static struct login *make_login(void)
{
    struct crypt_data *crypt = mem_alloc(sizeof(*crypt));
    const char *hash = crypt_r("right", "$6$rounds=200000$seasalt$", crypt);
    const struct http_user users[] = { { .name = "doctor", .password_hash = hash },
                                       { .name = "nurse", .password_hash = hash } };
    struct login *login = login_new(users, 2);
    free(crypt);
    return login;
}

struct guesser {
    pthread_t thread;
    struct login *login;
    struct address address;
    atomic_uint *ended;
    enum login_result result;
};

static void *run(void *argument)
{
    struct guesser *guesser = argument;
    const struct http_user *user;
    guesser->result = login_find(guesser->login, guess, &guesser->address, &user);
    if (guesser->result == LOGIN_NONE)
        atomic_fetch_add(guesser->ended, 1);
    return NULL;
}

TEST(guessers_make_nobody_wait_who_is_known_and_others_for_a_few_of_them_only)
{
    struct login *login = make_login();
    struct guesser guessers[GUESSERS];
    struct address here, there;
    const struct http_user *user = NULL;
    atomic_uint ended = 0;
    CHECK(address_parse("192.0.2.1", &here) && address_parse("192.0.2.2", &there));
    CHECK(login_find(login, doctor, &here, &user) == LOGIN_FOUND);
    CHECK_TEXT(user->name, "doctor");
    for (size_t i = 0; i < GUESSERS; i++) {
        guessers[i] = (struct guesser){ .login = login, .address = there, .ended = &ended };
        CHECK(pthread_create(&guessers[i].thread, NULL, run, &guessers[i]) == 0);
    }
    CHECK(login_find(login, doctor, &here, &user) == LOGIN_FOUND);
    CHECK(atomic_load(&ended) < HASHED); /* it did not queue behind them */
    CHECK(login_find(login, nurse, &here, &user) == LOGIN_FOUND);
    CHECK_TEXT(user->name, "nurse");
    size_t turned_away = 0;
    for (size_t i = 0; i < GUESSERS; i++) {
        pthread_join(guessers[i].thread, NULL);
        CHECK(guessers[i].result != LOGIN_FOUND);
        turned_away += guessers[i].result == LOGIN_BUSY;
    }
    CHECK(turned_away > 0);
    CHECK(login_find(login, guess, &there, &user) == LOGIN_NONE); /* its turns are free again */
    login_free(login);
}

TEST(who_holds_a_login_keeps_it_when_others_let_it_go)
{
    struct login *login = make_login();
    struct address here;
    const struct http_user *user;
    CHECK(address_parse("192.0.2.1", &here));
    struct login *held = login_hold(login);
    login_free(login);
    CHECK(login_find(held, doctor, &here, &user) == LOGIN_FOUND);
    CHECK(login_find(held, "Basic bm9ib2R5OnJpZ2h0", &here, &user) == LOGIN_NONE);
    login_free(held);
}
