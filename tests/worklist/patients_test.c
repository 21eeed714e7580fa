/* SPDX-License-Identifier: MIT */
#include "worklist/patients.h"

#include <stdio.h>

#include "dicom/patient_chain.h"
#include "tests/worklist/fixture.h"
#include "worklist/changes.h"
#include "worklist/core.h"
#include "worklist/steps.h"

enum { TAG_UNIVERSAL_ENTITY_ID = 0x00400032 };

static const char *order(struct fixture *fixture, const char *placer, const char *id,
                         const char *issuer, const char *name)
{
    static char keys[16][OBJECT_KEY_SIZE];
    static size_t turn;
    struct error err = { 0 };
    struct step_outcome outcome;
    char lines[512];
    snprintf(lines, sizeof(lines),
             "00100010 %s\n00100020 %s\n%s%s\n00400100 [\n00400001 CT1\n00400002 20260101\n]", name,
             id, issuer[0] ? "00100021 " : "", issuer);
    const struct dataset *steps[] = { dataset_of(lines) };
    struct step_order told = {
        .control = STEP_NEW, .placer = placer, .steps = steps, .step_count = 1, .message_us = 1000
    };
    CHECK_OK(steps_apply(fixture->worklist, &told, &outcome, &err), err);
    char *key = keys[turn++ % 16];
    snprintf(key, OBJECT_KEY_SIZE, "%s", outcome.key);
    return key;
}

static struct object *load(struct fixture *fixture, const char *key)
{
    static struct object object;
    struct error err = { 0 };
    bool found;
    if (!object.dataset.limit)
        object = object_init();
    CHECK_OK(object_get(fixture->worklist, OBJECT_STEP, key, &object, &found, &err), err);
    CHECK(found);
    return &object;
}

static const char *by_id(struct fixture *fixture, const char *id)
{
    struct object_range range = {
        .kind = OBJECT_STEP, .shelf = OBJECT_LIVE, .index = 'I', .value = slice_text(id)
    };
    return walk_list(fixture, &range);
}

static struct patient_outcome merge(struct fixture *fixture, const char *gone, const char *survivor,
                                    int64_t message_us)
{
    struct error err = { 0 };
    struct patient_outcome outcome;
    CHECK_OK(patients_merge(fixture->worklist, gone, survivor, message_us, "test", &outcome, &err),
             err);
    return outcome;
}

static struct patient_outcome update(struct fixture *fixture, const char *lines, int64_t message_us)
{
    struct error err = { 0 };
    struct patient_outcome outcome;
    CHECK_OK(
        patients_update(fixture->worklist, dataset_of(lines), message_us, "test", &outcome, &err),
        err);
    return outcome;
}

TEST(patient_update_flows_to_the_steps_and_an_older_one_does_not)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    const char *step = order(&fixture, "1", "P1", "", "Doe^Jane");
    struct patient_outcome outcome = update(
        &fixture, "00100010 Roe^Jane\n00100020 P1\n00100030 19700101\n00101030 70", 2000);
    CHECK_INT(outcome.result, PATIENT_UPDATED);
    CHECK_INT(outcome.objects, 1);
    CHECK_TEXT(text_of(load(&fixture, step), TAG_PATIENT_NAME), "Roe^Jane");
    CHECK_TEXT(text_of(load(&fixture, step), TAG_PATIENT_BIRTH_DATE), "19700101");
    CHECK_TEXT(text_of(load(&fixture, step), TAG_PATIENT_WEIGHT), "70");
    outcome = update(&fixture, "00100010 Late^Jane\n00100020 P1", 1500);
    CHECK_INT(outcome.result, PATIENT_STALE);
    CHECK_TEXT(text_of(load(&fixture, step), TAG_PATIENT_NAME), "Roe^Jane");
    outcome = update(&fixture, "00100010 Roe^Jane\n00100020 P1", 2000);
    CHECK_INT(outcome.result, PATIENT_UNCHANGED);
    fixture_close(&fixture);
}

TEST(patients_of_one_number_and_two_authorities_are_two)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    const char *a = order(&fixture, "1", "P1", "A", "Doe^Jane");
    const char *b = order(&fixture, "2", "P1", "B", "Doe^Jane");
    update(&fixture, "00100010 Roe^Jane\n00100020 P1\n00100021 B", 2000);
    CHECK_TEXT(text_of(load(&fixture, a), TAG_PATIENT_NAME), "Doe^Jane");
    CHECK_TEXT(text_of(load(&fixture, b), TAG_PATIENT_NAME), "Roe^Jane");
    fixture_close(&fixture);
}

TEST(patient_merge_moves_steps_and_a_chain_ends_at_its_last)
{
    struct fixture fixture;
    struct error err = { 0 };
    char current[OBJECT_KEY_SIZE];
    fixture_open(&fixture, true);
    const char *a = order(&fixture, "1", "A", "", "Of^A");
    const char *b = order(&fixture, "2", "B", "", "Of^B");
    const char *c = order(&fixture, "3", "C", "", "Of^C");
    CHECK_INT(merge(&fixture, "A\\", "B\\", 2000).objects, 1);
    CHECK_TEXT(text_of(load(&fixture, a), TAG_PATIENT_ID), "B");
    CHECK_TEXT(text_of(load(&fixture, a), TAG_PATIENT_NAME), "Of^B");
    CHECK_TEXT(by_id(&fixture, "A"), "");
    CHECK_INT(merge(&fixture, "B\\", "C\\", 3000).objects, 2);
    CHECK_TEXT(text_of(load(&fixture, a), TAG_PATIENT_ID), "C");
    CHECK_TEXT(text_of(load(&fixture, b), TAG_PATIENT_NAME), "Of^C");
    CHECK_TEXT(text_of(load(&fixture, c), TAG_PATIENT_NAME), "Of^C");
    CHECK_OK(patients_resolve(fixture.worklist, "A\\", current, &err), err);
    CHECK_TEXT(current, "C\\");
    uint64_t latest = object_changes_latest(fixture.worklist);
    CHECK_INT(merge(&fixture, "B\\", "C\\", 4000).result, PATIENT_UNCHANGED);
    CHECK_INT(object_changes_latest(fixture.worklist), latest);
    /* an order that names the old ID is the survivor's */
    const char *d = order(&fixture, "4", "A", "", "Of^A");
    CHECK_TEXT(text_of(load(&fixture, d), TAG_PATIENT_ID), "C");
    /* and what is told of the survivor reaches all */
    update(&fixture, "00100010 New^C\n00100020 C", 5000);
    CHECK_TEXT(text_of(load(&fixture, a), TAG_PATIENT_NAME), "New^C");
    CHECK_TEXT(text_of(load(&fixture, d), TAG_PATIENT_NAME), "New^C");
    fixture_close(&fixture);
}

TEST(patient_merge_is_undone_by_an_unmerge)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct patient_outcome outcome;
    fixture_open(&fixture, true);
    const char *a = order(&fixture, "1", "A", "X", "Of^A");
    const char *b = order(&fixture, "2", "B", "", "Of^B");
    merge(&fixture, "A\\X", "B\\", 2000);
    CHECK_TEXT(text_of(load(&fixture, a), TAG_ISSUER_OF_PATIENT_ID), "(absent)");
    CHECK_OK(patients_unmerge(fixture.worklist, "A\\X", 3000, "test", &outcome, &err), err);
    CHECK_INT(outcome.result, PATIENT_UPDATED);
    CHECK_INT(outcome.objects, 1);
    CHECK_TEXT(text_of(load(&fixture, a), TAG_PATIENT_ID), "A");
    CHECK_TEXT(text_of(load(&fixture, a), TAG_ISSUER_OF_PATIENT_ID), "X");
    CHECK_TEXT(text_of(load(&fixture, a), TAG_PATIENT_NAME), "Of^A");
    CHECK_TEXT(text_of(load(&fixture, b), TAG_PATIENT_NAME), "Of^B");
    CHECK_OK(patients_unmerge(fixture.worklist, "A\\X", 4000, "test", &outcome, &err), err);
    CHECK_INT(outcome.result, PATIENT_UNCHANGED);
    CHECK(!patients_unmerge(fixture.worklist, "Z\\", 4000, "test", &outcome, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    fixture_close(&fixture);
}

TEST(patient_merge_in_a_circle_or_with_itself_is_refused)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct patient_outcome outcome;
    fixture_open(&fixture, true);
    order(&fixture, "1", "A", "", "Of^A");
    merge(&fixture, "A\\", "B\\", 2000);
    merge(&fixture, "B\\", "C\\", 3000);
    CHECK(!patients_merge(fixture.worklist, "C\\", "A\\", 4000, "test", &outcome, &err));
    CHECK_INT(err.code, ERROR_CONFLICT);
    CHECK(!patients_merge(fixture.worklist, "C\\", "C\\", 4000, "test", &outcome, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    CHECK(!patients_merge(fixture.worklist, "", "C\\", 4000, "test", &outcome, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    CHECK(!patients_merge(fixture.worklist, "\\A", "C\\", 4000, "test", &outcome, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    /* an older one than that which is known */
    CHECK_INT(merge(&fixture, "A\\", "D\\", 1000).result, PATIENT_STALE);
    fixture_close(&fixture);
}

TEST(HOS_47_patients_are_merged_in_a_row_up_to_a_limit_and_found_at_the_end)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct patient_outcome outcome;
    char gone[32], survivor[32], current[OBJECT_KEY_SIZE];
    fixture_open(&fixture, true);
    const char *step = order(&fixture, "1", "M0", "", "Doe^Jane");
    for (int i = 0; i < PATIENT_CHAIN_MAX; i++) {
        snprintf(gone, sizeof(gone), "M%d\\", i);
        snprintf(survivor, sizeof(survivor), "M%d\\", i + 1);
        CHECK_OK(patients_check_merge(fixture.worklist, gone, survivor, &err), err);
        CHECK_INT(merge(&fixture, gone, survivor, 2000 + i).result, PATIENT_UPDATED);
    }
    /* Neither one more at its end, nor at its beginning, nor two chains that would be one. */
    CHECK(!patients_merge(fixture.worklist, survivor, "N\\", 3000, "test", &outcome, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    CHECK(!patients_merge(fixture.worklist, "N\\", "M0\\", 3000, "test", &outcome, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    CHECK_INT(merge(&fixture, "N\\", "M1\\", 3000).result, PATIENT_UPDATED);
    CHECK(!patients_check_merge(fixture.worklist, "O\\", "N\\", &err));
    CHECK_INT(merge(&fixture, gone, survivor, 3000).result, PATIENT_UNCHANGED);
    CHECK_OK(patients_resolve(fixture.worklist, "M0\\", current, &err), err);
    CHECK_TEXT(current, survivor);
    CHECK_TEXT(text_of(load(&fixture, step), TAG_PATIENT_ID), "M64");
    CHECK_TEXT(text_of(load(&fixture, step), TAG_PATIENT_NAME), "Doe^Jane");
    fixture_close(&fixture);
}

/* Orders of one patient, beyond what follows it in one turn. */
enum { CROWD = 600 };

static const char *order_crowd(struct fixture *fixture, const char *id)
{
    char placer[32];
    const char *key = NULL;
    for (int i = 0; i < CROWD; i++) {
        snprintf(placer, sizeof(placer), "%s-%d", id, i);
        key = order(fixture, placer, id, "", "Doe^Jane");
    }
    return key;
}

static size_t count_by(struct fixture *fixture, enum object_kind kind, char index,
                       const char *value)
{
    struct error err = { 0 };
    size_t count;
    struct object_range range = {
        .kind = kind, .shelf = OBJECT_LIVE, .index = index, .value = slice_text(value)
    };
    CHECK_OK(object_walk_count(fixture->worklist, &range, 10000, &count, &err), err);
    return count;
}

TEST(patient_of_more_objects_than_a_turn_may_have_is_changed_merged_and_unmerged_as_a_whole)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct patient_outcome outcome;
    fixture_open(&fixture, true);
    const char *last = order_crowd(&fixture, "A");
    CHECK_INT(update(&fixture, "00100010 Roe^Jane\n00100020 A", 2000).objects, CROWD);
    CHECK_TEXT(text_of(load(&fixture, last), TAG_PATIENT_NAME), "Roe^Jane");
    CHECK_INT(merge(&fixture, "A\\", "B\\", 3000).objects, CROWD);
    CHECK_INT(count_by(&fixture, OBJECT_STEP, 'I', "A"), 0);
    CHECK_INT(count_by(&fixture, OBJECT_STEP, 'I', "B"), CROWD);
    CHECK_OK(patients_unmerge(fixture.worklist, "A\\", 4000, "test", &outcome, &err), err);
    CHECK_INT(outcome.objects, CROWD);
    CHECK_INT(count_by(&fixture, OBJECT_STEP, 'I', "A"), CROWD);
    /* no note is left */
    CHECK_INT(count_by(&fixture, OBJECT_FLOW, 0, ""), 0);
    fixture_close(&fixture);
}

/* As a crash leaves it: told in the first turn, and then nothing. */
static void merge_and_stop(struct fixture *fixture, const char *gone, const char *survivor)
{
    struct error err = { 0 };
    struct object patient = object_init(), note = object_init();
    struct turn *turn = NULL;
    bool found;
    /* a merge of an empty patient writes the record that this one gets */
    merge(fixture, "X\\", survivor, 3000);
    CHECK_OK(turn_open(fixture->worklist, &turn, &err), err);
    CHECK_OK(turn_get(turn, OBJECT_PATIENT, "X\\", &patient, &found, &err), err);
    snprintf(patient.key, sizeof(patient.key), "%s", gone);
    CHECK_OK(turn_put(turn, &patient, 0, &err), err);
    note.kind = OBJECT_FLOW;
    note.shelf = OBJECT_LIVE;
    snprintf(note.key, sizeof(note.key), "%s", gone);
    CHECK_OK(turn_put(turn, &note, 0, &err), err);
    CHECK_OK(turn_commit(turn, &err), err);
    turn_close(turn);
    object_release(&patient);
    object_release(&note);
}

TEST(patient_merge_that_a_crash_cut_off_is_finished_and_orders_come_meanwhile)
{
    struct fixture fixture;
    struct error err = { 0 };
    size_t objects;
    fixture_open(&fixture, false);
    order_crowd(&fixture, "A");
    merge_and_stop(&fixture, "A\\", "B\\");
    fixture_reopen(&fixture);
    /* what is told of an order whose step has not followed yet is no other patient's */
    const char *step = order(&fixture, "A-7", "A", "", "Doe^Jane");
    CHECK_OK(patients_settle(fixture.worklist, &objects, &err), err);
    CHECK(objects >= CROWD - 1);
    CHECK_INT(count_by(&fixture, OBJECT_STEP, 'I', "B"), CROWD);
    CHECK_INT(count_by(&fixture, OBJECT_STEP, 'i', "B\\"), CROWD);
    CHECK_TEXT(text_of(load(&fixture, step), TAG_PATIENT_ID), "B");
    CHECK_INT(count_by(&fixture, OBJECT_FLOW, 0, ""), 0);
    CHECK_OK(patients_settle(fixture.worklist, &objects, &err), err);
    CHECK_INT(objects, 0);
    fixture_close(&fixture);
}

TEST(an_object_that_cannot_be_read_does_not_keep_the_others_from_their_patient)
{
    static const char broken[] = "no record";
    struct fixture fixture;
    struct error err = { 0 };
    struct transaction *transaction = NULL;
    struct buffer key = buffer_up_to(1024);
    fixture_open(&fixture, true);
    const char *first = order(&fixture, "1", "A", "", "Of^A");
    const char *second = order(&fixture, "2", "A", "", "Of^A");
    object_record_key(OBJECT_STEP, first, &key);
    CHECK_OK(transaction_open(fixture.storage, &transaction, &err), err);
    transaction_put(transaction, TABLE_RECORD, buffer_slice(&key), slice_text(broken));
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
    CHECK_INT(merge(&fixture, "A\\", "B\\", 2000).objects, 1);
    CHECK_TEXT(text_of(load(&fixture, second), TAG_PATIENT_ID), "B");
    buffer_release(&key);
    fixture_close(&fixture);
}

TEST(qualifiers_of_an_issuer_do_not_stay_with_a_patient_of_another_one)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct step_outcome outcome;
    fixture_open(&fixture, true);
    const struct dataset *steps[] = { dataset_of(
        "00080050 A1\n00100010 Doe^Jane\n00100020 P1\n00100021 OLD\n00100024 [\n00400032 1.2.3\n"
        "00400033 ISO\n]\n00400100 [\n00400001 CT1\n00400002 20260101\n]") };
    struct step_order told = {
        .control = STEP_NEW, .placer = "1", .steps = steps, .step_count = 1, .message_us = 1000
    };
    CHECK_OK(steps_apply(fixture.worklist, &told, &outcome, &err), err);
    CHECK_TEXT(text_in(load(&fixture, outcome.key), TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE,
                       TAG_UNIVERSAL_ENTITY_ID),
               "1.2.3");
    update(&fixture, "00100010 Doe^Jane\n00100020 P2\n00100021 NEW", 2000);
    merge(&fixture, "P1\\OLD", "P2\\NEW", 3000);
    CHECK_TEXT(text_of(load(&fixture, outcome.key), TAG_ISSUER_OF_PATIENT_ID), "NEW");
    CHECK_TEXT(text_in(load(&fixture, outcome.key), TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE,
                       TAG_UNIVERSAL_ENTITY_ID),
               "(absent)");
    fixture_close(&fixture);
}
