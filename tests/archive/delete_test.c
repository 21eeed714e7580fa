/* SPDX-License-Identifier: MIT */
#include "archive/delete.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive/changes.h"
#include "archive/retrieve.h"
#include "archive/study.h"
#include "tests/archive/fixture.h"

/* Two studies of one patient: 1.1 with two series of two instances, 1.2 with one instance. */
static void open_sample(struct fixture *fixture, bool in_memory)
{
    static const struct object all[] = {
        { .study = "1.1", .series = "1.1.1", .instance = "1.1.1.1", .modality = "CT" },
        { .study = "1.1", .series = "1.1.1", .instance = "1.1.1.2", .modality = "CT" },
        { .study = "1.1", .series = "1.1.2", .instance = "1.1.2.1", .modality = "SR" },
        { .study = "1.1", .series = "1.1.2", .instance = "1.1.2.2", .modality = "SR" },
        { .study = "1.2", .series = "1.2.1", .instance = "1.2.1.1", .modality = "MR" },
    };
    fixture_open(fixture, in_memory);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct object object = all[i];
        object.patient_id = "A";
        object.patient_name = i ? "RIGHT^NAME" : "WRONG^NAME";
        object.pixels = 2000;
        object.study_date = i ? "20260101" : "20250101";
        store(fixture, &object);
    }
}

static void check_deleted(struct fixture *fixture, const char *study, const char *series,
                          const char *instance, uint64_t expected)
{
    struct error err = { 0 };
    uint64_t count = 0;
    CHECK_OK(archive_delete(fixture->archive, study, series, instance, &count, &err), err);
    CHECK_INT(count, expected);
    CHECK(!archive_delete(fixture->archive, study, series, instance, &count, &err));
    CHECK_INT(err.code, ERROR_GONE);
}

static enum error_code open_code(struct fixture *fixture, const char *study, const char *series,
                                 const char *uid)
{
    struct error err = { 0 };
    struct instance *instance;
    if (instance_open(fixture->archive, study, series, uid, &instance, &err)) {
        instance_close(instance);
        return ERROR_NONE;
    }
    return err.code;
}

static enum error_code find_code(struct fixture *fixture, const char *study, const char *series)
{
    struct error err = { 0 };
    return archive_find(fixture->archive, study, series, &err) ? ERROR_NONE : err.code;
}

static const char *study_values(struct fixture *fixture, uint32_t tag)
{
    return query_list(query_by(fixture, LEVEL_STUDY, tag, ""), tag);
}

static void check_levels(bool in_memory)
{
    struct fixture fixture;
    open_sample(&fixture, in_memory);
    CHECK_TEXT(study_values(&fixture, TAG_PATIENT_NAME), "RIGHT^NAME,WRONG^NAME");
    check_deleted(&fixture, "1.1", "1.1.1", "1.1.1.1", 1);
    CHECK_TEXT(counts_text(&fixture), "1 2 3 4");
    /* What the deleted one said of its study is gone with it. */
    CHECK_TEXT(study_values(&fixture, TAG_PATIENT_NAME), "RIGHT^NAME,RIGHT^NAME");
    CHECK_TEXT(study_values(&fixture, TAG_STUDY_DATE), "20260101,20260101");
    CHECK_TEXT(
        query_list(query_by(&fixture, LEVEL_STUDY, TAG_PATIENT_NAME, "WRONG*"), TAG_PATIENT_NAME),
        "");
    CHECK_INT(open_code(&fixture, "1.1", "1.1.1", "1.1.1.1"), ERROR_GONE);
    CHECK_INT(open_code(&fixture, "1.1", "1.1.1", "1.1.1.2"), ERROR_NONE);
    CHECK_INT(open_code(&fixture, "1.1", "1.1.1", "1.1.1.9"), ERROR_NOT_FOUND);

    check_deleted(&fixture, "1.1", "1.1.1", NULL, 1);
    CHECK_TEXT(counts_text(&fixture), "1 2 2 3");
    CHECK_TEXT(study_values(&fixture, TAG_MODALITIES_IN_STUDY), "SR,MR");
    CHECK_INT(find_code(&fixture, "1.1", "1.1.1"), ERROR_GONE);
    CHECK_INT(find_code(&fixture, "1.1", NULL), ERROR_NONE);
    CHECK_INT(find_code(&fixture, "1.1", "1.1.7"), ERROR_NOT_FOUND);

    check_deleted(&fixture, "1.1", NULL, NULL, 2);
    CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
    CHECK_INT(find_code(&fixture, "1.1", NULL), ERROR_GONE);
    CHECK_INT(find_code(&fixture, "1.7", NULL), ERROR_NOT_FOUND);
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_PATIENT, TAG_PATIENT_ID, "A"), TAG_PATIENT_ID),
               "A");
    check_deleted(&fixture, "1.2", NULL, NULL, 1);
    CHECK_TEXT(counts_text(&fixture), "0 0 0 0");
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_PATIENT, TAG_PATIENT_ID, ""), TAG_PATIENT_ID),
               "");
    CHECK_INT(changes_latest(fixture.archive), 10);
    fixture_close(&fixture);
}

TEST(each_level_is_deleted_with_its_counts_terms_and_tombstones)
{
    check_levels(true);
    check_levels(false);
}

TEST(a_series_goes_with_its_last_instance_and_a_study_with_its_last_series)
{
    struct fixture fixture;
    open_sample(&fixture, true);
    check_deleted(&fixture, "1.1", "1.1.1", "1.1.1.2", 1);
    check_deleted(&fixture, "1.1", "1.1.1", "1.1.1.1", 1);
    CHECK_INT(find_code(&fixture, "1.1", "1.1.1"), ERROR_GONE);
    CHECK_INT(find_code(&fixture, "1.1", NULL), ERROR_NONE);
    check_deleted(&fixture, "1.1", "1.1.2", "1.1.2.1", 1);
    check_deleted(&fixture, "1.1", "1.1.2", "1.1.2.2", 1);
    CHECK_INT(find_code(&fixture, "1.1", NULL), ERROR_GONE);
    CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
    fixture_close(&fixture);
}

TEST(what_was_deleted_can_be_stored_anew_and_deleted_again)
{
    struct fixture fixture;
    struct object object = { .study = "1.2",
                             .series = "1.2.1",
                             .instance = "1.2.1.1",
                             .patient_id = "A",
                             .modality = "CR" };
    open_sample(&fixture, true);
    for (int i = 0; i < 3; i++) {
        check_deleted(&fixture, "1.2", NULL, NULL, 1);
        store(&fixture, &object);
        CHECK_INT(find_code(&fixture, "1.2", "1.2.1"), ERROR_NONE);
        CHECK_INT(open_code(&fixture, "1.2", "1.2.1", "1.2.1.1"), ERROR_NONE);
        CHECK_TEXT(counts_text(&fixture), "1 2 3 5");
    }
    CHECK_TEXT(study_values(&fixture, TAG_MODALITIES_IN_STUDY), "CT\\SR,CR");
    fixture_close(&fixture);
}

TEST(what_never_was_cannot_be_deleted)
{
    struct fixture fixture;
    struct error err = { 0 };
    uint64_t count;
    open_sample(&fixture, true);
    CHECK(!archive_delete(fixture.archive, "1.9", NULL, NULL, &count, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    CHECK(!archive_delete(fixture.archive, "1.1", "1.1.1", "../etc", &count, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    CHECK(!archive_delete(fixture.archive, "1.1", NULL, "1.1.1.1", &count, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    /* A study whose UID begins another's is another study. */
    CHECK(!archive_delete(fixture.archive, "1", NULL, NULL, &count, &err));
    CHECK_TEXT(counts_text(&fixture), "1 2 3 5");
    fixture_close(&fixture);
}

TEST(the_space_of_what_was_deleted_is_given_back)
{
    struct fixture fixture;
    struct storage_figures before, after;
    open_sample(&fixture, false);
    storage_figures(fixture.storage, &before);
    check_deleted(&fixture, "1.1", NULL, NULL, 4);
    storage_figures(fixture.storage, &after);
    CHECK(after.blob_bytes < before.blob_bytes / 2);
    fixture_reopen(&fixture);
    storage_figures(fixture.storage, &after);
    CHECK(after.blob_bytes < before.blob_bytes / 2);
    CHECK_TEXT(counts_text(&fixture), "1 1 1 1");
    fixture_close(&fixture);
}

TEST(bytes_that_are_being_read_stay_until_they_were_read)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct instance *instance;
    struct file_range range;
    uint8_t byte;
    struct space space = { &byte, 1 };
    open_sample(&fixture, true);
    CHECK_OK(instance_open(fixture.archive, "1.1", "1.1.1", "1.1.1.1", &instance, &err), err);
    CHECK_OK(instance_dataset(instance, &range, &err), err);
    check_deleted(&fixture, "1.1", NULL, NULL, 4);
    CHECK_OK(instance_read(instance, range.size - 1, space, &err), err);
    instance_close(instance);
    fixture_close(&fixture);
}

/* A study of more than one transaction. */

enum { MANY = 10003, THREADS = 16 };

struct share {
    struct fixture *fixture;
    int first;
    int failed;
};

static void *store_share(void *argument)
{
    struct share *share = argument;
    for (int i = share->first; i < MANY; i += THREADS) {
        char instance[UID_SIZE];
        struct object object = { .study = "1.1", .series = "1.1.1", .instance = instance };
        struct error err = { 0 };
        enum ingest_outcome outcome;
        snprintf(instance, sizeof(instance), "1.1.1.%d", i + 1);
        share->failed += !object_store(share->fixture->archive, &object, &outcome, &err);
    }
    return NULL;
}

TEST(a_study_too_big_for_one_step_goes_in_several)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct share shares[THREADS];
    pthread_t threads[THREADS];
    uint64_t count;
    fixture_open(&fixture, true);
    for (int i = 0; i < THREADS; i++) {
        shares[i] = (struct share){ &fixture, i, 0 };
        CHECK_INT(pthread_create(&threads[i], NULL, store_share, &shares[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(shares[i].failed, 0);
    }
    CHECK_TEXT(counts_text(&fixture), "1 1 1 10003");
    CHECK_OK(archive_delete(fixture.archive, "1.1", NULL, NULL, &count, &err), err);
    CHECK_INT(count, MANY);
    CHECK_TEXT(counts_text(&fixture), "0 0 0 0");
    CHECK_INT(changes_latest(fixture.archive), 2 * MANY);
    fixture_close(&fixture);
}
