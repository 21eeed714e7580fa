/* SPDX-License-Identifier: MIT */
#include "base/scratch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/memory.h"

struct scratch {
    struct buffer bytes;
    int fd;     /* that becomes the file, or -1 */
    FILE *file; /* once it is larger than its memory may be */
    uint64_t size;
};

struct scratch *scratch_new(size_t memory_limit, int fd_take)
{
    struct scratch *scratch = mem_alloc(sizeof(*scratch));
    scratch->bytes = buffer_up_to(memory_limit);
    scratch->fd = fd_take;
    return scratch;
}

void scratch_free(struct scratch *scratch)
{
    if (!scratch)
        return;
    if (scratch->file)
        fclose(scratch->file);
    else if (scratch->fd >= 0)
        close(scratch->fd);
    buffer_release(&scratch->bytes);
    free(scratch);
}

static bool is_failed(struct error *err)
{
    return error_set_errno(err, errno, "cannot write a temporary file");
}

static bool write_file(struct scratch *scratch, struct slice bytes, struct error *err)
{
    return !bytes.size || fwrite(bytes.data, bytes.size, 1, scratch->file) == 1 || is_failed(err);
}

bool scratch_append(struct scratch *scratch, struct slice bytes, struct error *err)
{
    scratch->size += bytes.size;
    if (!scratch->file) {
        if (bytes.size <= scratch->bytes.limit - scratch->bytes.size) {
            buffer_append(&scratch->bytes, bytes);
            return true;
        }
        scratch->file = scratch->fd >= 0 ? fdopen(scratch->fd, "w+b") : tmpfile();
        if (!scratch->file)
            return error_set_errno(err, errno, "cannot open a temporary file");
        if (!write_file(scratch, buffer_slice(&scratch->bytes), err))
            return false;
        buffer_release(&scratch->bytes);
    }
    return write_file(scratch, bytes, err);
}

bool scratch_patch(struct scratch *scratch, uint64_t offset, struct slice bytes, struct error *err)
{
    if (offset > scratch->size || bytes.size > scratch->size - offset)
        return error_set(err, ERROR_INVALID, "a change beyond the end of a temporary file");
    if (!scratch->file) {
        memcpy(scratch->bytes.data + offset, bytes.data, bytes.size);
        return true;
    }
    /* Written past the stream, which then still appends at its end. */
    if (fflush(scratch->file) != 0)
        return is_failed(err);
    while (bytes.size) {
        ssize_t size = pwrite(fileno(scratch->file), bytes.data, bytes.size, (off_t)offset);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return is_failed(err);
        offset += (uint64_t)size;
        bytes = slice_skip(bytes, (size_t)size);
    }
    return true;
}

uint64_t scratch_size(const struct scratch *scratch)
{
    return scratch->size;
}

bool scratch_give(struct scratch *scratch, bool *is_file, struct slice *bytes,
                  struct file_range *file, struct error *err)
{
    *is_file = scratch->file != NULL;
    if (!*is_file) {
        *bytes = buffer_slice(&scratch->bytes);
        return true;
    }
    if (fflush(scratch->file) != 0)
        return is_failed(err);
    *file = (struct file_range){ fileno(scratch->file), 0, scratch->size };
    return true;
}
