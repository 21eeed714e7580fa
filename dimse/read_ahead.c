/* SPDX-License-Identifier: MIT */
#include "dimse/read_ahead.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/uio.h>

enum {
    GAP = 64 << 10, /* records are aligned and have headers */
    MIN_WINDOW = 512 << 10,
    MAX_WINDOW = 4 << 20, /* of one longer range the kernel's own read-ahead takes care */
};

static uint64_t next_window(uint64_t window)
{
    uint64_t twice = window ? window * 2 : MIN_WINDOW;
    return twice < MAX_WINDOW ? twice : MAX_WINDOW;
}

/* Behind the end of the file there is nothing to wait for. */
static bool is_in_memory(int fd, uint64_t offset)
{
    uint8_t byte;
    struct iovec space = { &byte, 1 };
    return preadv2(fd, &space, 1, (off_t)offset, RWF_NOWAIT) >= 0;
}

/* What is in memory costs a look at each of its pages to ask for: both ends tell it is there. */
static void ask_for(int fd, uint64_t start, uint64_t end)
{
    if (!is_in_memory(fd, start) || !is_in_memory(fd, end - 1))
        posix_fadvise(fd, (off_t)start, (off_t)(end - start), POSIX_FADV_WILLNEED);
}

void read_ahead_note(struct read_ahead *ahead, const struct file_range *range)
{
    bool in_order = ahead->fd == range->fd && range->offset >= ahead->last_end &&
                    range->offset - ahead->last_end <= GAP;
    uint64_t size = range->size < MAX_WINDOW ? range->size : MAX_WINDOW;
    ahead->window = in_order ? next_window(ahead->window) : 0;
    if (!in_order || ahead->advised_end < range->offset)
        ahead->advised_end = range->offset;
    uint64_t wanted = range->offset + size + ahead->window;
    /* One call for several instances: half a window may be used up before. */
    if (ahead->advised_end + ahead->window / 2 < wanted) {
        ask_for(range->fd, ahead->advised_end, wanted);
        ahead->advised_end = wanted;
    }
    ahead->fd = range->fd;
    ahead->last_end = range->offset + range->size;
}
