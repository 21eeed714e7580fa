/* SPDX-License-Identifier: MIT */
#include "dimse/availability.h"

#include <stdio.h>

#include "base/memory.h"
#include "dimse/availability_parts.h"
#include "tests/archive/fixture.h"

struct receiving {
    struct fixture fixture;
    struct availability availability;
    struct receiver receiver;
};

static void open_receiver(struct receiving *receiving)
{
    struct error err;
    *receiving = (struct receiving){ .receiver = { .to = "LISTENER" } };
    fixture_open(&receiving->fixture, true);
    receiving->availability.archive = receiving->fixture.archive;
    receiving->receiver.availability = &receiving->availability;
    snprintf(receiving->receiver.positions[FEED_INSTANCES].follower, AVAILABILITY_FOLLOWER_SIZE,
             "availability.LISTENER");
    CHECK_OK(availability_load(&receiving->receiver, NULL, &err), err);
}

static void close_receiver(struct receiving *receiving)
{
    availability_forget(&receiving->receiver);
    fixture_close(&receiving->fixture);
}

static void read_feeds(struct receiving *receiving)
{
    struct error err;
    CHECK_OK(availability_read(&receiving->receiver, NULL, &err), err);
}

static const char *uid_of(int number)
{
    static char uid[UID_SIZE];
    snprintf(uid, sizeof(uid), "1.%d", number);
    return uid;
}

static void store_study(struct receiving *receiving, int number)
{
    char instance[UID_SIZE];
    snprintf(instance, sizeof(instance), "2.%d", number);
    const struct object object = {
        .study = uid_of(number), .series = "3", .instance = instance, .modality = "CT"
    };
    store(&receiving->fixture, &object);
}

/* The study must wait; it is taken, or refused for good. */
static void conclude(struct receiving *receiving, int number, bool told)
{
    struct waiting *waiting = receiving->receiver.waiting;
    struct error err;
    while (waiting && strcmp(waiting->study, uid_of(number)) != 0)
        waiting = waiting->next;
    CHECK(waiting);
    CHECK_OK(availability_conclude(&receiving->receiver, waiting, told, &err), err);
}

/* They are stored, and taken or refused for good. */
static void tell(struct receiving *receiving, int first, int count, bool told)
{
    for (int i = first; i < first + count; i++) {
        store_study(receiving, i);
        read_feeds(receiving);
        conclude(receiving, i, told);
    }
}

/* All that wait are such as were parked, and are refused again: which ones, "1 2 ". */
static const char *refuse_retries(struct receiving *receiving)
{
    static char text[4096];
    size_t size = 0;
    text[0] = '\0';
    read_feeds(receiving);
    CHECK(receiving->receiver.waiting_count <= AVAILABILITY_RETRIES);
    while (receiving->receiver.waiting) {
        struct waiting *waiting = receiving->receiver.waiting;
        struct error err;
        CHECK(waiting->is_parked && waiting->attempts == AVAILABILITY_ATTEMPTS - 1);
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s ", waiting->study + 2);
        CHECK_OK(availability_conclude(&receiving->receiver, waiting, false, &err), err);
    }
    return text;
}

TEST(IAN_01_what_was_parked_since_another_was_told_is_tried_once_more_a_few_at_a_time)
{
    struct receiving receiving;
    open_receiver(&receiving);
    tell(&receiving, 100, 40, false);
    CHECK_INT(receiving.receiver.parked, 40);
    CHECK_TEXT(refuse_retries(&receiving), "");
    tell(&receiving, 200, 1, true);
    CHECK_TEXT(refuse_retries(&receiving),
               "100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 ");
    CHECK_TEXT(refuse_retries(&receiving),
               "116 117 118 119 120 121 122 123 124 125 126 127 128 129 130 131 ");
    CHECK_TEXT(refuse_retries(&receiving), "132 133 134 135 136 137 138 139 ");
    CHECK_TEXT(refuse_retries(&receiving), "");
    CHECK_INT(receiving.receiver.parked, 40);
    close_receiver(&receiving);
}

TEST(IAN_01_what_was_refused_before_another_was_told_is_not_tried_each_time_that_more_is_refused)
{
    struct receiving receiving;
    open_receiver(&receiving);
    tell(&receiving, 100, 3, false);
    tell(&receiving, 200, 1, true);
    CHECK_TEXT(refuse_retries(&receiving), "100 101 102 ");
    tell(&receiving, 300, 2, false);
    tell(&receiving, 400, 1, true);
    CHECK_TEXT(refuse_retries(&receiving), "300 301 ");
    tell(&receiving, 500, 1, true);
    CHECK_TEXT(refuse_retries(&receiving), "");
    /* a reload */
    availability_retry_all(&receiving.receiver);
    CHECK_TEXT(refuse_retries(&receiving), "100 101 102 300 301 ");
    CHECK_TEXT(refuse_retries(&receiving), "");
    close_receiver(&receiving);
}

TEST(IAN_01_what_is_new_is_told_before_what_was_refused)
{
    struct receiving receiving;
    open_receiver(&receiving);
    tell(&receiving, 100, 40, false);
    tell(&receiving, 200, 1, true);
    read_feeds(&receiving);
    CHECK_INT(receiving.receiver.waiting_count, AVAILABILITY_RETRIES);
    store_study(&receiving, 300);
    store_study(&receiving, 301);
    read_feeds(&receiving);
    CHECK_INT(receiving.receiver.waiting_count, AVAILABILITY_RETRIES + 2);
    CHECK_TEXT(receiving.receiver.waiting->study, uid_of(300));
    CHECK_TEXT(receiving.receiver.waiting->next->study, uid_of(301));
    CHECK_TEXT(receiving.receiver.waiting->next->next->study, uid_of(100));
    close_receiver(&receiving);
}

TEST(IAN_01_what_was_parked_and_is_taken_meanwhile_is_not_tried_again)
{
    struct receiving receiving;
    open_receiver(&receiving);
    tell(&receiving, 100, 3, false);
    const struct object more = { .study = "1.101", .series = "3", .instance = "2.9999" };
    store(&receiving.fixture, &more);
    read_feeds(&receiving);
    conclude(&receiving, 101, true);
    CHECK_INT(receiving.receiver.parked, 2);
    CHECK_TEXT(refuse_retries(&receiving), "100 102 ");
    close_receiver(&receiving);
}

TEST(IAN_01_all_that_is_parked_is_tried_when_there_was_no_room_for_which_is_in_doubt)
{
    struct receiving receiving;
    struct error err;
    open_receiver(&receiving);
    tell(&receiving, 100, 2, false);
    tell(&receiving, 200, 1, true);
    CHECK_TEXT(refuse_retries(&receiving), "100 101 ");
    /* The same study again and again: what counts is how often. */
    store_study(&receiving, 300);
    for (int i = 0; i <= AVAILABILITY_DOUBTS; i++) {
        if (i) {
            struct waiting *waiting = mem_alloc(sizeof(*waiting));
            snprintf(waiting->study, sizeof(waiting->study), "%s", uid_of(300));
            waiting->changed_ms = 1;
            receiving.receiver.waiting = waiting;
            receiving.receiver.waiting_count++;
        } else {
            read_feeds(&receiving);
        }
        CHECK_OK(
            availability_conclude(&receiving.receiver, receiving.receiver.waiting, false, &err),
            err);
    }
    CHECK_INT(receiving.receiver.parked, 3);
    tell(&receiving, 400, 1, true);
    CHECK_TEXT(refuse_retries(&receiving), "100 101 300 ");
    CHECK_TEXT(refuse_retries(&receiving), "");
    close_receiver(&receiving);
}
