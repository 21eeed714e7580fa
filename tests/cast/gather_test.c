/* SPDX-License-Identifier: MIT */
#include "cast/gather.h"

#include <stdio.h>

#include "tests/test.h"

static const struct gather_options options = { .quiet_ms = 5000, .maximum_age_ms = 60000 };

TEST(a_study_is_due_when_it_was_quiet)
{
    struct gather *gather = gather_new(&options, 0);
    gather_add(gather, "1.1", 1, 1000, 0);
    gather_add(gather, "1.1", 2, 4000, 0);
    CHECK(!gather_due(gather, 8999));
    CHECK_INT(gather_next_due(gather), 9000);
    CHECK_TEXT(gather_due(gather, 9000), "1.1");
    gather_free(gather);
}

TEST(a_study_that_is_never_quiet_is_due_at_its_maximum_age)
{
    struct gather *gather = gather_new(&options, 0);
    for (uint64_t i = 1; i < 100; i++)
        gather_add(gather, "1.1", i, (int64_t)i * 1000, 0);
    CHECK(!gather_due(gather, 60999));
    CHECK_TEXT(gather_due(gather, 61000), "1.1");
    gather_free(gather);
}

TEST(old_news_are_due_at_once)
{
    struct gather *gather = gather_new(&options, 0);
    gather_add(gather, "1.1", 1, 1000, 5000);
    CHECK_TEXT(gather_due(gather, 1000), "1.1");
    gather_free(gather);
}

TEST(FHIR_06_the_position_never_passes_a_study_that_is_not_sent)
{
    struct gather *gather = gather_new(&options, 10);
    CHECK_INT(gather_position(gather), 10);
    gather_add(gather, "1.1", 11, 0, 0);
    gather_add(gather, "1.2", 12, 0, 0);
    gather_add(gather, "1.1", 13, 0, 0);
    CHECK_INT(gather_read(gather), 13);
    CHECK_INT(gather_position(gather), 10);
    gather_done(gather, "1.2");
    CHECK_INT(gather_position(gather), 10);
    gather_done(gather, "1.1");
    CHECK_INT(gather_position(gather), 13);
    gather_add(gather, "1.2", 14, 0, 0);
    gather_add(gather, "1.1", 15, 0, 0);
    gather_done(gather, "1.2");
    CHECK_INT(gather_position(gather), 14);
    gather_free(gather);
}

TEST(FHIR_07_a_study_that_is_put_off_lets_others_go_first)
{
    struct gather *gather = gather_new(&options, 0);
    gather_add(gather, "1.1", 1, 0, 0);
    gather_add(gather, "1.2", 2, 1, 0);
    CHECK_TEXT(gather_due(gather, 10000), "1.1");
    gather_put_off(gather, "1.1", 12000);
    CHECK_INT(gather_attempts(gather, "1.1"), 1);
    CHECK_TEXT(gather_due(gather, 10000), "1.2");
    gather_done(gather, "1.2");
    CHECK(!gather_due(gather, 11999));
    /* News do not shorten the pause. */
    gather_add(gather, "1.1", 3, 5000, 0);
    CHECK(!gather_due(gather, 11999));
    CHECK_TEXT(gather_due(gather, 12000), "1.1");
    CHECK_INT(gather_position(gather), 0);
    gather_free(gather);
}

TEST(a_parked_study_that_is_tried_again_does_not_hold_the_feed)
{
    struct gather *gather = gather_new(&options, 7);
    gather_add_due(gather, "1.9", 100);
    CHECK_TEXT(gather_due(gather, 100), "1.9");
    gather_add(gather, "1.1", 8, 100, 0);
    gather_done(gather, "1.1");
    CHECK_INT(gather_position(gather), 8);
    gather_add(gather, "1.9", 9, 100, 0);
    CHECK_INT(gather_position(gather), 8);
    gather_free(gather);
}

TEST(the_number_of_studies_waiting_is_bounded)
{
    struct gather_options small = options;
    small.limit = 3;
    struct gather *gather = gather_new(&small, 0);
    for (uint64_t i = 1; i <= 3; i++) {
        char uid[UID_SIZE];
        CHECK(!gather_is_full(gather));
        snprintf(uid, sizeof uid, "1.%d", (int)i);
        gather_add(gather, uid, i, 0, 0);
    }
    CHECK(gather_is_full(gather));
    gather_done(gather, "1.2");
    CHECK(!gather_is_full(gather));
    CHECK_INT(gather_count(gather), 2);
    gather_free(gather);
}

TEST(FHIR_04_a_study_that_is_being_sent_is_not_due_and_its_news_are_sent_afterwards)
{
    struct gather *gather = gather_new(&options, 0);
    gather_add(gather, "1.1", 1, 0, 0);
    CHECK(gather_take(gather, "1.1", 5000));
    CHECK(!gather_take(gather, "1.1", 5000));
    CHECK_INT(gather_taken(gather), 1);
    CHECK(!gather_due(gather, 100000));
    gather_add(gather, "1.1", 2, 6000, 0);
    gather_add(gather, "1.1", 3, 7000, 0);
    CHECK(!gather_due(gather, 100000));
    CHECK_INT(gather_position(gather), 0);
    gather_done(gather, "1.1");
    CHECK_INT(gather_position(gather), 1);
    CHECK_INT(gather_next_due(gather), 12000);
    CHECK(gather_take(gather, "1.1", 12000));
    gather_done(gather, "1.1");
    CHECK_INT(gather_position(gather), 3);
    CHECK_INT(gather_count(gather), 0);
    gather_free(gather);
}

TEST(FHIR_06_one_that_is_sent_in_vain_keeps_its_first_change)
{
    struct gather *gather = gather_new(&options, 0);
    gather_add(gather, "1.1", 1, 0, 0);
    CHECK(gather_take(gather, "1.1", 5000));
    gather_add(gather, "1.1", 2, 6000, 0);
    gather_put_off(gather, "1.1", 9000);
    CHECK_INT(gather_position(gather), 0);
    CHECK_INT(gather_next_due(gather), 9000);
    CHECK(gather_take(gather, "1.1", 9000));
    gather_give_back(gather, "1.1");
    CHECK_INT(gather_attempts(gather, "1.1"), 1);
    CHECK_INT(gather_next_due(gather), 9000);
    CHECK_INT(gather_position(gather), 0);
    gather_free(gather);
}

TEST(FHIR_06_a_reset_forgets_all_but_what_is_being_sent)
{
    struct gather *gather = gather_new(&options, 0);
    gather_add(gather, "1.1", 1, 0, 0);
    gather_add(gather, "1.2", 2, 0, 0);
    CHECK(gather_take(gather, "1.2", 5000));
    gather_reset(gather, 0);
    CHECK_INT(gather_count(gather), 1);
    CHECK_INT(gather_read(gather), 0);
    gather_add(gather, "1.1", 1, 0, 0);
    gather_add(gather, "1.2", 2, 0, 0);
    gather_done(gather, "1.2");
    CHECK_INT(gather_count(gather), 2);
    CHECK_INT(gather_position(gather), 0);
    gather_free(gather);
}

TEST(pauses_can_be_ended)
{
    struct gather *gather = gather_new(&options, 0);
    for (uint64_t i = 1; i <= 50; i++) {
        char uid[UID_SIZE];
        snprintf(uid, sizeof uid, "1.%d", (int)i);
        gather_add(gather, uid, i, 0, 0);
        if (i % 2)
            gather_put_off(gather, uid, 90000 + (int64_t)i * 7 % 11);
    }
    gather_hurry(gather, "1.7", 100);
    CHECK_TEXT(gather_due(gather, 100), "1.7");
    gather_hurry(gather, NULL, 101);
    for (int i = 0; i < 25; i++) {
        const char *due = gather_due(gather, 101);
        CHECK(due);
        if (due)
            gather_done(gather, due);
    }
    CHECK(!gather_due(gather, 101)); /* the quiet is none of the pauses */
    CHECK_INT(gather_next_due(gather), 5000);
    gather_free(gather);
}

TEST(many_studies_come_out_in_the_order_in_which_they_are_due)
{
    struct gather *gather = gather_new(&options, 0);
    uint32_t random = 7;
    for (uint64_t i = 1; i <= 3000; i++) {
        char uid[UID_SIZE];
        random = random * 1664525 + 1013904223;
        snprintf(uid, sizeof uid, "1.%u", random % 1000);
        gather_add(gather, uid, i, (int64_t)i * 10, 0);
    }
    int64_t last = 0;
    uint64_t position = 0;
    while (gather_count(gather)) {
        int64_t due_ms = gather_next_due(gather);
        CHECK(due_ms >= last);
        CHECK(gather_position(gather) >= position);
        last = due_ms;
        position = gather_position(gather);
        gather_done(gather, gather_due(gather, due_ms));
    }
    CHECK_INT(gather_position(gather), 3000);
    gather_free(gather);
}
