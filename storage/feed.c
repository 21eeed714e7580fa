/* SPDX-License-Identifier: MIT */
#include "storage/feed.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "storage/store.h"

enum { SEQUENCE_SIZE = 8, ANY_STREAM = -1 };

/* No follower has a name with a NUL in it, so this key of TABLE_POSITION is ours. */
static const uint8_t sequence_key[] = { 0, 's', 'e', 'q', 'u', 'e', 'n', 'c', 'e' };
/* And those that begin so, with the byte of a stream behind it. */
static const uint8_t stream_key[] = { 0, 's', 't', 'r', 'e', 'a', 'm' };

uint64_t feed_latest(struct storage *storage)
{
    pthread_mutex_lock(&storage->feed_lock);
    uint64_t sequence = storage->durable_sequence;
    pthread_mutex_unlock(&storage->feed_lock);
    return sequence;
}

/* The keys of the entries after `after`, at most up to feed_latest as of now. */
struct feed_range {
    uint8_t lower[SEQUENCE_SIZE];
    uint8_t upper[SEQUENCE_SIZE + 1];
};

static struct feed_range range_after(struct storage *storage, uint64_t after)
{
    struct feed_range range;
    uint64_t latest = feed_latest(storage);
    put_u64be(range.lower, after == UINT64_MAX ? after : after + 1);
    put_u64be(range.upper, latest > after ? latest : after); /* empty when nothing is new */
    range.upper[SEQUENCE_SIZE] = 0;                          /* just behind that entry */
    return range;
}

bool feed_open(struct storage *storage, uint64_t after, struct storage_cursor **out,
               struct error *err)
{
    struct feed_range range = range_after(storage, after);
    return storage_cursor_open(storage, TABLE_FEED, slice_of(range.lower, sizeof(range.lower)),
                               slice_of(range.upper, sizeof(range.upper)), out, err);
}

bool feed_open_backwards(struct storage *storage, struct storage_cursor **out, struct error *err)
{
    struct feed_range range = range_after(storage, 0);
    return storage_cursor_open_backwards(storage, TABLE_FEED,
                                         slice_of(range.lower, sizeof(range.lower)),
                                         slice_of(range.upper, sizeof(range.upper)), out, err);
}

uint64_t feed_sequence(struct slice key)
{
    return key.size == SEQUENCE_SIZE ? get_u64be(key.data) : 0;
}

/* With the lock. */
static uint64_t behind(const struct storage *storage, uint64_t after)
{
    uint64_t latest = storage->durable_sequence;
    uint64_t count = latest > after ? latest - after : 0;
    for (size_t i = 0; count && i < FEED_GAPS; i++) {
        const struct feed_gap *gap = &storage->gaps[i];
        uint64_t begin = gap->after > after ? gap->after : after;
        uint64_t end = gap->upto < latest ? gap->upto : latest;
        count -= end > begin ? end - begin : 0;
    }
    return count;
}

uint64_t feed_behind(struct storage *storage, uint64_t after)
{
    pthread_mutex_lock(&storage->feed_lock);
    uint64_t count = behind(storage, after);
    pthread_mutex_unlock(&storage->feed_lock);
    return count;
}

/* With the lock. */
static uint64_t behind_in(const struct storage *storage, int stream, uint64_t after)
{
    if (stream != ANY_STREAM && storage->streams[stream].durable <= after)
        return 0;
    return behind(storage, after);
}

static bool wait_for(struct storage *storage, int stream, uint64_t after, int64_t timeout_ms)
{
    struct timespec deadline = clock_deadline(timeout_ms);
    pthread_mutex_lock(&storage->feed_lock);
    uint64_t wakes = storage->wakes;
    while (!behind_in(storage, stream, after) && storage->wakes == wakes) {
        if (pthread_cond_timedwait(&storage->feed_changed, &storage->feed_lock, &deadline) ==
            ETIMEDOUT)
            break;
    }
    bool news = behind_in(storage, stream, after) > 0;
    pthread_mutex_unlock(&storage->feed_lock);
    return news;
}

bool feed_wait(struct storage *storage, uint64_t after, int64_t timeout_ms)
{
    return wait_for(storage, ANY_STREAM, after, timeout_ms);
}

bool feed_wait_of(struct storage *storage, uint8_t stream, uint64_t after, int64_t timeout_ms)
{
    return wait_for(storage, stream, after, timeout_ms);
}

uint64_t feed_behind_of(struct storage *storage, uint8_t stream, uint64_t after)
{
    pthread_mutex_lock(&storage->feed_lock);
    uint64_t count = behind_in(storage, stream, after);
    pthread_mutex_unlock(&storage->feed_lock);
    return count;
}

uint64_t feed_latest_of(struct storage *storage, uint8_t stream)
{
    pthread_mutex_lock(&storage->feed_lock);
    uint64_t last = storage->streams[stream].durable;
    if (storage->streams[storage->durable_stream].durable <= last)
        last = storage->durable_sequence; /* also behind a gap */
    pthread_mutex_unlock(&storage->feed_lock);
    return last;
}

void feed_wake(struct storage *storage)
{
    pthread_mutex_lock(&storage->feed_lock);
    storage->wakes++;
    pthread_cond_broadcast(&storage->feed_changed);
    pthread_mutex_unlock(&storage->feed_lock);
}

void feed_written(struct storage *storage, uint8_t stream, uint64_t sequence)
{
    pthread_mutex_lock(&storage->feed_lock);
    storage->streams[stream].written = sequence;
    pthread_mutex_unlock(&storage->feed_lock);
}

/* With the lock. A stream of which more was written meanwhile is looked at with the next sync,
 * which is under way. */
static void advance_streams(struct storage *storage)
{
    for (int i = 0; i < FEED_STREAMS; i++) {
        struct feed_stream *stream = &storage->streams[i];
        if (stream->written > stream->durable && stream->written <= storage->durable_sequence)
            stream->durable = stream->written;
        if (stream->durable > storage->streams[storage->durable_stream].durable)
            storage->durable_stream = (uint8_t)i;
    }
}

void feed_advance(struct storage *storage, uint64_t sequence)
{
    pthread_mutex_lock(&storage->feed_lock);
    if (sequence > storage->durable_sequence) {
        storage->durable_sequence = sequence;
        advance_streams(storage);
        pthread_cond_broadcast(&storage->feed_changed);
    }
    pthread_mutex_unlock(&storage->feed_lock);
}

bool feed_position_load(struct storage *storage, const char *follower, uint64_t *position,
                        struct error *err)
{
    struct buffer value = buffer_up_to(SEQUENCE_SIZE);
    bool found = false;
    *position = 0;
    bool ok = storage_get(storage, TABLE_POSITION, slice_text(follower), &value, &found, err);
    if (ok && found && value.size != SEQUENCE_SIZE)
        ok = error_set(err, ERROR_CORRUPT, "the position of %.64s is broken", follower);
    else if (ok && found)
        *position = get_u64be(value.data);
    buffer_release(&value);
    return ok;
}

void feed_position_put(struct transaction *transaction, const char *follower, uint64_t position)
{
    uint8_t value[SEQUENCE_SIZE];
    put_u64be(value, position);
    transaction_put(transaction, TABLE_POSITION, slice_text(follower),
                    slice_of(value, sizeof(value)));
}

void feed_position_remove(struct transaction *transaction, const char *follower)
{
    transaction_delete(transaction, TABLE_POSITION, slice_text(follower));
}

bool feed_position_save(struct storage *storage, const char *follower, uint64_t position,
                        struct error *err)
{
    struct transaction *transaction = NULL;
    if (!transaction_open(storage, &transaction, err))
        return false;
    feed_position_put(transaction, follower, position);
    bool ok = transaction_commit(transaction, err);
    transaction_close(transaction);
    return ok;
}

void feed_save_sequence(struct transaction *transaction, uint64_t sequence)
{
    uint8_t value[SEQUENCE_SIZE];
    put_u64be(value, sequence);
    transaction_put(transaction, TABLE_POSITION, slice_of(sequence_key, sizeof(sequence_key)),
                    slice_of(value, sizeof(value)));
}

void feed_save_stream(struct transaction *transaction, struct storage *storage, uint8_t stream)
{
    uint8_t key[sizeof(stream_key) + 1];
    uint8_t value[SEQUENCE_SIZE];
    pthread_mutex_lock(&storage->feed_lock);
    uint64_t sequence = storage->streams[stream].written;
    pthread_mutex_unlock(&storage->feed_lock);
    if (!sequence)
        return;
    memcpy(key, stream_key, sizeof(stream_key));
    key[sizeof(stream_key)] = stream;
    put_u64be(value, sequence);
    transaction_put(transaction, TABLE_POSITION, slice_of(key, sizeof(key)),
                    slice_of(value, sizeof(value)));
}

bool feed_load_sequence(struct keyvalue *keyvalue, uint64_t *sequence, struct error *err)
{
    struct buffer value = buffer_up_to(SEQUENCE_SIZE);
    bool found = false;
    *sequence = 0;
    bool ok = keyvalue->operations->get(keyvalue, TABLE_POSITION,
                                        slice_of(sequence_key, sizeof(sequence_key)), &value,
                                        &found, err);
    if (ok && found && value.size != SEQUENCE_SIZE)
        ok = error_set(err, ERROR_CORRUPT, "the sequence number of the feed is broken");
    else if (ok && found)
        *sequence = get_u64be(value.data);
    buffer_release(&value);
    return ok;
}

/* The number of the first or last entry, 0 when there is none. */
static bool find_end(struct keyvalue *keyvalue, bool last, uint64_t *sequence, struct error *err)
{
    const struct slice none = slice_of(NULL, 0);
    struct keyvalue_cursor *cursor = NULL;
    struct slice key, value;
    bool found = false;
    *sequence = 0;
    if (!keyvalue->operations->cursor_open(keyvalue, TABLE_FEED, none, none, last, &cursor, err))
        return false;
    bool ok = cursor->operations->cursor_next(cursor, &key, &value, &found, err);
    if (ok && found)
        *sequence = feed_sequence(key);
    cursor->operations->cursor_close(cursor);
    return ok;
}

bool feed_load_gaps(struct storage *storage, struct error *err)
{
    uint64_t first, last;
    if (!find_end(storage->keyvalue, false, &first, err) ||
        !find_end(storage->keyvalue, true, &last, err))
        return false;
    if (!first)
        first = storage->last_sequence + 1;
    if (last < first)
        last = storage->last_sequence;
    storage->gaps[0] = (struct feed_gap){ 0, first - 1 };
    storage->gaps[1] = (struct feed_gap){ last, storage->last_sequence };
    return true;
}

static void load_stream(struct storage *storage, uint8_t stream, uint64_t sequence)
{
    struct feed_stream *known = &storage->streams[stream];
    if (sequence > known->written)
        *known = (struct feed_stream){ sequence, sequence };
    if (sequence >= storage->streams[storage->durable_stream].durable)
        storage->durable_stream = stream;
}

bool feed_load_streams(struct storage *storage, struct error *err)
{
    const struct keyvalue_operations *operations = storage->keyvalue->operations;
    const struct slice none = slice_of(NULL, 0);
    uint8_t upper[sizeof(stream_key)];
    struct keyvalue_cursor *cursor = NULL;
    struct slice key, value;
    bool found = true;
    memcpy(upper, stream_key, sizeof(upper));
    upper[sizeof(upper) - 1]++;
    if (!operations->cursor_open(storage->keyvalue, TABLE_POSITION,
                                 slice_of(stream_key, sizeof(stream_key)),
                                 slice_of(upper, sizeof(upper)), false, &cursor, err))
        return false;
    bool ok = true;
    while (ok && (ok = cursor->operations->cursor_next(cursor, &key, &value, &found, err)) &&
           found) {
        if (key.size == sizeof(stream_key) + 1 && value.size == SEQUENCE_SIZE)
            load_stream(storage, key.data[sizeof(stream_key)], get_u64be(value.data));
    }
    cursor->operations->cursor_close(cursor);
    cursor = NULL;
    if (!ok ||
        !operations->cursor_open(storage->keyvalue, TABLE_FEED, none, none, true, &cursor, err))
        return false;
    ok = cursor->operations->cursor_next(cursor, &key, &value, &found, err);
    if (ok && found) {
        storage->last_stream = value.size ? value.data[0] : 0;
        load_stream(storage, storage->last_stream, feed_sequence(key));
    }
    cursor->operations->cursor_close(cursor);
    return ok;
}

bool feed_raise_sequence(struct keyvalue *keyvalue, uint64_t sequence, struct error *err)
{
    uint64_t last = 0;
    uint8_t value[SEQUENCE_SIZE];
    if (!feed_load_sequence(keyvalue, &last, err))
        return false;
    put_u64be(value, sequence > last ? sequence : last);
    struct keyvalue_write write = { .table = TABLE_POSITION,
                                    .key = slice_of(sequence_key, sizeof(sequence_key)),
                                    .value = slice_of(value, sizeof(value)) };
    return keyvalue->operations->write(keyvalue, &write, 1, err) &&
           keyvalue->operations->sync(keyvalue, err);
}
