/* SPDX-License-Identifier: MIT */
#pragma once
/* A run of bytes in an open file: what can be sent without reading it. Borrowed: the descriptor
 * belongs to whoever gave the range out, and stays open as long as that owner says. */

#include <stdint.h>

struct file_range {
    int fd;
    uint64_t offset;
    uint64_t size;
};
