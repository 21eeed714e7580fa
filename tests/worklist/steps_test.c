/* SPDX-License-Identifier: MIT */
#include "worklist/steps.h"

#include <stdio.h>

#include "tests/worklist/fixture.h"
#include "worklist/changes.h"
#include "worklist/patients.h"

#define ITEM    TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE
#define PATIENT "00100010 Doe^Jane\n00100020 P1\n"
#define ORDER   PATIENT "00400100 [\n00080060 CT\n00400001 CT1\n00400002 20260102\n00400003 0900\n]"

static bool apply(struct fixture *fixture, enum step_control control, const char *placer,
                  int64_t message_us, const char *lines, struct step_outcome *outcome,
                  struct error *err)
{
    const struct dataset *steps[] = { lines ? dataset_of(lines) : NULL };
    struct step_order order = { .control = control,
                                .placer = placer,
                                .source = "test",
                                .message_us = message_us,
                                .status = STEP_ARRIVED,
                                .steps = steps,
                                .step_count = lines ? 1 : 0 };
    return steps_apply(fixture->worklist, &order, outcome, err);
}

static struct step_outcome must(struct fixture *fixture, enum step_control control,
                                const char *placer, int64_t message_us, const char *lines)
{
    struct step_outcome outcome;
    struct error err = { 0 };
    CHECK_OK(apply(fixture, control, placer, message_us, lines, &outcome, &err), err);
    return outcome;
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

static const char *all(struct fixture *fixture, enum object_shelf shelf)
{
    struct object_range range = { .kind = OBJECT_STEP, .shelf = shelf };
    return walk_list(fixture, &range);
}

static bool is_uid(const char *text)
{
    return uid_is_valid(text);
}

TEST(order_that_tells_little_becomes_an_entry_with_all_type_1_attributes_filled)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct step_outcome outcome = must(&fixture, STEP_NEW, "4711^RIS", 0,
                                       PATIENT "00400100 [\n00080060 CT\n]");
    CHECK_INT(outcome.result, STEPS_CREATED);
    CHECK_INT(outcome.created, 1);
    struct object *step = load(&fixture, outcome.key);
    CHECK(is_uid(text_of(step, TAG_STUDY_INSTANCE_UID)));
    CHECK_TEXT(text_of(step, TAG_STUDY_INSTANCE_UID), outcome.study_uid);
    CHECK_TEXT(text_of(step, TAG_REQUESTED_PROCEDURE_ID), "4711");
    CHECK_TEXT(text_in(step, ITEM, TAG_SCHEDULED_PROCEDURE_STEP_ID), "4711-1");
    CHECK_TEXT(text_in(step, ITEM, TAG_SCHEDULED_STATION_AE_TITLE), "UNKNOWN");
    CHECK_TEXT(text_in(step, ITEM, TAG_SCHEDULED_PROCEDURE_STEP_STATUS), "SCHEDULED");
    CHECK_INT(strlen(text_in(step, ITEM, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE)), 8);
    CHECK_INT(strlen(text_in(step, ITEM, TAG_SCHEDULED_PROCEDURE_STEP_START_TIME)), 6);
    CHECK_TEXT(text_in(step, ITEM, TAG_SCHEDULED_PROCEDURE_STEP_DESCRIPTION), "unspecified");
    CHECK_TEXT(text_of(step, TAG_REQUESTED_PROCEDURE_DESCRIPTION), "unspecified");
    CHECK_TEXT(text_of(step, TAG_PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST), "4711");
    fixture_close(&fixture);
}

TEST(order_told_twice_with_one_placer_number_is_one_and_keeps_its_study)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct step_outcome first = must(&fixture, STEP_NEW, "1^A", 1000, ORDER);
    struct step_outcome again = must(&fixture, STEP_NEW, "1^A", 1000, ORDER);
    CHECK_INT(again.result, STEPS_UNCHANGED);
    uint64_t revision = load(&fixture, first.key)->revision;
    struct step_outcome other = must(&fixture, STEP_NEW, "1^A", 2000,
                                     PATIENT "00400100 [\n00400001 CT9\n]");
    CHECK_INT(other.result, STEPS_UPDATED);
    CHECK_TEXT(other.key, first.key);
    CHECK_TEXT(other.study_uid, first.study_uid);
    CHECK(load(&fixture, first.key)->revision > revision);
    CHECK_TEXT(text_in(load(&fixture, first.key), ITEM, TAG_SCHEDULED_STATION_AE_TITLE), "CT9");
    CHECK_TEXT(text_in(load(&fixture, first.key), ITEM, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE),
               "20260102");
    CHECK_TEXT(all(&fixture, OBJECT_LIVE), first.key);
    fixture_close(&fixture);
}

TEST(order_message_that_is_older_changes_nothing_and_raises_no_cancelled_order)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct step_outcome first = must(&fixture, STEP_NEW, "1^A", 2000, ORDER);
    struct step_outcome late = must(&fixture, STEP_CHANGE, "1^A", 1000,
                                    PATIENT "00400100 [\n00400001 OLD\n]");
    CHECK_INT(late.result, STEPS_STALE);
    CHECK_TEXT(text_in(load(&fixture, first.key), ITEM, TAG_SCHEDULED_STATION_AE_TITLE), "CT1");
    CHECK_INT(must(&fixture, STEP_CANCEL, "1^A", 4000, NULL).cancelled, 1);
    CHECK_INT(must(&fixture, STEP_NEW, "1^A", 3000, ORDER).result, STEPS_STALE);
    CHECK_TEXT(all(&fixture, OBJECT_LIVE), "");
    CHECK_INT(must(&fixture, STEP_NEW, "1^A", 5000, ORDER).result, STEPS_UPDATED);
    CHECK_TEXT(all(&fixture, OBJECT_LIVE), first.key);
    fixture_close(&fixture);
}

TEST(order_from_two_sources_stays_one)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct step_outcome outcome;
    fixture_open(&fixture, true);
    struct step_outcome first = must(&fixture, STEP_NEW, "1^A", 1000, "00080050 ACC1\n" ORDER);
    const struct dataset *steps[] = { dataset_of("00080050 ACC1\n" ORDER) };
    struct step_order order = { .control = STEP_NEW,
                                .filler = "F1",
                                .source = "fhir",
                                .message_us = 2000,
                                .steps = steps,
                                .step_count = 1 };
    CHECK_OK(steps_apply(fixture.worklist, &order, &outcome, &err), err);
    CHECK_TEXT(outcome.key, first.key);
    CHECK_INT(outcome.created, 0);
    CHECK(object_is_linked(load(&fixture, first.key), STEP_BY_FILLER, slice_text("F1")));
    /* another order of the same accession number is another one */
    struct step_outcome other = must(&fixture, STEP_NEW, "2^A", 3000, "00080050 ACC1\n" ORDER);
    CHECK_INT(other.result, STEPS_CREATED);
    CHECK_TEXT(other.key[0] ? "made" : "", "made");
    CHECK(strcmp(other.key, first.key) != 0);
    fixture_close(&fixture);
}

TEST(order_of_several_steps_is_one_procedure_and_steps_not_named_again_are_cancelled)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct step_outcome outcome, second;
    fixture_open(&fixture, true);
    const struct dataset *steps[] = {
        dataset_of(PATIENT "00400100 [\n00400009 S1\n00400001 CT1\n]\n00401001 R1"),
        dataset_of(PATIENT "00400100 [\n00400009 S2\n00400001 CT2\n]\n00401001 R1"),
    };
    struct step_order order = {
        .control = STEP_NEW, .placer = "1", .steps = steps, .step_count = 2, .message_us = 1000
    };
    CHECK_OK(steps_apply(fixture.worklist, &order, &outcome, &err), err);
    CHECK_INT(outcome.created, 2);
    struct object_range range = { .kind = OBJECT_STEP,
                                  .shelf = OBJECT_LIVE,
                                  .index = STEP_BY_STUDY,
                                  .value = slice_text(outcome.study_uid) };
    CHECK(strchr(walk_list(&fixture, &range), ',') != NULL);
    steps[0] = dataset_of(PATIENT "00400100 [\n00400009 S2\n00400001 CT3\n]\n00401001 R1");
    order.step_count = 1;
    order.control = STEP_CHANGE;
    order.message_us = 2000;
    CHECK_OK(steps_apply(fixture.worklist, &order, &second, &err), err);
    CHECK_INT(second.cancelled, 1);
    CHECK_INT(second.updated, 1);
    CHECK_TEXT(all(&fixture, OBJECT_LIVE), second.key);
    CHECK_TEXT(all(&fixture, OBJECT_DONE), outcome.key);
    fixture_close(&fixture);
}

TEST(order_that_nobody_knows_cannot_be_changed_or_cancelled)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct step_outcome outcome;
    fixture_open(&fixture, true);
    CHECK(!apply(&fixture, STEP_CHANGE, "9", 0, ORDER, &outcome, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    CHECK(!apply(&fixture, STEP_CANCEL, "9", 0, NULL, &outcome, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    CHECK_TEXT(all(&fixture, OBJECT_LIVE), "");
    fixture_close(&fixture);
}

TEST(order_that_cannot_be_an_entry_is_refused_by_attribute_and_leaves_no_trace)
{
    static const struct {
        const char *lines;
        uint32_t tag;
    } cases[] = {
        { PATIENT, TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE },
        { PATIENT "00400100 [\n00400001 A\n,\n00400001 B\n]", ITEM },
        { "00100020 P1\n00400100 [\n00400001 A\n]", TAG_PATIENT_NAME },
        { "00100010 Doe\n00400100 [\n00400001 A\n]", TAG_PATIENT_ID },
        { PATIENT "0020000D 1.x\n00400100 [\n00400001 A\n]", TAG_STUDY_INSTANCE_UID },
        { PATIENT "00400100 [\n00400002 20261345\n]", TAG_SCHEDULED_PROCEDURE_STEP_START_DATE },
        { PATIENT "00400100 [\n00400003 9999\n]", TAG_SCHEDULED_PROCEDURE_STEP_START_TIME },
        { PATIENT "00400100 [\n00400001 ABCDEFGHIJKLMNOPQ\n]", TAG_SCHEDULED_STATION_AE_TITLE },
    };
    struct fixture fixture;
    fixture_open(&fixture, true);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err = { 0 };
        struct step_outcome outcome;
        CHECK(!apply(&fixture, STEP_NEW, "1", 0, cases[i].lines, &outcome, &err));
        CHECK_INT(err.code, ERROR_INVALID);
        CHECK_INT(err.tag, cases[i].tag);
    }
    struct error err = { 0 };
    struct step_outcome outcome;
    CHECK(!apply(&fixture, STEP_NEW, NULL, 0, ORDER, &outcome, &err)); /* no number at all */
    CHECK_INT(err.code, ERROR_INVALID);
    CHECK_INT(object_changes_latest(fixture.worklist), 0);
    fixture_close(&fixture);
}

TEST(order_status_moves_steps_and_keeps_them_in_the_list_until_they_start)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct step_outcome first = must(&fixture, STEP_NEW, "1", 1000, ORDER);
    CHECK_INT(must(&fixture, STEP_STATUS, "1", 2000, NULL).updated, 1);
    CHECK_TEXT(text_in(load(&fixture, first.key), ITEM, TAG_SCHEDULED_PROCEDURE_STEP_STATUS),
               "ARRIVED");
    CHECK_TEXT(all(&fixture, OBJECT_LIVE), first.key);
    CHECK_INT(must(&fixture, STEP_CANCEL, "1", 3000, NULL).cancelled, 1);
    CHECK_TEXT(text_in(load(&fixture, first.key), ITEM, TAG_SCHEDULED_PROCEDURE_STEP_STATUS),
               "CANCELLED");
    CHECK_INT(must(&fixture, STEP_CANCEL, "1", 3000, NULL).result, STEPS_UNCHANGED);
    fixture_close(&fixture);
}

TEST(order_of_another_patient_is_refused)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct step_outcome outcome;
    fixture_open(&fixture, true);
    must(&fixture, STEP_NEW, "1", 1000, ORDER);
    CHECK(!apply(&fixture, STEP_CHANGE, "1", 2000,
                 "00100010 Roe^Jim\n00100020 P2\n00400100 [\n00400001 A\n]", &outcome, &err));
    CHECK_INT(err.code, ERROR_MISMATCH);
    fixture_close(&fixture);
}

TEST(order_explained_tells_the_steps_and_makes_none)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct step_outcome outcome;
    struct buffer out = buffer_up_to(1 << 20);
    fixture_open(&fixture, true);
    const struct dataset *steps[] = { dataset_of(ORDER) };
    struct step_order order = {
        .control = STEP_NEW, .placer = "1", .steps = steps, .step_count = 1
    };
    CHECK_OK(steps_explain(fixture.worklist, &order, &outcome, &out, &err), err);
    CHECK_INT(outcome.created, 1);
    CHECK(out.size > 200);
    CHECK_INT(object_changes_latest(fixture.worklist), 0);
    buffer_release(&out);
    fixture_close(&fixture);
}

TEST(step_deleted_is_gone_and_one_that_is_performed_stays)
{
    struct fixture fixture;
    struct error err = { 0 };
    bool found;
    fixture_open(&fixture, true);
    struct step_outcome first = must(&fixture, STEP_NEW, "1", 1000, ORDER);
    CHECK_OK(steps_delete(fixture.worklist, first.key, &found, &err), err);
    CHECK(found);
    CHECK_OK(steps_delete(fixture.worklist, first.key, &found, &err), err);
    CHECK(!found);
    CHECK_TEXT(all(&fixture, OBJECT_LIVE), "");
    fixture_close(&fixture);
}

TEST(step_hears_how_many_instances_its_study_has)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct step_facts facts;
    fixture_open(&fixture, true);
    struct step_outcome first = must(&fixture, STEP_NEW, "1", 1000, "00080050 ACC1\n" ORDER);
    CHECK_OK(steps_count_instances(fixture.worklist, first.study_uid, NULL, 3, 77, &err), err);
    CHECK_OK(step_facts(load(&fixture, first.key), &facts, &err), err);
    CHECK_INT(facts.instances, 3);
    CHECK_INT(facts.stored_ms, 77);
    CHECK_OK(steps_count_instances(fixture.worklist, "1.2.3.4", "ACC1", 5, 78, &err), err);
    CHECK_OK(step_facts(load(&fixture, first.key), &facts, &err), err);
    CHECK_INT(facts.instances, 5);
    CHECK_OK(steps_count_instances(fixture.worklist, "1.2.3.4", "ACC9", 9, 79, &err), err);
    CHECK_OK(step_facts(load(&fixture, first.key), &facts, &err), err);
    CHECK_INT(facts.instances, 5);
    fixture_close(&fixture);
}

TEST(order_with_an_accession_number_that_very_many_share_is_known_by_its_own_numbers)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct step_outcome outcome;
    char placer[16];
    const struct dataset *steps[] = { dataset_of(
        "00080050 NONE\n00100010 Doe^Jane\n00100020 P1\n00400100 [\n00400001 CT1\n"
        "00400002 20260101\n]") };
    fixture_open(&fixture, true);
    struct step_order told = {
        .control = STEP_NEW, .placer = placer, .steps = steps, .step_count = 1, .message_us = 1000
    };
    for (int i = 0; i < STEPS_MAX + 10; i++) {
        snprintf(placer, sizeof(placer), "P%d", i);
        CHECK_OK(steps_apply(fixture.worklist, &told, &outcome, &err), err);
        CHECK_INT(outcome.result, STEPS_CREATED);
    }
    /* the same once more is the same order, */
    CHECK_OK(steps_apply(fixture.worklist, &told, &outcome, &err), err);
    CHECK_INT(outcome.result, STEPS_UNCHANGED);
    /* and with nothing but that number it is nobody's */
    told.placer = NULL;
    CHECK(!steps_apply(fixture.worklist, &told, &outcome, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    fixture_close(&fixture);
}
