/* SPDX-License-Identifier: MIT */
#include "worklist/performed.h"

#include <stdio.h>

#include "base/clock.h"
#include "tests/worklist/fixture.h"
#include "worklist/changes.h"
#include "worklist/patients.h"
#include "worklist/steps.h"

#define PATIENT "00100010 Doe^Jane\n00100020 P1\n"
#define BEGIN_ITEM                                                                                 \
    "00080060 CT\n" PATIENT                                                                        \
    "00400241 CT1\n00400244 20260101\n00400245 1000\n00400252 IN PROGRESS\n00400253 1\n00400270 ["
#define END                                                                                        \
    "00400250 20260101\n00400251 1100\n00400252 %s\n00400340 [\n00181030 Head\n"                   \
    "0020000E 1.2.3\n]"

static struct step_outcome order(struct fixture *fixture, const char *placer)
{
    struct error err = { 0 };
    struct step_outcome outcome;
    const struct dataset *steps[] = {
        dataset_of(PATIENT "00400100 [\n00400001 CT1\n00400002 20260101\n]"),
    };
    const struct step_order told = {
        .control = STEP_NEW, .placer = placer, .steps = steps, .step_count = 1
    };
    CHECK_OK(steps_apply(fixture->worklist, &told, &outcome, &err), err);
    return outcome;
}

static struct performed_outcome create(struct fixture *fixture, const char *uid,
                                       const char *study_uid)
{
    struct error err = { 0 };
    struct performed_outcome outcome;
    char lines[512];
    snprintf(lines, sizeof(lines), BEGIN_ITEM "\n0020000D %s\n]", study_uid);
    CHECK_OK(performed_create(fixture->worklist, dataset_of(lines), uid, &outcome, &err), err);
    return outcome;
}

static struct performed_outcome end(struct fixture *fixture, const char *uid, const char *status)
{
    struct error err = { 0 };
    struct performed_outcome outcome;
    char lines[512];
    snprintf(lines, sizeof(lines), END, status);
    CHECK_OK(performed_set(fixture->worklist, uid, dataset_of(lines), &outcome, &err), err);
    return outcome;
}

static uint8_t state_of(struct fixture *fixture, enum object_kind kind, const char *key)
{
    struct error err = { 0 };
    struct object object = object_init();
    bool found;
    CHECK_OK(object_get(fixture->worklist, kind, key, &object, &found, &err), err);
    uint8_t state = found ? object.state : 0;
    object_release(&object);
    return state;
}

TEST(performed_step_moves_the_step_that_was_scheduled_in_one_transaction)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct step_outcome step = order(&fixture, "1");
    struct performed_outcome outcome = create(&fixture, "1.2.1", step.study_uid);
    CHECK_INT(outcome.code, PERFORMED_OK);
    CHECK_INT(outcome.steps, 1);
    fixture_reopen(&fixture);
    CHECK_INT(state_of(&fixture, OBJECT_STEP, step.key), STEP_STARTED);
    CHECK_INT(state_of(&fixture, OBJECT_PERFORMED, "1.2.1"), PERFORMED_IN_PROGRESS);
    CHECK_INT(end(&fixture, "1.2.1", "COMPLETED").code, PERFORMED_OK);
    CHECK_INT(state_of(&fixture, OBJECT_STEP, step.key), STEP_COMPLETED);
    outcome = end(&fixture, "1.2.1", "COMPLETED");
    CHECK_INT(outcome.code, PERFORMED_FAILURE);
    CHECK_INT(outcome.error_id, PERFORMED_FINAL);
    fixture_close(&fixture);
}

TEST(performed_step_with_a_number_that_very_many_orders_share_is_of_none_of_them)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct step_outcome made;
    struct performed_outcome outcome;
    char placer[16];
    const struct dataset *steps[] = {
        dataset_of("00080050 NONE\n" PATIENT "00400100 [\n00400001 CT1\n00400002 20260101\n]"),
    };
    fixture_open(&fixture, true);
    for (int i = 0; i <= STEPS_MAX; i++) {
        snprintf(placer, sizeof(placer), "P%d", i);
        const struct step_order told = {
            .control = STEP_NEW, .placer = placer, .steps = steps, .step_count = 1
        };
        CHECK_OK(steps_apply(fixture.worklist, &told, &made, &err), err);
    }
    CHECK_OK(performed_create(fixture.worklist,
                              dataset_of(BEGIN_ITEM "\n00080050 NONE\n0020000D 1.2.7\n]"), "1.2.1",
                              &outcome, &err),
             err);
    CHECK_INT(outcome.code, PERFORMED_OK);
    CHECK_INT(outcome.steps, 0);
    CHECK_INT(state_of(&fixture, OBJECT_STEP, made.key), STEP_SCHEDULED);
    fixture_close(&fixture);
}

TEST(performed_step_that_is_refused_changes_nothing)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct step_outcome step = order(&fixture, "1");
    CHECK_INT(create(&fixture, "1.2.1", step.study_uid).code, PERFORMED_OK);
    uint64_t latest = object_changes_latest(fixture.worklist);
    CHECK_INT(create(&fixture, "1.2.1", step.study_uid).code, PERFORMED_DUPLICATE);
    CHECK_INT(end(&fixture, "1.2.9", "COMPLETED").code, PERFORMED_UNKNOWN);
    CHECK_INT(end(&fixture, "1.2.1", "PAUSED").code, PERFORMED_INVALID_VALUE);
    CHECK_INT(object_changes_latest(fixture.worklist), latest);
    CHECK_INT(state_of(&fixture, OBJECT_STEP, step.key), STEP_STARTED);
    fixture_close(&fixture);
}

TEST(performed_step_that_was_discontinued_brings_the_step_back_where_that_is_wanted)
{
    const struct worklist_options options = { .reschedule_discontinued = true };
    struct fixture fixture;
    struct error err = { 0 };
    fixture_open(&fixture, true);
    struct step_outcome step = order(&fixture, "1");
    create(&fixture, "1.2.1", step.study_uid);
    end(&fixture, "1.2.1", "DISCONTINUED");
    CHECK_INT(state_of(&fixture, OBJECT_STEP, step.key), STEP_DISCONTINUED);
    worklist_close(fixture.worklist);
    CHECK_OK(worklist_open(fixture.storage, &options, &fixture.worklist, &err), err);
    create(&fixture, "1.2.2", step.study_uid);
    CHECK_INT(state_of(&fixture, OBJECT_STEP, step.key), STEP_STARTED);
    end(&fixture, "1.2.2", "DISCONTINUED");
    CHECK_INT(state_of(&fixture, OBJECT_STEP, step.key), STEP_SCHEDULED);
    fixture_close(&fixture);
}

TEST(performed_step_goes_with_its_patient)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct patient_outcome outcome;
    struct object object = object_init();
    bool found;
    fixture_open(&fixture, true);
    struct step_outcome step = order(&fixture, "1");
    create(&fixture, "1.2.1", step.study_uid);
    CHECK_OK(patients_merge(fixture.worklist, "P1\\", "P2\\", 0, "test", &outcome, &err), err);
    CHECK_INT(outcome.objects, 2);
    CHECK_OK(object_get(fixture.worklist, OBJECT_PERFORMED, "1.2.1", &object, &found, &err), err);
    CHECK_TEXT(text_of(&object, TAG_PATIENT_ID), "P2");
    CHECK_INT(object.state, PERFORMED_IN_PROGRESS);
    object_release(&object);
    fixture_close(&fixture);
}

static void wait_until_old(void)
{
    for (int64_t before = clock_unix_ms(); clock_unix_ms() < before + 3;)
        ;
}

static enum performed_state look(struct fixture *fixture, const char *uid, struct object *performed)
{
    struct error err = { 0 };
    enum performed_state state;
    CHECK_OK(performed_get(fixture->worklist, uid, performed, &state, &err), err);
    return state;
}

TEST(what_was_done_long_ago_is_forgotten_and_what_is_planned_stays)
{
    const struct worklist_options options = { .keep_done_ms = 1 };
    struct fixture fixture;
    struct error err = { 0 };
    size_t count;
    fixture_open(&fixture, true);
    struct step_outcome done = order(&fixture, "1"), planned = order(&fixture, "2");
    create(&fixture, "1.2.1", done.study_uid);
    end(&fixture, "1.2.1", "COMPLETED");
    CHECK_OK(worklist_purge(fixture.worklist, &count, &err), err);
    CHECK_INT(count, 0);
    worklist_close(fixture.worklist);
    CHECK_OK(worklist_open(fixture.storage, &options, &fixture.worklist, &err), err);
    wait_until_old();
    CHECK_OK(worklist_purge(fixture.worklist, &count, &err), err);
    CHECK_INT(count, 2);
    CHECK_INT(state_of(&fixture, OBJECT_STEP, done.key), 0);
    CHECK_INT(state_of(&fixture, OBJECT_STEP, planned.key), STEP_SCHEDULED);
    fixture_close(&fixture);
}

TEST(performed_step_that_was_forgotten_leaves_its_uid_alone_for_as_long_again)
{
    const struct worklist_options options = { .keep_done_ms = 1 };
    struct fixture fixture;
    struct error err = { 0 };
    struct object performed = object_init();
    struct slice value;
    size_t count;
    fixture_open(&fixture, true);
    worklist_close(fixture.worklist);
    CHECK_OK(worklist_open(fixture.storage, &options, &fixture.worklist, &err), err);
    create(&fixture, "1.2.1", "1.2.9");
    CHECK_INT(look(&fixture, "1.2.1", &performed), PERFORMED_IN_PROGRESS);
    CHECK_INT(look(&fixture, "1.2.2", &performed), PERFORMED_NONE);
    wait_until_old();
    CHECK_OK(worklist_purge(fixture.worklist, &count, &err), err);
    CHECK_INT(count, 0); /* what is under way stays */
    end(&fixture, "1.2.1", "DISCONTINUED");
    wait_until_old();
    CHECK_OK(worklist_purge(fixture.worklist, &count, &err), err);
    CHECK_INT(count, 1);
    CHECK_INT(look(&fixture, "1.2.1", &performed), PERFORMED_GONE);
    CHECK_TEXT(text_of(&performed, TAG_PATIENT_ID), "(absent)");
    CHECK(!object_linked(&performed, PERFORMED_BY_STUDY, 0, &value));
    CHECK_INT(create(&fixture, "1.2.1", "1.2.9").code, PERFORMED_DUPLICATE);
    CHECK_INT(end(&fixture, "1.2.1", "COMPLETED").code, PERFORMED_UNKNOWN);
    wait_until_old();
    CHECK_OK(worklist_purge(fixture.worklist, &count, &err), err);
    CHECK_INT(count, 1);
    CHECK_INT(look(&fixture, "1.2.1", &performed), PERFORMED_NONE);
    CHECK_INT(create(&fixture, "1.2.1", "1.2.9").code, PERFORMED_OK);
    object_release(&performed);
    fixture_close(&fixture);
}

TEST(performed_step_of_all_steps_of_a_large_order_starts_each_and_of_too_many_none)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct step_outcome made;
    struct performed_outcome outcome;
    static char lines[64 * 1024];
    const struct dataset *steps[STEPS_MAX];
    fixture_open(&fixture, true);
    for (int order = 0; order < 2; order++) {
        for (int i = 0; i < 16; i++) {
            snprintf(lines, sizeof(lines),
                     "00080050 ACC%d\n" PATIENT "0020000D 1.2.%d\n00400100 [\n00400001 CT1\n"
                     "00400002 20260101\n00400009 S%d\n]",
                     order, order + 7, i);
            steps[i] = dataset_of(lines);
        }
        const struct step_order told = {
            .control = STEP_NEW, .placer = order ? "B" : "A", .steps = steps, .step_count = 16
        };
        CHECK_OK(steps_apply(fixture.worklist, &told, &made, &err), err);
        CHECK_INT(made.created, 16);
    }
    int size = snprintf(lines, sizeof(lines), "%s", BEGIN_ITEM);
    for (int i = 0; i < 32; i++)
        size += snprintf(lines + size, sizeof(lines) - (size_t)size,
                         "%s\n0020000D 1.2.%d\n00400009 S%d", i ? "\n," : "", 7 + i / 16, i % 16);
    /* an item that is there twice is of one step */
    snprintf(lines + size, sizeof(lines) - (size_t)size, "\n,\n0020000D 1.2.7\n00400009 S3\n]");
    CHECK_OK(performed_create(fixture.worklist, dataset_of(lines), "1.2.1", &outcome, &err), err);
    CHECK_INT(outcome.code, PERFORMED_OK);
    CHECK_INT(outcome.steps, 32);
    CHECK_INT(state_of(&fixture, OBJECT_STEP, made.key), STEP_STARTED);
    CHECK_INT(end(&fixture, "1.2.1", "COMPLETED").code, PERFORMED_OK);
    CHECK_INT(state_of(&fixture, OBJECT_STEP, made.key), STEP_COMPLETED);
    fixture_close(&fixture);
}

TEST(step_of_more_performed_steps_than_anybody_performs_takes_no_further_one)
{
    struct fixture fixture;
    char uid[32];
    fixture_open(&fixture, true);
    struct step_outcome step = order(&fixture, "1");
    for (int i = 0; i < 64; i++) {
        snprintf(uid, sizeof(uid), "1.2.%d", i);
        CHECK_INT(create(&fixture, uid, step.study_uid).code, PERFORMED_OK);
    }
    uint64_t latest = object_changes_latest(fixture.worklist);
    CHECK_INT(create(&fixture, "1.3.1", step.study_uid).code, PERFORMED_FAILURE);
    CHECK_INT(object_changes_latest(fixture.worklist), latest);
    CHECK_INT(end(&fixture, "1.2.7", "COMPLETED").code, PERFORMED_OK);
    CHECK_INT(state_of(&fixture, OBJECT_STEP, step.key), STEP_STARTED);
    fixture_close(&fixture);
}
