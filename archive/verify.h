/* SPDX-License-Identifier: MIT */
#pragma once
/* Looks whether the archive is whole: every record of the segments against the index, and every
 * entry of the index against the segments. Reads only; others go on meanwhile, and what they store
 * and delete is no finding. */

#include "archive/archive.h"
#include "base/job.h"

enum verify_kind {
    VERIFY_BLOB_MISSING,   /* an instance's blob is not there */
    VERIFY_BLOB_CORRUPT,   /* its bytes are not those that were stored */
    VERIFY_BLOB_UNKNOWN,   /* a live record that no instance refers to */
    VERIFY_INDEX_CORRUPT,  /* an entry of the index that cannot be read */
    VERIFY_COUNT_WRONG,    /* what is counted of a study, series, patient or in all is not so */
    VERIFY_TERM_MISSING,   /* an instance or study that a query by key would not find */
    VERIFY_TERM_UNKNOWN,   /* a term that leads nowhere */
    VERIFY_DOCUMENT_WRONG, /* the stored header is not that of the blob */
    VERIFY_KIND_COUNT,
};

struct verify_finding {
    enum verify_kind kind;
    struct identity identity; /* as far as it is known */
    uint32_t segment;         /* 0: none */
    uint64_t offset;
    char message[256]; /* no patient data */
};

struct verify_options {
    bool quick; /* reads no payloads: presence, headers and counts only */
    void (*finding)(void *context, const struct verify_finding *finding);
    void *context;
};

struct verify_report {
    uint64_t records;   /* live ones that were read */
    uint64_t instances; /* of the index */
    uint64_t studies;
    uint64_t bytes; /* read */
    /* Live records that were left over, by a crash as a rule: another one of the same instance is
     * referred to, or it was deleted since. They do no harm. */
    uint64_t leftovers;
    uint64_t unreadable; /* blocks of segments in which records might begin, and no read succeeds */
    uint64_t findings[VERIFY_KIND_COUNT];
    int64_t milliseconds;
};

/* True when it looked at everything, whatever it found. */
bool archive_verify(struct archive *archive, const struct verify_options *options, struct job *job,
                    struct verify_report *report, struct error *err);
const char *verify_kind_name(enum verify_kind kind); /* "blob-missing" ... */
/* All findings but VERIFY_BLOB_UNKNOWN: such a record was never acknowledged to anybody, as long as
 * nothing else is wrong. */
uint64_t verify_damage(const struct verify_report *report);

/* How much of the whole is done, 0 to 1, by what a job was told last. Phases weigh what they take
 * of a full verification on a disk, roughly. */
double verify_progress(const char *phase, uint64_t done, uint64_t total);
