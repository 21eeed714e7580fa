/* SPDX-License-Identifier: MIT */
#include "storage/note.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "storage/folder.h"
#include "storage/store.h"

bool storage_note_put(struct storage *storage, const char *name, struct slice bytes,
                      struct error *err)
{
    if (bytes.size > STORAGE_NOTE_SIZE)
        return error_set(err, ERROR_LIMIT, "%s exceeds %d bytes", name, STORAGE_NOTE_SIZE);
    return storage_check(storage, err) && folder_replace_file(storage->folder_fd, name, bytes, err);
}

static bool read_all(int fd, const char *name, struct buffer *bytes, struct error *err)
{
    for (;;) {
        struct space space = buffer_reserve(bytes, 4096);
        if (!space.data)
            return error_set(err, ERROR_LIMIT, "%s is too large", name);
        ssize_t size = read(fd, space.data, space.size);
        if (size < 0 && errno != EINTR)
            return error_set_errno(err, errno, "%s", name);
        if (size == 0)
            return true;
        if (size > 0)
            buffer_advance(bytes, (size_t)size);
    }
}

bool storage_note_get(struct storage *storage, const char *name, struct buffer *bytes, bool *found,
                      struct error *err)
{
    buffer_clear(bytes);
    int fd = openat(storage->folder_fd, name, O_RDONLY | O_CLOEXEC);
    *found = fd >= 0;
    if (fd < 0)
        return errno == ENOENT || error_set_errno(err, errno, "%s", name);
    bool ok = read_all(fd, name, bytes, err);
    close(fd);
    return ok;
}
