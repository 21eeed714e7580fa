/* SPDX-License-Identifier: MIT */
#include "dicomweb/memory_share.h"

#include <pthread.h>

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
