/* SPDX-License-Identifier: MIT */
#include "storage/backup_target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "storage/backup_copy.h"
#include "storage/crc32c.h"
#include "storage/folder.h"
#include "storage/store.h"

enum { PATH_SIZE = 4096, DISK_BLOCK = 512 };

/* Tells a backup that was never finished from a data directory, which has an empty LOCK. */
static const char lock_text[] = "hounsfield backup\n";

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The folder or one above it, whatever the paths are called. */
static bool is_within(int folder_fd, const struct stat *place)
{
    struct stat here;
    struct stat above;
    bool within = false;
    int fd = openat(folder_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && fstat(fd, &here) == 0 && !(within = is_same(&here, place))) {
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = up;
        if (fd >= 0 && fstat(fd, &above) == 0 && is_same(&here, &above))
            break;
    }
    if (fd >= 0)
        close(fd);
    return within;
}

/* The folder that the path's last name is in: "." or "/" at the least. */
static void cut_last_name(char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    while (size && path[size - 1] != '/')
        size--;
    while (size > 1 && path[size - 1] == '/')
        size--;
    path[size] = '\0';
    if (!size)
        memcpy(path, ".", sizeof("."));
}

/* The folder, or the one that it is to be made in. No more than that is made: a disk that is not
 * mounted must not be taken for an empty one, nor a mistyped path be filled. */
static int open_nearest(const char *path, bool *is_there)
{
    char part[PATH_SIZE];
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *is_there = fd >= 0;
    if (fd >= 0 || errno != ENOENT)
        return fd;
    snprintf(part, sizeof(part), "%s", path);
    cut_last_name(part);
    return open(part, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static bool check_place(const char *path, const struct storage *storage, struct error *err)
{
    struct stat data;
    struct stat target;
    bool is_there = false;
    if (strlen(path) >= PATH_SIZE)
        return error_set(err, ERROR_INVALID, "the directory has no usable path");
    int fd = open_nearest(path, &is_there);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND,
                         "%.100s cannot be made: the directory that it is to be in is not there; "
                         "is the disk mounted?",
                         path);
    if (fd < 0 || fstat(fd, &target) != 0 || fstat(storage->folder_fd, &data) != 0) {
        error_set_errno(err, errno, "%.100s", path);
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool apart = !is_within(fd, &data) && !(is_there && is_within(storage->folder_fd, &target));
    close(fd);
    return apart || error_set(err, ERROR_INVALID,
                              "a backup cannot be where the data directory is, nor within it, nor "
                              "around it: it is there for when that disk is lost");
}

struct contents {
    bool begun;
    bool other;
    char name[64];
};

static bool look_at(void *context, const char *name, struct error *err)
{
    struct contents *contents = context;
    (void)err;
    if (strcmp(name, "index") == 0 || strcmp(name, "segments") == 0)
        contents->begun = true;
    else if (strcmp(name, "LOCK") != 0 && strcmp(name, "lost+found") != 0 &&
             strcmp(name, BACKUP_MANIFEST ".new") != 0 &&
             strncmp(name, BACKUP_MANIFEST_PARTIAL, strlen(BACKUP_MANIFEST_PARTIAL)) != 0) {
        contents->other = true;
        snprintf(contents->name, sizeof(contents->name), "%s", name);
    }
    return true;
}

static bool has_lock_text(int folder_fd)
{
    char text[sizeof(lock_text)] = "";
    int fd = openat(folder_fd, "LOCK", O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && read(fd, text, sizeof(text)) == (ssize_t)strlen(lock_text) &&
              strcmp(text, lock_text) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Without a manifest it is empty, or a first backup that did not come to its end. */
static bool check_contents(int folder_fd, const char *path, struct error *err)
{
    struct contents contents = { 0 };
    if (!folder_each(folder_fd, look_at, &contents, err))
        return false;
    if (contents.other)
        return error_set(err, ERROR_CONFLICT,
                         "%.100s holds something that is no backup: %.60s; choose an empty "
                         "directory",
                         path, contents.name);
    if (contents.begun && !has_lock_text(folder_fd))
        return error_set(err, ERROR_CONFLICT,
                         "%.100s holds something that is no backup; choose an empty directory",
                         path);
    return true;
}

static bool make_parts(struct backup_target *target, const char *path, struct error *err)
{
    struct error why = { 0 };
    /* Before the lock, which would be a file more in a folder of others; and with it. */
    if (!target->has_backup && faccessat(target->fd, "LOCK", F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
        !check_contents(target->fd, path, err))
        return false;
    if (!folder_lock(target->fd, "LOCK", false, &target->lock_fd, &why))
        return why.code == ERROR_BUSY
                   ? error_set(err, ERROR_BUSY, "%.100s is in use by another process", path)
                   : error_set(err, why.code, "%.100s/%s", path, why.message);
    if (!target->has_backup && !check_contents(target->fd, path, err))
        return false;
    if (!has_lock_text(target->fd) &&
        (pwrite(target->lock_fd, lock_text, strlen(lock_text), 0) != (ssize_t)strlen(lock_text) ||
         fsync(target->lock_fd) != 0 || fsync(target->fd) != 0))
        return error_set_errno(err, errno, "%.100s/LOCK", path);
    return folder_open_in(target->fd, "index", true, &target->index_fd, err) &&
           folder_open_in(target->fd, "segments", true, &target->segments_fd, err);
}

/* For a look without a change. */
static bool open_parts(struct backup_target *target, const char *path, struct error *err)
{
    if (!target->has_backup && !check_contents(target->fd, path, err))
        return false;
    folder_open_in(target->fd, "index", false, &target->index_fd, NULL);
    folder_open_in(target->fd, "segments", false, &target->segments_fd, NULL);
    return true;
}

bool backup_target_open(struct backup_target *target, struct storage *storage,
                        const struct backup_options *options, struct error *err)
{
    const char *path = options->directory;
    if (!check_place(path, storage, err))
        return false;
    if (!options->dry_run && !folder_make(path, err))
        return false;
    target->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (target->fd < 0 && errno == ENOENT && options->dry_run)
        return true;
    if (target->fd < 0)
        return error_set_errno(err, errno, "%.100s", path);
    if (!backup_manifest_load(target->fd, BACKUP_MANIFEST, &target->known, &target->has_backup,
                              err))
        return error_add_context(err, "%.100s", path);
    return options->dry_run ? open_parts(target, path, err) : make_parts(target, path, err);
}

/* The change that was the last one then is still what it was. */
static bool knows_change(struct storage *storage, const struct backup_manifest *known,
                         const struct backup_manifest *state)
{
    uint8_t key[8];
    bool found = false;
    struct buffer entry = buffer_up_to(1 << 20);
    put_u64be(key, known->sequence);
    bool same = known->sequence <= state->sequence &&
                storage_get(storage, TABLE_FEED, slice_of(key, sizeof(key)), &entry, &found, NULL);
    if (same && found)
        same = crc32c_extend(0, buffer_slice(&entry)) == known->change_crc32c;
    buffer_release(&entry);
    return same;
}

/* Segments only grow, and tables are never written twice, as long as the archive is the same one
 * and has a single history. */
static bool check_history(const struct backup_manifest *known, struct storage *storage,
                          const struct backup_manifest *state, struct error *err)
{
    if (strcmp(known->archive, state->archive) != 0)
        return error_set(err, ERROR_CONFLICT, "the directory holds a backup of another archive");
    if (strcmp(known->data, state->data) != 0 &&
        strcmp(known->backup, storage->identity.restored) != 0)
        return error_set(err, ERROR_CONFLICT,
                         "the directory holds a backup of another copy of this archive, which has "
                         "gone its own way; choose another directory");
    if (strcmp(known->data, state->data) == 0 &&
        strcmp(known->index_identity, state->index_identity) == 0 &&
        !knows_change(storage, known, state))
        return error_set(err, ERROR_CONFLICT,
                         "the archive was set back to a state before this backup was taken; choose "
                         "another directory");
    for (size_t i = 0; i < state->segment_count; i++) {
        const struct backup_segment *segment = &state->segments[i];
        const struct backup_segment *there = backup_manifest_segment(known, segment->number);
        if (there &&
            (memcmp(there->nonce, segment->nonce, NONCE_SIZE) != 0 || there->end > segment->end))
            return error_set(err, ERROR_CONFLICT,
                             "segment %" PRIu32 " of the backup is not that of the archive; choose "
                             "another directory",
                             segment->number);
    }
    return true;
}

/* Segments that an attempt copied which did not come to its end. */
static void merge_partial(struct backup_target *target, struct storage *storage,
                          const struct backup_manifest *state)
{
    struct backup_manifest partial = { 0 };
    bool found = false;
    bool ok = target->fd >= 0 &&
              backup_manifest_load(target->fd, BACKUP_MANIFEST_PARTIAL, &partial, &found, NULL);
    ok = ok && found && strcmp(partial.data, state->data) == 0 &&
         check_history(&partial, storage, state, NULL);
    for (size_t i = 0; ok && i < partial.segment_count; i++) {
        const struct backup_segment *segment = &partial.segments[i];
        struct backup_segment *known = backup_manifest_segment(&target->known, segment->number);
        if (!known)
            backup_manifest_add_segment(&target->known, segment);
        else if (memcmp(known->nonce, segment->nonce, NONCE_SIZE) == 0 && known->end < segment->end)
            known->end = segment->end;
    }
    backup_manifest_release(&partial);
}

bool backup_target_check(struct backup_target *target, struct storage *storage,
                         const struct backup_manifest *state, struct error *err)
{
    if (target->has_backup && !check_history(&target->known, storage, state, err))
        return false;
    merge_partial(target, storage, state);
    return true;
}

struct purge {
    int fd;
    const struct backup_manifest *made;
    uint64_t *removed_bytes;
};

static bool remove_it(const struct purge *purge, const char *name, struct error *err)
{
    struct stat status;
    if (purge->removed_bytes && fstatat(purge->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        *purge->removed_bytes += (uint64_t)status.st_blocks * DISK_BLOCK;
    return unlinkat(purge->fd, name, 0) == 0 || error_set_errno(err, errno, "%.60s", name);
}

static bool purge_file(void *context, const char *name, struct error *err)
{
    const struct purge *purge = context;
    return backup_manifest_file(purge->made, name) || remove_it(purge, name, err);
}

static bool purge_segment(void *context, const char *name, struct error *err)
{
    const struct purge *purge = context;
    uint32_t number = 0;
    char expected[32];
    if (sscanf(name, "%10" SCNu32, &number) == 1) {
        backup_segment_name(number, expected);
        if (strcmp(name, expected) == 0 && !backup_manifest_segment(purge->made, number))
            return remove_it(purge, name, err);
    }
    return true;
}

bool backup_target_purge(const struct backup_target *target, const struct backup_manifest *made,
                         uint64_t *removed_bytes, struct error *err)
{
    struct purge index = { target->index_fd, made, NULL };
    struct purge segments = { target->segments_fd, made, removed_bytes };
    return folder_each(target->index_fd, purge_file, &index, err) &&
           folder_each(target->segments_fd, purge_segment, &segments, err);
}

void backup_target_forget(const struct backup_target *target)
{
    struct purge index = { target->index_fd, &target->known, NULL };
    folder_each(target->index_fd, purge_file, &index, NULL);
}

void backup_target_close(struct backup_target *target)
{
    int *fds[] = { &target->segments_fd, &target->index_fd, &target->lock_fd, &target->fd };
    for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    backup_manifest_release(&target->known);
}
