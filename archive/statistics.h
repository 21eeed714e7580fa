/* SPDX-License-Identifier: MIT */
#pragma once
/* What is in the archive, counted: for people who look after it. Beside everything else that
 * happens, so the parts are of slightly different moments. */

#include "archive/archive.h"
#include "base/job.h"

enum { STATISTICS_NAMES = 256, STATISTICS_FOLLOWERS = 64 };

/* Counted by modality, SOP class or transfer syntax. What comes after STATISTICS_NAMES of them is
 * counted under "other". */
struct statistics_entry {
    char name[UID_SIZE];
    uint64_t series; /* of a modality */
    uint64_t instances;
    uint64_t bytes;
};
struct statistics_list {
    struct statistics_entry entries[STATISTICS_NAMES + 1];
    size_t count;
};

struct statistics {
    struct archive_counts counts;
    uint64_t versions; /* older ones of instances, which others took the place of */
    uint64_t version_bytes;
    struct statistics_list modalities;
    struct statistics_list sop_classes; /* this and the rest up to the feed not in a quick one */
    struct statistics_list transfer_syntaxes;
    int64_t oldest_ms; /* Unix time at which the oldest instance was stored; 0: none */
    int64_t newest_ms;
    uint64_t feed_first; /* sequence numbers that are in the feed; 0: none */
    uint64_t feed_last;
    struct {
        char name[64];
        uint64_t position;
        uint64_t behind; /* changes after it */
    } followers[STATISTICS_FOLLOWERS];
    size_t follower_count;
};

/* `quick` reads no instance records. Fills `statistics`, which is large. */
bool archive_statistics(struct archive *archive, bool quick, struct job *job,
                        struct statistics *statistics, struct error *err);
