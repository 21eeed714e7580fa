/* SPDX-License-Identifier: MIT */
#include "dimse/read_ahead.h"

#include <fcntl.h>
#include <stdbool.h>

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
        posix_fadvise(range->fd, (off_t)ahead->advised_end, (off_t)(wanted - ahead->advised_end),
                      POSIX_FADV_WILLNEED);
        ahead->advised_end = wanted;
    }
    ahead->fd = range->fd;
    ahead->last_end = range->offset + range->size;
}
