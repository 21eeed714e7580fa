/* SPDX-License-Identifier: MIT */
#include "archive/changes.h"
#include "archive/core.h"
#include "archive/keys.h"
#include "storage/feed.h"
#include "storage/transaction.h"

/* A follower's own state stands in TABLE_POSITION beside its position: {0x01, follower, NUL, key}.
 */
enum { STATE_KIND = 1, STATE_VALUE_SIZE = 1 << 20 };

static bool state_key(struct key *key, const char *follower, const char *name, struct error *err)
{
    if (is_empty_text(follower) || strlen(follower) + strlen(name) > KEY_SIZE / 2)
        return error_set(err, ERROR_INVALID, "a follower's name and key are too long");
    key_start(key, STATE_KIND);
    key_add(key, slice_text(follower));
    key_add_byte(key, 0);
    key_add(key, slice_text(name));
    return true;
}

bool follower_position(struct archive *archive, const char *follower, uint64_t *position,
                       struct error *err)
{
    return feed_position_load(archive->storage, follower, position, err);
}

bool follower_save(struct archive *archive, const char *follower, uint64_t position,
                   struct error *err)
{
    return feed_position_save(archive->storage, follower, position, err);
}

bool follower_get(struct archive *archive, const char *follower, const char *key,
                  struct buffer *value, bool *found, struct error *err)
{
    struct key state;
    return state_key(&state, follower, key, err) &&
           storage_get(archive->storage, TABLE_POSITION, key_slice(&state), value, found, err);
}

bool follower_put(struct archive *archive, const char *follower, const char *key,
                  struct slice value, struct error *err)
{
    struct transaction *transaction = NULL;
    struct key state;
    if (value.size > STATE_VALUE_SIZE)
        return error_set(err, ERROR_LIMIT, "a follower's state exceeds %d bytes", STATE_VALUE_SIZE);
    if (!state_key(&state, follower, key, err) ||
        !transaction_open(archive->storage, &transaction, err))
        return false;
    if (value.size)
        transaction_put(transaction, TABLE_POSITION, key_slice(&state), value);
    else
        transaction_delete(transaction, TABLE_POSITION, key_slice(&state));
    bool ok = transaction_commit(transaction, err);
    transaction_close(transaction);
    return ok;
}

bool follower_next_key(struct archive *archive, const char *follower, const char *after,
                       struct buffer *key, bool *found, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct key prefix, lower, upper;
    struct slice state;
    if (!state_key(&prefix, follower, "", err) || !state_key(&lower, follower, after, err))
        return false;
    key_add_byte(&lower, 0); /* just behind `after` */
    if (is_empty_text(after))
        lower = prefix;
    key_after_prefix(&upper, key_slice(&prefix));
    buffer_clear(key);
    bool ok = storage_cursor_open(archive->storage, TABLE_POSITION, key_slice(&lower),
                                  key_slice(&upper), &cursor, err) &&
              storage_cursor_next(cursor, &state, NULL, found, err);
    if (ok && *found) {
        buffer_append(key, slice_skip(state, prefix.size));
        ok = buffer_check(key, "key", err);
    }
    storage_cursor_close(cursor);
    return ok;
}
