/* SPDX-License-Identifier: MIT */
#include "archive/tombstone.h"

#include "archive/keys.h"
#include "archive/records.h"
#include "base/bytes.h"
#include "base/log.h"

enum { VERSION = 1, VALUE_SIZE = 9, BATCH_MAX = 10000 };

void tombstone_put(struct transaction *transaction, const struct identity *place, int64_t at_ms)
{
    uint8_t value[VALUE_SIZE] = { VERSION };
    struct key key;
    key_place(&key, RECORD_TOMBSTONE, place->study, place->series, place->instance);
    put_u64le(value + 1, (uint64_t)at_ms);
    transaction_put(transaction, TABLE_RECORD, key_slice(&key), slice_of(value, sizeof(value)));
}

bool tombstone_decode(struct slice value, int64_t *at_ms, struct error *err)
{
    if (value.size < VALUE_SIZE || value.data[0] != VERSION)
        return error_set(err, ERROR_CORRUPT, "a tombstone cannot be read");
    *at_ms = (int64_t)get_u64le(value.data + 1);
    return true;
}

bool tombstone_get(struct transaction *transaction, const struct identity *place, int64_t *at_ms,
                   bool *found, struct error *err)
{
    struct buffer value = buffer_up_to(RECORD_SIZE);
    struct key key;
    key_place(&key, RECORD_TOMBSTONE, place->study, place->series, place->instance);
    bool ok = transaction_get(transaction, TABLE_RECORD, key_slice(&key), &value, found, err) &&
              (!*found || tombstone_decode(buffer_slice(&value), at_ms, err));
    buffer_release(&value);
    return ok;
}

/* What stands at its place was stored later: else a clock was set back, and times say nothing. Of a
 * study or series that is there again it means nothing. */
static bool is_older(const struct identity *place, struct slice value, int64_t at_ms,
                     struct error *why)
{
    struct instance_record record;
    instance_record_init(&record);
    bool ok = place->instance[0] && instance_record_decode(value, &record, why) &&
              record.stored_at_ms > at_ms;
    instance_record_release(&record);
    return ok;
}

static bool is_to_be_taken(struct storage *old, struct slice tombstone, struct slice value,
                           struct error *why)
{
    struct buffer there = buffer_up_to(RECORD_SIZE);
    struct identity place = { 0 };
    struct key key;
    int64_t at_ms = 0;
    bool found = true;
    if (!key_split_place(slice_skip(tombstone, 1), &place))
        return error_set(why, ERROR_CORRUPT, "a key of the index cannot be read");
    char kind = place.instance[0] ? RECORD_INSTANCE
                : place.series[0] ? RECORD_SERIES
                                  : RECORD_STUDY;
    key_place(&key, kind, place.study, place.series, place.instance);
    bool ok = tombstone_decode(value, &at_ms, why) &&
              storage_get(old, TABLE_RECORD, key_slice(&key), &there, &found, why) &&
              (!found || is_older(&place, buffer_slice(&there), at_ms, why));
    buffer_release(&there);
    return ok;
}

/* Up to BATCH_MAX in one transaction; *more: there may be others. False only when the new index
 * cannot be written; what cannot be read ends it with `why`. */
static bool take_batch(struct storage *storage, struct storage *old, struct storage_cursor *cursor,
                       uint64_t *count, bool *more, struct error *why, struct error *err)
{
    struct transaction *transaction = NULL;
    struct slice key, value;
    if (!transaction_open(storage, &transaction, err))
        return false;
    *more = true;
    for (size_t i = 0; i < BATCH_MAX && *more; i++) {
        if (!storage_cursor_next(cursor, &key, &value, more, why))
            *more = false;
        if (!*more || !is_to_be_taken(old, key, value, why))
            continue;
        transaction_put(transaction, TABLE_RECORD, key, value);
        ++*count;
    }
    bool ok = transaction_commit_unsynced(transaction, err);
    transaction_close(transaction);
    return ok;
}

bool tombstones_take_over(struct storage *storage, uint64_t *count, struct error *err)
{
    static const uint8_t kind = RECORD_TOMBSTONE;
    struct storage_cursor *cursor = NULL;
    struct error why = { .code = ERROR_NONE };
    bool ok = true, more = true;
    *count = 0;
    struct storage *old = storage_old_view_open(storage);
    if (!old)
        return true;
    if (storage_cursor_open_prefix(old, TABLE_RECORD, slice_of(&kind, 1), &cursor, &why))
        while (ok && more)
            ok = take_batch(storage, old, cursor, count, &more, &why, err);
    storage_cursor_close(cursor);
    storage_view_close(old);
    if (why.code != ERROR_NONE)
        log_warn("rebuild: not all of what was deleted is known any more: %s", why.message);
    return ok;
}
