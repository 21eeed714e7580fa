/* SPDX-License-Identifier: MIT */
#include "archive/compact.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "archive/blob_key.h"
#include "archive/lookup.h"
#include "archive/versions.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/blob.h"
#include "storage/crc32c.h"
#include "storage/transaction.h"

enum {
    BATCH_RECORDS = 128,    /* share the syncs of their copies, and one transaction; */
    BATCH_BYTES = 32 << 20, /* as many as have this many bytes */
    COPIERS = 8,
    PIECE_SIZE = 1 << 20,
};

enum record_fate {
    FATE_MOVES,   /* an instance refers to it */
    FATE_UNKNOWN, /* none does, or not yet */
    FATE_STAYS,   /* nobody may touch it */
    FATE_GONE,    /* it was deleted meanwhile */
};

/* A live record of the segment that is taken up. */
struct moving {
    struct blob_id old;
    struct blob_id fresh; /* its copy */
    struct identity identity;
    struct key key;
    struct key record; /* that refers to it: the instance's, or a version's */
    enum record_fate fate;
    bool copied;
};

struct compact {
    struct archive *archive;
    struct job *job;
    struct compact_report *report;
    bool dry_run;
    uint64_t total; /* bytes that live in the segments that are taken up */
    uint64_t done;
    uint64_t kept; /* in this segment */
    struct moving *batch;
    size_t count;

    pthread_mutex_t lock;
    size_t next;          /* of the batch to copy; this and the rest are guarded by lock */
    struct error failure; /* the first one of a copy */
};

static void keep(struct compact *compact, struct moving *moving, const char *why)
{
    log_warn("compact: a record stays segment=%u offset=%" PRIu64 ": %s", moving->old.segment,
             moving->old.offset, why);
    moving->fate = FATE_STAYS;
    compact->report->kept++;
    compact->kept++;
}

/* Copies. */

static bool copy_bytes(struct blob *blob, const struct blob_id *id, struct blob_writer *writer,
                       struct error *unreadable, struct error *err)
{
    uint32_t crc32c = 0;
    for (uint64_t at = 0; at < id->size;) {
        uint64_t left = id->size - at;
        struct space space;
        if (!blob_writer_space(writer, left < PIECE_SIZE ? (size_t)left : PIECE_SIZE, &space, err))
            return false;
        if (!blob_read(blob, at, space, unreadable))
            return true;
        crc32c = crc32c_extend(crc32c, slice_of(space.data, space.size));
        if (!blob_writer_advance(writer, space.size, err))
            return false;
        at += space.size;
    }
    /* The copy would get a checksum that fits. */
    if (crc32c != id->crc32c)
        error_set(unreadable, ERROR_CORRUPT, "its bytes do not fit their checksum");
    return true;
}

/* *unreadable is set when the record must stay or is gone; false: nothing can be written. */
static bool copy_record(struct storage *storage, struct moving *moving, struct error *unreadable,
                        struct error *err)
{
    struct blob *blob = NULL;
    struct blob_writer *writer = NULL;
    if (!blob_open_aside(storage, &moving->old, &blob, unreadable))
        return true;
    bool ok = blob_writer_open(storage, key_slice(&moving->key), &writer, err) &&
              copy_bytes(blob, &moving->old, writer, unreadable, err);
    if (ok && unreadable->code == ERROR_NONE) {
        ok = blob_writer_finish(writer, &moving->fresh, err);
        moving->copied = ok;
    }
    blob_writer_close(writer);
    blob_close(blob);
    return ok;
}

static struct moving *next_to_copy(struct compact *compact)
{
    struct moving *moving = NULL;
    pthread_mutex_lock(&compact->lock);
    while (!moving && compact->next < compact->count && compact->failure.code == ERROR_NONE) {
        moving = &compact->batch[compact->next++];
        if (moving->fate != FATE_MOVES)
            moving = NULL;
    }
    pthread_mutex_unlock(&compact->lock);
    return moving;
}

static void *copy_some(void *argument)
{
    struct compact *compact = argument;
    struct moving *moving;
    while ((moving = next_to_copy(compact))) {
        struct error unreadable = { 0 }, err = { 0 };
        bool ok = copy_record(compact->archive->storage, moving, &unreadable, &err);
        pthread_mutex_lock(&compact->lock);
        if (!ok && compact->failure.code == ERROR_NONE)
            compact->failure = err;
        if (unreadable.code == ERROR_NOT_FOUND)
            moving->fate = FATE_GONE;
        else if (unreadable.code != ERROR_NONE)
            keep(compact, moving, unreadable.message);
        pthread_mutex_unlock(&compact->lock);
    }
    return NULL;
}

/* Several at once, because each waits for the disk, and one sync serves all who wait. */
static bool copy_all(struct compact *compact, struct error *err)
{
    pthread_t threads[COPIERS - 1];
    int started = 0;
    compact->next = 0;
    while (started < COPIERS - 1 &&
           pthread_create(&threads[started], NULL, copy_some, compact) == 0)
        started++;
    copy_some(compact);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (compact->failure.code == ERROR_NONE)
        return true;
    if (err)
        *err = compact->failure;
    return false;
}

static void discard_copies(struct compact *compact)
{
    for (size_t i = 0; i < compact->count; i++) {
        struct moving *moving = &compact->batch[i];
        if (moving->copied)
            blob_discard(compact->archive->storage, &moving->fresh, NULL);
        moving->copied = false;
    }
}

/* The index. */

static bool get_record(struct transaction *transaction, const struct key *key,
                       struct instance_record *record, bool *found, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    bool ok = transaction_get(transaction, TABLE_RECORD, key_slice(key), &bytes, found, err) &&
              (!*found || instance_record_decode(buffer_slice(&bytes), record, err));
    buffer_release(&bytes);
    return ok;
}

/* An instance may have become a version since it was looked up. */
static bool find_record(struct compact *compact, struct transaction *transaction,
                        struct moving *moving, struct instance_record *record, bool *found,
                        struct error *err)
{
    if (!get_record(transaction, &moving->record, record, found, err))
        return false;
    if (*found && blob_id_equals(&record->blob, &moving->old))
        return true;
    return version_find(compact->archive, &moving->identity, &moving->old, &moving->record, record,
                        found, err);
}

/* Another store or a deletion may have been faster: then the copy is in vain. */
static bool refer_to_copy(struct compact *compact, struct transaction *transaction,
                          struct moving *moving, struct error *err)
{
    struct instance_record record;
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    bool found;
    instance_record_init(&record);
    bool ok = find_record(compact, transaction, moving, &record, &found, err);
    if (ok && found) {
        record.blob = moving->fresh;
        instance_record_encode(&record, &bytes);
        transaction_put(transaction, TABLE_RECORD, key_slice(&moving->record),
                        buffer_slice(&bytes));
        transaction_delete_blob(transaction, &moving->old);
        compact->report->moved++;
        compact->report->moved_bytes += moving->old.size;
    } else if (ok) {
        moving->fate = FATE_GONE;
    }
    buffer_release(&bytes);
    instance_record_release(&record);
    return ok;
}

static bool refer_to_copies(struct compact *compact, struct error *err)
{
    struct transaction *transaction = NULL;
    struct compact_report before = *compact->report;
    if (!transaction_open(compact->archive->storage, &transaction, err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < compact->count; i++)
        if (compact->batch[i].copied)
            ok = refer_to_copy(compact, transaction, &compact->batch[i], err);
    ok = ok && transaction_commit(transaction, err);
    transaction_close(transaction);
    if (!ok) {
        *compact->report = before;
        return false;
    }
    FAULT_POINT("compact_committed");
    for (size_t i = 0; i < compact->count; i++)
        if (compact->batch[i].fate == FATE_MOVES)
            compact->batch[i].copied = false; /* it is the instance's now */
    return true;
}

/* Until the transaction is over, the copies stand in a segment and nothing refers to them. */
static bool move_batch(struct compact *compact, struct error *err)
{
    unsigned side = archive_writing_begin(compact->archive);
    bool ok = copy_all(compact, err);
    FAULT_POINT("compact_copied");
    ok = ok && refer_to_copies(compact, err);
    discard_copies(compact);
    archive_writing_end(compact->archive, side);
    return ok;
}

/* Records that no instance refers to. */

static bool has_tombstone(struct transaction *transaction, const struct identity *identity,
                          bool *found, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    key_place(&key, RECORD_TOMBSTONE, identity->study, identity->series, identity->instance);
    bool ok = transaction_get(transaction, TABLE_RECORD, key_slice(&key), &bytes, found, err);
    buffer_release(&bytes);
    return ok;
}

/* One that is whole was left by a store or a move that never came to its end: else it would be in
 * the index. A broken one may be what a rebuild had to leave out, and all there is of its instance.
 */
static bool is_whole(struct compact *compact, const struct blob_id *id)
{
    struct blob *blob = NULL;
    if (!blob_open_aside(compact->archive->storage, id, &blob, NULL))
        return false;
    bool whole = blob_verify(blob, NULL);
    blob_close(blob);
    return whole;
}

static bool remove_unknown(struct compact *compact, struct moving *moving, bool whole,
                           struct error *err)
{
    struct transaction *transaction = NULL;
    struct instance_record record;
    bool found, refers = false, deleted = false;
    if (!transaction_open(compact->archive->storage, &transaction, err))
        return false;
    instance_record_init(&record);
    bool ok = get_record(transaction, &moving->record, &record, &found, err) &&
              has_tombstone(transaction, &moving->identity, &deleted, err);
    if (ok && found)
        refers = blob_id_equals(&record.blob, &moving->old);
    if (ok && found && !refers)
        ok = version_find(compact->archive, &moving->identity, &moving->old, &moving->record,
                          &record, &refers, err);
    if (ok && refers) {
        moving->fate = FATE_STAYS; /* its store was under way: the next time */
        compact->kept++;
    } else if (ok && (found || deleted || whole)) {
        transaction_delete_blob(transaction, &moving->old);
        ok = transaction_commit(transaction, err);
        compact->report->removed += ok;
    } else if (ok) {
        keep(compact, moving, "it is broken, and no instance refers to it");
    }
    transaction_close(transaction);
    instance_record_release(&record);
    return ok;
}

/* A store writes the record before the index: who was in between has come out of it after the
 * settling. */
static bool remove_unknowns(struct compact *compact, struct error *err)
{
    struct job *job = compact->job;
    bool settled = false;
    bool ok = true;
    for (size_t i = 0; ok && i < compact->count; i++) {
        struct moving *moving = &compact->batch[i];
        if (moving->fate != FATE_UNKNOWN)
            continue;
        if (!settled)
            ok = archive_writing_settle(compact->archive, job ? job->cancelled : NULL,
                                        job ? job->context : NULL, err);
        settled = true;
        ok = ok && remove_unknown(compact, moving, is_whole(compact, &moving->old), err);
    }
    return ok;
}

/* A segment. */

/* Fills in what becomes of a record. */
static bool look_up(struct compact *compact, struct slice key, struct moving *moving,
                    struct error *err)
{
    struct instance_record record;
    struct error broken = { 0 };
    struct blob_facts facts;
    bool found = false, refers = false;
    moving->copied = false;
    if (!blob_key_decode(key, &moving->identity, &facts)) {
        keep(compact, moving, "its key says nothing");
        return true;
    }
    instance_record_init(&record);
    key_place(&moving->record, RECORD_INSTANCE, moving->identity.study, moving->identity.series,
              moving->identity.instance);
    bool ok = lookup_instance(compact->archive, &moving->identity, &record, &found, &broken);
    if (ok && found)
        refers = blob_id_equals(&record.blob, &moving->old);
    if (ok && found && !refers)
        ok = version_find(compact->archive, &moving->identity, &moving->old, &moving->record,
                          &record, &refers, &broken);
    if (ok && !facts.stored_at_us) /* of the key's first form */
        facts.stored_at_us = record.stored_at_ms * 1000;
    blob_key_encode(&moving->key, &moving->identity, &facts);
    if (!ok && broken.code == ERROR_CORRUPT)
        keep(compact, moving, broken.message);
    else
        moving->fate = refers ? FATE_MOVES : FATE_UNKNOWN;
    instance_record_release(&record);
    return ok || broken.code == ERROR_CORRUPT || error_set(err, broken.code, "%s", broken.message);
}

static bool process_batch(struct compact *compact, struct error *err)
{
    uint64_t bytes = 0;
    bool ok = true;
    for (size_t i = 0; i < compact->count; i++)
        bytes += compact->batch[i].old.size;
    if (compact->dry_run) {
        for (size_t i = 0; i < compact->count; i++) {
            bool moves = compact->batch[i].fate == FATE_MOVES;
            compact->report->moved += moves;
            compact->report->moved_bytes += moves ? compact->batch[i].old.size : 0;
        }
    } else {
        ok = move_batch(compact, err) && remove_unknowns(compact, err);
    }
    compact->count = 0;
    compact->done += bytes;
    return ok && job_step(compact->job, "moving records", "bytes", compact->done, compact->total,
                          compact->dry_run ? 0 : 2 * bytes, err);
}

static bool compact_segment(struct compact *compact, const struct storage_segment_figures *figures,
                            struct error *err)
{
    struct blob_walk *walk = NULL;
    struct blob_record record;
    uint64_t bytes = 0;
    bool found = true;
    compact->kept = 0;
    if (!blob_walk_open_segment(compact->archive->storage, figures->number, &walk, err))
        return false;
    bool ok = true;
    while (ok && (ok = blob_walk_next(walk, &record, &found, err)) && found) {
        if (record.dead)
            continue;
        struct moving *moving = &compact->batch[compact->count++];
        moving->old = record.id;
        bytes += record.id.size;
        ok = look_up(compact, record.key, moving, err);
        if (ok && (compact->count == BATCH_RECORDS || bytes >= BATCH_BYTES)) {
            ok = process_batch(compact, err);
            bytes = 0;
        }
    }
    ok = ok && process_batch(compact, err);
    blob_walk_close(walk);
    if (ok)
        compact->report->segments++;
    if (ok && !compact->kept)
        compact->report->freed_bytes += figures->held_bytes;
    return ok;
}

/* Of what it takes on the disk. */
static double dead_share(const struct storage_segment_figures *figures)
{
    uint64_t alive = figures->bytes > figures->dead_bytes ? figures->bytes - figures->dead_bytes
                                                          : 0;
    uint64_t all = alive + figures->held_bytes;
    return all ? (double)figures->held_bytes / (double)all : 0;
}

static int by_dead_share(const void *a, const void *b)
{
    double first = dead_share(a), second = dead_share(b);
    return first > second ? -1 : first < second;
}

/* The segments that are to be taken up, those that give back most first. A single record goes with
 * its segment, and where something is still appended nobody else reads. */
static struct storage_segment_figures *choose(struct compact *compact, double share, size_t *count)
{
    struct storage_segment_figures *chosen = NULL;
    struct storage_segment_figures figures = { 0 };
    size_t capacity = 0;
    bool found;
    *count = 0;
    for (;;) {
        storage_segment_figures(compact->archive->storage, figures.number, &figures, &found);
        if (!found)
            break;
        if (figures.single || !figures.sealed || !figures.held_bytes ||
            dead_share(&figures) < share)
            continue;
        if (*count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            chosen = mem_resize_array(chosen, capacity, sizeof(*chosen));
        }
        chosen[(*count)++] = figures;
        compact->total += figures.bytes - figures.dead_bytes;
    }
    if (*count)
        qsort(chosen, *count, sizeof(*chosen), by_dead_share);
    return chosen;
}

bool archive_compact(struct archive *archive, const struct compact_options *options,
                     struct job *job, struct compact_report *report, struct error *err)
{
    struct compact compact = {
        .archive = archive, .job = job, .report = report, .dry_run = options->dry_run
    };
    int64_t began_ms = clock_monotonic_ms();
    size_t count;
    bool ok = true;
    memset(report, 0, sizeof(*report));
    if (atomic_exchange(&archive->compacting, true))
        return error_set(err, ERROR_BUSY, "the archive is being compacted already");
    pthread_mutex_init(&compact.lock, NULL);
    compact.batch = mem_alloc_array(BATCH_RECORDS, sizeof(*compact.batch));
    struct storage_segment_figures *chosen = choose(&compact, options->dead_share, &count);
    for (size_t i = 0; ok && i < count; i++)
        ok = compact_segment(&compact, &chosen[i], err);
    free(chosen);
    free(compact.batch);
    pthread_mutex_destroy(&compact.lock);
    atomic_store(&archive->compacting, false);
    report->milliseconds = clock_monotonic_ms() - began_ms;
    return ok;
}
