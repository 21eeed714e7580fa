/* SPDX-License-Identifier: MIT */
#include "archive/changes.h"

#include <stdlib.h>

#include "archive/feed_entry.h"
#include "archive/lookup.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "storage/feed.h"

struct changes {
    struct storage_cursor *cursor;
};

uint64_t changes_latest(struct archive *archive)
{
    return feed_latest_of(archive->storage, FEED_ENTRY_VERSION);
}

uint64_t changes_behind(struct archive *archive, uint64_t after)
{
    return feed_behind_of(archive->storage, FEED_ENTRY_VERSION, after);
}

/* The next entry that is the archive's: others write into the same feed. */
static bool next_own(struct storage_cursor *cursor, struct slice *key, struct slice *value,
                     bool *found, struct error *err)
{
    do {
        if (!storage_cursor_next(cursor, key, value, found, err))
            return false;
    } while (*found && !feed_entry_is_own(*value));
    return true;
}

bool changes_get(struct archive *archive, uint64_t sequence, struct change *change, bool *found,
                 struct error *err)
{
    uint8_t key[8];
    struct buffer entry = buffer_up_to(FEED_ENTRY_SIZE);
    put_u64be(key, sequence);
    *found = false;
    bool ok = sequence > feed_latest(archive->storage) || /* not durable yet */
              storage_get(archive->storage, TABLE_FEED, slice_of(key, sizeof(key)), &entry, found,
                          err);
    if (ok && *found)
        *found = feed_entry_is_own(buffer_slice(&entry));
    if (ok && *found)
        ok = feed_entry_decode(buffer_slice(&entry), sequence, change, err);
    buffer_release(&entry);
    return ok;
}

bool changes_last(struct archive *archive, struct change *change, bool *found, struct error *err)
{
    struct storage_cursor *cursor;
    struct slice key, value;
    if (!feed_open_backwards(archive->storage, &cursor, err))
        return false;
    bool ok = next_own(cursor, &key, &value, found, err) &&
              (!*found || feed_entry_decode(value, feed_sequence(key), change, err));
    storage_cursor_close(cursor);
    return ok;
}

bool changes_open(struct archive *archive, uint64_t after, struct changes **out, struct error *err)
{
    struct storage_cursor *cursor;
    if (!feed_open(archive->storage, after, &cursor, err))
        return false;
    struct changes *changes = mem_alloc(sizeof(*changes));
    changes->cursor = cursor;
    *out = changes;
    return true;
}

bool changes_next(struct changes *changes, struct change *change, bool *found, struct error *err)
{
    struct slice key, value;
    return next_own(changes->cursor, &key, &value, found, err) &&
           (!*found || feed_entry_decode(value, feed_sequence(key), change, err));
}

void changes_close(struct changes *changes)
{
    if (!changes)
        return;
    storage_cursor_close(changes->cursor);
    free(changes);
}

bool changes_state(struct archive *archive, const struct change *change, enum change_state *state,
                   struct error *err)
{
    struct instance_record record;
    bool found;
    instance_record_init(&record);
    bool ok = lookup_instance(archive, &change->identity, &record, &found, err);
    if (ok && !found)
        *state = CHANGE_DELETED;
    else if (ok)
        *state = record.created > change->sequence ? CHANGE_REPLACED : CHANGE_CURRENT;
    instance_record_release(&record);
    return ok;
}

bool changes_wait(struct archive *archive, uint64_t after, int64_t timeout_ms)
{
    return feed_wait_of(archive->storage, FEED_ENTRY_VERSION, after, timeout_ms);
}

void changes_wake(struct archive *archive)
{
    feed_wake(archive->storage);
}
