/* SPDX-License-Identifier: MIT */
#pragma once
/* A study as a tree, as it is now: what the cast maps and what a study page shows. A snapshot of
 * one moment: counts and lists agree. One thread at a time. */

#include "archive/archive.h"
#include "dicom/dataset.h"

struct study_instance {
    const char *sop_instance;
    const char *sop_class;
    const struct dataset *attributes; /* instance level, as query.h returns them */
    /* Of SR documents: everything that was stored (of a large or deflated one the header); of
     * encapsulated documents the header. NULL for anything else. */
    const struct dataset *document;
};
struct study_series {
    const char *uid;
    const struct dataset *attributes; /* series level */
    const struct dataset
        *header; /* of the first instance of the series: everything that was stored */
    size_t instance_count;
    struct study_instance *instances; /* by instance number, then UID */
};
struct study {
    const char *uid;
    const struct dataset *attributes; /* patient and study level, with the computed ones */
    const struct dataset *header;     /* of the first instance of the first series */
    uint64_t change;                  /* sequence number of its last change in the feed */
    size_t series_count;
    struct study_series *series; /* by series number, then UID */
    size_t documents_left_out;   /* there were too many */
};

/* ERROR_NOT_FOUND, or ERROR_GONE when it was deleted. */
bool study_open(struct archive *archive, const char *study_uid, struct study **out,
                struct error *err);
/* The same with the first series alone, and of that the first instance: for who only looks at the
 * study and patient level. */
bool study_open_head(struct archive *archive, const char *study_uid, struct study **out,
                     struct error *err);
void study_close(struct study *study);

/* The sequence number of the study's last change in the feed; *found false when it is not there. */
bool study_last_change(struct archive *archive, const char *study_uid, uint64_t *sequence,
                       bool *found, struct error *err);

/* When a study that is gone was deleted, in Unix time; *found false when that is not known. */
bool study_gone_at(struct archive *archive, const char *study_uid, int64_t *at_ms, bool *found,
                   struct error *err);

/* Every study UID in ascending order, after `after` ("" for the first): *found false at the end.
 * For walks that may take long: holds nothing open between the calls. */
bool study_next(struct archive *archive, const char *after, char study_uid[UID_SIZE], bool *found,
                struct error *err);
