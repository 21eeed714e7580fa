/* SPDX-License-Identifier: MIT */
#pragma once
/* The index from the segments alone. docs/index-format.md says what equals the lost one and what
 * cannot: deletions that nobody had heard of, followers' state; and why the change feed goes on at
 * a number above all that were given out. */

#include "archive/archive.h"
#include "base/job.h"

struct rebuild_report {
    uint64_t records;    /* live ones that were found */
    uint64_t instances;  /* that are in the index now */
    uint64_t versions;   /* of them that others took the place of */
    uint64_t deleted;    /* records of what the old index says was deleted since: left out, until a
                            compaction removes them */
    uint64_t corrupt;    /* records whose bytes do not fit their checksum, and places that cannot be
                            read: left out, kept */
    uint64_t refused;    /* that are no DICOM any more for us, or a second one of the same UID: left
                            out, kept */
    uint64_t others;     /* records and terms of the worklist, and what the registration told: taken
                            over from the old index */
    bool others_lost;    /* there is no old index, or not all of it could be read */
    uint64_t tombstones; /* of what was deleted, likewise */
    uint64_t bytes;
    int64_t milliseconds;
};

struct rebuild_options {
    const char *ae_title;
    bool dry_run; /* reads and counts, and leaves the directory as it was; the old index too, so it
                     does not know what was deleted */
};

/* Builds a new index beside the old one (if there is one), and puts it in its place when it is
 * whole and durable; the old one is kept as index.old-<time>. Nobody else has the directory:
 * ERROR_BUSY. What is left out is logged, by segment and offset. Needs 48 bytes of memory a record.
 */
bool archive_rebuild(const char *data_directory, const struct rebuild_options *options,
                     struct job *job, struct rebuild_report *report, struct error *err);
