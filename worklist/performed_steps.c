/* SPDX-License-Identifier: MIT */
/* Which scheduled steps a performed one is of, and what becomes of them. */
#include <stdio.h>

#include "base/clock.h"
#include "worklist/edit.h"
#include "worklist/performed_parts.h"
#include "worklist/step_parts.h"

enum { STEP_EVENT_PERFORMED = 'P', TEXT_SIZE = OBJECT_LINK_LIMIT + 1 };

/* What an item of (0040,0270) says. */
struct reference {
    char study_uid[TEXT_SIZE];
    char accession[TEXT_SIZE];
    char step_id[TEXT_SIZE];
};

static bool names_step(const struct object *step, void *context)
{
    const struct reference *reference = context;
    return !reference->step_id[0] ||
           object_is_linked(step, STEP_BY_ID, slice_text(reference->step_id));
}

/* By the study first, which we gave; then by the accession number, for a modality that made a Study
 * Instance UID of its own. An item without a step's id is of the one step that there is; of more
 * than an order has, none is meant: they share a number that stands for none. */
static bool find_steps(struct turn *turn, struct reference *reference, struct step_list *found,
                       struct error *err)
{
    struct error reason = { 0 };
    bool ok = step_list_load(turn, found, STEP_BY_STUDY, reference->study_uid, names_step,
                             reference, &reason) &&
              (found->count || step_list_load(turn, found, STEP_BY_ACCESSION, reference->accession,
                                              names_step, reference, &reason));
    if (!ok && reason.code != ERROR_LIMIT) {
        *err = reason;
        return false;
    }
    if (!ok || (!reference->step_id[0] && found->count > 1))
        step_list_release(found);
    return true;
}

static bool start_step(struct turn *turn, struct object *step, struct object *performed,
                       struct error *err)
{
    /* More may be performed of a step that was completed: that does not open it again. */
    bool starts = step->state != STEP_COMPLETED;
    return object_link(step, STEP_BY_PERFORMED, slice_text(performed->key), err) &&
           object_link(performed, PERFORMED_OF_STEP, slice_text(step->key), err) &&
           (!starts || step_set_state(step, STEP_STARTED, clock_unix_ms(), err)) &&
           turn_put(turn, step, STEP_EVENT_PERFORMED, err);
}

static bool start_of_item(struct turn *turn, struct object *performed, const struct dataset *item,
                          struct performed_outcome *outcome, struct error *err)
{
    struct step_list found = { .count = 0 };
    struct reference reference = { .study_uid = "" };
    dataset_string(item, TAG_STUDY_INSTANCE_UID, reference.study_uid, TEXT_SIZE);
    dataset_string(item, TAG_ACCESSION_NUMBER, reference.accession, TEXT_SIZE);
    dataset_string(item, TAG_SCHEDULED_PROCEDURE_STEP_ID, reference.step_id, TEXT_SIZE);
    bool ok = object_link(performed, PERFORMED_BY_STUDY, slice_text(reference.study_uid), err) &&
              object_link(performed, PERFORMED_BY_ACCESSION, slice_text(reference.accession),
                          err) &&
              find_steps(turn, &reference, &found, err);
    for (size_t i = 0; ok && i < found.count; i++) {
        bool there;
        /* As an item before this one left it. */
        ok = turn_get(turn, OBJECT_STEP, found.works[i].before.key, &found.works[i].object, &there,
                      err) &&
             start_step(turn, &found.works[i].object, performed, err);
        outcome->steps++;
    }
    step_list_release(&found);
    return ok;
}

bool performed_start_steps(struct turn *turn, struct object *performed,
                           const struct dataset *dataset, struct performed_outcome *outcome,
                           struct error *err)
{
    struct dataset_items items = dataset_items(dataset, TAG_SCHEDULED_STEP_ATTRIBUTES_SEQUENCE);
    struct dataset *item;
    size_t count = 0;
    bool ok = true;
    while (ok && (item = dataset_items_next(&items))) {
        ok = (++count <= STEPS_MAX ||
              error_set(err, ERROR_LIMIT, "a step of more than %d orders", STEPS_MAX)) &&
             start_of_item(turn, performed, item, outcome, err);
        dataset_close(item);
    }
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

/* What all that is performed of a step makes of it: started while one is under way; completed when
 * one was completed; else discontinued. */
static bool state_of_step(struct turn *turn, const struct object *step, enum step_state *state,
                          struct error *err)
{
    struct object performed = object_init();
    struct slice uid;
    bool any_open = false, any_completed = false, ok = true;
    for (size_t i = 0; ok && object_linked(step, STEP_BY_PERFORMED, i, &uid); i++) {
        char key[OBJECT_KEY_SIZE];
        bool found;
        size_t size = uid.size < sizeof(key) - 1 ? uid.size : sizeof(key) - 1;
        memcpy(key, uid.data, size);
        key[size] = '\0';
        ok = turn_get(turn, OBJECT_PERFORMED, key, &performed, &found, err);
        any_open |= ok && found && performed.state == PERFORMED_IN_PROGRESS;
        any_completed |= ok && found && performed.state == PERFORMED_COMPLETED;
    }
    object_release(&performed);
    *state = any_open ? STEP_STARTED : any_completed ? STEP_COMPLETED : STEP_DISCONTINUED;
    if (*state == STEP_DISCONTINUED &&
        worklist_options(turn_worklist(turn))->reschedule_discontinued)
        *state = STEP_SCHEDULED;
    return ok;
}

bool performed_end_steps(struct turn *turn, const struct object *performed, struct error *err)
{
    struct object step = object_init();
    struct slice key;
    bool ok = true;
    for (size_t i = 0; ok && object_linked(performed, PERFORMED_OF_STEP, i, &key); i++) {
        char text[OBJECT_KEY_SIZE];
        enum step_state state;
        bool found;
        size_t size = key.size < sizeof(text) - 1 ? key.size : sizeof(text) - 1;
        memcpy(text, key.data, size);
        text[size] = '\0';
        ok = turn_get(turn, OBJECT_STEP, text, &step, &found, err) &&
             (!found || state_of_step(turn, &step, &state, err));
        if (ok && found && state != step.state)
            ok = step_set_state(&step, state, clock_unix_ms(), err) &&
                 turn_put(turn, &step, STEP_EVENT_PERFORMED, err);
    }
    object_release(&step);
    return ok;
}
