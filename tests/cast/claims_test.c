/* SPDX-License-Identifier: MIT */
#include "cast/claims.h"

#include <pthread.h>

#include "tests/test.h"

enum { WRITERS = 4, ROUNDS = 2000 };

struct writer {
    struct claims *claims;
    int *inside; /* guarded by the claim */
    int crowd;
};

static void *write_much(void *context)
{
    struct writer *writer = context;
    for (int i = 0; i < ROUNDS; i++) {
        if (!claims_enter(writer->claims, "Patient?identifier=a"))
            break;
        writer->crowd += ++*writer->inside != 1;
        --*writer->inside;
        claims_leave(writer->claims, "Patient?identifier=a");
    }
    return NULL;
}

TEST(FHIR_04_a_name_has_one_writer_at_a_time)
{
    struct claims *claims = claims_new();
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    int inside = 0;
    CHECK(claims_enter(claims, "Patient?identifier=b")); /* another one's does not matter */
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){ claims, &inside, 0 };
        CHECK(pthread_create(&threads[i], NULL, write_much, &writers[i]) == 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(writers[i].crowd, 0);
    }
    claims_free(claims);
}

static void *wait_in_vain(void *context)
{
    return claims_enter(context, "a") ? context : NULL;
}

TEST(who_waits_for_a_name_is_told_to_stop)
{
    struct claims *claims = claims_new();
    pthread_t thread;
    void *result = claims;
    CHECK(claims_enter(claims, "a"));
    CHECK(pthread_create(&thread, NULL, wait_in_vain, claims) == 0);
    claims_stop(claims);
    pthread_join(thread, &result);
    CHECK(!result);
    claims_free(claims);
}
