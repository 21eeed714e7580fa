/* SPDX-License-Identifier: MIT */
#include "archive/tree.h"

#include <stdio.h>
#include <stdlib.h>

#include "archive/changes.h"
#include "archive/delete.h"
#include "archive/tally.h"
#include "base/memory.h"
#include "tests/archive/fixture.h"

/* A model of what should be there: after any stores and deletes, all that the index keeps ready is
 * what can be counted in the model. */

enum { STUDIES = 3, SERIES = 3, INSTANCES = 3, STEPS = 150 };

struct model {
    bool there[STUDIES][SERIES][INSTANCES];
};

static const char *const modalities[] = { "CT", "MR", "SR" };
static const char *const classes[] = { CT_IMAGE_STORAGE, "1.2.840.10008.5.1.4.1.1.4",
                                       "1.2.840.10008.5.1.4.1.1.7" };

/* Series of number i have modality i; instances of number i SOP class i. Studies 0 and 1 are of one
 * patient. */
static void store_one(struct fixture *fixture, int study, int series, int instance)
{
    char study_uid[16], series_uid[32], instance_uid[48];
    snprintf(study_uid, sizeof(study_uid), "1.%d", study + 1);
    snprintf(series_uid, sizeof(series_uid), "%s.%d", study_uid, series + 1);
    snprintf(instance_uid, sizeof(instance_uid), "%s.%d", series_uid, instance + 1);
    struct object object = { .study = study_uid,
                             .series = series_uid,
                             .instance = instance_uid,
                             .patient_id = study == 2 ? "B" : "A",
                             .patient_name = "X",
                             .modality = modalities[series],
                             .sop_class = classes[instance] };
    store(fixture, &object);
}

static uint64_t count_model(const struct model *model, int study, int series)
{
    uint64_t count = 0;
    for (int e = 0; e < SERIES; e++) {
        for (int i = 0; i < INSTANCES; i++)
            count += (series < 0 || series == e) && model->there[study][e][i];
    }
    return count;
}

static uint64_t count_series(const struct model *model, int study)
{
    uint64_t count = 0;
    for (int e = 0; e < SERIES; e++)
        count += count_model(model, study, e) > 0;
    return count;
}

static const char *text_of(struct fixture *fixture, int study, uint32_t tag)
{
    char uid[32];
    snprintf(uid, sizeof(uid), "1.%d", study + 1);
    struct query *query = query_by(fixture, LEVEL_STUDY, TAG_STUDY_INSTANCE_UID, uid);
    if (tag != TAG_STUDY_INSTANCE_UID)
        query_key(query, tag, "");
    return query_list(query, tag);
}

static void check_number(struct fixture *fixture, int study, uint32_t tag, uint64_t expected)
{
    char text[24] = "";
    if (expected) /* else the study is not there */
        snprintf(text, sizeof(text), "%d", (int)expected);
    CHECK_TEXT(text_of(fixture, study, tag), text);
}

static void check_study(struct fixture *fixture, const struct model *model, int study)
{
    char held[40] = "", sop_classes[200] = "";
    for (int e = 0; e < SERIES; e++) {
        size_t size = strlen(held);
        if (count_model(model, study, e))
            snprintf(held + size, sizeof(held) - size, "%s%s", size ? "\\" : "", modalities[e]);
    }
    for (int i = 0; i < INSTANCES; i++) {
        bool any = false;
        for (int e = 0; e < SERIES; e++)
            any |= model->there[study][e][i];
        size_t size = strlen(sop_classes);
        if (any)
            snprintf(sop_classes + size, sizeof(sop_classes) - size, "%s%s", size ? "\\" : "",
                     classes[i]);
    }
    CHECK_TEXT(text_of(fixture, study, TAG_MODALITIES_IN_STUDY), held);
    CHECK_TEXT(text_of(fixture, study, TAG_SOP_CLASSES_IN_STUDY), sop_classes);
    check_number(fixture, study, TAG_NUMBER_OF_STUDY_RELATED_SERIES, count_series(model, study));
    check_number(fixture, study, TAG_NUMBER_OF_STUDY_RELATED_INSTANCES,
                 count_model(model, study, -1));
    for (int e = 0; e < SERIES; e++) {
        char uid[40], number[24] = "";
        snprintf(uid, sizeof(uid), "1.%d.%d", study + 1, e + 1);
        if (count_model(model, study, e))
            snprintf(number, sizeof(number), "%d", (int)count_model(model, study, e));
        struct query *query = query_by(fixture, LEVEL_SERIES, TAG_SERIES_INSTANCE_UID, uid);
        query_key(query, TAG_NUMBER_OF_SERIES_RELATED_INSTANCES, "");
        CHECK_TEXT(query_list(query, TAG_NUMBER_OF_SERIES_RELATED_INSTANCES), number);
    }
}

static void check_model(struct fixture *fixture, const struct model *model)
{
    uint64_t studies = 0, series = 0, instances = 0;
    char expected[100];
    for (int s = 0; s < STUDIES; s++) {
        check_study(fixture, model, s);
        studies += count_model(model, s, -1) > 0;
        series += count_series(model, s);
        instances += count_model(model, s, -1);
    }
    uint64_t of_a = count_model(model, 0, -1) + count_model(model, 1, -1);
    uint64_t of_b = count_model(model, 2, -1);
    snprintf(expected, sizeof(expected), "%d %d %d %d", (of_a > 0) + (of_b > 0), (int)studies,
             (int)series, (int)instances);
    CHECK_TEXT(counts_text(fixture), expected);
    expected[0] = '\0';
    if (of_a)
        snprintf(expected, sizeof(expected), "%d", (int)of_a);
    struct query *query = query_by(fixture, LEVEL_PATIENT, TAG_PATIENT_ID, "A");
    query_key(query, TAG_NUMBER_OF_PATIENT_RELATED_INSTANCES, "");
    CHECK_TEXT(query_list(query, TAG_NUMBER_OF_PATIENT_RELATED_INSTANCES), expected);
}

/* Deletes at a random level; what is not there is told so. */
static void delete_some(struct fixture *fixture, struct model *model, int study, int series,
                        int instance)
{
    char study_uid[16], series_uid[32], instance_uid[48];
    struct error err = { 0 };
    int level = rand() % 6;
    bool whole_study = level == 0, whole_series = level <= 2;
    uint64_t expected = 0, count = 0;
    snprintf(study_uid, sizeof(study_uid), "1.%d", study + 1);
    snprintf(series_uid, sizeof(series_uid), "%s.%d", study_uid, series + 1);
    snprintf(instance_uid, sizeof(instance_uid), "%s.%d", series_uid, instance + 1);
    for (int e = 0; e < SERIES; e++) {
        for (int i = 0; i < INSTANCES; i++) {
            if ((!whole_study && e != series) || (!whole_series && i != instance))
                continue;
            expected += model->there[study][e][i];
            model->there[study][e][i] = false;
        }
    }
    bool ok = archive_delete(fixture->archive, study_uid, whole_study ? NULL : series_uid,
                             whole_series ? NULL : instance_uid, &count, &err);
    CHECK(ok == (expected > 0));
    CHECK_INT(count, expected);
}

static void check_steps(bool in_memory, unsigned seed)
{
    struct fixture fixture;
    struct model model = { 0 };
    srand(seed);
    fixture_open(&fixture, in_memory);
    for (int step = 0; step < STEPS; step++) {
        int study = rand() % STUDIES, series = rand() % SERIES, instance = rand() % INSTANCES;
        if (rand() % 3 == 0) {
            delete_some(&fixture, &model, study, series, instance);
        } else if (!model.there[study][series][instance]) {
            store_one(&fixture, study, series, instance);
            model.there[study][series][instance] = true;
        }
        check_model(&fixture, &model);
    }
    fixture_close(&fixture);
}

TEST(after_any_stores_and_deletes_all_aggregates_are_what_can_be_counted)
{
    check_steps(true, 1);
    check_steps(true, 2);
    check_steps(false, 3);
}

/* Nothing but tombstones and the feed is left of what was deleted. */
TEST(deleting_all_leaves_no_record_document_or_term)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct slice key;
    uint64_t count;
    bool found = true;
    fixture_open(&fixture, true);
    for (int i = 0; i < STUDIES * SERIES * INSTANCES; i++)
        store_one(&fixture, i / 9, i / 3 % 3, i % 3);
    for (int s = 0; s < STUDIES; s++) {
        char uid[32];
        snprintf(uid, sizeof(uid), "1.%d", s + 1);
        CHECK_OK(archive_delete(fixture.archive, uid, NULL, NULL, &count, &err), err);
    }
    for (int table = TABLE_RECORD; table <= TABLE_TERM; table++) {
        struct storage_cursor *cursor;
        CHECK_OK(storage_cursor_open(fixture.storage, (enum table)table, slice_of(NULL, 0),
                                     slice_of(NULL, 0), &cursor, &err),
                 err);
        for (;;) {
            CHECK_OK(storage_cursor_next(cursor, &key, NULL, &found, &err), err);
            if (!found)
                break;
            CHECK_INT(table, TABLE_RECORD);
            CHECK(key.data[0] == RECORD_TOMBSTONE || key.data[0] == RECORD_COUNTS);
        }
        storage_cursor_close(cursor);
    }
    fixture_close(&fixture);
}

TEST(a_study_moves_to_its_patient_when_a_later_instance_names_it)
{
    struct fixture fixture;
    struct object object = { .study = "1.1", .series = "1.1.1", .instance = "1.1.1.1" };
    fixture_open(&fixture, true);
    store_one(&fixture, 1, 0, 0);
    store(&fixture, &object);
    CHECK_TEXT(counts_text(&fixture), "2 2 2 2");
    object.instance = "1.1.1.2";
    object.patient_id = "A";
    store(&fixture, &object);
    CHECK_TEXT(counts_text(&fixture), "1 2 2 3");
    CHECK_TEXT(
        query_list(query_by(&fixture, LEVEL_PATIENT, TAG_NUMBER_OF_PATIENT_RELATED_STUDIES, ""),
                   TAG_NUMBER_OF_PATIENT_RELATED_STUDIES),
        "2");
    fixture_close(&fixture);
}

TEST(patients_with_the_same_id_of_different_issuers_are_two)
{
    struct fixture fixture;
    struct object object = { .study = "1.1",
                             .series = "1.1.1",
                             .instance = "1.1.1.1",
                             .patient_id = "A",
                             .issuer = "NORTH" };
    fixture_open(&fixture, true);
    store(&fixture, &object);
    object = (struct object){ .study = "1.2",
                              .series = "1.2.1",
                              .instance = "1.2.1.1",
                              .patient_id = "A",
                              .issuer = "SOUTH" };
    store(&fixture, &object);
    struct query *query = query_by(&fixture, LEVEL_PATIENT, TAG_PATIENT_ID, "A");
    query_key(query, TAG_ISSUER_OF_PATIENT_ID, "");
    CHECK_TEXT(query_list(query, TAG_ISSUER_OF_PATIENT_ID), "NORTH,SOUTH");
    CHECK_TEXT(
        query_list(query_by(&fixture, LEVEL_STUDY, TAG_PATIENT_ID, "A"), TAG_STUDY_INSTANCE_UID),
        "1.1,1.2");
    fixture_close(&fixture);
}

TEST(values_too_big_for_a_summary_are_found_in_the_header)
{
    struct fixture fixture;
    char *text = mem_alloc(4000);
    memset(text, 'x', 3999);
    struct object object = { .study = "1.1",
                             .series = "1.1.1",
                             .instance = "1.1.1.1",
                             .patient_id = text,
                             .accession = text,
                             .referring = text,
                             .description = text,
                             .study_id = text,
                             .study_date = "20260101" };
    fixture_open(&fixture, true);
    store(&fixture, &object);
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_STUDY, TAG_STUDY_DESCRIPTION, "xxx*"),
                          TAG_STUDY_INSTANCE_UID),
               "1.1");
    CHECK_TEXT(query_list(query_by(&fixture, LEVEL_STUDY, TAG_STUDY_ID, text), TAG_STUDY_ID), text);
    CHECK_TEXT(
        query_list(query_by(&fixture, LEVEL_STUDY, TAG_PATIENT_ID, text), TAG_STUDY_INSTANCE_UID),
        "1.1");
    free(text);
    fixture_close(&fixture);
}

TEST(a_tally_keeps_its_names_in_order_and_drops_those_that_come_to_none)
{
    struct buffer tally = buffer_up_to(TALLY_SIZE);
    size_t position = 0;
    struct slice name;
    uint32_t count;
    CHECK(tally_add(&tally, slice_text("MR"), 1));
    CHECK(tally_add(&tally, slice_text("CT"), 2));
    CHECK(!tally_add(&tally, slice_text("MR"), 1));
    CHECK(!tally_add(&tally, slice_text(""), 1));
    CHECK(!tally_add(&tally, slice_text("US"), -1));
    CHECK(tally_next(buffer_slice(&tally), &position, &name, &count));
    CHECK(slice_equals_text(name, "CT"));
    CHECK_INT(count, 2);
    CHECK(tally_next(buffer_slice(&tally), &position, &name, &count));
    CHECK(slice_equals_text(name, "MR"));
    CHECK(!tally_next(buffer_slice(&tally), &position, &name, &count));
    CHECK(tally_add(&tally, slice_text("CT"), -2));
    for (int i = 0; i < TALLY_MAX + 10; i++) {
        char text[16];
        snprintf(text, sizeof(text), "X%d", i);
        tally_add(&tally, slice_text(text), 1);
    }
    size_t names = 0;
    for (position = 0; tally_next(buffer_slice(&tally), &position, &name, &count);)
        names++;
    CHECK_INT(names, TALLY_MAX);
    buffer_release(&tally);
}
