/* SPDX-License-Identifier: MIT */
#include "storage/reclaim.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/store.h"
#include "storage/wipe.h"

enum {
    BUCKETS = 16384,
    BATCH_MAX = 4096,
    LOOK_MS = 60000, /* for a segment in which the last record died before it was full */
    RETRY_MS = 1000, /* when the index could not be written, as on a full disk */
};

/* A blob that is read or being deleted. */
struct use {
    struct blob_id id;
    unsigned readers;
    bool marked;
    bool scheduled;
    bool redo; /* found in the index at the start: its record may be dead already */
    bool queued;
    struct use *next; /* in its bucket */
    STAILQ_ENTRY(use) queue;
};

STAILQ_HEAD(use_queue, use);

struct reclaim {
    struct storage *storage;
    pthread_t thread;
    bool started;
    bool waits; /* for a segment that cannot be opened; the thread's own */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct use *buckets[BUCKETS]; /* this and the rest are guarded by lock */
    struct use_queue queue;
    uint64_t pending_bytes;
    uint64_t ended;
    unsigned holds;
    bool working; /* something is given back at this moment */
    pthread_cond_t rested;
    bool stopping;
};

void reclaim_key(const struct blob_id *id, uint8_t key[RECLAIM_KEY_SIZE])
{
    key[0] = SEGMENT_KEY_DELETION;
    blob_id_encode(id, key + 1);
}

static struct use **place_of(struct reclaim *reclaim, const struct blob_id *id)
{
    uint64_t hash = (id->offset / SEGMENT_BLOCK + ((uint64_t)id->segment << 20)) *
                    0x9E3779B97F4A7C15u;
    struct use **place = &reclaim->buckets[hash >> 50];
    while (*place && ((*place)->id.segment != id->segment || (*place)->id.offset != id->offset))
        place = &(*place)->next;
    return place;
}

/* With lock. */
static struct use *obtain(struct reclaim *reclaim, const struct blob_id *id)
{
    struct use **place = place_of(reclaim, id);
    if (!*place) {
        *place = mem_alloc(sizeof(**place));
        (*place)->id = *id;
    }
    return *place;
}

/* With lock. */
static void forget(struct reclaim *reclaim, struct use *use)
{
    struct use **place = place_of(reclaim, &use->id);
    *place = use->next;
    free(use);
}

/* With lock. */
static void enqueue_if_free(struct reclaim *reclaim, struct use *use)
{
    if (!use->scheduled || use->readers || use->queued)
        return;
    use->queued = true;
    STAILQ_INSERT_TAIL(&reclaim->queue, use, queue);
    pthread_cond_signal(&reclaim->changed);
}

bool reclaim_pin(struct reclaim *reclaim, const struct blob_id *id)
{
    pthread_mutex_lock(&reclaim->lock);
    struct use *use = obtain(reclaim, id);
    bool ok = !use->marked;
    if (ok)
        use->readers++;
    pthread_mutex_unlock(&reclaim->lock);
    return ok;
}

void reclaim_unpin(struct reclaim *reclaim, const struct blob_id *id)
{
    pthread_mutex_lock(&reclaim->lock);
    struct use *use = obtain(reclaim, id);
    use->readers--;
    if (use->marked)
        enqueue_if_free(reclaim, use);
    else if (!use->readers)
        forget(reclaim, use);
    pthread_mutex_unlock(&reclaim->lock);
}

void reclaim_mark(struct reclaim *reclaim, const struct blob_id *id)
{
    pthread_mutex_lock(&reclaim->lock);
    struct use *use = obtain(reclaim, id);
    if (!use->marked)
        reclaim->pending_bytes += record_extent(id->size);
    use->marked = true;
    pthread_mutex_unlock(&reclaim->lock);
}

void reclaim_schedule(struct reclaim *reclaim, const struct blob_id *id)
{
    pthread_mutex_lock(&reclaim->lock);
    struct use **place = place_of(reclaim, id);
    if (*place && (*place)->marked) {
        (*place)->scheduled = true;
        enqueue_if_free(reclaim, *place);
    }
    pthread_mutex_unlock(&reclaim->lock);
}

bool reclaim_is_marked(struct reclaim *reclaim, const struct blob_id *id)
{
    pthread_mutex_lock(&reclaim->lock);
    struct use **place = place_of(reclaim, id);
    bool marked = *place && (*place)->marked;
    pthread_mutex_unlock(&reclaim->lock);
    return marked;
}

uint64_t reclaim_ended(struct reclaim *reclaim)
{
    pthread_mutex_lock(&reclaim->lock);
    uint64_t ended = reclaim->ended;
    pthread_mutex_unlock(&reclaim->lock);
    return ended;
}

bool reclaim_hold(struct reclaim *reclaim, int64_t timeout_ms)
{
    struct timespec deadline = clock_deadline(timeout_ms);
    int code = 0;
    pthread_mutex_lock(&reclaim->lock);
    reclaim->holds++;
    while (reclaim->working && code == 0)
        code = pthread_cond_timedwait(&reclaim->rested, &reclaim->lock, &deadline);
    bool ok = !reclaim->working;
    if (!ok)
        reclaim->holds--;
    pthread_mutex_unlock(&reclaim->lock);
    return ok;
}

void reclaim_release(struct reclaim *reclaim)
{
    pthread_mutex_lock(&reclaim->lock);
    reclaim->holds--;
    pthread_cond_signal(&reclaim->changed);
    pthread_mutex_unlock(&reclaim->lock);
}

uint64_t reclaim_pending_bytes(struct reclaim *reclaim)
{
    pthread_mutex_lock(&reclaim->lock);
    uint64_t bytes = reclaim->pending_bytes;
    pthread_mutex_unlock(&reclaim->lock);
    return bytes;
}

static void count_dead(struct reclaim *reclaim, struct wipe *wipes, size_t count, bool alive)
{
    for (size_t i = 0; i < count; i++)
        if (wipes[i].outcome == WIPE_DONE && wipes[i].counted)
            segments_count_dead(reclaim->storage->segments, wipes[i].segment,
                                record_extent(wipes[i].id.size), wipes[i].held, alive);
}

/* The counters and the end of the pending deletions go into one transaction: after a crash each
 * deletion is counted once. */
static bool record_deletions(struct reclaim *reclaim, struct wipe *wipes, size_t count,
                             struct error *err)
{
    struct transaction *transaction = NULL;
    uint8_t key[RECLAIM_KEY_SIZE];
    if (!transaction_open(reclaim->storage, &transaction, err))
        return false;
    count_dead(reclaim, wipes, count, false);
    for (size_t i = 0; i < count; i++) {
        if (wipes[i].outcome != WIPE_DONE)
            continue;
        reclaim_key(&wipes[i].id, key);
        transaction_delete(transaction, TABLE_SEGMENT, slice_of(key, sizeof(key)));
    }
    bool ok = transaction_commit_unsynced(transaction, err);
    if (!ok)
        count_dead(reclaim, wipes, count, true);
    transaction_close(transaction);
    return ok;
}

/* Only when the index has durably forgotten a segment its file goes. */
static bool remove_segment(struct reclaim *reclaim, struct segment *segment)
{
    struct storage *storage = reclaim->storage;
    struct transaction *transaction = NULL;
    struct error err = { 0 };
    bool ok = transaction_open(storage, &transaction, &err);
    if (ok) {
        segments_forget(storage->segments, segment->number, transaction);
        ok = transaction_commit(transaction, &err);
        transaction_close(transaction);
    }
    if (ok) {
        FAULT_POINT("before-segment-unlink");
        segments_unlink(storage->segments, segment);
        FAULT_POINT("after-segment-unlink");
        log_info("storage: removed segment=%u records=%llu", segment->number,
                 (unsigned long long)segment->records);
    } else {
        log_warn("storage: segment=%u is removed at the next start: %s", segment->number,
                 err.message);
    }
    return ok;
}

static void remove_dead_segments(struct reclaim *reclaim)
{
    struct segments *segments = reclaim->storage->segments;
    struct segment *segment;
    bool ok = true;
    while (ok && (segment = segments_take_dead(segments))) {
        ok = remove_segment(reclaim, segment);
        segments_unpin(segments, segment);
    }
}

/* Waits a moment, or until there is an end to be made. True when it may go on. */
static bool pause_before_retry(struct reclaim *reclaim)
{
    struct timespec deadline = clock_deadline(RETRY_MS);
    pthread_mutex_lock(&reclaim->lock);
    while (!reclaim->stopping &&
           pthread_cond_timedwait(&reclaim->changed, &reclaim->lock, &deadline) == 0)
        ;
    bool go_on = !reclaim->stopping;
    pthread_mutex_unlock(&reclaim->lock);
    return go_on && !atomic_load(&reclaim->storage->failed);
}

/* With lock. */
static void end_job(struct reclaim *reclaim, const struct wipe *wipe, bool go_on)
{
    if (wipe->outcome == WIPE_DONE) {
        reclaim->pending_bytes -= record_extent(wipe->id.size);
        reclaim->ended++;
        forget(reclaim, wipe->use);
    } else if (wipe->outcome == WIPE_RETRY && go_on) {
        STAILQ_INSERT_TAIL(&reclaim->queue, wipe->use, queue);
    } /* else it stays marked, so that nobody opens it */
}

static size_t count_outcomes(const struct wipe *wipes, size_t count, enum wipe_outcome outcome)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += wipes[i].outcome == outcome;
    return found;
}

static void process(struct reclaim *reclaim, struct wipe *wipes, size_t count)
{
    struct error err = { 0 };
    FAULT_POINT("before-blob-reclaim");
    bool ok = wipe_records(reclaim->storage, wipes, count, &err);
    while (ok && !record_deletions(reclaim, wipes, count, &err)) {
        log_warn("storage: deleted blobs=%zu wait to be recorded: %s", count, err.message);
        ok = pause_before_retry(reclaim);
    }
    FAULT_POINT("after-blob-recorded");
    wipe_release(reclaim->storage, wipes, count);
    size_t left = ok ? count_outcomes(wipes, count, WIPE_LEFT) : count;
    if (left)
        log_error("storage: the space of blobs=%zu is given back after a restart: %s", left,
                  ok ? "the disk could not be read or written" : err.message);
    if (!ok)
        return;
    size_t waiting = count_outcomes(wipes, count, WIPE_RETRY);
    if (waiting && !reclaim->waits)
        log_warn("storage: deleted blobs=%zu wait: their segments cannot be opened now", waiting);
    reclaim->waits = waiting != 0;
    bool go_on = waiting && pause_before_retry(reclaim);
    pthread_mutex_lock(&reclaim->lock);
    for (size_t i = 0; i < count; i++)
        end_job(reclaim, &wipes[i], go_on);
    pthread_mutex_unlock(&reclaim->lock);
}

/* Waits a while for something to do. False when the work is over. */
static bool take_batch(struct reclaim *reclaim, struct wipe *wipes, size_t *count)
{
    struct timespec deadline = clock_deadline(LOOK_MS);
    int code = 0;
    *count = 0;
    pthread_mutex_lock(&reclaim->lock);
    reclaim->working = false;
    pthread_cond_broadcast(&reclaim->rested);
    while (!reclaim->stopping && (reclaim->holds || (STAILQ_EMPTY(&reclaim->queue) && code == 0))) {
        code = pthread_cond_timedwait(&reclaim->changed, &reclaim->lock, &deadline);
        if (reclaim->holds)
            deadline = clock_deadline(LOOK_MS);
    }
    reclaim->working = true;
    while (*count < BATCH_MAX && !STAILQ_EMPTY(&reclaim->queue)) {
        struct use *use = STAILQ_FIRST(&reclaim->queue);
        STAILQ_REMOVE_HEAD(&reclaim->queue, queue);
        wipes[(*count)++] = (struct wipe){ .id = use->id, .use = use, .redo = use->redo };
    }
    bool over = reclaim->stopping && !*count;
    pthread_mutex_unlock(&reclaim->lock);
    return !over && !atomic_load(&reclaim->storage->failed);
}

static void *run(void *argument)
{
    struct reclaim *reclaim = argument;
    struct wipe *wipes = mem_alloc_array(BATCH_MAX, sizeof(*wipes));
    size_t count = 0;
    do {
        if (count)
            process(reclaim, wipes, count);
        remove_dead_segments(reclaim);
    } while (take_batch(reclaim, wipes, &count));
    pthread_mutex_lock(&reclaim->lock);
    reclaim->working = false;
    pthread_cond_broadcast(&reclaim->rested);
    pthread_mutex_unlock(&reclaim->lock);
    free(wipes);
    return NULL;
}

struct reclaim *reclaim_new(struct storage *storage)
{
    struct reclaim *reclaim = mem_alloc(sizeof(*reclaim));
    pthread_condattr_t attributes;
    reclaim->storage = storage;
    STAILQ_INIT(&reclaim->queue);
    pthread_mutex_init(&reclaim->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&reclaim->changed, &attributes);
    pthread_cond_init(&reclaim->rested, &attributes);
    pthread_condattr_destroy(&attributes);
    return reclaim;
}

static bool load_pending(struct reclaim *reclaim, struct keyvalue *keyvalue, struct error *err)
{
    static const uint8_t first[] = { SEGMENT_KEY_DELETION };
    static const uint8_t end[] = { SEGMENT_KEY_DELETION + 1 };
    struct keyvalue_cursor *cursor = NULL;
    struct slice key;
    struct slice value;
    struct blob_id id;
    bool found = true;
    if (!keyvalue->operations->cursor_open(keyvalue, TABLE_SEGMENT, slice_of(first, 1),
                                           slice_of(end, 1), false, &cursor, err))
        return false;
    bool ok = true;
    for (;;) {
        ok = keyvalue->operations->cursor_next(cursor, &key, &value, &found, err);
        if (!ok || !found)
            break;
        if (key.size != RECLAIM_KEY_SIZE)
            continue;
        blob_id_decode(key.data + 1, &id);
        reclaim_mark(reclaim, &id);
        pthread_mutex_lock(&reclaim->lock);
        obtain(reclaim, &id)->redo = true;
        pthread_mutex_unlock(&reclaim->lock);
        reclaim_schedule(reclaim, &id);
    }
    keyvalue->operations->cursor_close(cursor);
    return ok;
}

bool reclaim_start(struct reclaim *reclaim, struct keyvalue *keyvalue, struct error *err)
{
    if (!load_pending(reclaim, keyvalue, err))
        return false;
    reclaim->working = true;
    int code = pthread_create(&reclaim->thread, NULL, run, reclaim);
    if (code)
        return error_set_errno(err, code, "no thread for the reclaiming of space");
    reclaim->started = true;
    return true;
}

void reclaim_free(struct reclaim *reclaim)
{
    if (!reclaim)
        return;
    pthread_mutex_lock(&reclaim->lock);
    reclaim->stopping = true;
    pthread_cond_signal(&reclaim->changed);
    pthread_mutex_unlock(&reclaim->lock);
    if (reclaim->started)
        pthread_join(reclaim->thread, NULL);
    for (size_t i = 0; i < BUCKETS; i++) {
        while (reclaim->buckets[i]) {
            struct use *next = reclaim->buckets[i]->next;
            free(reclaim->buckets[i]);
            reclaim->buckets[i] = next;
        }
    }
    pthread_cond_destroy(&reclaim->changed);
    pthread_cond_destroy(&reclaim->rested);
    pthread_mutex_destroy(&reclaim->lock);
    free(reclaim);
}
