/* SPDX-License-Identifier: MIT */
#pragma once
/* The archive as its own files see it. */

#include <pthread.h>
#include <stdatomic.h>

#include "archive/archive.h"
#include "storage/storage.h"

/* What wakes the amender, see registration_records.h. */
struct patient_work {
    atomic_bool any; /* something is known of a patient */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t changes; /* guarded by lock */
};

struct archive {
    struct storage *storage;
    char *ae_title;
    bool refuse_unknown_sop_classes;
    struct patient_work patients;
    uint64_t minimum_free_bytes;
    enum conflict_policy on_conflict;
    size_t versions_kept;
    struct coercion_rules *coercion;
    _Atomic uint64_t replacing;       /* replacements that were begun, */
    _Atomic uint64_t replaced;        /* and that came to their end: see archive_replacements */
    _Atomic int64_t space_checked_ms; /* monotonic time of the last look at the disk */
    _Atomic uint64_t free_bytes;      /* as of then */
    _Atomic int space_level;          /* enum space_level, as it was logged last */
    _Atomic uint64_t scan_bytes;      /* held by large scans, see ingest.c */
    struct tag_set *tags;             /* extended query tags */
    struct resume *resume;            /* where walks of queries have been */
    struct decode_budget *decoding;   /* see transcoding.h */
    struct decode_budget *spooling;
    _Atomic unsigned writing_side;
    _Atomic uint64_t writing[2]; /* blobs between their writing and the transaction, by side */
    pthread_mutex_t settle_lock;
    pthread_mutex_t hold_lock; /* held while a legal hold changes, see hold.c */
    atomic_bool compacting;
};

/* Around the writing of a blob and the transaction that refers to it: in between it stands in a
 * segment and nothing tells why. End takes what begin gave. */
unsigned archive_writing_begin(struct archive *archive);
void archive_writing_end(struct archive *archive, unsigned side);
/* Waits until all that is between begin and end now has ended: its blobs are referred to, or marked
 * as deleted. Looks after `cancelled` (may be NULL) meanwhile. */
bool archive_writing_settle(struct archive *archive, bool (*cancelled)(void *context),
                            void *context, struct error *err);

/* A number that is the same before and after several reads only if none of them can have seen one
 * version of an instance and another one the next; 0: one is being replaced right now. */
uint64_t archive_replacements(struct archive *archive);

/* False with ERROR_NO_SPACE when the disk is too full for another instance. Looks at the disk once
 * a second. */
bool archive_has_space(struct archive *archive, struct error *err);

/* NULL and "" are alike: nothing was said. */
static inline bool is_empty_text(const char *text)
{
    return !text || !text[0];
}
