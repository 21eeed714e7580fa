/* SPDX-License-Identifier: MIT */
#include "worklist/changes.h"

#include <stdlib.h>

#include "base/fields.h"
#include "base/memory.h"
#include "storage/feed.h"
#include "worklist/core.h"

struct object_changes {
    struct storage_cursor *cursor;
};

void object_change_encode(const struct object_change *change, struct buffer *out)
{
    buffer_append_byte(out, WORKLIST_BYTE);
    buffer_append_byte(out, OBJECT_VERSION);
    buffer_append_byte(out, (uint8_t)change->kind);
    buffer_append_byte(out, (uint8_t)change->action);
    buffer_append_byte(out, change->state_before);
    buffer_append_byte(out, change->state);
    buffer_append_byte(out, change->event);
    buffer_append_u64le(out, (uint64_t)change->at_ms);
    fields_put_text(out, change->key);
}

bool object_change_decode(struct slice entry, uint64_t sequence, struct object_change *change,
                          struct error *err)
{
    struct fields fields = { entry, false };
    uint8_t stream = fields_u8(&fields);
    uint8_t version = fields_u8(&fields);
    change->sequence = sequence;
    change->kind = (enum object_kind)fields_u8(&fields);
    uint8_t action = fields_u8(&fields);
    change->action = (enum object_action)action;
    change->state_before = fields_u8(&fields);
    change->state = fields_u8(&fields);
    change->event = fields_u8(&fields);
    change->at_ms = (int64_t)fields_u64(&fields);
    fields_text(&fields, change->key, sizeof(change->key));
    if (fields.broken || stream != WORKLIST_BYTE || version != OBJECT_VERSION ||
        action > OBJECT_TOLD)
        return error_set(err, ERROR_CORRUPT, "entry %llu of the change feed cannot be read",
                         (unsigned long long)sequence);
    return true;
}

uint64_t object_changes_latest(struct worklist *worklist)
{
    return feed_latest_of(worklist->storage, WORKLIST_BYTE);
}

uint64_t object_changes_behind(struct worklist *worklist, uint64_t after)
{
    return feed_behind_of(worklist->storage, WORKLIST_BYTE, after);
}

bool object_changes_open(struct worklist *worklist, uint64_t after, struct object_changes **out,
                         struct error *err)
{
    struct storage_cursor *cursor;
    if (!feed_open(worklist->storage, after, &cursor, err))
        return false;
    struct object_changes *changes = mem_alloc(sizeof(*changes));
    changes->cursor = cursor;
    *out = changes;
    return true;
}

bool object_changes_next(struct object_changes *changes, struct object_change *change, bool *found,
                         struct error *err)
{
    struct slice key, entry;
    do {
        if (!storage_cursor_next(changes->cursor, &key, &entry, found, err))
            return false;
    } while (*found && (!entry.size || entry.data[0] != WORKLIST_BYTE));
    return !*found || object_change_decode(entry, feed_sequence(key), change, err);
}

void object_changes_close(struct object_changes *changes)
{
    if (!changes)
        return;
    storage_cursor_close(changes->cursor);
    free(changes);
}

bool object_changes_wait(struct worklist *worklist, uint64_t after, int64_t timeout_ms)
{
    return feed_wait_of(worklist->storage, WORKLIST_BYTE, after, timeout_ms);
}

void object_changes_wake(struct worklist *worklist)
{
    feed_wake(worklist->storage);
}

bool object_changes_position(struct worklist *worklist, const char *follower, uint64_t *position,
                             struct error *err)
{
    return feed_position_load(worklist->storage, follower, position, err);
}

bool object_changes_save(struct worklist *worklist, const char *follower, uint64_t position,
                         struct error *err)
{
    return feed_position_save(worklist->storage, follower, position, err);
}

void object_changes_put(struct turn *turn, const char *follower, uint64_t position)
{
    feed_position_put(turn->transaction, follower, position);
}

void object_changes_forget(struct turn *turn, const char *follower)
{
    feed_position_remove(turn->transaction, follower);
}
