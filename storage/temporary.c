/* SPDX-License-Identifier: MIT */
#include "storage/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "storage/store.h"

/* For file systems that know no files without a name: it has one for a moment. */
static int open_and_unlink(int folder_fd)
{
    char name[40];
    uint64_t number;
    if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
        return -1;
    snprintf(name, sizeof(name), "temporary.%016llx", (unsigned long long)number);
    int fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0)
        unlinkat(folder_fd, name, 0);
    return fd;
}

bool storage_temporary(struct storage *storage, int *fd, struct error *err)
{
    *fd = openat(storage->folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT))
        *fd = open_and_unlink(storage->folder_fd);
    return *fd >= 0 || error_set_errno(err, errno, "cannot open a temporary file");
}
