/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "storage/backup.h"
#include "storage/backup_copy.h"
#include "storage/backup_folder.h"
#include "storage/folder.h"
#include "storage/store.h"

enum { PATH_SIZE = 4096 };

struct restore {
    struct backup_folder backup;
    struct backup_manifest manifest;
    struct copy copy;
    const char *path;
    bool made; /* the data directory was not there before */
    int fd;
    int lock_fd;
    int index_fd;
    int segments_fd;
};

static bool check_empty(int folder_fd, const char *path, struct error *err)
{
    static const char *const known[] = { "LOCK", NULL };
    char name[FOLDER_NAME_SIZE];
    if (!folder_find_other(folder_fd, known, name, err))
        return error_add_context(err, "%.100s", path);
    return !name[0] || error_set(err, ERROR_CONFLICT,
                                 "%.100s is not empty: a restore fills an empty directory and "
                                 "touches no other",
                                 path);
}

/* With the lock, so that no server begins here meanwhile. */
static bool open_target(struct restore *restore, struct error *err)
{
    restore->made = access(restore->path, F_OK) != 0;
    if (!folder_make(restore->path, err))
        return false;
    restore->fd = open(restore->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (restore->fd < 0)
        return error_set_errno(err, errno, "%.100s", restore->path);
    return check_empty(restore->fd, restore->path, err) &&
           (folder_lock(restore->fd, "LOCK", false, &restore->lock_fd, err) ||
            error_add_context(err, "%.100s", restore->path)) &&
           folder_open_in(restore->fd, "index", true, &restore->index_fd, err) &&
           folder_open_in(restore->fd, "segments", true, &restore->segments_fd, err);
}

static bool check_target(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || error_set_errno(err, errno, "%.100s", path);
    bool ok = check_empty(fd, path, err);
    close(fd);
    return ok;
}

static bool restore_file(struct restore *restore, const struct backup_file *file, struct error *err)
{
    uint32_t crc32c = 0;
    int from = openat(restore->backup.index_fd, file->stored, O_RDONLY | O_CLOEXEC);
    int to = from < 0 ? -1
                      : openat(restore->index_fd, file->name,
                               O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    bool ok = to >= 0 || error_set_errno(err, errno, "index/%.80s", file->name);
    ok = ok && copy_file(&restore->copy, from, to, file->size, &crc32c, err);
    if (ok && crc32c != file->crc32c)
        ok = error_set(err, ERROR_CORRUPT, "index/%.80s of the backup does not fit its checksum",
                       file->stored);
    ok = ok && copy_finish(to, file->name, err);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return ok;
}

static bool restore_segment(struct restore *restore, const struct backup_segment *segment,
                            struct error *err)
{
    char name[32];
    backup_segment_name(segment->number, name);
    int from = openat(restore->backup.segments_fd, name, O_RDONLY | O_CLOEXEC);
    int to = from < 0 ? -1
                      : openat(restore->segments_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                               0640);
    bool ok = to >= 0;
    if (!ok || ftruncate(to, (off_t)segment->end) != 0)
        ok = error_set_errno(err, errno, "segments/%s", name);
    ok = ok && (copy_range(&restore->copy, from, to, 0, segment->end, err) ||
                error_add_context(err, "segments/%s of the backup", name));
    ok = ok && copy_finish(to, name, err);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return ok;
}

static bool restore_files(struct restore *restore, struct error *err)
{
    const struct backup_manifest *manifest = &restore->manifest;
    bool ok = true;
    restore->copy.phase = "restoring the index";
    for (size_t i = 0; ok && i < manifest->file_count; i++)
        ok = restore_file(restore, &manifest->files[i], err);
    FAULT_POINT("restore-after-index");
    restore->copy.phase = "restoring segments";
    for (size_t i = 0; ok && i < manifest->segment_count; i++)
        ok = restore_segment(restore, &manifest->segments[i], err);
    FAULT_POINT("restore-after-segments");
    return ok && folder_sync(restore->index_fd, err) && folder_sync(restore->segments_fd, err);
}

/* Whoever follows the lost archive's feed has seen numbers that the backup does not know. They must
 * not come again for other changes. */
static bool raise_sequence(const struct restore *restore, struct error *err)
{
    char path[PATH_SIZE];
    struct keyvalue *index = NULL;
    snprintf(path, sizeof(path), "%s/index", restore->path);
    if (!rocks_open(path, &index, err))
        return false;
    bool ok = feed_raise_sequence(index, (uint64_t)clock_unix_ms() * 1000, err);
    index->operations->close(index);
    return ok;
}

/* FORMAT is last: what has none is no data directory. */
static bool finish(struct restore *restore, struct error *err)
{
    struct identity_file identity = { 0 };
    memcpy(identity.archive, restore->manifest.archive, IDENTITY_SIZE);
    memcpy(identity.restored, restore->manifest.backup, IDENTITY_SIZE);
    if (!raise_sequence(restore, err) || !identity_random(identity.data, err) ||
        !identity_save(restore->fd, &identity, err) || !folder_sync(restore->fd, err))
        return false;
    FAULT_POINT("restore-before-format");
    return storage_write_format(restore->fd, err);
}

static void close_target(struct restore *restore)
{
    int *fds[] = { &restore->segments_fd, &restore->index_fd, &restore->lock_fd, &restore->fd };
    for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

/* Only what this restore made: its two folders are there when the directory was empty before. */
static void undo(struct restore *restore)
{
    if (restore->index_fd < 0)
        return;
    folder_remove(restore->fd, "index", NULL);
    folder_remove(restore->fd, "segments", NULL);
    unlinkat(restore->fd, "ID", 0);
    unlinkat(restore->fd, "LOCK", 0);
    if (restore->made)
        rmdir(restore->path);
}

static bool run(struct restore *restore, struct error *err)
{
    if (open_target(restore, err) && restore_files(restore, err) && finish(restore, err))
        return true;
    undo(restore);
    return false;
}

bool storage_restore(const char *backup_directory, const char *data_directory, bool dry_run,
                     struct job *job, struct backup_report *report, struct error *err)
{
    struct restore restore = { .path = data_directory,
                               .copy = { .job = job },
                               .fd = -1,
                               .lock_fd = -1,
                               .index_fd = -1,
                               .segments_fd = -1 };
    const struct backup_manifest *manifest = &restore.manifest;
    bool ok = true;
    if (!backup_folder_open(backup_directory, &restore.backup, &restore.manifest, err))
        return false;
    backup_report_of(manifest, report);
    if (manifest->storage_version > STORAGE_VERSION)
        ok = error_set(err, ERROR_UNSUPPORTED,
                       "the backup is of a data directory with format %d, newer than this program, "
                       "which knows %d",
                       manifest->storage_version, STORAGE_VERSION);
    restore.copy.total = report->index_bytes + report->blob_bytes;
    ok = ok && backup_folder_check(&restore.backup, manifest, err) &&
         (dry_run ? check_target(data_directory, err) : run(&restore, err));
    report->copied_bytes = dry_run ? restore.copy.total : restore.copy.written;
    close_target(&restore);
    backup_manifest_release(&restore.manifest);
    backup_folder_close(&restore.backup);
    return ok;
}
