/* SPDX-License-Identifier: MIT */
#include "worklist/performed.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "dicom/date_time.h"
#include "dicom/fold.h"
#include "worklist/edit.h"
#include "worklist/patients.h"
#include "worklist/performed_parts.h"

static const char *const state_texts[] = {
    [PERFORMED_IN_PROGRESS] = "IN PROGRESS",
    [PERFORMED_COMPLETED] = "COMPLETED",
    [PERFORMED_DISCONTINUED] = "DISCONTINUED",
};

const char *performed_state_text(enum performed_state state)
{
    return state >= PERFORMED_IN_PROGRESS && state <= PERFORMED_DISCONTINUED ? state_texts[state]
                                                                             : "";
}

bool performed_state_find(struct slice text, enum performed_state *state)
{
    text = fold_trim(text);
    for (int i = PERFORMED_IN_PROGRESS; i <= PERFORMED_DISCONTINUED; i++) {
        if (slice_equals_text(text, state_texts[i])) {
            *state = (enum performed_state)i;
            return true;
        }
    }
    return false;
}

static void begin(struct performed_outcome *outcome, const char *uid)
{
    memset(outcome, 0, sizeof(*outcome));
    outcome->why = "";
    memcpy(outcome->uid, uid, strlen(uid) + 1);
}

/* What is told over the attributes that must be there. */
static bool make_dataset(const struct dataset *told, struct buffer *out, struct error *err)
{
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    struct buffer frame = buffer_up_to(OBJECT_OWN_LIMIT);
    struct encoder encoder = { &frame, true };
    struct dataset *empty = NULL;
    struct edit edit = edit_init();
    performed_encode_frame(&encoder);
    bool ok = dataset_open(buffer_slice(&frame), syntax, NULL, 0, &empty, err);
    if (ok) {
        edit_copy_all(&edit, empty);
        edit_copy_all(&edit, told);
        edit_text(&edit, TAG_PERFORMED_PROCEDURE_STEP_STATUS,
                  performed_state_text(PERFORMED_IN_PROGRESS));
        ok = edit_write(&edit, out, err);
    }
    dataset_close(empty);
    edit_release(&edit);
    buffer_release(&frame);
    return ok;
}

static bool create(struct turn *turn, const struct dataset *dataset,
                   struct performed_outcome *outcome, struct error *err)
{
    struct object performed = object_init();
    bool found;
    bool ok = turn_get(turn, OBJECT_PERFORMED, outcome->uid, &performed, &found, err);
    if (ok && found) {
        outcome->code = PERFORMED_DUPLICATE;
        outcome->why = "there is a performed step of this UID";
    }
    if (!ok || found)
        goto out;
    performed.kind = OBJECT_PERFORMED;
    performed.shelf = OBJECT_LIVE;
    performed.state = PERFORMED_IN_PROGRESS;
    memcpy(performed.key, outcome->uid, UID_SIZE);
    ok = make_dataset(dataset, &performed.dataset, err) &&
         performed_start_steps(turn, &performed, dataset, outcome, err) &&
         performed_adopt_issuer(turn, &performed, err) && patients_claim(turn, &performed, err) &&
         turn_put(turn, &performed, 0, err);
out:
    object_release(&performed);
    return ok;
}

bool performed_create(struct worklist *worklist, const struct dataset *dataset, const char *uid,
                      struct performed_outcome *outcome, struct error *err)
{
    struct turn *turn = NULL;
    begin(outcome, uid);
    performed_check_new(dataset, outcome);
    if (outcome->code != PERFORMED_OK)
        return true;
    if (!uid[0])
        uid_make(outcome->uid);
    bool ok = turn_open(worklist, &turn, err) && create(turn, dataset, outcome, err);
    if (!ok && turn && err->code == ERROR_LIMIT) {
        outcome->code = PERFORMED_FAILURE;
        outcome->why = "it is too large, or names more steps than one can be of";
        ok = true;
    }
    ok = ok && (outcome->code != PERFORMED_OK || turn_commit(turn, err));
    if (ok && outcome->code == PERFORMED_OK)
        metric_add(METRIC_PERFORMED_BEGUN, 1);
    turn_close(turn);
    return ok;
}

static enum performed_state told_state(const struct dataset *changes, enum performed_state now)
{
    char text[17];
    enum performed_state state;
    if (dataset_string(changes, TAG_PERFORMED_PROCEDURE_STEP_STATUS, text, sizeof(text)) &&
        performed_state_find(slice_text(text), &state))
        return state;
    return now;
}

/* `performed` with the changes in it. Leaves what is wrong in outcome->code. */
static bool change(struct object *performed, const struct dataset *changes,
                   struct performed_outcome *outcome, struct error *err)
{
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    struct buffer bytes = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct dataset *known = NULL, *changed = NULL;
    struct edit edit = edit_init();
    bool ok = object_dataset(performed, &known, err);
    if (!ok)
        goto out;
    performed_check_changes(known, changes, outcome);
    if (outcome->code != PERFORMED_OK)
        goto out;
    edit_copy_all(&edit, known);
    edit_copy_all(&edit, changes);
    ok = edit_write(&edit, &bytes, err) &&
         dataset_open(buffer_slice(&bytes), syntax, NULL, 0, &changed, err);
    if (!ok)
        goto out;
    enum performed_state state = told_state(changes, (enum performed_state)performed->state);
    if (state != PERFORMED_IN_PROGRESS)
        performed_check_final(changed, outcome);
    if (outcome->code != PERFORMED_OK)
        goto out;
    performed->state = (uint8_t)state;
    performed->shelf = state == PERFORMED_IN_PROGRESS ? OBJECT_LIVE : OBJECT_DONE;
    buffer_clear(&performed->dataset);
    buffer_append(&performed->dataset, buffer_slice(&bytes));
out:
    edit_release(&edit);
    dataset_close(known);
    dataset_close(changed);
    buffer_release(&bytes);
    return ok;
}

static bool set(struct turn *turn, const struct dataset *changes, struct performed_outcome *outcome,
                struct error *err)
{
    struct object performed = object_init();
    bool found;
    bool ok = turn_get(turn, OBJECT_PERFORMED, outcome->uid, &performed, &found, err);
    if (ok && (!found || performed.state == PERFORMED_GONE)) {
        outcome->code = PERFORMED_UNKNOWN;
        outcome->why = "there is no such performed step";
    } else if (ok && performed.state != PERFORMED_IN_PROGRESS) {
        outcome->code = PERFORMED_FAILURE;
        outcome->error_id = PERFORMED_FINAL;
        outcome->why = "Performed Procedure Step Object may no longer be updated";
    }
    ok = ok && (outcome->code != PERFORMED_OK || change(&performed, changes, outcome, err));
    if (ok && outcome->code == PERFORMED_OK)
        ok = turn_put(turn, &performed, 0, err) &&
             (performed.state == PERFORMED_IN_PROGRESS ||
              performed_end_steps(turn, &performed, err)) &&
             turn_commit(turn, err);
    if (ok && outcome->code == PERFORMED_OK && performed.state != PERFORMED_IN_PROGRESS)
        metric_add(METRIC_PERFORMED_ENDED, 1);
    object_release(&performed);
    return ok;
}

bool performed_set(struct worklist *worklist, const char *uid, const struct dataset *changes,
                   struct performed_outcome *outcome, struct error *err)
{
    struct turn *turn = NULL;
    begin(outcome, uid);
    bool ok = turn_open(worklist, &turn, err) && set(turn, changes, outcome, err);
    turn_close(turn);
    return ok;
}

bool performed_get(struct worklist *worklist, const char *uid, struct object *performed,
                   enum performed_state *state, struct error *err)
{
    bool found = false;
    bool ok = object_get(worklist, OBJECT_PERFORMED, uid, performed, &found, err);
    *state = ok && found ? (enum performed_state)performed->state : PERFORMED_NONE;
    return ok;
}

bool performed_forget(struct turn *turn, struct object *performed, struct error *err)
{
    char today[DATE_TEXT_SIZE];
    bool found;
    if (performed->state == PERFORMED_GONE)
        return turn_delete(turn, OBJECT_PERFORMED, performed->key, &found, err);
    struct edit edit = edit_init();
    date_format(clock_unix_ms() * 1000, today);
    /* The walk that looks for what is old goes by this date. */
    edit_text(&edit, TAG_PERFORMED_PROCEDURE_STEP_START_DATE, today);
    buffer_clear(&performed->own);
    buffer_clear(&performed->links);
    performed->state = PERFORMED_GONE;
    performed->shelf = OBJECT_DONE;
    bool ok = edit_write(&edit, &performed->dataset, err) && turn_put(turn, performed, 0, err);
    edit_release(&edit);
    return ok;
}
