/* SPDX-License-Identifier: MIT */
#include "worklist/workitem.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fields.h"
#include "worklist/layers.h"
#include "worklist/notices.h"
#include "worklist/patients.h"
#include "worklist/subscriptions.h"
#include "worklist/workitem_parts.h"
#include "worklist/workitem_tags.h"

enum { OWN_VERSION = 1, SMALL_DATASET = 16 << 10, PURGE_MAX = 1000 };

/* --- an item in its turn ------------------------------------------------------------------- */

void workitem_own_write(const struct workitem_own *own, struct object *object)
{
    buffer_clear(&object->own);
    buffer_append_byte(&object->own, OWN_VERSION);
    fields_put_text(&object->own, own->transaction);
    fields_put_text(&object->own, own->performer);
    buffer_append_u64le(&object->own, (uint64_t)own->ended_ms);
    buffer_append_u64le(&object->own, (uint64_t)own->unlocked_ms);
    buffer_append_u64le(&object->own, own->created);
}

bool workitem_own_read(const struct object *object, struct workitem_own *own, struct error *err)
{
    struct fields fields = { buffer_slice(&object->own), false };
    uint8_t version = fields_u8(&fields);
    fields_text(&fields, own->transaction, sizeof(own->transaction));
    fields_text(&fields, own->performer, sizeof(own->performer));
    own->ended_ms = (int64_t)fields_u64(&fields);
    own->unlocked_ms = (int64_t)fields_u64(&fields);
    own->created = fields_u64(&fields);
    return (version == OWN_VERSION && !fields.broken) ||
           error_set(err, ERROR_CORRUPT, "a work item cannot be read");
}

void workitem_now(char text[DATE_TIME_SIZE])
{
    int64_t now_ms = clock_unix_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t size = strftime(text, DATE_TIME_SIZE, "%Y%m%d%H%M%S", &utc);
    snprintf(text + size, DATE_TIME_SIZE - size, ".%03d+0000", (int)(now_ms % 1000));
}

/* What is being done to one item: it is read in the turn, changed and written back, or nothing
 * is. */
struct work {
    struct turn *turn;
    struct object object;
    struct dataset *dataset; /* of the object as it was */
    struct workitem_own own;
    enum workitem_state state;
    bool wanted; /* somebody may hear of it */
};

static bool work_open(struct worklist *worklist, const char *uid, struct work *work,
                      struct error *err)
{
    bool found = false;
    *work = (struct work){ .object = object_init() };
    /* Whether anybody is to be told is asked in the turn: a subscription before it must hear. */
    if (!turn_open(worklist, &work->turn, err) ||
        !notices_are_wanted(worklist, &work->wanted, err) ||
        !turn_get(work->turn, OBJECT_WORKITEM, uid, &work->object, &found, err))
        return false;
    if (!found)
        return true;
    work->state = (enum workitem_state)work->object.state;
    if (!workitem_own_read(&work->object, &work->own, err))
        return false;
    if (!work->own.created)
        work->own.created = work->object.revision;
    return work->state == WORKITEM_GONE || object_dataset(&work->object, &work->dataset, err);
}

static void work_close(struct work *work)
{
    dataset_close(work->dataset);
    turn_close(work->turn);
    object_release(&work->object);
}

/* The data set is another one now. */
static bool work_lay(struct work *work, const struct layers *layers, struct error *err)
{
    struct buffer bytes = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct layers whole = *layers;
    bool ok = layers_write(&whole, &bytes, err);
    if (ok) {
        dataset_close(work->dataset);
        work->dataset = NULL;
        buffer_release(&work->object.dataset);
        work->object.dataset = bytes;
        ok = object_dataset(&work->object, &work->dataset, err);
    } else {
        buffer_release(&bytes);
    }
    return ok;
}

static bool work_tell(struct work *work, enum workitem_event type, const struct dataset *reasons,
                      struct error *err)
{
    struct notice notice = { .type = (uint8_t)type };
    if (!work->wanted)
        return true;
    memcpy(notice.uid, work->object.key, strnlen(work->object.key, UID_SIZE - 1));
    return notice_write(work->turn, &notice, work->dataset, reasons, err);
}

static bool work_put(struct work *work, struct error *err)
{
    bool is_final = work->state == WORKITEM_COMPLETED || work->state == WORKITEM_CANCELED;
    work->object.kind = OBJECT_WORKITEM;
    work->object.state = (uint8_t)work->state;
    work->object.shelf = is_final ? OBJECT_DONE : OBJECT_LIVE;
    if (is_final && !work->own.ended_ms)
        work->own.ended_ms = clock_unix_ms();
    workitem_own_write(&work->own, &work->object);
    return turn_put(work->turn, &work->object, 0, err);
}

static bool open_small(const struct buffer *bytes, struct dataset **out, struct error *err)
{
    return buffer_check(bytes, "data set", err) &&
           dataset_open(buffer_slice(bytes),
                        transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0, out,
                        err);
}

static enum workitem_lock lock_of(const struct work *work, const char *transaction)
{
    if (!transaction[0])
        return LOCK_MISSING;
    return strcmp(transaction, work->own.transaction) == 0 ? LOCK_HELD : LOCK_OTHER;
}

static void outcome_init(struct workitem_outcome *outcome, const char *uid)
{
    *outcome = (struct workitem_outcome){ .code = WORKITEM_OK };
    memcpy(outcome->uid, uid, strnlen(uid, UID_SIZE - 1));
}

/* --- N-CREATE ------------------------------------------------------------------------------ */

/* What we say of a new item, over what was given. */
static void encode_head(const char *uid, const struct dataset *given, struct buffer *out)
{
    struct encoder encoder = { out, true };
    char now[DATE_TIME_SIZE];
    char label[65] = "";
    workitem_now(now);
    encode_text(&encoder, TAG_SOP_CLASS_UID, VR_UI, UID_UPS_PUSH);
    encode_text(&encoder, TAG_SOP_INSTANCE_UID, VR_UI, uid);
    encode_text(&encoder, TAG_STEP_MODIFICATION_DATE_TIME, VR_DT, now);
    if (!dataset_string(given, TAG_WORKLIST_LABEL, label, sizeof(label)) || !label[0])
        encode_text(&encoder, TAG_WORKLIST_LABEL, VR_LO, "WORKLIST");
}

static const uint32_t not_of_new[] = { TAG_TRANSACTION_UID, TAG_STEP_PROGRESS_INFORMATION_SEQUENCE,
                                       TAG_UPS_PERFORMED_PROCEDURE_SEQUENCE };

/* Was something given that a new item cannot have? */
static bool has_too_much(const struct dataset *given)
{
    char uid[UID_SIZE] = "";
    dataset_uid(given, TAG_TRANSACTION_UID, uid);
    return uid[0] || dataset_item_count(given, TAG_STEP_PROGRESS_INFORMATION_SEQUENCE) ||
           dataset_item_count(given, TAG_UPS_PERFORMED_PROCEDURE_SEQUENCE);
}

/* *modified: it is not what was given. */
static bool compose_new(struct work *work, const struct dataset *given, bool *modified,
                        struct error *err)
{
    struct buffer frame = buffer_up_to(SMALL_DATASET);
    struct buffer coerced = buffer_up_to(SMALL_DATASET);
    struct buffer head = buffer_up_to(SMALL_DATASET);
    struct buffer kept = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct dataset *of[4] = { NULL };
    uint32_t without[WORKITEM_TAGS + 3];
    size_t unknown = workitem_unknown(given, without);
    size_t coerced_count = 0;
    struct encoder encoder = { &frame, true };
    memcpy(without + unknown, not_of_new, sizeof(not_of_new));
    workitem_encode_frame(&encoder);
    workitem_coerce(given, &coerced, &coerced_count);
    encode_head(work->object.key, given, &head);
    const struct layers given_kept = { { given }, without, unknown + 3 };
    *modified = unknown || coerced_count || has_too_much(given);
    bool ok = layers_write(&given_kept, &kept, err) && open_small(&frame, &of[0], err) &&
              open_small(&kept, &of[1], err) && open_small(&coerced, &of[2], err) &&
              open_small(&head, &of[3], err);
    if (ok) {
        const struct layers layers = { { of[0], of[1], of[2], of[3] }, NULL, 0 };
        ok = work_lay(work, &layers, err);
    }
    for (size_t i = 0; i < 4; i++)
        dataset_close(of[i]);
    buffer_release(&frame);
    buffer_release(&coerced);
    buffer_release(&head);
    buffer_release(&kept);
    return ok;
}

static bool is_assigned(const struct dataset *dataset)
{
    return dataset_item_count(dataset, TAG_SCHEDULED_STATION_NAME_CODE_SEQUENCE) ||
           dataset_item_count(dataset, TAG_SCHEDULED_HUMAN_PERFORMERS_SEQUENCE);
}

bool workitem_create(struct worklist *worklist, const struct dataset *dataset, const char *uid,
                     struct workitem_outcome *outcome, struct error *err)
{
    struct work work = { .turn = NULL };
    bool modified = false;
    bool ok = true;
    outcome_init(outcome, uid);
    if (!outcome->uid[0])
        uid_make(outcome->uid);
    workitem_check_new(dataset, outcome);
    if (outcome->code != WORKITEM_OK)
        return true;
    ok = work_open(worklist, outcome->uid, &work, err);
    if (!ok)
        goto out;
    struct workitem_step step = workitem_step(work.state, WORKITEM_CREATE, LOCK_MISSING);
    outcome->code = step.code;
    if (step.code != WORKITEM_OK)
        goto out;
    work.state = step.next;
    memcpy(work.object.key, outcome->uid, UID_SIZE);
    work.object.kind = OBJECT_WORKITEM;
    ok = compose_new(&work, dataset, &modified, err);
    /* The demographics may become those of who has the ID now. */
    dataset_close(work.dataset);
    work.dataset = NULL;
    ok = ok && patients_claim(work.turn, &work.object, err) &&
         object_dataset(&work.object, &work.dataset, err) && work_put(&work, err) &&
         work_tell(&work, WORKITEM_EVENT_STATE, NULL, err) &&
         (!is_assigned(work.dataset) || work_tell(&work, WORKITEM_EVENT_ASSIGNED, NULL, err)) &&
         turn_commit(work.turn, err);
    if (modified)
        outcome->code = WORKITEM_CREATED_MODIFIED;
out:
    work_close(&work);
    return ok;
}

/* --- N-SET --------------------------------------------------------------------------------- */

/* An attribute as it stands, in one spelling. */
static void spell(const struct dataset *dataset, uint32_t tag, struct buffer *out)
{
    struct encoder encoder = { out, true };
    encode_copy(&encoder, dataset, tag);
}

static bool differs(const struct dataset *a, const struct dataset *b, uint32_t tag)
{
    struct buffer x = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct buffer y = buffer_up_to(OBJECT_DATASET_LIMIT);
    spell(a, tag, &x);
    spell(b, tag, &y);
    bool same = slice_equal(buffer_slice(&x), buffer_slice(&y));
    buffer_release(&x);
    buffer_release(&y);
    return !same;
}

/* What subscribers hear of a change (PS3.4 CC.2.4.3). */
static bool tell_changes(struct work *work, const struct dataset *before, struct error *err)
{
    const struct dataset *after = work->dataset;
    if (!work->wanted)
        return true;
    return (!differs(before, after, TAG_INPUT_READINESS_STATE) ||
            work_tell(work, WORKITEM_EVENT_STATE, NULL, err)) &&
           (!differs(before, after, TAG_STEP_PROGRESS_INFORMATION_SEQUENCE) ||
            work_tell(work, WORKITEM_EVENT_PROGRESS, NULL, err)) &&
           ((!differs(before, after, TAG_SCHEDULED_STATION_NAME_CODE_SEQUENCE) &&
             !differs(before, after, TAG_SCHEDULED_HUMAN_PERFORMERS_SEQUENCE)) ||
            work_tell(work, WORKITEM_EVENT_ASSIGNED, NULL, err));
}

/* The item with its changes; *coerced and unknown attributes are told in the outcome. */
static bool compose_changed(struct work *work, const struct dataset *changes, bool *coerced,
                            struct workitem_outcome *outcome, struct error *err)
{
    struct buffer spelled = buffer_up_to(SMALL_DATASET);
    struct buffer head = buffer_up_to(SMALL_DATASET);
    struct encoder encoder = { &head, true };
    struct dataset *of[2] = { NULL };
    uint32_t without[WORKITEM_TAGS + 1];
    size_t unknown = workitem_unknown(changes, without);
    size_t coerced_count = 0;
    char now[DATE_TIME_SIZE];
    for (size_t i = 0; i < unknown; i++)
        outcome_add(outcome, without[i]);
    without[unknown] = TAG_TRANSACTION_UID;
    workitem_now(now);
    encode_text(&encoder, TAG_STEP_MODIFICATION_DATE_TIME, VR_DT, now);
    workitem_coerce(changes, &spelled, &coerced_count);
    *coerced = coerced_count > 0;
    bool ok = open_small(&spelled, &of[0], err) && open_small(&head, &of[1], err);
    if (ok) {
        const struct layers layers = { { work->dataset, changes, of[0], of[1] },
                                       without,
                                       unknown + 1 };
        ok = work_lay(work, &layers, err);
    }
    dataset_close(of[0]);
    dataset_close(of[1]);
    buffer_release(&spelled);
    buffer_release(&head);
    return ok;
}

bool workitem_set(struct worklist *worklist, const char *uid, const struct dataset *changes,
                  const char *transaction, struct workitem_outcome *outcome, struct error *err)
{
    struct work work = { .turn = NULL };
    struct object before = object_init();
    struct dataset *dataset_before = NULL;
    char given[UID_SIZE] = "";
    bool coerced = false;
    outcome_init(outcome, uid);
    if (!transaction && dataset_uid(changes, TAG_TRANSACTION_UID, given))
        transaction = given;
    bool ok = work_open(worklist, uid, &work, err);
    if (!ok)
        goto out;
    struct workitem_step step = workitem_step(work.state, WORKITEM_SET,
                                              lock_of(&work, transaction ? transaction : ""));
    outcome->code = step.code;
    if (step.code == WORKITEM_OK)
        workitem_check_changes(changes, outcome);
    if (outcome->code != WORKITEM_OK)
        goto out;
    object_copy(&before, &work.object);
    ok = object_dataset(&before, &dataset_before, err) &&
         compose_changed(&work, changes, &coerced, outcome, err) && work_put(&work, err) &&
         tell_changes(&work, dataset_before, err) && turn_commit(work.turn, err);
    outcome->code = outcome->tag_count ? WORKITEM_ATTRIBUTES_IGNORED
                    : coerced          ? WORKITEM_COERCED
                                       : WORKITEM_OK;
out:
    dataset_close(dataset_before);
    object_release(&before);
    work_close(&work);
    return ok;
}

/* --- states -------------------------------------------------------------------------------- */

/* "Discontinued for unspecified reason" (PS3.16 CID 9301). */
static void encode_default_reason(struct encoder *encoder)
{
    encode_sequence_begin(encoder, TAG_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE);
    encode_item_begin(encoder);
    encode_text(encoder, TAG_CODE_VALUE, VR_SH, "110513");
    encode_text(encoder, TAG_CODING_SCHEME_DESIGNATOR, VR_SH, "DCM");
    encode_text(encoder, TAG_CODE_MEANING, VR_LO, "Discontinued for unspecified reason");
    encode_item_end(encoder);
    encode_sequence_end(encoder);
}

/* The progress information of a cancelled item: what was there, with when and why (PS3.4 table
 * CC.2.5-3: both are required of it; what the performer did not say is supplied). */
static bool encode_cancelled(const struct work *work, const struct dataset *reasons,
                             struct buffer *out, struct error *err)
{
    struct dataset *progress = dataset_item(work->dataset, TAG_STEP_PROGRESS_INFORMATION_SEQUENCE,
                                            0);
    struct buffer first = buffer_up_to(SMALL_DATASET);
    struct buffer last = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct dataset *defaults = NULL;
    struct dataset *given = NULL;
    struct encoder encoder = { &first, true };
    char now[DATE_TIME_SIZE];
    workitem_now(now);
    encode_text(&encoder, TAG_STEP_CANCELLATION_DATE_TIME, VR_DT, now);
    encode_default_reason(&encoder);
    encoder.out = &last;
    if (reasons && dataset_item_count(reasons, TAG_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE))
        encode_copy(&encoder, reasons, TAG_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE);
    if (reasons)
        encode_copy(&encoder, reasons, TAG_REASON_FOR_CANCELLATION);
    bool ok = open_small(&first, &defaults, err) && open_small(&last, &given, err);
    if (ok) {
        const struct layers layers = { { defaults, progress, given }, NULL, 0 };
        encoder.out = out;
        encode_sequence_begin(&encoder, TAG_STEP_PROGRESS_INFORMATION_SEQUENCE);
        encode_item_begin(&encoder);
        layers_encode(&layers, &encoder);
        encode_item_end(&encoder);
        encode_sequence_end(&encoder);
    }
    dataset_close(progress);
    dataset_close(defaults);
    dataset_close(given);
    buffer_release(&first);
    buffer_release(&last);
    return ok;
}

static bool take_state(struct work *work, enum workitem_state state, const struct dataset *reasons,
                       struct error *err)
{
    struct buffer bytes = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct encoder encoder = { &bytes, true };
    struct dataset *changes = NULL;
    encode_text(&encoder, TAG_PROCEDURE_STEP_STATE, VR_CS, workitem_state_text(state));
    bool ok = (state != WORKITEM_CANCELED || encode_cancelled(work, reasons, &bytes, err)) &&
              open_small(&bytes, &changes, err);
    if (ok) {
        const struct layers layers = { { work->dataset, changes }, NULL, 0 };
        ok = work_lay(work, &layers, err);
    }
    work->state = state;
    dataset_close(changes);
    buffer_release(&bytes);
    return ok && work_tell(work, WORKITEM_EVENT_STATE, NULL, err);
}

static enum workitem_operation operation_of(enum workitem_state state)
{
    switch (state) {
    case WORKITEM_IN_PROGRESS:
        return WORKITEM_CLAIM;
    case WORKITEM_COMPLETED:
        return WORKITEM_COMPLETE;
    case WORKITEM_CANCELED:
        return WORKITEM_CANCEL;
    default:
        return WORKITEM_UNCLAIM;
    }
}

bool workitem_change_state(struct worklist *worklist, const char *uid, enum workitem_state state,
                           const char *transaction, const char *performer,
                           struct workitem_outcome *outcome, struct error *err)
{
    struct work work = { .turn = NULL };
    outcome_init(outcome, uid);
    bool ok = work_open(worklist, uid, &work, err);
    if (!ok)
        goto out;
    struct workitem_step step = workitem_step(work.state, operation_of(state),
                                              lock_of(&work, transaction));
    outcome->code = step.code;
    if (step.code == WORKITEM_OK && !workitem_is_ready(work.dataset, step.next))
        outcome->code = WORKITEM_NOT_READY;
    if (outcome->code != WORKITEM_OK)
        goto out;
    if (step.next == WORKITEM_IN_PROGRESS) {
        memcpy(work.own.transaction, transaction, strnlen(transaction, UID_SIZE - 1));
        memcpy(work.own.performer, performer, strnlen(performer, WORKITEM_AE_SIZE - 1));
    }
    ok = take_state(&work, step.next, NULL, err) && work_put(&work, err) &&
         turn_commit(work.turn, err);
out:
    work_close(&work);
    return ok;
}

/* Claimed and cancelled in our own name, both told (PS3.4 CC.2.2.3). */
static bool cancel_by_us(struct work *work, const struct dataset *reasons, struct error *err)
{
    uid_make(work->own.transaction);
    return take_state(work, WORKITEM_IN_PROGRESS, NULL, err) &&
           take_state(work, WORKITEM_CANCELED, reasons, err) && work_put(work, err) &&
           turn_commit(work->turn, err);
}

static bool tell_performer(struct work *work, const struct dataset *reasons, const char *requester,
                           struct error *err)
{
    struct buffer bytes = buffer_up_to(OBJECT_DATASET_LIMIT);
    struct buffer name = buffer_up_to(64);
    struct encoder encoder = { &name, true };
    struct dataset *asked = NULL;
    struct dataset *by = NULL;
    encode_text(&encoder, TAG_REQUESTING_AE, VR_AE, requester);
    bool ok = open_small(&name, &by, err);
    if (ok) {
        const struct layers layers = { { by, reasons }, NULL, 0 };
        ok = layers_write(&layers, &bytes, err) && open_small(&bytes, &asked, err) &&
             work_tell(work, WORKITEM_EVENT_CANCEL_REQUESTED, asked, err) &&
             turn_commit(work->turn, err);
    }
    dataset_close(asked);
    dataset_close(by);
    buffer_release(&bytes);
    buffer_release(&name);
    return ok;
}

/* Is anybody subscribed to the item? Asked before the turn: there may be many to be looked at. */
static bool is_heard(struct worklist *worklist, const char *uid, bool *heard, struct error *err)
{
    struct object object = object_init();
    struct dataset *dataset = NULL;
    bool found = false;
    bool ok = object_get(worklist, OBJECT_WORKITEM, uid, &object, &found, err);
    *heard = false;
    if (ok && found && object.dataset.size)
        ok = object_dataset(&object, &dataset, err) &&
             subscription_any(worklist, &object, dataset, heard, err);
    dataset_close(dataset);
    object_release(&object);
    return ok;
}

bool workitem_request_cancel(struct worklist *worklist, const char *uid,
                             const struct dataset *reasons, const char *requester,
                             struct workitem_outcome *outcome, struct error *err)
{
    struct work work = { .turn = NULL };
    bool heard = false;
    outcome_init(outcome, uid);
    bool ok = is_heard(worklist, uid, &heard, err) && work_open(worklist, uid, &work, err);
    if (!ok)
        goto out;
    struct workitem_step step = workitem_step(work.state, WORKITEM_REQUEST_CANCEL, LOCK_MISSING);
    outcome->code = step.code;
    if (step.by_us)
        ok = cancel_by_us(&work, reasons, err);
    else if (step.tell_performer && heard)
        ok = tell_performer(&work, reasons, requester, err);
    else if (step.tell_performer)
        outcome->code = WORKITEM_PERFORMER_UNREACHABLE;
out:
    work_close(&work);
    return ok;
}

/* --- reading and forgetting ---------------------------------------------------------------- */

bool workitem_get(struct worklist *worklist, const char *uid, struct object *object,
                  enum workitem_state *state, struct error *err)
{
    bool found = false;
    *state = WORKITEM_NONE;
    if (!object_get(worklist, OBJECT_WORKITEM, uid, object, &found, err))
        return false;
    if (found)
        *state = (enum workitem_state)object->state;
    return true;
}

/* May it be deleted? What is left of one that was deleted may, too, when it was long enough. */
static bool is_due(struct worklist *worklist, const struct object *object, int64_t before_ms,
                   int64_t unlocked_ms, bool *due, struct error *err)
{
    struct workitem_own own;
    struct dataset *dataset = NULL;
    bool locked = false;
    *due = false;
    if (!workitem_own_read(object, &own, err))
        return false;
    if (own.ended_ms > before_ms)
        return true;
    if (object->state == WORKITEM_GONE) {
        *due = true;
        return true;
    }
    bool ok = unlocked_ms > before_ms ||
              (object_dataset(object, &dataset, err) &&
               subscription_locks(worklist, object, dataset, &locked, err));
    *due = ok && !locked && unlocked_ms <= before_ms;
    dataset_close(dataset);
    return ok;
}

/* In its turn, in which it is still what it was. */
static bool forget(struct worklist *worklist, const char *uid, struct error *err)
{
    struct turn *turn = NULL;
    struct object object = object_init();
    bool found = false;
    bool ok = turn_open(worklist, &turn, err) &&
              turn_get(turn, OBJECT_WORKITEM, uid, &object, &found, err);
    if (ok && found && object.state == WORKITEM_GONE) {
        ok = turn_delete(turn, OBJECT_WORKITEM, uid, &found, err) && turn_commit(turn, err);
    } else if (ok && found && object.shelf == OBJECT_DONE) {
        const struct workitem_own own = { .ended_ms = clock_unix_ms() };
        object.state = WORKITEM_GONE;
        buffer_clear(&object.dataset);
        buffer_clear(&object.links);
        workitem_own_write(&own, &object);
        ok = turn_put(turn, &object, 0, err) && turn_commit(turn, err);
    }
    turn_close(turn);
    /* Nobody subscribes to it any more. What a crash leaves of them goes when the UID does. */
    ok = ok && (!found || subscriptions_forget(worklist, uid, err));
    object_release(&object);
    return ok;
}

bool workitem_purge(struct worklist *worklist, int64_t now_ms, int64_t keep_ms, size_t *count,
                    struct error *err)
{
    const struct object_range range = { .kind = OBJECT_WORKITEM, .shelf = OBJECT_DONE };
    struct buffer keys = buffer_up_to(PURGE_MAX * UID_SIZE);
    struct object_walk *walk = NULL;
    struct object object = object_init();
    int64_t unlocked_ms = 0;
    bool found = true;
    bool ok = subscription_unlocked_ms(worklist, &unlocked_ms, err) &&
              object_walk_open(worklist, &range, &walk, err);
    *count = 0;
    while (ok && *count < PURGE_MAX) {
        bool due = false;
        ok = object_walk_next(walk, &object, &found, err);
        if (!ok || !found)
            break;
        ok = is_due(worklist, &object, now_ms - keep_ms, unlocked_ms, &due, err);
        if (ok && due && buffer_append(&keys, slice_of(object.key, strlen(object.key) + 1)))
            ++*count;
    }
    object_walk_close(walk);
    for (size_t at = 0; ok && at < keys.size; at += strlen((char *)keys.data + at) + 1)
        ok = forget(worklist, (char *)keys.data + at, err);
    object_release(&object);
    buffer_release(&keys);
    return ok;
}
