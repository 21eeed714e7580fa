/* SPDX-License-Identifier: MIT */
#include "archive/patient_ids.h"

#include <stdio.h>

#include "archive/delete.h"
#include "archive/study.h"
#include "tests/archive/fixture.h"

static void store_study(struct fixture *fixture, const char *study, const char *patient_id,
                        const char *issuer, const char *date)
{
    char series[UID_SIZE], instance[UID_SIZE];
    snprintf(series, sizeof(series), "%s.1", study);
    snprintf(instance, sizeof(instance), "%s.1.1", study);
    struct object object = { .study = study,
                             .series = series,
                             .instance = instance,
                             .patient_id = patient_id,
                             .issuer = issuer,
                             .study_date = date };
    store(fixture, &object);
}

/* The studies that a walk comes by, in a line. */
static void check_walk(struct fixture *fixture, const char *expected)
{
    struct buffer key = buffer_up_to(PATIENT_IDS_KEY_MAX), next = buffer_up_to(PATIENT_IDS_KEY_MAX);
    struct error err = { 0 };
    char line[512] = "", study[UID_SIZE];
    bool found = true;
    for (;;) {
        CHECK_OK(patient_ids_next(fixture->archive, buffer_slice(&key), &next, study, &found, &err),
                 err);
        if (!found)
            break;
        size_t used = strlen(line);
        snprintf(line + used, sizeof(line) - used, "%s%s", used ? " " : "", study);
        buffer_clear(&key);
        buffer_append(&key, buffer_slice(&next));
    }
    CHECK_TEXT(line, expected);
    buffer_release(&key);
    buffer_release(&next);
}

TEST(each_Patient_ID_is_met_once_with_a_study)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    check_walk(&fixture, "");
    store_study(&fixture, "1.1", "B", NULL, "20260101");
    store_study(&fixture, "1.2", "A", NULL, "20260101");
    store_study(&fixture, "1.3", "A", NULL, "20260301");
    store_study(&fixture, "1.4", "A", "Elsewhere", "20260201");
    store_study(&fixture, "1.5", "AB", NULL, "20260101");
    store_study(&fixture, "1.6", "", NULL, "20260101");
    store_study(&fixture, "1.7", "", NULL, "20260101");
    check_walk(&fixture, "1.6 1.7 1.3 1.5 1.1");
    fixture_close(&fixture);
}

TEST(a_head_is_the_study_with_its_first_series_and_instance)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct study *whole, *head;
    uint64_t change;
    bool found;
    fixture_open(&fixture, true);
    store_study(&fixture, "1.1", "A", NULL, "20260101");
    store(&fixture, &(struct object){ .study = "1.1", .series = "1.1.1", .instance = "1.1.1.2" });
    store(&fixture, &(struct object){ .study = "1.1", .series = "1.1.2", .instance = "1.1.2.1" });
    CHECK_OK(study_open(fixture.archive, "1.1", &whole, &err), err);
    CHECK_OK(study_open_head(fixture.archive, "1.1", &head, &err), err);
    CHECK_INT(whole->series_count, 2);
    CHECK_INT(head->series_count, 1);
    CHECK_INT(head->series[0].instance_count, 1);
    CHECK_TEXT(head->series[0].instances[0].sop_instance,
               whole->series[0].instances[0].sop_instance);
    CHECK_INT(head->change, whole->change);
    CHECK_OK(study_last_change(fixture.archive, "1.1", &change, &found, &err), err);
    CHECK(found);
    CHECK_INT(change, whole->change);
    CHECK_OK(study_last_change(fixture.archive, "1.2", &change, &found, &err), err);
    CHECK(!found);
    study_close(whole);
    study_close(head);
    CHECK(!study_open_head(fixture.archive, "1.2", &head, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    fixture_close(&fixture);
}
