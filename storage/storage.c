/* SPDX-License-Identifier: MIT */
#include "storage/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "storage/backup_source.h"
#include "storage/blob_limits.h"
#include "storage/folder.h"
#include "storage/index_swap.h"
#include "storage/space.h"
#include "storage/store.h"

enum {
    SEGMENT_SIZE = 1 << 30,
    PATH_SIZE = 4096,
};

struct storage_cursor {
    struct keyvalue_cursor *inner;
};

static bool lock_folder(struct storage *storage, struct error *err)
{
    struct error why = { 0 };
    if (folder_lock(storage->folder_fd, "LOCK", false, &storage->lock_fd, &why))
        return true;
    if (why.code != ERROR_BUSY)
        return error_set(err, why.code, "%.100s/%s", storage->path, why.message);
    return error_set(err, ERROR_BUSY,
                     "%.100s is in use by another process: stop that one first, or choose another "
                     "data directory",
                     storage->path);
}

bool storage_write_format(int folder_fd, struct error *err)
{
    char text[64];
    int size = snprintf(text, sizeof(text), "hounsfield storage %d\n", STORAGE_VERSION);
    return folder_replace_file(folder_fd, "FORMAT", slice_of(text, (size_t)size), err);
}

static bool has(const struct storage *storage, const char *name)
{
    return faccessat(storage->folder_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A path that was mistyped must not be filled with an archive. Before the lock, which would be a
 * file more in a folder of others. */
static bool check_new(const struct storage *storage, struct error *err)
{
    static const char *const known[] = { "LOCK", "FORMAT.new", NULL };
    char name[FOLDER_NAME_SIZE];
    if (has(storage, "FORMAT") || has(storage, "index") || has(storage, "segments"))
        return true;
    if (!folder_find_other(storage->folder_fd, known, name, err))
        return error_add_context(err, "%.100s", storage->path);
    return !name[0] || error_set(err, ERROR_INVALID,
                                 "%.100s holds something that is no archive: %.60s; choose a data "
                                 "directory that is empty or not there yet",
                                 storage->path, name);
}

static bool check_format(struct storage *storage, struct error *err)
{
    char text[64] = "";
    int version = 0;
    int fd = openat(storage->folder_fd, "FORMAT", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (has(storage, "index") || has(storage, "segments"))
            return error_set(err, ERROR_CORRUPT, "%.100s holds data but no FORMAT file",
                             storage->path);
        return storage_write_format(storage->folder_fd, err) ||
               error_add_context(err, "%.100s", storage->path);
    }
    if (fd < 0)
        return error_set_errno(err, errno, "%.100s/FORMAT", storage->path);
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size < 0 || sscanf(text, "hounsfield storage %d", &version) != 1)
        return error_set(err, ERROR_CORRUPT, "%.100s/FORMAT is not understood", storage->path);
    if (version > STORAGE_VERSION)
        return error_set(err, ERROR_UNSUPPORTED,
                         "%.100s has format %d, newer than this program, which knows %d",
                         storage->path, version, STORAGE_VERSION);
    return true;
}

static bool sync_index(void *context, struct error *err)
{
    struct storage *storage = context;
    if (storage->keyvalue->operations->sync(storage->keyvalue, err))
        return true;
    atomic_store(&storage->failed, true);
    if (err)
        err->code = ERROR_IO;
    return false;
}

static void index_is_durable(void *context, uint64_t mark)
{
    feed_advance(context, mark);
}

static struct storage *storage_new(const char *path)
{
    struct storage *storage = mem_alloc(sizeof(*storage));
    pthread_condattr_t attributes;
    storage->path = mem_copy_text(path);
    storage->folder_fd = -1;
    storage->lock_fd = -1;
    storage->pool = block_pool_new(BLOB_BLOCK_SIZE);
    storage->reclaim = reclaim_new(storage);
    pthread_mutex_init(&storage->turn, NULL);
    group_sync_init(&storage->commits, sync_index, index_is_durable, storage);
    pthread_mutex_init(&storage->feed_lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&storage->feed_changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return storage;
}

static bool has_segments(const struct storage *storage)
{
    bool found = false;
    int fd = openat(storage->folder_fd, "segments", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (struct dirent *entry; !found && (entry = readdir(folder));)
        found = strstr(entry->d_name, ".seg") != NULL;
    closedir(folder);
    return found;
}

static bool check_index(const struct storage *storage, struct error *err)
{
    if (faccessat(storage->folder_fd, INDEX_FOLDER "/CURRENT", F_OK, 0) == 0 ||
        !has_segments(storage))
        return true;
    if (faccessat(storage->folder_fd, INDEX_NEW_FOLDER, F_OK, 0) == 0)
        return error_set(err, ERROR_CORRUPT,
                         "%.80s/index is gone, and a rebuild of it did not come to its end: run "
                         "`hounsfield rebuild` again",
                         storage->path);
    return error_set(err, ERROR_CORRUPT,
                     "%.80s/index is gone, but its segments hold images: put it back from a "
                     "backup, or run `hounsfield rebuild`; without it the archive would look empty",
                     storage->path);
}

static bool open_index(struct storage *storage, const struct storage_options *options,
                       struct error *err)
{
    char path[PATH_SIZE];
    if (storage->keyvalue)
        return true;
    if (options->index_in_memory) {
        storage->keyvalue = memory_keyvalue_open();
        return true;
    }
    if (options->rebuild ? !index_swap_clear(storage->path, err) : !check_index(storage, err))
        return false;
    snprintf(path, sizeof(path), "%s/%s", storage->path,
             options->rebuild ? INDEX_NEW_FOLDER : INDEX_FOLDER);
    struct error why = { 0 };
    if (rocks_open(path, &storage->keyvalue, &why))
        return true;
    return error_set(err, why.code, "%.160s%s", why.message,
                     why.code == ERROR_CORRUPT && !options->rebuild
                         ? "; put it back from a backup, or run `hounsfield rebuild`"
                         : "");
}

static bool open_parts(struct storage *storage, const struct storage_options *options,
                       struct error *err)
{
    char path[PATH_SIZE];
    uint64_t segment_size = options->segment_size ? options->segment_size : SEGMENT_SIZE;
    if (segment_size < 2 * SEGMENT_BLOCK)
        return error_set(err, ERROR_INVALID, "segments must have at least %d bytes",
                         2 * SEGMENT_BLOCK);
    if (options->rebuild && access(options->path, F_OK) != 0)
        return error_set_errno(err, errno, "%.100s", options->path);
    if (!folder_make(options->path, err))
        return false;
    storage->folder_fd = open(options->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (storage->folder_fd < 0)
        return error_set_errno(err, errno, "%.100s", options->path);
    if (!check_new(storage, err) || !lock_folder(storage, err) || !check_format(storage, err) ||
        !identity_load(storage->folder_fd, &storage->identity, err) ||
        !backup_clean_up(storage, err))
        return false;
    snprintf(path, sizeof(path), "%s/segments", storage->path);
    if (!folder_make(path, err) || !open_index(storage, options, err))
        return false;
    if (fsync(storage->folder_fd) != 0)
        return error_set_errno(err, errno, "%.100s", options->path);
    if (!feed_load_sequence(storage->keyvalue, &storage->last_sequence, err))
        return false;
    storage->durable_sequence = storage->last_sequence;
    if (!feed_load_gaps(storage, err) || !feed_load_streams(storage, err))
        return false;
    if (!segments_open(path, segment_size / SEGMENT_BLOCK * SEGMENT_BLOCK, options->rebuild,
                       storage->keyvalue, &storage->failed, &storage->segments, err))
        return false;
    storage->segments->cannot_punch = options->cannot_punch;
    return options->rebuild || reclaim_start(storage->reclaim, storage->keyvalue, err);
}

bool storage_open_with(const struct storage_options *options, struct keyvalue *keyvalue_take,
                       struct storage **out, struct error *err)
{
    struct storage *storage = storage_new(options->path);
    storage->keyvalue = keyvalue_take;
    storage->rebuild = options->rebuild && !options->index_in_memory;
    if (!open_parts(storage, options, err)) {
        storage_close(storage);
        return false;
    }
    *out = storage;
    return true;
}

bool storage_open(const struct storage_options *options, struct storage **out, struct error *err)
{
    return storage_open_with(options, NULL, out, err);
}

/* The next opening need not look for the end of the active segment then. */
static bool save_checkpoint(struct storage *storage, struct error *err)
{
    struct transaction *transaction = NULL;
    segments_checkpoint(storage->segments);
    if (!transaction_open(storage, &transaction, err))
        return false;
    bool ok = transaction_commit_unsynced(transaction, err) &&
              storage->keyvalue->operations->sync(storage->keyvalue, err);
    transaction_close(transaction);
    return ok;
}

/* What stands in the log alone is read again by the next opening, at about 15 MiB a second:
 * written into tables now, it costs nothing then. */
static void empty_log(struct storage *storage)
{
    const struct keyvalue_operations *operations = storage->keyvalue->operations;
    if (operations->flush && !atomic_load(&storage->failed))
        operations->flush(storage->keyvalue, NULL); /* if not, the log has it */
}

static bool close_parts(struct storage *storage, struct error *err)
{
    bool ok = true;
    reclaim_free(storage->reclaim);
    if (storage->segments) {
        ok = save_checkpoint(storage, err);
        if (ok)
            empty_log(storage);
        segments_close(storage->segments);
    }
    if (storage->keyvalue)
        storage->keyvalue->operations->close(storage->keyvalue);
    return ok;
}

static void storage_free(struct storage *storage)
{
    if (storage->lock_fd >= 0)
        close(storage->lock_fd);
    if (storage->folder_fd >= 0)
        close(storage->folder_fd);
    block_pool_free(storage->pool);
    group_sync_release(&storage->commits);
    pthread_mutex_destroy(&storage->turn);
    pthread_mutex_destroy(&storage->feed_lock);
    pthread_cond_destroy(&storage->feed_changed);
    free(storage->path);
    free(storage);
}

void storage_close(struct storage *storage)
{
    if (!storage)
        return;
    close_parts(storage, NULL);
    if (storage->rebuild && storage->keyvalue)
        index_swap_clear(storage->path, NULL);
    storage_free(storage);
}

bool storage_close_rebuilt(struct storage *storage, struct error *err)
{
    bool ok = close_parts(storage, err) &&
              index_swap_install(storage->path, storage->folder_fd, err);
    storage_free(storage);
    return ok;
}

bool storage_check(struct storage *storage, struct error *err)
{
    if (!atomic_load(&storage->failed))
        return true;
    return error_set(err, ERROR_IO,
                     "the disk refused to make a write durable; nothing more is "
                     "written until a restart");
}

bool storage_get(struct storage *storage, enum table table, struct slice key, struct buffer *value,
                 bool *found, struct error *err)
{
    return storage->keyvalue->operations->get(storage->keyvalue, table, key, value, found, err);
}

struct storage *storage_view_open(struct storage *storage)
{
    struct storage *view = mem_alloc(sizeof(*view));
    view->durable_sequence = feed_latest(storage);
    view->keyvalue = storage->keyvalue->operations->view(storage->keyvalue);
    pthread_mutex_init(&view->feed_lock, NULL);
    return view;
}

void storage_view_close(struct storage *view)
{
    if (!view)
        return;
    view->keyvalue->operations->close(view->keyvalue);
    pthread_mutex_destroy(&view->feed_lock);
    free(view);
}

static bool cursor_open(struct storage *storage, enum table table, struct slice lower,
                        struct slice upper, bool backwards, struct storage_cursor **out,
                        struct error *err)
{
    struct keyvalue_cursor *inner = NULL;
    if (!storage->keyvalue->operations->cursor_open(storage->keyvalue, table, lower, upper,
                                                    backwards, &inner, err))
        return false;
    *out = mem_alloc(sizeof(**out));
    (*out)->inner = inner;
    return true;
}

bool storage_cursor_open(struct storage *storage, enum table table, struct slice lower,
                         struct slice upper, struct storage_cursor **out, struct error *err)
{
    return cursor_open(storage, table, lower, upper, false, out, err);
}

bool storage_cursor_open_backwards(struct storage *storage, enum table table, struct slice lower,
                                   struct slice upper, struct storage_cursor **out,
                                   struct error *err)
{
    return cursor_open(storage, table, lower, upper, true, out, err);
}

bool storage_cursor_open_prefix(struct storage *storage, enum table table, struct slice prefix,
                                struct storage_cursor **out, struct error *err)
{
    uint8_t *upper = mem_copy(prefix.data, prefix.size);
    size_t size = prefix.size;
    while (size && upper[size - 1] == 0xFF)
        size--; /* what comes after xFF is what comes after x */
    if (size)
        upper[size - 1]++;
    bool ok = cursor_open(storage, table, prefix, slice_of(upper, size), false, out, err);
    free(upper);
    return ok;
}

bool storage_cursor_next(struct storage_cursor *cursor, struct slice *key, struct slice *value,
                         bool *found, struct error *err)
{
    struct slice key_here;
    struct slice value_here;
    return cursor->inner->operations->cursor_next(cursor->inner, key ? key : &key_here,
                                                  value ? value : &value_here, found, err);
}

void storage_cursor_close(struct storage_cursor *cursor)
{
    if (!cursor)
        return;
    cursor->inner->operations->cursor_close(cursor->inner);
    free(cursor);
}

bool storage_settle(struct storage *storage, struct error *err)
{
    /* Who writes takes a ticket before the end of the turn: after it, what is seen has one. */
    pthread_mutex_lock(&storage->turn);
    pthread_mutex_unlock(&storage->turn);
    return group_sync_settle(&storage->commits, err);
}

void storage_figures(struct storage *storage, struct storage_figures *figures)
{
    segments_figures(storage->segments, figures);
    uint64_t pending = reclaim_pending_bytes(storage->reclaim);
    figures->blob_bytes -= pending < figures->blob_bytes ? pending : figures->blob_bytes;
    figures->dead_bytes += pending;
    figures->free_disk_bytes = space_free(storage->folder_fd);
    figures->failed = atomic_load(&storage->failed);
}

void storage_segment_figures(struct storage *storage, uint32_t after_number,
                             struct storage_segment_figures *figures, bool *found)
{
    *found = segments_figures_after(storage->segments, after_number, figures);
}

void storage_table_figures(struct storage *storage, enum table table,
                           struct storage_table_figures *figures)
{
    storage->keyvalue->operations->figures(storage->keyvalue, table, figures);
}
