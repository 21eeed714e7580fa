/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/uid.h"
#include "hl7/perform.h"
#include "worklist/patients.h"
#include "worklist/steps.h"

enum { ENTRY_LIMIT = DRAFT_LIMIT * 2 };

static const char source_name[] = "hl7";

/* A draft as a data set; its bytes stand in `bytes`. */
static bool open_draft(const struct draft *draft, struct buffer *bytes, struct dataset **out,
                       struct error *err)
{
    *bytes = buffer_up_to(ENTRY_LIMIT);
    *out = NULL;
    if (!draft_encode(draft, bytes))
        return error_set(err, ERROR_LIMIT, "too many values in one entry");
    return dataset_open(buffer_slice(bytes),
                        transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0, out,
                        err);
}

static enum step_control control_of(const struct hl7_action *action)
{
    static const enum step_control controls[] = { [HL7_NEW] = STEP_NEW,
                                                  [HL7_CHANGE] = STEP_CHANGE,
                                                  [HL7_STATUS] = STEP_STATUS,
                                                  [HL7_CANCEL] = STEP_CANCEL,
                                                  [HL7_DISCONTINUE] = STEP_DISCONTINUE };
    return controls[action->control];
}

static enum step_state status_of(const struct hl7_action *action)
{
    static const enum step_state states[] = { [HL7_SCHEDULED] = STEP_SCHEDULED,
                                              [HL7_STARTED] = STEP_STARTED,
                                              [HL7_COMPLETED] = STEP_COMPLETED };
    return states[action->status];
}

/* The first step that has this number, on the list or done. */
static bool find_step(struct worklist *worklist, enum step_link link, struct slice value,
                      struct object *step, bool *found, struct error *err)
{
    static const enum object_shelf shelves[] = { OBJECT_LIVE, OBJECT_DONE };
    bool ok = true;
    *found = false;
    for (size_t i = 0; ok && value.size && !*found && i < 2; i++) {
        const struct object_range range = {
            .kind = OBJECT_STEP, .shelf = shelves[i], .index = (char)link, .value = value
        };
        struct object_walk *walk = NULL;
        ok = object_walk_open(worklist, &range, &walk, err) &&
             object_walk_next(walk, step, found, err);
        object_walk_close(walk);
    }
    return ok;
}

static bool make_key(const struct hl7_person *person, char key[OBJECT_KEY_SIZE], struct error *err)
{
    return patient_key_make(slice_text(person->id), slice_text(person->issuer), key, err);
}

/* Two patients' keys: is it one ID, of one issuer where both name one? */
static bool may_be_one(struct slice a, struct slice b)
{
    const uint8_t *end_a = memchr(a.data, '\\', a.size);
    const uint8_t *end_b = memchr(b.data, '\\', b.size);
    if (!end_a || !end_b)
        return slice_equal(a, b);
    struct slice issuer_a = slice_skip(a, (size_t)(end_a - a.data) + 1);
    struct slice issuer_b = slice_skip(b, (size_t)(end_b - b.data) + 1);
    return slice_equal(slice_take(a, (size_t)(end_a - a.data)),
                       slice_take(b, (size_t)(end_b - b.data))) &&
           (!issuer_a.size || !issuer_b.size || slice_equal(issuer_a, issuer_b));
}

/* `is_lenient`: who tells of it, such as a reporting system, need not name the issuer as the order
 * did. */
static bool check_owner(struct worklist *worklist, const struct object *step,
                        const struct hl7_person *person, bool is_lenient, struct error *err)
{
    char key[OBJECT_KEY_SIZE];
    char current[OBJECT_KEY_SIZE];
    char holder[OBJECT_KEY_SIZE];
    if (!make_key(person, key, err) || !patients_resolve(worklist, key, current, err) ||
        !patients_holder(worklist, step, holder, err))
        return false;
    bool is_own = is_lenient ? may_be_one(slice_text(holder), slice_text(current))
                             : strcmp(holder, current) == 0;
    return is_own || error_set(err, ERROR_MISMATCH, "the order is another patient's");
}

/* An order that is cancelled or followed by its number alone: is it this patient's? Where entries
 * are told, steps_apply compares. */
static bool check_patient(struct worklist *worklist, const struct hl7_action *action,
                          struct error *err)
{
    struct object step = object_init();
    bool found = false;
    bool ok = find_step(worklist, STEP_BY_PLACER, slice_text(action->placer), &step, &found, err) &&
              (found ||
               find_step(worklist, STEP_BY_FILLER, slice_text(action->filler), &step, &found, err));
    ok = ok && (!found || check_owner(worklist, &step, &action->person, false, err));
    object_release(&step);
    return ok;
}

bool hl7_perform_order(struct worklist *worklist, const struct hl7_plan *plan,
                       const struct hl7_action *action, enum hl7_effect *effect, struct error *err)
{
    struct buffer *bytes = mem_alloc_array(action->step_count + 1, sizeof(*bytes));
    struct dataset **steps = mem_alloc_array(action->step_count + 1, sizeof(*steps));
    struct step_outcome outcome;
    bool ok = action->step_count || check_patient(worklist, action, err);
    for (size_t i = 0; ok && i < action->step_count; i++)
        ok = open_draft(&action->steps[i], &bytes[i], &steps[i], err);
    const struct step_order order = {
        .control = control_of(action),
        .placer = action->placer,
        .filler = action->filler,
        .source = source_name,
        .message_us = plan->message_us,
        .status = status_of(action),
        .steps = (const struct dataset *const *)steps,
        .step_count = action->step_count,
    };
    ok = ok && steps_apply(worklist, &order, &outcome, err);
    if (ok)
        *effect = outcome.result == STEPS_STALE       ? HL7_STALE
                  : outcome.result == STEPS_UNCHANGED ? HL7_REPEATED
                                                      : HL7_CHANGED;
    for (size_t i = 0; i < action->step_count; i++) {
        dataset_close(steps[i]);
        buffer_release(&bytes[i]);
    }
    free(bytes);
    free(steps);
    return ok;
}

static enum hl7_effect effect_of(const struct patient_outcome *outcome)
{
    return outcome->result == PATIENT_STALE       ? HL7_STALE
           : outcome->result == PATIENT_UNCHANGED ? HL7_REPEATED
                                                  : HL7_CHANGED;
}

bool hl7_perform_patient(struct worklist *worklist, const struct hl7_plan *plan,
                         const struct hl7_action *action, enum hl7_effect *effect,
                         struct error *err)
{
    struct buffer bytes;
    struct dataset *patient;
    struct patient_outcome outcome;
    bool ok = open_draft(&action->patient, &bytes, &patient, err) &&
              patients_update(worklist, patient, plan->message_us, source_name, &outcome, err);
    if (ok)
        *effect = effect_of(&outcome);
    dataset_close(patient);
    buffer_release(&bytes);
    return ok;
}

bool hl7_perform_merge(struct worklist *worklist, const struct hl7_plan *plan,
                       const struct hl7_action *action, enum hl7_effect *effect, struct error *err)
{
    char gone[OBJECT_KEY_SIZE];
    char survivor[OBJECT_KEY_SIZE];
    struct patient_outcome outcome;
    /* News of who survives first: what is merged into it takes these. */
    bool ok = make_key(&action->gone, gone, err) && make_key(&action->person, survivor, err) &&
              patients_check_merge(worklist, gone, survivor, err) &&
              hl7_perform_patient(worklist, plan, action, effect, err) &&
              patients_merge(worklist, gone, survivor, plan->message_us, source_name, &outcome,
                             err);
    if (ok)
        *effect = hl7_effect_of(*effect, effect_of(&outcome));
    return ok;
}

bool hl7_perform_unmerge(struct worklist *worklist, const struct hl7_plan *plan,
                         const struct hl7_action *action, enum hl7_effect *effect,
                         struct error *err)
{
    char one[OBJECT_KEY_SIZE];
    char other[OBJECT_KEY_SIZE];
    struct patient_outcome outcomes[2];
    bool ok = make_key(&action->person, one, err) && make_key(&action->gone, other, err) &&
              patients_unmerge(worklist, one, plan->message_us, source_name, &outcomes[0], err) &&
              patients_unmerge(worklist, other, plan->message_us, source_name, &outcomes[1], err);
    if (ok)
        *effect = hl7_effect_of(effect_of(&outcomes[0]), effect_of(&outcomes[1]));
    return ok;
}

/* The study of the first step that has this number, unless one was found already. */
static bool find_study(struct worklist *worklist, const struct hl7_action *action,
                       enum step_link link, struct slice value, char study_uid[UID_SIZE],
                       struct error *err)
{
    struct object step = object_init();
    struct dataset *dataset = NULL;
    bool found = false;
    bool ok = study_uid[0] ||
              (find_step(worklist, link, value, &step, &found, err) &&
               (!found || check_owner(worklist, &step, &action->person, true, err)) &&
               (!found || object_dataset(&step, &dataset, err)));
    if (ok && found)
        dataset_uid(dataset, TAG_STUDY_INSTANCE_UID, study_uid);
    dataset_close(dataset);
    object_release(&step);
    return ok;
}

bool hl7_find_ordered_study(struct worklist *worklist, const struct hl7_action *action,
                            struct slice accession, char study_uid[UID_SIZE], struct error *err)
{
    study_uid[0] = 0;
    return find_study(worklist, action, STEP_BY_PLACER, slice_text(action->placer), study_uid,
                      err) &&
           find_study(worklist, action, STEP_BY_FILLER, slice_text(action->filler), study_uid,
                      err) &&
           find_study(worklist, action, STEP_BY_ACCESSION, accession, study_uid, err);
}
