/* SPDX-License-Identifier: MIT */
#pragma once
/* What the server promises about studies: the one place where dicom meets storage. Patients,
 * studies, series and instances; each door (ingest, query, retrieve, study, changes, delete) is a
 * header of its own. Thread-safe. */

#include "archive/coercion.h"
#include "base/error.h"
#include "dicom/uid.h"

struct storage;
struct archive;

/* Other bytes under a SOP Instance UID that is stored already (PS3.4 B.2.3). */
enum conflict_policy {
    CONFLICT_KEEPS_FIRST, /* they are refused */
    CONFLICT_REPLACES,    /* they take its place when all else that identifies it is the same, and
                             what was there stays as a version (archive/versions.h) */
};

struct archive_options {
    const char *ae_title;            /* for Retrieve AE Title (0008,0054) */
    bool refuse_unknown_sop_classes; /* default false: private and unknown classes are stored too */
    uint64_t minimum_free_bytes;     /* refuse stores below, 0: 256 MiB */
    enum conflict_policy on_conflict;
    const struct coercion_rule *coercions; /* copied */
    size_t coercion_count;
    size_t versions_kept; /* of an instance, beside the present one; 0: 10 */
};

/* The storage stays the caller's and must outlive the archive. */
bool archive_open(struct storage *storage, const struct archive_options *options,
                  struct archive **out, struct error *err);
void archive_close(struct archive *archive);

/* May attributes of what this AE title ("" for none) sends be changed before it is stored? */
bool archive_coerces(const struct archive *archive, const char *calling_ae);

enum level { LEVEL_PATIENT, LEVEL_STUDY, LEVEL_SERIES, LEVEL_INSTANCE };

/* The place of an instance (or, with empty ends, of a series or study) in the tree. */
struct identity {
    char study[UID_SIZE];
    char series[UID_SIZE];
    char instance[UID_SIZE];
    char sop_class[UID_SIZE];
};

/* What was stored and deleted so far, counted in the index itself. */
struct archive_counts {
    uint64_t patients;
    uint64_t studies;
    uint64_t series;
    uint64_t instances;
    uint64_t bytes;
};
bool archive_count(struct archive *archive, struct archive_counts *counts, struct error *err);
