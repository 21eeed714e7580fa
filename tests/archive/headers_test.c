/* SPDX-License-Identifier: MIT */
#include "archive/headers.h"

#include <stdio.h>

#include "archive/delete.h"
#include "archive/retrieve.h"
#include "tests/archive/fixture.h"

enum { MEMORY = 1 << 20 };

/* SOP Instance UIDs, by what the headers say and by where they are said to stand. */
static const char *headers_list(struct fixture *fixture, const char *study, const char *series,
                                size_t memory)
{
    static char list[1000];
    struct headers *headers;
    const struct identity *identity;
    const struct dataset *header;
    struct error err = { 0 };
    size_t size = 0;
    list[0] = '\0';
    CHECK_OK(headers_open(fixture->archive, study, series, memory, &headers, &err), err);
    for (;;) {
        char uid[UID_SIZE];
        CHECK_OK(headers_next(headers, &identity, &header, &err), err);
        if (!header)
            break;
        CHECK(dataset_uid(header, TAG_SOP_INSTANCE_UID, uid));
        CHECK_TEXT(uid, identity->instance);
        CHECK(dataset_uid(header, TAG_SERIES_INSTANCE_UID, uid));
        CHECK_TEXT(uid, identity->series);
        size += (size_t)snprintf(list + size, sizeof(list) - size, "%s%s", size ? "," : "",
                                 identity->instance);
    }
    headers_close(headers);
    return list;
}

static void open_sample(struct fixture *fixture)
{
    static const char *const numbers[] = { "10", "2", NULL, "1" };
    fixture_open(fixture, true);
    for (int i = 0; i < 4; i++) {
        char uid[UID_SIZE];
        snprintf(uid, sizeof(uid), "1.1.1.%d", i + 1);
        const struct object object = { .study = "1.1",
                                       .series = "1.1.1",
                                       .instance = uid,
                                       .series_number = "7",
                                       .instance_number = numbers[i],
                                       .patient_id = "A",
                                       .pixels = 5000 };
        store(fixture, &object);
    }
    const struct object other = { .study = "1.1",
                                  .series = "1.1.2",
                                  .instance = "1.1.2.1",
                                  .series_number = "3",
                                  .patient_id = "A" };
    /* Its UID begins like that of the first series. */
    const struct object near = {
        .study = "1.1", .series = "1.1.11", .instance = "1.1.11.1", .patient_id = "A"
    };
    store(fixture, &other);
    store(fixture, &near);
}

TEST(headers_come_by_series_number_and_instance_number)
{
    struct fixture fixture;
    open_sample(&fixture);
    CHECK_TEXT(headers_list(&fixture, "1.1", "1.1.1", MEMORY), "1.1.1.4,1.1.1.2,1.1.1.1,1.1.1.3");
    CHECK_TEXT(headers_list(&fixture, "1.1", "", MEMORY),
               "1.1.2.1,1.1.1.4,1.1.1.2,1.1.1.1,1.1.1.3,1.1.11.1");
    CHECK_TEXT(headers_list(&fixture, "1.1", NULL, MEMORY),
               "1.1.2.1,1.1.1.4,1.1.1.2,1.1.1.1,1.1.1.3,1.1.11.1");
    fixture_close(&fixture);
}

TEST(headers_are_the_same_whatever_memory_there_is)
{
    static const size_t memories[] = { 0, 1, 200, 500, 900, 2000 };
    struct fixture fixture;
    open_sample(&fixture);
    for (size_t i = 0; i < sizeof(memories) / sizeof(memories[0]); i++)
        CHECK_TEXT(headers_list(&fixture, "1.1", "1.1.1", memories[i]),
                   "1.1.1.4,1.1.1.2,1.1.1.1,1.1.1.3");
    fixture_close(&fixture);
}

TEST(headers_of_what_is_not_there_are_none)
{
    struct fixture fixture;
    open_sample(&fixture);
    CHECK_TEXT(headers_list(&fixture, "1.9", "", MEMORY), "");
    CHECK_TEXT(headers_list(&fixture, "1.1", "1.9", MEMORY), "");
    CHECK_TEXT(headers_list(&fixture, "", "", MEMORY), "");
    fixture_close(&fixture);
}

TEST(headers_deleted_meanwhile_are_left_out_and_those_stored_meanwhile_too)
{
    struct fixture fixture;
    struct headers *headers;
    const struct identity *identity;
    const struct dataset *header;
    struct error err = { 0 };
    uint64_t deleted;
    open_sample(&fixture);
    CHECK_OK(headers_open(fixture.archive, "1.1", "1.1.1", 0, &headers, &err), err);
    CHECK_OK(headers_next(headers, &identity, &header, &err), err);
    CHECK_TEXT(identity->instance, "1.1.1.4");
    CHECK_OK(archive_delete(fixture.archive, "1.1", "1.1.1", "1.1.1.2", &deleted, &err), err);
    const struct object late = { .study = "1.1",
                                 .series = "1.1.1",
                                 .instance = "1.1.1.9",
                                 .instance_number = "9",
                                 .patient_id = "A" };
    store(&fixture, &late);
    CHECK_OK(headers_next(headers, &identity, &header, &err), err);
    CHECK_TEXT(identity->instance, "1.1.1.1");
    CHECK_OK(headers_next(headers, &identity, &header, &err), err);
    CHECK_TEXT(identity->instance, "1.1.1.3");
    CHECK_OK(headers_next(headers, &identity, &header, &err), err);
    CHECK(!header);
    headers_close(headers);
    fixture_close(&fixture);
}

static uint64_t change_of(struct fixture *fixture, const char *series)
{
    struct error err = { 0 };
    uint64_t change;
    CHECK_OK(headers_change(fixture->archive, "1.1", series, &change, &err), err);
    return change;
}

TEST(every_store_and_delete_gives_series_and_study_another_change_number)
{
    struct fixture fixture;
    struct error err = { 0 };
    uint64_t deleted;
    open_sample(&fixture);
    uint64_t study = change_of(&fixture, NULL);
    uint64_t series = change_of(&fixture, "1.1.1");
    uint64_t other = change_of(&fixture, "1.1.2");
    CHECK(study && series && other);
    const struct object late = {
        .study = "1.1", .series = "1.1.1", .instance = "1.1.1.9", .patient_id = "A"
    };
    store(&fixture, &late);
    CHECK(change_of(&fixture, NULL) > study);
    CHECK(change_of(&fixture, "1.1.1") > series);
    study = change_of(&fixture, NULL);
    series = change_of(&fixture, "1.1.1");
    CHECK_OK(archive_delete(fixture.archive, "1.1", "1.1.1", "1.1.1.9", &deleted, &err), err);
    CHECK(change_of(&fixture, NULL) > study);
    CHECK(change_of(&fixture, "1.1.1") > series);
    CHECK_INT(change_of(&fixture, "1.1.2"), other);
    CHECK_INT(change_of(&fixture, "1.9"), 0);
    fixture_close(&fixture);
}
