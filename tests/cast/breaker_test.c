/* SPDX-License-Identifier: MIT */
#include "cast/breaker.h"

#include "tests/test.h"

TEST(FHIR_07_after_a_failure_nobody_asks_until_the_pause_is_over_and_then_one_at_a_time)
{
    struct breaker breaker;
    breaker_init(&breaker, 3);
    CHECK(breaker_allows(&breaker, 0, 7));
    int64_t pause = breaker_failed(&breaker, 1000, -1);
    CHECK(pause >= 500 && pause <= 1000);
    CHECK(!breaker_allows(&breaker, 1000 + pause - 1, 0));
    CHECK_INT(breaker_state(&breaker, 1000), BREAKER_OPEN);
    CHECK(breaker_allows(&breaker, 1000 + pause, 0));
    CHECK(!breaker_allows(&breaker, 1000 + pause, 1));
    breaker_succeeded(&breaker);
    CHECK(breaker_allows(&breaker, 1000 + pause, 7));
}

TEST(FHIR_07_pauses_grow_to_a_minute_and_are_spread_by_chance)
{
    struct breaker breaker;
    int64_t now = 0, last = 0, different = 0;
    breaker_init(&breaker, 3);
    for (int i = 0; i < 20; i++) {
        int64_t pause = breaker_failed(&breaker, now, -1);
        CHECK(pause <= BREAKER_LONGEST_PAUSE_MS);
        CHECK(i < 7 || pause >= BREAKER_LONGEST_PAUSE_MS / 2);
        different += i > 7 && pause != last;
        last = pause;
        now += pause;
    }
    CHECK(different > 5);
}

TEST(FHIR_07_what_the_server_asks_for_counts_up_to_an_hour)
{
    struct breaker breaker;
    breaker_init(&breaker, 3);
    CHECK_INT(breaker_failed(&breaker, 0, 30000), 30000);
    /* Another one that was under way and says less does not make it shorter. */
    CHECK_INT(breaker_failed(&breaker, 10, -1), 29990);
    CHECK_INT(breaker.failures, 1);
    CHECK_INT(breaker_failed(&breaker, 30000, INT64_MAX), BREAKER_LONGEST_RETRY_AFTER_MS);
}

TEST(FHIR_06_a_pause_outlives_a_restart_but_not_a_clock_that_was_set)
{
    struct breaker breaker, other;
    char text[BREAKER_TEXT_SIZE];
    breaker_init(&breaker, 3);
    breaker_failed(&breaker, 5000, 20000);
    breaker_print(&breaker, 6000, 1000000, text);
    breaker_init(&other, 3);
    breaker_read(&other, slice_text(text), 50, 1004000);
    CHECK_INT(other.until_ms, 50 + 15000);
    CHECK_INT(other.failures, 1);
    breaker_init(&other, 3);
    breaker_read(&other, slice_text(text), 50, 2000000);
    CHECK_INT(breaker_state(&other, 50), BREAKER_HALF_OPEN);
    breaker_init(&other, 3);
    breaker_read(&other, slice_text(text), 50, -99999999999);
    CHECK_INT(other.until_ms, 50 + BREAKER_LONGEST_RETRY_AFTER_MS);
    breaker_init(&other, 3);
    breaker_read(&other, slice_text("rubbish"), 50, 0);
    CHECK_INT(breaker_state(&other, 50), BREAKER_CLOSED);
}

TEST(FHIR_07_a_request_that_fails_again_and_again_while_others_do_not_is_to_blame)
{
    struct breaker breaker;
    breaker_init(&breaker, 1);
    CHECK(breaker_blames_request(&breaker, 500, BREAKER_MOST_ERRORS));
    CHECK(!breaker_blames_request(&breaker, 500, BREAKER_MOST_ERRORS - 1));
    CHECK(!breaker_blames_request(&breaker, 503, BREAKER_MOST_ERRORS));
    CHECK(!breaker_blames_request(&breaker, 0, BREAKER_MOST_ERRORS));
    breaker_failed(&breaker, 1000, -1); /* nobody was answered since */
    CHECK(!breaker_blames_request(&breaker, 500, BREAKER_MOST_ERRORS));
    breaker_succeeded(&breaker);
    CHECK(breaker_blames_request(&breaker, 500, BREAKER_MOST_ERRORS));
}
