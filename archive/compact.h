/* SPDX-License-Identifier: MIT */
#pragma once
/* Gives the space of deleted instances back that stands between living ones: the living records of
 * a segment with much dead space are copied to the end of the active one, the index follows, and
 * the segment goes. Beside everything else that happens; a crash loses nothing. */

#include "archive/archive.h"
#include "base/job.h"

struct compact_options {
    double dead_share; /* segments with at least this part dead, 0..1 */
    bool dry_run;
};

struct compact_report {
    uint64_t segments; /* that were (would be) taken up */
    uint64_t moved;    /* records */
    uint64_t moved_bytes;
    uint64_t freed_bytes;
    int64_t milliseconds;
};

bool archive_compact(struct archive *archive, const struct compact_options *options,
                     struct job *job, struct compact_report *report, struct error *err);
