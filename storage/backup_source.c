/* SPDX-License-Identifier: MIT */
#include "storage/backup_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/memory.h"
#include "storage/crc32c.h"
#include "storage/folder.h"
#include "storage/store.h"

#define CHECKPOINT_FOLDER "index.backup"

enum {
    PATH_SIZE = 4096,
    HOLD_STEP_MS = 200, /* between two looks whether the job was cancelled */
    DRAIN_NS = 200000,  /* between two looks whether the writes under way have ended */
};

bool backup_clean_up(struct storage *storage, struct error *err)
{
    return folder_remove(storage->folder_fd, CHECKPOINT_FOLDER, err) &&
           folder_remove(storage->folder_fd, CHECKPOINT_FOLDER ".tmp", err);
}

/* RocksDB makes a new name for each database: names of tables are used once below it. */
static bool read_index_identity(struct backup_source *source, struct error *err)
{
    char *text = source->state.index_identity;
    int fd = openat(source->storage->folder_fd, "index/IDENTITY", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "index/IDENTITY");
    ssize_t size = read(fd, text, INDEX_IDENTITY_SIZE - 1);
    close(fd);
    text[size > 0 ? strcspn(text, "\n") : 0] = '\0';
    size_t plain = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-");
    return (plain && !text[plain]) ||
           error_set(err, ERROR_CORRUPT, "index/IDENTITY is not understood");
}

static bool hold(struct backup_source *source, struct job *job, struct error *err)
{
    while (!reclaim_hold(source->storage->reclaim, HOLD_STEP_MS))
        if (!job_step(job, "waiting for deletions", "bytes", 0, 0, 0, err))
            return false;
    source->held = true;
    return true;
}

/* With append_lock: nobody begins a record, so those that were begun end, durable or failed. Nobody
 * is told meanwhile: who listens may be slow, and all writers wait. */
static void drain(struct segments *segments)
{
    unsigned pending;
    do {
        pending = 0;
        pthread_mutex_lock(&segments->lock);
        for (size_t i = 0; i < segments->count; i++)
            pending += segments->items[i]->in_flight;
        pthread_mutex_unlock(&segments->lock);
        if (pending)
            nanosleep(&(struct timespec){ .tv_nsec = DRAIN_NS }, NULL);
    } while (pending);
}

static void list_segments(struct segments *segments, struct backup_manifest *state)
{
    pthread_mutex_lock(&segments->lock);
    for (size_t i = 0; i < segments->count; i++) {
        const struct segment *segment = segments->items[i];
        struct backup_segment entry = { .number = segment->number,
                                        .kind = segment->kind,
                                        .end = segment->end,
                                        .dead = segment->dead_records };
        memcpy(entry.nonce, segment->nonce, NONCE_SIZE);
        if (segment->ready)
            backup_manifest_add_segment(state, &entry);
    }
    pthread_mutex_unlock(&segments->lock);
}

static void add_deleted(struct backup_source *source, struct slice key)
{
    if (source->deleted_count == source->deleted_capacity) {
        source->deleted_capacity = source->deleted_capacity ? source->deleted_capacity * 2 : 64;
        source->deleted = mem_resize_array(source->deleted, source->deleted_capacity,
                                           sizeof(*source->deleted));
    }
    blob_id_decode(key.data + 1, &source->deleted[source->deleted_count++]);
}

/* Their cursor is opened in the turn and read behind it. */
static bool read_deleted(struct backup_source *source, struct storage_cursor *cursor,
                         struct error *err)
{
    struct slice key;
    bool found = true;
    for (;;) {
        if (!storage_cursor_next(cursor, &key, NULL, &found, err))
            return false;
        if (!found)
            return true;
        if (key.size == RECLAIM_KEY_SIZE)
            add_deleted(source, key);
    }
}

/* By its entry the change is known again: another one under the same number means that the archive
 * was set back. */
static bool read_change(struct backup_source *source, struct error *err)
{
    uint8_t key[8];
    bool found = false;
    struct buffer entry = buffer_up_to(1 << 20);
    put_u64be(key, source->state.sequence);
    bool ok = storage_get(source->storage, TABLE_FEED, slice_of(key, sizeof(key)), &entry, &found,
                          err);
    source->state.change_crc32c = ok && found ? crc32c_extend(0, buffer_slice(&entry)) : 0;
    buffer_release(&entry);
    return ok;
}

/* In the turn and with append_lock, over the sync of the log and the linking of the tables: this is
 * what makes index and segments those of one moment. The log has little in it, it was flushed just
 * before. */
static bool take(struct backup_source *source, struct storage_cursor **deleted, struct error *err)
{
    struct storage *storage = source->storage;
    static const uint8_t kind[] = { SEGMENT_KEY_DELETION };
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/" CHECKPOINT_FOLDER, storage->path);
    drain(storage->segments);
    if (!group_sync_settle(&storage->commits, err) || !storage_check(storage, err) ||
        !storage->keyvalue->operations->checkpoint(storage->keyvalue, path, err) ||
        !storage_cursor_open_prefix(storage, TABLE_SEGMENT, slice_of(kind, 1), deleted, err))
        return false;
    source->state.taken_at_ms = clock_unix_ms();
    source->state.sequence = storage->last_sequence;
    list_segments(storage->segments, &source->state);
    return true;
}

static bool take_moment(struct backup_source *source, struct error *err)
{
    struct storage *storage = source->storage;
    struct storage_cursor *deleted = NULL;
    if (!storage->keyvalue->operations->flush(storage->keyvalue, err))
        return false;
    pthread_mutex_lock(&storage->turn);
    pthread_mutex_lock(&storage->segments->append_lock);
    int64_t began_us = clock_monotonic_us();
    bool ok = take(source, &deleted, err);
    source->paused_us = clock_monotonic_us() - began_us;
    pthread_mutex_unlock(&storage->segments->append_lock);
    pthread_mutex_unlock(&storage->turn);
    ok = ok && read_deleted(source, deleted, err) && read_change(source, err);
    storage_cursor_close(deleted);
    return ok;
}

static void begin(struct storage *storage, struct backup_source *source)
{
    *source = (struct backup_source){ .storage = storage, .index_fd = -1 };
    memcpy(source->state.archive, storage->identity.archive, IDENTITY_SIZE);
    memcpy(source->state.data, storage->identity.data, IDENTITY_SIZE);
    source->state.storage_version = STORAGE_VERSION;
}

static bool check_files(struct storage *storage, struct error *err)
{
    return storage->keyvalue->operations->checkpoint ||
           error_set(err, ERROR_UNSUPPORTED, "an index in memory has no backup");
}

bool backup_source_open(struct storage *storage, struct job *job, struct backup_source *source,
                        struct error *err)
{
    bool none = false;
    begin(storage, source);
    if (!check_files(storage, err) || !storage_check(storage, err))
        return false;
    source->alone = atomic_compare_exchange_strong(&storage->backed_up, &none, true);
    if (!source->alone)
        return error_set(err, ERROR_BUSY, "another backup is under way");
    if (identity_random(source->state.backup, err) && read_index_identity(source, err) &&
        backup_clean_up(storage, err) && hold(source, job, err) && take_moment(source, err)) {
        FAULT_POINT("backup-after-checkpoint");
        source->index_fd = openat(storage->folder_fd, CHECKPOINT_FOLDER,
                                  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (source->index_fd >= 0)
            return true;
        error_set_errno(err, errno, CHECKPOINT_FOLDER);
    }
    backup_source_close(source);
    return false;
}

bool backup_source_peek(struct storage *storage, struct backup_source *source, struct error *err)
{
    begin(storage, source);
    if (!check_files(storage, err) || !read_index_identity(source, err))
        return false;
    pthread_mutex_lock(&storage->turn);
    source->state.sequence = storage->last_sequence;
    pthread_mutex_unlock(&storage->turn);
    source->state.taken_at_ms = clock_unix_ms();
    list_segments(storage->segments, &source->state);
    source->index_fd = openat(storage->folder_fd, "index", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return source->index_fd >= 0 || error_set_errno(err, errno, "index");
}

void backup_source_drop_index(struct backup_source *source)
{
    if (source->index_fd >= 0)
        close(source->index_fd);
    source->index_fd = -1;
    if (source->held)
        backup_clean_up(source->storage, NULL); /* else the next start does it */
}

void backup_source_release(struct backup_source *source)
{
    if (source->held)
        reclaim_release(source->storage->reclaim);
    source->held = false;
}

void backup_source_close(struct backup_source *source)
{
    backup_source_drop_index(source);
    backup_source_release(source);
    if (source->alone)
        atomic_store(&source->storage->backed_up, false);
    backup_manifest_release(&source->state);
    free(source->deleted);
    *source = (struct backup_source){ .index_fd = -1 };
}
