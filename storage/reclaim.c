/* SPDX-License-Identifier: MIT */
#include "storage/reclaim.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/store.h"

enum {
    BUCKETS = 16384,
    BATCH_MAX = 1024,
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
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct use *buckets[BUCKETS]; /* this and the rest are guarded by lock */
    struct use_queue queue;
    uint64_t pending_bytes;
    unsigned holds;
    bool working; /* something is given back at this moment */
    pthread_cond_t rested;
    bool stopping;
};

/* One deletion of a batch. */
struct job {
    struct use *use;
    struct segment *segment; /* NULL: there is nothing to give back */
    uint64_t ticket;
    uint64_t held;
    bool counted;
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

/* Writes the mark of death; it is durable after the segment's next sync. */
static bool mark_dead(struct reclaim *reclaim, struct job *job, struct error *err)
{
    struct segments *segments = reclaim->storage->segments;
    const struct blob_id *id = &job->use->id;
    uint8_t bytes[RECORD_HEADER_SIZE];
    uint8_t nonce[NONCE_SIZE];
    struct record_header header;
    if (!segments_pin(segments, id->segment, &job->segment, err))
        return err->code == ERROR_NOT_FOUND;
    struct space space = { bytes, sizeof(bytes) };
    if (!segment_read(job->segment->fd, space, id->offset, err))
        return err->code == ERROR_CORRUPT;
    if (!record_header_decode(bytes, &header, nonce) || header.id.offset != id->offset ||
        header.id.segment != id->segment || header.id.size != id->size)
        return true; /* another record, or none: nothing of ours to give back */
    job->counted = header.state == RECORD_LIVE || job->use->redo;
    if (!segment_write_state(job->segment, id->offset, RECORD_DEAD, err))
        return false;
    job->ticket = group_sync_written(&job->segment->sync, 0);
    return true;
}

/* All but the block with the header. Where the file system cannot, the space stays until the whole
 * segment goes. */
static void punch(struct job *job)
{
    const struct blob_id *id = &job->use->id;
    uint64_t extent = record_extent(id->size);
    job->held = extent;
    if (extent == SEGMENT_BLOCK) {
        job->held = SEGMENT_BLOCK;
        return;
    }
    if (!job->segment->segments->cannot_punch &&
        fallocate(job->segment->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)(id->offset + SEGMENT_BLOCK), (off_t)(extent - SEGMENT_BLOCK)) == 0)
        job->held = SEGMENT_BLOCK;
}

static bool wipe(struct reclaim *reclaim, struct job *jobs, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!mark_dead(reclaim, &jobs[i], err))
            return false;
    for (size_t i = 0; i < count; i++)
        if (jobs[i].ticket && !group_sync_wait(&jobs[i].segment->sync, jobs[i].ticket, err))
            return false;
    FAULT_POINT("after-blob-dead");
    for (size_t i = 0; i < count; i++)
        if (jobs[i].ticket)
            punch(&jobs[i]);
    return true;
}

static void count_dead(struct reclaim *reclaim, struct job *jobs, size_t count, bool alive)
{
    for (size_t i = 0; i < count; i++)
        if (jobs[i].counted)
            segments_count_dead(reclaim->storage->segments, jobs[i].segment,
                                record_extent(jobs[i].use->id.size), jobs[i].held, alive);
}

/* The counters and the end of the pending deletions go into one transaction: after a crash each
 * deletion is counted once. */
static bool record_deletions(struct reclaim *reclaim, struct job *jobs, size_t count,
                             struct error *err)
{
    struct transaction *transaction = NULL;
    uint8_t key[RECLAIM_KEY_SIZE];
    if (!transaction_open(reclaim->storage, &transaction, err))
        return false;
    count_dead(reclaim, jobs, count, false);
    for (size_t i = 0; i < count; i++) {
        reclaim_key(&jobs[i].use->id, key);
        transaction_delete(transaction, TABLE_SEGMENT, slice_of(key, sizeof(key)));
    }
    bool ok = transaction_commit_unsynced(transaction, err);
    if (!ok)
        count_dead(reclaim, jobs, count, true);
    transaction_close(transaction);
    return ok;
}

static void remove_dead_segments(struct reclaim *reclaim)
{
    struct storage *storage = reclaim->storage;
    struct transaction *transaction = NULL;
    uint32_t number = 0;
    while (segments_remove_dead(storage->segments, &number)) {
        if (!transaction_open(storage, &transaction, NULL))
            return;
        segments_forget(storage->segments, number, transaction);
        transaction_commit_unsynced(transaction, NULL); /* else opening finds no file and forgets */
        transaction_close(transaction);
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

static void process(struct reclaim *reclaim, struct job *jobs, size_t count)
{
    struct error err = { 0 };
    FAULT_POINT("before-blob-reclaim");
    bool ok = wipe(reclaim, jobs, count, &err);
    while (ok && !record_deletions(reclaim, jobs, count, &err)) {
        log_warn("storage: deleted blobs=%zu wait to be recorded: %s", count, err.message);
        ok = pause_before_retry(reclaim);
    }
    if (!ok)
        log_error("storage: the space of blobs=%zu is given back after a restart: %s", count,
                  err.message);
    for (size_t i = 0; i < count; i++)
        if (jobs[i].segment)
            segments_unpin(reclaim->storage->segments, jobs[i].segment);
    if (!ok)
        return; /* they stay marked, so that nobody opens them */
    pthread_mutex_lock(&reclaim->lock);
    for (size_t i = 0; i < count; i++) {
        reclaim->pending_bytes -= record_extent(jobs[i].use->id.size);
        forget(reclaim, jobs[i].use);
    }
    pthread_mutex_unlock(&reclaim->lock);
}

/* Waits a while for something to do. False when the work is over. */
static bool take_batch(struct reclaim *reclaim, struct job *jobs, size_t *count)
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
        jobs[(*count)++] = (struct job){ .use = use };
    }
    bool over = reclaim->stopping && !*count;
    pthread_mutex_unlock(&reclaim->lock);
    return !over && !atomic_load(&reclaim->storage->failed);
}

static void *run(void *argument)
{
    struct reclaim *reclaim = argument;
    struct job *jobs = mem_alloc_array(BATCH_MAX, sizeof(*jobs));
    size_t count = 0;
    do {
        if (count)
            process(reclaim, jobs, count);
        remove_dead_segments(reclaim);
    } while (take_batch(reclaim, jobs, &count));
    pthread_mutex_lock(&reclaim->lock);
    reclaim->working = false;
    pthread_cond_broadcast(&reclaim->rested);
    pthread_mutex_unlock(&reclaim->lock);
    free(jobs);
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
