/* SPDX-License-Identifier: MIT */
/* Which scheduled steps a performed one is of, and what becomes of them. */
#include <stdio.h>

#include "base/clock.h"
#include "worklist/edit.h"
#include "worklist/performed_parts.h"
#include "worklist/step_parts.h"

enum {
    STEP_EVENT_PERFORMED = 'P',
    TEXT_SIZE = OBJECT_LINK_LIMIT + 1,
    READ_MAX = 4 * STEPS_MAX, /* steps that are looked at for one performed step */
    PERFORMED_MAX = 64,       /* of one step */
};

/* What an item of (0040,0270) says. */
struct reference {
    char study_uid[TEXT_SIZE];
    char accession[TEXT_SIZE];
    char step_id[TEXT_SIZE];
};

/* The steps of a number. Items name it again and again, so those of the last one are kept. */
struct numbered {
    char link;
    char number[TEXT_SIZE];
    struct step_list steps;
};

struct finder {
    struct turn *turn;
    struct numbered by_study;
    struct numbered by_accession;
    size_t read; /* steps */
};

/* Of a number that stands for no order there are none. */
static bool find_numbered(struct finder *finder, struct numbered *numbered, const char *number,
                          struct error *err)
{
    struct error reason = { 0 };
    if (strcmp(numbered->number, number) == 0)
        return true;
    step_list_release(&numbered->steps);
    snprintf(numbered->number, sizeof(numbered->number), "%s", number);
    bool ok = step_list_load(finder->turn, &numbered->steps, numbered->link, number, NULL, NULL,
                             &reason);
    if (!ok && reason.code != ERROR_LIMIT) {
        *err = reason;
        return false;
    }
    if (!ok)
        step_list_release(&numbered->steps);
    finder->read += numbered->steps.count;
    return finder->read <= READ_MAX ||
           error_set(err, ERROR_LIMIT, "a performed step of orders of more than %d steps",
                     READ_MAX);
}

static bool is_meant(const struct reference *reference, const struct step_work *work)
{
    return !reference->step_id[0] ||
           object_is_linked(&work->before, STEP_BY_ID, slice_text(reference->step_id));
}

static size_t count_meant(const struct reference *reference, const struct step_list *steps)
{
    size_t count = 0;
    for (size_t i = 0; i < steps->count; i++)
        count += is_meant(reference, &steps->works[i]);
    return count;
}

/* By the study first, which we gave; then by the accession number, for a modality that made a Study
 * Instance UID of its own. An item without a step's id is of the one step that there is. *found
 * NULL: of none. */
static bool find_steps(struct finder *finder, const struct reference *reference,
                       const struct step_list **found, struct error *err)
{
    *found = &finder->by_study.steps;
    if (!find_numbered(finder, &finder->by_study, reference->study_uid, err))
        return false;
    if (!count_meant(reference, *found)) {
        *found = &finder->by_accession.steps;
        if (!find_numbered(finder, &finder->by_accession, reference->accession, err))
            return false;
    }
    size_t count = count_meant(reference, *found);
    if (!count || (!reference->step_id[0] && count > 1))
        *found = NULL;
    return true;
}

static bool start_step(struct turn *turn, struct object *step, struct object *performed,
                       struct error *err)
{
    /* More may be performed of a step that was completed: that does not open it again. */
    bool starts = step->state != STEP_COMPLETED;
    struct slice uid;
    if (object_linked(step, STEP_BY_PERFORMED, PERFORMED_MAX - 1, &uid))
        return error_set(err, ERROR_LIMIT, "more than %d performed steps of one", PERFORMED_MAX);
    return object_link(step, STEP_BY_PERFORMED, slice_text(performed->key), err) &&
           object_link(performed, PERFORMED_OF_STEP, slice_text(step->key), err) &&
           (!starts || step_set_state(step, STEP_STARTED, clock_unix_ms(), err)) &&
           turn_put(turn, step, STEP_EVENT_PERFORMED, err);
}

/* Those that the items before this one did not name. */
static bool start_meant(struct finder *finder, const struct reference *reference,
                        struct object *performed, struct performed_outcome *outcome,
                        struct error *err)
{
    const struct step_list *found = NULL;
    struct object step = object_init();
    bool there = false;
    bool ok = find_steps(finder, reference, &found, err);
    for (size_t i = 0; ok && found && i < found->count; i++) {
        const char *key = found->works[i].before.key;
        if (!is_meant(reference, &found->works[i]) ||
            object_is_linked(performed, PERFORMED_OF_STEP, slice_text(key)))
            continue;
        ok = (++outcome->steps <= STEPS_MAX ||
              error_set(err, ERROR_LIMIT, "a performed step of more than %d steps", STEPS_MAX)) &&
             turn_get(finder->turn, OBJECT_STEP, key, &step, &there, err) &&
             (!there || start_step(finder->turn, &step, performed, err));
    }
    object_release(&step);
    return ok;
}

static bool start_of_item(struct finder *finder, struct object *performed,
                          const struct dataset *item, struct performed_outcome *outcome,
                          struct error *err)
{
    struct reference reference = { .study_uid = "" };
    dataset_string(item, TAG_STUDY_INSTANCE_UID, reference.study_uid, TEXT_SIZE);
    dataset_string(item, TAG_ACCESSION_NUMBER, reference.accession, TEXT_SIZE);
    dataset_string(item, TAG_SCHEDULED_PROCEDURE_STEP_ID, reference.step_id, TEXT_SIZE);
    return object_link(performed, PERFORMED_BY_STUDY, slice_text(reference.study_uid), err) &&
           object_link(performed, PERFORMED_BY_ACCESSION, slice_text(reference.accession), err) &&
           start_meant(finder, &reference, performed, outcome, err);
}

bool performed_start_steps(struct turn *turn, struct object *performed,
                           const struct dataset *dataset, struct performed_outcome *outcome,
                           struct error *err)
{
    struct dataset_items items = dataset_items(dataset, TAG_SCHEDULED_STEP_ATTRIBUTES_SEQUENCE);
    struct finder finder = { .turn = turn,
                             .by_study = { .link = STEP_BY_STUDY },
                             .by_accession = { .link = STEP_BY_ACCESSION } };
    struct dataset *item;
    size_t count = 0;
    bool ok = true;
    while (ok && (item = dataset_items_next(&items))) {
        ok = (++count <= STEPS_MAX ||
              error_set(err, ERROR_LIMIT, "a step of more than %d orders", STEPS_MAX)) &&
             start_of_item(&finder, performed, item, outcome, err);
        dataset_close(item);
    }
    step_list_release(&finder.by_study.steps);
    step_list_release(&finder.by_accession.steps);
    return ok;
}

/* The issuer of a patient's key whose ID this is; NULL when it is another one. */
static const char *issuer_in(struct slice patient_key, const char *id, char text[OBJECT_KEY_SIZE])
{
    size_t size = strlen(id);
    if (patient_key.size >= OBJECT_KEY_SIZE || patient_key.size <= size ||
        memcmp(patient_key.data, id, size) != 0 || patient_key.data[size] != '\\')
        return NULL;
    struct slice issuer = slice_skip(patient_key, size + 1);
    if (issuer.size)
        memcpy(text, issuer.data, issuer.size);
    text[issuer.size] = '\0';
    return issuer.size ? text : NULL;
}

static bool write_issuer(struct object *performed, const struct dataset *dataset,
                         const char *issuer, struct error *err)
{
    struct edit edit = edit_init();
    struct buffer bytes = buffer_up_to(OBJECT_DATASET_LIMIT);
    edit_copy_all(&edit, dataset);
    edit_text(&edit, TAG_ISSUER_OF_PATIENT_ID, issuer);
    bool ok = edit_write(&edit, &bytes, err);
    if (ok) {
        buffer_clear(&performed->dataset);
        buffer_append(&performed->dataset, buffer_slice(&bytes));
    }
    buffer_release(&bytes);
    edit_release(&edit);
    return ok;
}

bool performed_adopt_issuer(struct turn *turn, struct object *performed, struct error *err)
{
    static const char links[] = { STEP_BY_FIRST_PATIENT, STEP_BY_PATIENT };
    struct object step = object_init();
    struct dataset *dataset = NULL;
    struct slice key, patient;
    char id[65] = "", issuer[OBJECT_KEY_SIZE] = "";
    bool found = false, ok = true;
    if (object_linked(performed, PERFORMED_OF_STEP, 0, &key)) {
        char text[OBJECT_KEY_SIZE];
        snprintf(text, sizeof(text), "%.*s", (int)key.size, (const char *)key.data);
        ok = turn_get(turn, OBJECT_STEP, text, &step, &found, err);
    }
    ok = ok && (!found || object_dataset(performed, &dataset, err));
    if (!ok || !found)
        goto out;
    if (dataset_string(dataset, TAG_ISSUER_OF_PATIENT_ID, issuer, sizeof(issuer)) ||
        !dataset_string(dataset, TAG_PATIENT_ID, id, sizeof(id)))
        goto out;
    for (size_t i = 0; ok && i < sizeof(links); i++) {
        if (object_linked(&step, links[i], 0, &patient) && issuer_in(patient, id, issuer)) {
            ok = write_issuer(performed, dataset, issuer, err);
            break;
        }
    }
out:
    dataset_close(dataset);
    object_release(&step);
    return ok;
}

/* The states of performed steps. Several steps are of the same ones as a rule. */
struct performed_states {
    struct {
        char uid[UID_SIZE];
        uint8_t state; /* 0: there is none */
    } items[PERFORMED_MAX];
    size_t count;
};

static bool find_state(struct turn *turn, struct performed_states *states, struct slice uid,
                       uint8_t *state, struct error *err)
{
    struct object performed = object_init();
    char key[UID_SIZE];
    bool found = false;
    snprintf(key, sizeof(key), "%.*s", (int)uid.size, (const char *)uid.data);
    for (size_t i = 0; i < PERFORMED_MAX && i < states->count; i++) {
        if (strcmp(states->items[i].uid, key) == 0) {
            *state = states->items[i].state;
            return true;
        }
    }
    bool ok = turn_get(turn, OBJECT_PERFORMED, key, &performed, &found, err);
    *state = ok && found ? performed.state : 0;
    size_t at = states->count++ % PERFORMED_MAX;
    memcpy(states->items[at].uid, key, sizeof(key));
    states->items[at].state = *state;
    object_release(&performed);
    return ok;
}

/* What all that is performed of a step makes of it: started while one is under way; completed when
 * one was completed; else discontinued. */
static bool state_of_step(struct turn *turn, struct performed_states *states,
                          const struct object *step, enum step_state *state, struct error *err)
{
    struct slice uid;
    bool any_open = false, any_completed = false;
    for (size_t i = 0; object_linked(step, STEP_BY_PERFORMED, i, &uid); i++) {
        uint8_t performed;
        if (!find_state(turn, states, uid, &performed, err))
            return false;
        any_open |= performed == PERFORMED_IN_PROGRESS;
        any_completed |= performed == PERFORMED_COMPLETED;
    }
    *state = any_open ? STEP_STARTED : any_completed ? STEP_COMPLETED : STEP_DISCONTINUED;
    if (*state == STEP_DISCONTINUED &&
        worklist_options(turn_worklist(turn))->reschedule_discontinued)
        *state = STEP_SCHEDULED;
    return true;
}

bool performed_end_steps(struct turn *turn, const struct object *performed, struct error *err)
{
    struct performed_states states = { .count = 0 };
    struct object step = object_init();
    struct slice key;
    bool ok = true;
    for (size_t i = 0; ok && object_linked(performed, PERFORMED_OF_STEP, i, &key); i++) {
        char text[OBJECT_KEY_SIZE];
        enum step_state state;
        bool found;
        snprintf(text, sizeof(text), "%.*s", (int)key.size, (const char *)key.data);
        ok = turn_get(turn, OBJECT_STEP, text, &step, &found, err) &&
             (!found || state_of_step(turn, &states, &step, &state, err));
        if (ok && found && state != step.state)
            ok = step_set_state(&step, state, clock_unix_ms(), err) &&
                 turn_put(turn, &step, STEP_EVENT_PERFORMED, err);
    }
    object_release(&step);
    return ok;
}
