/* SPDX-License-Identifier: MIT */
#include "base/file_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Without /proc the shared descriptor does as well. */
static void open_own(struct file_reader *reader, int shared, const struct stat *status)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", shared);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    *reader = (struct file_reader){ true, true, fd, status->st_dev, status->st_ino };
}

bool file_reader_take(struct file_reader *reader, struct file_range *range, struct error *err)
{
    struct stat status;
    if (fstat(range->fd, &status) != 0)
        return error_set_errno(err, errno, "a stored file");
    if ((uint64_t)status.st_size < range->offset ||
        (uint64_t)status.st_size - range->offset < range->size)
        return error_set(err, ERROR_CORRUPT, "a stored file is shorter than it was");
    /* The number of a descriptor says nothing: it may have been closed and given out again. */
    if (reader->is_open && (reader->device != status.st_dev || reader->inode != status.st_ino)) {
        file_reader_release(reader);
        reader->is_used = true;
    }
    if (!reader->is_open && (reader->is_used || range->size > FILE_READER_SMALL))
        open_own(reader, range->fd, &status);
    reader->is_used = true;
    if (reader->is_open)
        range->fd = reader->fd;
    return true;
}

void file_reader_release(struct file_reader *reader)
{
    if (reader->is_open)
        close(reader->fd);
    *reader = (struct file_reader){ .is_open = false };
}
