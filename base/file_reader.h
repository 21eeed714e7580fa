/* SPDX-License-Identifier: MIT */
#pragma once
/* Reads ranges of files that many read at once through a description of its own. The kernel's
 * read-ahead goes by the open file, and only what it brings in by itself, for one who reads in
 * order, comes in large folios of the page cache; posix_fadvise(WILLNEED) brings in single pages.
 * Those cost twice as much to copy out, for as long as they stay in memory. One thread at a time.
 */

#include <stdbool.h>

#include "base/error.h"
#include "base/file_range.h"

enum { FILE_READER_SMALL = 1 << 20 };

/* All zero: nothing was read yet. */
struct file_reader {
    bool is_used;
    bool is_open;
    int fd;
    uint64_t device;
    uint64_t inode;
};

/* A range that is read next: puts the reader's own descriptor in it, valid until the next call.
 * The shared one stays where no other can be had, and in a first range that is small: often it is
 * the only one. ERROR_CORRUPT when the file ends before the range does. */
bool file_reader_take(struct file_reader *reader, struct file_range *range, struct error *err);
/* Lets a file go that was removed meanwhile. The reader can be used again. */
void file_reader_release(struct file_reader *reader);
