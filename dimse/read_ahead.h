/* SPDX-License-Identifier: MIT */
#pragma once
/* Stored instances are often sent in the order in which they stand in a segment, but the kernel's
 * own read-ahead goes by the open file, which all associations share. Each reader tells it what it
 * is about to send, and while it goes on in order, a growing piece of what stands behind. One
 * thread at a time. */

#include "base/file_range.h"

struct read_ahead {
    int fd;
    uint64_t last_end;    /* where the range before ended */
    uint64_t advised_end; /* what lies before has been asked for */
    uint64_t window;      /* bytes beyond the range */
};

/* A range that is sent next. */
void read_ahead_note(struct read_ahead *ahead, const struct file_range *range);
