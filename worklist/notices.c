/* SPDX-License-Identifier: MIT */
#include "worklist/notices.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fields.h"
#include "dicom/encode.h"
#include "worklist/workitem_tags.h"

enum { NOTICE_VERSION = 1, FORGET_MAX = 200 /* in a turn */ };

bool notice_read(const struct object *object, struct notice *notice, struct error *err)
{
    struct fields fields = { buffer_slice(&object->own), false };
    uint8_t version = fields_u8(&fields);
    notice->type = fields_u8(&fields);
    fields_text(&fields, notice->uid, sizeof(notice->uid));
    fields_text(&fields, notice->to, sizeof(notice->to));
    return (version == NOTICE_VERSION && !fields.broken) ||
           error_set(err, ERROR_CORRUPT, "a notice cannot be read");
}

bool notices_are_wanted(struct worklist *worklist, bool *wanted, struct error *err)
{
    const struct object_range range = { .kind = OBJECT_SUBSCRIPTION, .shelf = OBJECT_LIVE };
    size_t count = 0;
    bool ok = object_walk_count(worklist, &range, 1, &count, err);
    *wanted = count > 0;
    return ok;
}

/* Keys ascend as notices are written: by the clock, and by one where it stands still or was put
 * back. A turn is one thread's at a time, so two never make the same. */
static bool make_key(struct turn *turn, struct object *object, struct error *err)
{
    static _Atomic int64_t last;
    struct object other = object_init();
    bool taken = true;
    bool ok = true;
    while (ok && taken) {
        int64_t now = clock_unix_us();
        int64_t next = atomic_load(&last) + 1;
        next = next > now ? next : now;
        atomic_store(&last, next);
        snprintf(object->key, sizeof(object->key), "%016" PRIx64, (uint64_t)next);
        ok = turn_get(turn, OBJECT_NOTICE, object->key, &other, &taken, err);
    }
    object_release(&other);
    return ok;
}

static bool put(struct turn *turn, const struct notice *notice, struct object *object,
                struct error *err)
{
    object->kind = OBJECT_NOTICE;
    object->shelf = OBJECT_LIVE;
    buffer_append_byte(&object->own, NOTICE_VERSION);
    buffer_append_byte(&object->own, notice->type);
    fields_put_text(&object->own, notice->uid);
    fields_put_text(&object->own, notice->to);
    return buffer_check(&object->dataset, "event information", err) &&
           make_key(turn, object, err) && turn_put(turn, object, notice->type, err);
}

static void copy(struct encoder *encoder, const struct dataset *dataset, uint32_t tag)
{
    if (dataset)
        encode_copy(encoder, dataset, tag);
}

/* Of a state report: why an item was cancelled stands in its progress. */
static void encode_state(struct encoder *encoder, const struct dataset *item)
{
    struct dataset *progress = dataset_item(item, TAG_STEP_PROGRESS_INFORMATION_SEQUENCE, 0);
    copy(encoder, item, TAG_INPUT_READINESS_STATE);
    copy(encoder, item, TAG_PROCEDURE_STEP_STATE);
    copy(encoder, progress, TAG_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE);
    copy(encoder, progress, TAG_REASON_FOR_CANCELLATION);
    dataset_close(progress);
}

bool notice_write(struct turn *turn, const struct notice *notice, const struct dataset *item,
                  const struct dataset *reasons, struct error *err)
{
    struct object object = object_init();
    struct encoder encoder = { &object.dataset, true };
    encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    switch (notice->type) {
    case WORKITEM_EVENT_STATE:
        encode_state(&encoder, item);
        break;
    case WORKITEM_EVENT_CANCEL_REQUESTED:
        copy(&encoder, reasons, TAG_CONTACT_URI);
        copy(&encoder, reasons, TAG_CONTACT_DISPLAY_NAME);
        copy(&encoder, reasons, TAG_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE);
        copy(&encoder, reasons, TAG_REQUESTING_AE);
        copy(&encoder, reasons, TAG_REASON_FOR_CANCELLATION);
        break;
    case WORKITEM_EVENT_PROGRESS:
        copy(&encoder, item, TAG_STEP_PROGRESS_INFORMATION_SEQUENCE);
        break;
    case WORKITEM_EVENT_ASSIGNED:
        copy(&encoder, item, TAG_SCHEDULED_STATION_NAME_CODE_SEQUENCE);
        copy(&encoder, item, TAG_SCHEDULED_HUMAN_PERFORMERS_SEQUENCE);
        break;
    default:
        break;
    }
    bool ok = put(turn, notice, &object, err);
    object_release(&object);
    return ok;
}

bool notice_write_status(struct turn *turn, const char *status, struct error *err)
{
    struct object object = object_init();
    struct notice notice = { .type = WORKITEM_EVENT_SCP_STATUS, .uid = UID_UPS_GLOBAL };
    struct encoder encoder = { &object.dataset, true };
    /* Subscriptions and items outlast us: both lists are as they were (PS3.4 table CC.2.4-1). */
    encode_text(&encoder, TAG_SCP_STATUS, VR_CS, status);
    encode_text(&encoder, TAG_SUBSCRIPTION_LIST_STATUS, VR_CS, "WARM START");
    encode_text(&encoder, TAG_UPS_LIST_STATUS, VR_CS, "WARM START");
    bool ok = put(turn, &notice, &object, err);
    object_release(&object);
    return ok;
}

/* The keys of the first of them, one after the other with their NULs. */
static bool gather(struct worklist *worklist, uint64_t up_to, struct buffer *keys, size_t *count,
                   struct error *err)
{
    const struct object_range range = { .kind = OBJECT_NOTICE, .shelf = OBJECT_LIVE };
    struct object_walk *walk = NULL;
    struct object object = object_init();
    bool found = false;
    bool ok = object_walk_open(worklist, &range, &walk, err);
    for (*count = 0; ok && *count < FORGET_MAX; ++*count) {
        ok = object_walk_next(walk, &object, &found, err);
        if (!ok || !found || object.revision > up_to)
            break;
        buffer_append(keys, slice_of(object.key, strlen(object.key) + 1));
    }
    object_walk_close(walk);
    object_release(&object);
    return ok;
}

/* In one turn, which is short: *count tells how many. */
static bool forget_some(struct worklist *worklist, uint64_t up_to, size_t *count, struct error *err)
{
    struct buffer keys = buffer_up_to(FORGET_MAX * OBJECT_KEY_SIZE);
    struct turn *turn = NULL;
    bool found = false;
    bool ok = gather(worklist, up_to, &keys, count, err);
    if (!ok || !keys.size)
        goto out;
    ok = turn_open(worklist, &turn, err);
    for (size_t at = 0; ok && at < keys.size; at += strlen((char *)keys.data + at) + 1)
        ok = turn_delete(turn, OBJECT_NOTICE, (char *)keys.data + at, &found, err);
    ok = ok && turn_commit(turn, err);
out:
    turn_close(turn);
    buffer_release(&keys);
    return ok;
}

bool notices_forget(struct worklist *worklist, uint64_t up_to, struct error *err)
{
    size_t count = FORGET_MAX;
    while (count == FORGET_MAX)
        if (!forget_some(worklist, up_to, &count, err))
            return false;
    return true;
}
