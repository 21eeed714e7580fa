/* SPDX-License-Identifier: MIT */
#include "storage/space.h"

#include <sys/statvfs.h>

enum {
    RESERVE = 128 << 20,  /* kept back from blobs, at most ... */
    RESERVE_FRACTION = 8, /* ... this part of the file system */
    INDEX_SHARE = 4,      /* this part of the reserve is kept back from the index too */
};

static uint64_t reserve_of(const struct statvfs *status)
{
    uint64_t part = (uint64_t)status->f_blocks * status->f_frsize / RESERVE_FRACTION;
    return part < RESERVE ? part : RESERVE;
}

uint64_t space_free(int fd)
{
    struct statvfs status;
    return fstatvfs(fd, &status) == 0 ? (uint64_t)status.f_bavail * status.f_frsize : 0;
}

uint64_t space_for_blobs(int fd)
{
    struct statvfs status;
    if (fstatvfs(fd, &status) != 0)
        return 0;
    uint64_t available = (uint64_t)status.f_bavail * status.f_frsize;
    uint64_t reserve = reserve_of(&status);
    return available > reserve ? available - reserve : 0;
}

bool space_for_index(int fd)
{
    struct statvfs status;
    if (fstatvfs(fd, &status) != 0)
        return false;
    return (uint64_t)status.f_bavail * status.f_frsize >= reserve_of(&status) / INDEX_SHARE;
}
