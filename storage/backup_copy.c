/* SPDX-License-Identifier: MIT */
#include "storage/backup_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "storage/crc32c.h"
#include "storage/segments.h"

enum { STEP_SIZE = 8 << 20, BUFFER_SIZE = 1 << 20 };

void backup_segment_name(uint32_t number, char name[32])
{
    snprintf(name, 32, "%010" PRIu32 ".seg", number);
}

bool backup_file_size(int folder_fd, const char *name, uint64_t *size)
{
    struct stat status;
    /* What is no file has no end, or none that comes. */
    bool ok = fstatat(folder_fd, name, &status, 0) == 0 && S_ISREG(status.st_mode);
    *size = ok ? (uint64_t)status.st_size : 0;
    return ok;
}

bool copy_step(struct copy *copy, uint64_t passed, uint64_t moved, struct error *err)
{
    copy->done += passed;
    return job_step(copy->job, copy->phase, "bytes", copy->done, copy->total, moved, err);
}

void copy_read_once(int fd)
{
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
}

static bool write_at(int fd, struct slice bytes, uint64_t offset, struct error *err)
{
    while (bytes.size) {
        ssize_t size = pwrite(fd, bytes.data, bytes.size, (off_t)offset);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return error_set_errno(err, size < 0 ? errno : EIO, "a file cannot be written");
        bytes = slice_skip(bytes, (size_t)size);
        offset += (uint64_t)size;
    }
    return true;
}

/* A file that is read once, and whose part in the page cache others decide about. */
struct source {
    int fd; /* for who reads everything once: the kernel reads nothing ahead on it */
    int direct_fd;
    bool cannot_clone;
    uint8_t *bytes; /* BUFFER_SIZE, at a block */
};

static bool source_open(struct source *source, int shared, struct error *err)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", shared);
    *source = (struct source){ .direct_fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC) };
    source->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0) /* without /proc */
        source->fd = fcntl(shared, F_DUPFD_CLOEXEC, 0);
    else
        copy_read_once(source->fd);
    if (source->fd < 0 || !(source->bytes = aligned_alloc(SEGMENT_BLOCK, BUFFER_SIZE)))
        return error_set_errno(err, errno, "a file cannot be read");
    return true;
}

static void source_close(struct source *source)
{
    if (source->direct_fd >= 0)
        close(source->direct_fd);
    if (source->fd >= 0)
        close(source->fd);
    free(source->bytes);
}

/* From the disk itself, past the cache. */
static bool read_direct(struct source *source, size_t size, uint64_t offset)
{
    size_t whole = (size + SEGMENT_BLOCK - 1) / SEGMENT_BLOCK * SEGMENT_BLOCK;
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(source->direct_fd, source->bytes + done, whole - done,
                            (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || (done + (size_t)got < size && got % SEGMENT_BLOCK))
            return false;
        done += (size_t)got;
    }
    return true;
}

/* Where that cannot be done, or does not give it back, the ordinary read tells. */
static bool source_read(struct source *source, size_t size, uint64_t offset, struct error *err)
{
    if (source->direct_fd >= 0 && offset % SEGMENT_BLOCK == 0 && read_direct(source, size, offset))
        return true;
    return segment_read_aside(source->fd, (struct space){ source->bytes, size }, offset, err);
}

static bool copy_by_hand(struct source *source, int to, uint64_t offset, uint64_t size,
                         struct error *err)
{
    bool ok = true;
    while (ok && size) {
        size_t piece = size < BUFFER_SIZE ? (size_t)size : BUFFER_SIZE;
        ok = source_read(source, piece, offset, err) &&
             write_at(to, slice_of(source->bytes, piece), offset, err);
        offset += piece;
        size -= piece;
    }
    return ok;
}

/* Shared blocks, where the file system can. copy_file_range does it too, but brings all into the
 * page cache where it cannot. */
static bool share(struct source *source, int to, uint64_t offset, uint64_t size)
{
    struct file_clone_range range = { source->fd, offset, size, offset };
    source->cannot_clone = source->cannot_clone || ioctl(to, FICLONERANGE, &range) != 0;
    return !source->cannot_clone;
}

/* On its way to the disk, or, when that has begun before, there and out of the page cache: little
 * of it waits for the disk at a time, and nobody reads it soon. */
static bool write_behind(int fd, uint64_t offset, uint64_t size, bool wait, struct error *err)
{
    unsigned flags = SYNC_FILE_RANGE_WRITE;
    if (wait)
        flags |= SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER;
    /* An error of the disk is told once only, so it must not be passed over here. */
    if (sync_file_range(fd, (off_t)offset, (off_t)size, flags) != 0 && errno != EINVAL &&
        errno != ESPIPE && errno != ENOSYS)
        return error_set_errno(err, errno, "a file cannot be written");
    if (wait)
        posix_fadvise(fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
    return true;
}

static bool copy_data(struct source *source, int to, uint64_t offset, uint64_t size,
                      struct error *err)
{
    return share(source, to, offset, size) || (copy_by_hand(source, to, offset, size, err) &&
                                               write_behind(to, offset, size, false, err));
}

/* The next bytes that are no hole, at most to `end`. */
static void next_data(int fd, uint64_t begin, uint64_t end, uint64_t *from, uint64_t *upto)
{
    off_t data = lseek(fd, (off_t)begin, SEEK_DATA);
    *from = data >= 0 ? (uint64_t)data : errno == ENXIO ? end : begin;
    if (*from > end)
        *from = end;
    off_t hole = *from < end ? lseek(fd, (off_t)*from, SEEK_HOLE) : -1;
    *upto = hole > (off_t)*from && (uint64_t)hole < end ? (uint64_t)hole : end;
}

static bool copy_steps(struct copy *copy, struct source *source, int to, uint64_t begin,
                       uint64_t end, struct error *err)
{
    uint64_t before = begin; /* begins the step before */
    while (begin < end) {
        uint64_t size = end - begin < STEP_SIZE ? end - begin : STEP_SIZE;
        if (!copy_data(source, to, begin, size, err) ||
            (begin > before && !write_behind(to, before, begin - before, true, err)))
            return false;
        before = begin;
        copy->written += size;
        begin += size;
        if (!copy_step(copy, size, size, err))
            return false;
    }
    return true;
}

bool copy_range(struct copy *copy, int from, int to, uint64_t begin, uint64_t end,
                struct error *err)
{
    struct source source;
    struct stat status;
    if (fstat(from, &status) != 0)
        return error_set_errno(err, errno, "a file cannot be read");
    if ((uint64_t)status.st_size < end)
        return error_set(err, ERROR_CORRUPT, "it has %" PRIu64 " bytes instead of %" PRIu64,
                         (uint64_t)status.st_size, end);
    bool ok = source_open(&source, from, err);
    while (ok && begin < end) {
        uint64_t data = 0;
        uint64_t hole = 0;
        next_data(from, begin, end, &data, &hole);
        ok = copy_step(copy, data - begin, 0, err) &&
             copy_steps(copy, &source, to, data, hole, err);
        begin = hole;
    }
    source_close(&source);
    return ok;
}

bool copy_file(struct copy *copy, int from, int to, uint64_t size, uint32_t *crc32c,
               struct error *err)
{
    uint8_t *bytes = mem_resize(NULL, BUFFER_SIZE);
    bool ok = true;
    *crc32c = 0;
    copy_read_once(from);
    for (uint64_t offset = 0; ok && offset < size;) {
        struct space space = { bytes, size - offset < BUFFER_SIZE ? (size_t)(size - offset)
                                                                  : BUFFER_SIZE };
        struct slice piece = slice_of(bytes, space.size);
        ok = segment_read_aside(from, space, offset, err) && write_at(to, piece, offset, err);
        if (ok)
            *crc32c = crc32c_extend(*crc32c, piece);
        offset += space.size;
        copy->written += space.size;
        ok = ok && copy_step(copy, space.size, space.size, err);
    }
    free(bytes);
    return ok;
}

bool copy_finish(int fd, const char *name, struct error *err)
{
    if (fsync(fd) != 0)
        return error_set_errno(err, errno, "%s", name);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return true;
}
