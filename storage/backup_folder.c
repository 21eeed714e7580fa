/* SPDX-License-Identifier: MIT */
#include "storage/backup_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "storage/backup_copy.h"
#include "storage/crc32c.h"
#include "storage/folder.h"
#include "storage/segments.h"

enum { READ_SIZE = 1 << 20 };

void backup_folder_close(struct backup_folder *folder)
{
    int *fds[] = { &folder->segments_fd, &folder->index_fd, &folder->lock_fd, &folder->fd };
    for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

bool backup_folder_open(const char *path, struct backup_folder *folder,
                        struct backup_manifest *manifest, struct error *err)
{
    bool found = false;
    struct error why = { 0 };
    *folder = (struct backup_folder){ -1, -1, -1, -1 };
    *manifest = (struct backup_manifest){ 0 };
    folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->fd < 0)
        return error_set_errno(err, errno, "%.100s", path);
    /* The lock may be missing on a medium that a backup was copied to. */
    if (!folder_lock(folder->fd, "LOCK", true, &folder->lock_fd, &why) && why.code == ERROR_BUSY) {
        error_set(err, ERROR_BUSY, "%.100s is being written by a backup", path);
        goto failed;
    }
    if (!backup_manifest_load(folder->fd, BACKUP_MANIFEST, manifest, &found, err))
        goto failed;
    if (!found) {
        error_set(err, ERROR_NOT_FOUND, "%.100s holds no backup that was finished", path);
        goto failed;
    }
    if (folder_open_in(folder->fd, "index", false, &folder->index_fd, err) &&
        folder_open_in(folder->fd, "segments", false, &folder->segments_fd, err))
        return true;
failed:
    backup_manifest_release(manifest);
    backup_folder_close(folder);
    return false;
}

bool backup_folder_check(const struct backup_folder *folder, const struct backup_manifest *manifest,
                         struct error *err)
{
    uint64_t size = 0;
    char name[32];
    for (size_t i = 0; i < manifest->file_count; i++) {
        const struct backup_file *file = &manifest->files[i];
        if (!backup_file_size(folder->index_fd, file->stored, &size) || size != file->size)
            return error_set(err, ERROR_CORRUPT, "index/%s of the backup is missing or cut",
                             file->stored);
    }
    for (size_t i = 0; i < manifest->segment_count; i++) {
        const struct backup_segment *segment = &manifest->segments[i];
        backup_segment_name(segment->number, name);
        if (!backup_file_size(folder->segments_fd, name, &size) || size < segment->end)
            return error_set(err, ERROR_CORRUPT, "segments/%s of the backup is missing or cut",
                             name);
    }
    return true;
}

static bool verify_file(const struct backup_folder *folder, const struct backup_file *file,
                        struct copy *copy, struct error *err)
{
    uint8_t *bytes = mem_resize(NULL, READ_SIZE);
    uint32_t crc32c = 0;
    int fd = openat(folder->index_fd, file->stored, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 || error_set_errno(err, errno, "index/%s", file->stored);
    if (ok)
        copy_read_once(fd);
    for (uint64_t offset = 0; ok && offset < file->size;) {
        uint64_t left = file->size - offset;
        struct space space = { bytes, left < READ_SIZE ? (size_t)left : READ_SIZE };
        ok = segment_read_aside(fd, space, offset, err) &&
             copy_step(copy, space.size, space.size, err);
        if (ok)
            crc32c = crc32c_extend(crc32c, slice_of(bytes, space.size));
        offset += space.size;
    }
    if (ok && crc32c != file->crc32c)
        ok = error_set(err, ERROR_CORRUPT, "index/%s of the backup does not fit its checksum",
                       file->stored);
    if (fd >= 0)
        close(fd);
    free(bytes);
    return ok;
}

/* Behind a record there is the next one, or a place that was given to a writer and not filled: that
 * reads as zeros. Anything else is a header that rotted. */
static bool check_gap(int fd, uint64_t offset, struct error *err)
{
    static const uint8_t zeros[SEGMENT_BLOCK];
    uint8_t block[SEGMENT_BLOCK];
    return segment_read_aside(fd, (struct space){ block, sizeof(block) }, offset, err) &&
           (memcmp(block, zeros, sizeof(block)) == 0 ||
            error_set(err, ERROR_CORRUPT, "the record header at %" PRIu64 " is broken", offset));
}

static bool verify_record(int fd, const struct record_header *header, struct copy *copy,
                          struct error *err)
{
    uint32_t crc32c = header->id.crc32c;
    bool live = header->state == RECORD_LIVE;
    uint64_t extent = record_extent(header->id.size);
    if (live && !segment_checksum(fd, header->id.offset + RECORD_HEADER_SIZE, header->id.size,
                                  &crc32c, err))
        return false;
    if (crc32c != header->id.crc32c)
        return error_set(err, ERROR_CORRUPT, "the record at %" PRIu64 " does not fit its checksum",
                         header->id.offset);
    return copy_step(copy, extent, live ? extent : SEGMENT_BLOCK, err);
}

static bool verify_records(int fd, const struct backup_segment *entry, struct copy *copy,
                           struct error *err)
{
    struct segment segment = { .number = entry->number, .kind = entry->kind };
    struct segment_scan scan = {
        .fd = fd, .segment = &segment, .offset = SEGMENT_BLOCK, .limit = entry->end, .aside = true
    };
    struct record_header header;
    uint64_t expected = SEGMENT_BLOCK;
    bool found = true;
    memcpy(segment.nonce, entry->nonce, NONCE_SIZE);
    for (;;) {
        if (!segment_scan_next(&scan, &header, &found, err))
            return false;
        uint64_t begin = found ? header.id.offset : entry->end;
        if (begin > expected && !check_gap(fd, expected, err))
            return false;
        if (!found)
            return true;
        if (!verify_record(fd, &header, copy, err))
            return false;
        expected = scan.offset;
    }
}

static bool verify_segment(const struct backup_folder *folder, const struct backup_segment *entry,
                           struct copy *copy, struct error *err)
{
    char name[32];
    backup_segment_name(entry->number, name);
    int fd = openat(folder->segments_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "segments/%s", name);
    copy_read_once(fd);
    bool ok = verify_records(fd, entry, copy, err);
    if (!ok)
        error_add_context(err, "segments/%s of the backup", name);
    close(fd);
    return ok;
}

bool backup_folder_verify(const struct backup_folder *folder,
                          const struct backup_manifest *manifest, struct job *job,
                          struct error *err)
{
    struct copy copy = { .job = job,
                         .phase = "verifying the backup",
                         .total = backup_manifest_index_bytes(manifest) +
                                  backup_manifest_blob_bytes(manifest) };
    bool ok = backup_folder_check(folder, manifest, err);
    for (size_t i = 0; ok && i < manifest->file_count; i++)
        ok = verify_file(folder, &manifest->files[i], &copy, err);
    for (size_t i = 0; ok && i < manifest->segment_count; i++)
        ok = verify_segment(folder, &manifest->segments[i], &copy, err);
    return ok;
}

void backup_report_of(const struct backup_manifest *manifest, struct backup_report *report)
{
    *report = (struct backup_report){
        .segments = manifest->segment_count,
        .blob_bytes = backup_manifest_blob_bytes(manifest),
        .index_bytes = backup_manifest_index_bytes(manifest),
        .latest_sequence = manifest->sequence,
        .taken_at_ms = manifest->taken_at_ms,
    };
}

bool storage_backup_verify(const char *backup_directory, struct job *job,
                           struct backup_report *report, struct error *err)
{
    struct backup_folder folder;
    struct backup_manifest manifest;
    if (!backup_folder_open(backup_directory, &folder, &manifest, err))
        return false;
    backup_report_of(&manifest, report);
    bool ok = backup_folder_verify(&folder, &manifest, job, err);
    backup_manifest_release(&manifest);
    backup_folder_close(&folder);
    return ok;
}
