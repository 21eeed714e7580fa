/* SPDX-License-Identifier: MIT */
#include "base/decode_budget.h"

#include <pthread.h>

#include "tests/test.h"

TEST(more_than_the_budget_at_once_is_busy_until_some_is_given_back)
{
    struct decode_budget *budget = decode_budget_new(1000);
    struct error err = { 0 };
    uint64_t first, second, third;
    CHECK_OK(decode_budget_take(budget, 600, 0, &first, &err), err);
    CHECK_OK(decode_budget_take(budget, 400, 0, &second, &err), err);
    CHECK(!decode_budget_take(budget, 1, 20, &third, &err));
    CHECK_INT(err.code, ERROR_BUSY);
    CHECK_INT(third, 0);
    decode_budget_give_back(budget, first);
    CHECK_OK(decode_budget_take(budget, 600, 0, &first, &err), err);
    decode_budget_give_back(budget, first);
    decode_budget_give_back(budget, second);
    decode_budget_free(budget);
}

TEST(a_frame_larger_than_the_budget_is_decoded_alone)
{
    struct decode_budget *budget = decode_budget_new(1000);
    struct error err = { 0 };
    uint64_t small, large;
    CHECK_OK(decode_budget_take(budget, 1, 0, &small, &err), err);
    CHECK(!decode_budget_take(budget, UINT64_MAX, 0, &large, &err));
    decode_budget_give_back(budget, small);
    CHECK_OK(decode_budget_take(budget, UINT64_MAX, 0, &large, &err), err);
    CHECK(!decode_budget_take(budget, 1, 0, &small, &err));
    decode_budget_give_back(budget, large);
    decode_budget_free(budget);
}

static void *take_and_give_back(void *context)
{
    struct error err = { 0 };
    uint64_t taken;
    bool ok = decode_budget_take(context, 700, 10000, &taken, &err);
    decode_budget_give_back(context, taken);
    return ok ? context : NULL;
}

TEST(who_waits_goes_on_when_there_is_room)
{
    struct decode_budget *budget = decode_budget_new(1000);
    struct error err = { 0 };
    pthread_t threads[4];
    uint64_t taken;
    void *result;
    CHECK_OK(decode_budget_take(budget, 1000, 0, &taken, &err), err);
    for (size_t i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, take_and_give_back, budget), 0);
    decode_budget_give_back(budget, taken);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        CHECK(result == budget);
    }
    decode_budget_free(budget);
}
