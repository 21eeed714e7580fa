/* SPDX-License-Identifier: MIT */
#include "archive/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "archive/core.h"
#include "base/buffer.h"
#include "base/memory.h"
#include "storage/temporary.h"

enum { WRITE_SIZE = 256 << 10 };

struct spool {
    struct archive *archive;
    int fd;            /* -1: not opened yet */
    uint64_t written;  /* to the file */
    struct buffer end; /* what is behind it */
};

bool spool_file(struct archive *archive, int *fd, struct error *err)
{
    return archive_has_space(archive, err) && storage_temporary(archive->storage, fd, err);
}

struct spool *spool_new(struct archive *archive)
{
    struct spool *spool = mem_alloc(sizeof(*spool));
    spool->archive = archive;
    spool->fd = -1;
    spool->end = buffer_up_to(WRITE_SIZE);
    return spool;
}

void spool_free(struct spool *spool)
{
    if (!spool)
        return;
    if (spool->fd >= 0)
        close(spool->fd);
    buffer_release(&spool->end);
    free(spool);
}

uint64_t spool_size(const struct spool *spool)
{
    return spool->written + spool->end.size;
}

static bool write_end(struct spool *spool, struct error *err)
{
    struct slice rest = buffer_slice(&spool->end);
    if (spool->fd >= 0 ? !archive_has_space(spool->archive, err)
                       : !spool_file(spool->archive, &spool->fd, err))
        return false;
    while (rest.size) {
        ssize_t count = pwrite(spool->fd, rest.data, rest.size, (off_t)spool->written);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return error_set_errno(err, count ? errno : EIO, "cannot write a temporary file");
        spool->written += (size_t)count;
        rest = slice_skip(rest, (size_t)count);
    }
    buffer_clear(&spool->end);
    return true;
}

bool spool_append(struct spool *spool, struct slice bytes, struct error *err)
{
    while (bytes.size) {
        struct slice piece = slice_take(bytes, WRITE_SIZE - spool->end.size);
        buffer_append(&spool->end, piece);
        bytes = slice_skip(bytes, piece.size);
        if (spool->end.size == WRITE_SIZE && !write_end(spool, err))
            return false;
    }
    return true;
}

bool spool_range(struct spool *spool, struct file_range *range, struct error *err)
{
    if (!write_end(spool, err))
        return false;
    *range = (struct file_range){ spool->fd, 0, spool->written };
    return true;
}

bool spool_read(struct spool *spool, uint64_t offset, struct space space, struct error *err)
{
    while (space.size && offset < spool->written) {
        size_t wanted = space.size;
        if (wanted > spool->written - offset)
            wanted = (size_t)(spool->written - offset);
        ssize_t count = pread(spool->fd, space.data, wanted, (off_t)offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return error_set_errno(err, count ? errno : EIO, "cannot read a temporary file");
        space.data += count;
        space.size -= (size_t)count;
        offset += (size_t)count;
    }
    if (!space.size)
        return true;
    if (offset - spool->written > spool->end.size ||
        space.size > spool->end.size - (offset - spool->written))
        return error_set(err, ERROR_CORRUPT, "a temporary file is shorter than what was written");
    memcpy(space.data, spool->end.data + (offset - spool->written), space.size);
    return true;
}
