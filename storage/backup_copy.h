/* SPDX-License-Identifier: MIT */
#pragma once
/* Files from one data directory to another, in steps of a job, past the page cache: what is read
 * once is not to push out what is read daily. Only storage/ includes this header. */

#include "base/job.h"
#include "storage/backup_manifest.h"

struct copy {
    struct job *job;
    const char *phase;
    uint64_t done; /* bytes gone past, also of holes */
    uint64_t total;
    uint64_t written;
};

/* A descriptor of one's own that segment_read_aside reads from: nothing is read ahead. */
void copy_read_once(int fd);
/* Bytes [begin, end) to the same place of another file, which has a hole there: holes stay holes.
 * Where the file system can, blocks are shared. ERROR_CORRUPT when the file ends before. */
bool copy_range(struct copy *copy, int from, int to, uint64_t begin, uint64_t end,
                struct error *err);
/* The first `size` bytes, and their checksum. `from` is the caller's own. */
bool copy_file(struct copy *copy, int from, int to, uint64_t size, uint32_t *crc32c,
               struct error *err);
/* Durable, and no longer in memory. */
bool copy_finish(int fd, const char *name, struct error *err);
/* Counts bytes that were read or skipped. */
bool copy_step(struct copy *copy, uint64_t passed, uint64_t moved, struct error *err);

void backup_segment_name(uint32_t number, char name[32]);

bool backup_file_size(int folder_fd, const char *name, uint64_t *size);
