/* SPDX-License-Identifier: MIT */
#pragma once
/* Gives the space of deleted instances back that stands between living ones: the living records of
 * a segment with much dead space are copied to the end of the active one, the index follows, and
 * the segment goes. Beside everything else that happens; a crash loses nothing. Thread-safe. */

#include "archive/archive.h"
#include "base/job.h"

struct compact_options {
    /* Segments are taken up of whose space on the disk at least this part is dead, 0..1. What was
     * given back to the file system already is not counted: it is free. */
    double dead_share;
    bool dry_run; /* tells what would be done */
};

struct compact_report {
    uint64_t segments; /* that were (would be) taken up */
    uint64_t moved;    /* records */
    uint64_t moved_bytes;
    uint64_t
        removed;   /* records that no instance refers to: of stores that never came to their end */
    uint64_t kept; /* records that had to stay, because they are broken, and their segments with
                      them */
    uint64_t freed_bytes; /* on the disk, as soon as nobody reads what was moved */
    int64_t milliseconds;
};

/* ERROR_BUSY while another one is under way. */
bool archive_compact(struct archive *archive, const struct compact_options *options,
                     struct job *job, struct compact_report *report, struct error *err);

/* Does it by itself, at once and then every minute, slowly, so that dead space is bounded. */
struct compactor;
bool compactor_open(struct archive *archive, double dead_share, struct compactor **out,
                    struct error *err);
void compactor_close(struct compactor *compactor);
