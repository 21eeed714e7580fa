/* SPDX-License-Identifier: MIT */
#include "dicomweb/memory_share.h"

#include <pthread.h>

#include "http/exchange.h"
#include "tests/test.h"

enum { FREE = 1 << 20, BUDGET = 4 << 20 };

TEST(a_little_is_free_and_the_rest_is_within_one_budget)
{
    struct decode_budget *budget = decode_budget_new(BUDGET);
    struct memory_share first = { .budget = budget };
    struct memory_share second = { .budget = budget };
    struct error err = { 0 };
    CHECK_OK(memory_share_cover(&first, FREE, &err), err);
    CHECK_INT(first.taken, 0);
    CHECK_OK(memory_share_cover(&first, FREE + BUDGET, &err), err);
    CHECK_INT(first.taken, BUDGET);
    CHECK_OK(memory_share_cover(&first, FREE + BUDGET, &err), err); /* it has that already */
    CHECK_OK(memory_share_cover(&second, FREE, &err), err);
    CHECK(!memory_share_cover(&second, FREE + 1, &err));
    CHECK_INT(err.code, ERROR_BUSY);
    memory_share_release(&first);
    CHECK_OK(memory_share_cover(&second, FREE + BUDGET, &err), err);
    memory_share_release(&second);
    memory_share_release(&second);
    decode_budget_free(budget);
}

TEST(an_answer_holds_its_share_until_it_was_sent)
{
    static uint8_t bytes[FREE + 1];
    struct decode_budget *budget = decode_budget_new(BUDGET);
    struct memory_share share = { .budget = budget };
    struct buffer body = buffer_up_to(sizeof(bytes));
    struct response response = { 0 };
    struct error err = { 0 };
    uint64_t rest;
    buffer_append(&body, slice_of(bytes, sizeof(bytes)));
    CHECK_OK(memory_share_cover(&share, body.size, &err), err);
    memory_share_answer_take(&share, &body, &response);
    CHECK_INT(share.taken, 0);
    CHECK_INT(body.size, 0);
    CHECK_INT(response.source_size, FREE + 1);
    CHECK(!decode_budget_take(budget, BUDGET, 0, &rest, &err));
    response_release(&response);
    CHECK_OK(decode_budget_take(budget, BUDGET, 0, &rest, &err), err);
    decode_budget_give_back(budget, rest);
    decode_budget_free(budget);
}

static void *cover(void *context)
{
    struct error err = { 0 };
    struct memory_share *share = context;
    return memory_share_cover(share, FREE + BUDGET, &err) ? context : NULL;
}

TEST(who_finds_no_room_waits_a_while_for_another_to_give_it_back)
{
    struct decode_budget *budget = decode_budget_new(BUDGET);
    struct memory_share first = { .budget = budget };
    struct memory_share second = { .budget = budget };
    struct error err = { 0 };
    pthread_t thread;
    void *covered;
    CHECK_OK(memory_share_cover(&first, FREE + 1, &err), err);
    CHECK_INT(pthread_create(&thread, NULL, cover, &second), 0);
    memory_share_release(&first);
    pthread_join(thread, &covered);
    CHECK(covered == &second);
    memory_share_release(&second);
    decode_budget_free(budget);
}
