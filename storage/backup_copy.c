/* SPDX-License-Identifier: MIT */
#include "storage/backup_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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

static bool copy_by_hand(int from, int to, uint64_t offset, uint64_t size, struct error *err)
{
    uint8_t *bytes = mem_resize(NULL, BUFFER_SIZE);
    bool ok = true;
    while (ok && size) {
        struct space space = { bytes, size < BUFFER_SIZE ? (size_t)size : BUFFER_SIZE };
        ok = segment_read(from, space, offset, err) &&
             write_at(to, slice_of(bytes, space.size), offset, err);
        offset += space.size;
        size -= space.size;
    }
    free(bytes);
    return ok;
}

/* Not every pair of file systems can do it between them. */
static bool must_be_by_hand(int errno_value)
{
    return errno_value == EXDEV || errno_value == EINVAL || errno_value == ENOSYS ||
           errno_value == EOPNOTSUPP || errno_value == EPERM || errno_value == EBADF;
}

static bool copy_data(int from, int to, uint64_t offset, uint64_t size, struct error *err)
{
    while (size) {
        loff_t source = (loff_t)offset;
        loff_t target = (loff_t)offset;
        ssize_t copied = copy_file_range(from, &source, to, &target, size, 0);
        if (copied < 0 && errno == EINTR)
            continue;
        if (copied == 0 || (copied < 0 && must_be_by_hand(errno)))
            return copy_by_hand(from, to, offset, size, err);
        if (copied < 0)
            return error_set_errno(err, errno, "a file cannot be copied");
        offset += (uint64_t)copied;
        size -= (uint64_t)copied;
    }
    return true;
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

bool copy_range(struct copy *copy, int from, int to, uint64_t begin, uint64_t end,
                struct error *err)
{
    struct stat status;
    if (fstat(from, &status) != 0)
        return error_set_errno(err, errno, "a file cannot be read");
    if ((uint64_t)status.st_size < end)
        return error_set(err, ERROR_CORRUPT, "it has %" PRIu64 " bytes instead of %" PRIu64,
                         (uint64_t)status.st_size, end);
    while (begin < end) {
        uint64_t data = 0;
        uint64_t hole = 0;
        next_data(from, begin, end, &data, &hole);
        if (!copy_step(copy, data - begin, 0, err))
            return false;
        for (begin = data; begin < hole;) {
            uint64_t size = hole - begin < STEP_SIZE ? hole - begin : STEP_SIZE;
            if (!copy_data(from, to, begin, size, err))
                return false;
            copy->written += size;
            begin += size;
            if (!copy_step(copy, size, size, err))
                return false;
        }
    }
    return true;
}

bool copy_file(struct copy *copy, int from, int to, uint64_t size, uint32_t *crc32c,
               struct error *err)
{
    uint8_t *bytes = mem_resize(NULL, BUFFER_SIZE);
    bool ok = true;
    *crc32c = 0;
    for (uint64_t offset = 0; ok && offset < size;) {
        struct space space = { bytes, size - offset < BUFFER_SIZE ? (size_t)(size - offset)
                                                                  : BUFFER_SIZE };
        struct slice piece = slice_of(bytes, space.size);
        ok = segment_read(from, space, offset, err) && write_at(to, piece, offset, err);
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
