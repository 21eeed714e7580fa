/* SPDX-License-Identifier: MIT */
#pragma once
/* One study as it changes in a transaction: instances are added and removed, and series, study,
 * patient, counts and terms follow. Everything is read in the write turn, so no update is lost.
 * Between open and save, in one thread. */

#include "archive/core.h"
#include "archive/keys.h"
#include "archive/records.h"
#include "archive/terms.h"
#include "storage/transaction.h"

struct tree {
    struct archive *archive;
    struct transaction *transaction;
    char uid[UID_SIZE];
    bool existed;              /* the study was there at tree_open */
    struct buffer before;      /* its record as it was */
    struct patient_record had; /* the study's part in its patient's counts, as it was */
    uint64_t had_bytes;
    bool terms_changed;
    bool source_removed; /* the instance whose header stands for the study's is gone */
    struct study_record study;

    char series_uid[UID_SIZE]; /* "" when none is loaded */
    bool series_existed;
    bool series_source_removed;
    struct series_record series;

    bool versions_known;
    bool has_versions; /* some instance of the study has: asked at the first removal */

    struct buffer tagged; /* {16-bit size, key} of the terms of tags that were written here */

    struct key first_removed; /* what was removed is one range of the keys of instances */
    struct key last_removed;
    uint64_t removed;
};

/* An instance with all that was prepared for it before the write turn. */
struct addition {
    const struct identity *identity;
    const struct dataset *header;
    struct instance_record *instance; /* `created` is filled in */
    struct slice document;
    struct slice frames;
    uint64_t study_present; /* see summary_presence */
    uint64_t series_present;
    const struct summary *study_summary;  /* NULL: made when it is needed */
    const struct summary *series_summary; /* likewise */
};

bool tree_open(struct tree *tree, struct archive *archive, struct transaction *transaction,
               const char *study, struct error *err);
void tree_close(struct tree *tree);
bool tree_exists(const struct tree *tree); /* the study has instances */

/* The instance is not there yet. */
bool tree_add(struct tree *tree, const struct addition *addition, struct error *err);
/* What is added takes the place of `old`, which is at this place with another content and belongs
 * to the same SOP class; it becomes a version (archive/versions.h), of which `kept` stay. */
bool tree_replace(struct tree *tree, const struct addition *addition,
                  const struct instance_record *old, size_t kept, struct error *err);
/* Removals come in ascending order of their keys, and nothing is left out between two of them. */
bool tree_remove(struct tree *tree, const struct identity *identity,
                 const struct instance_record *instance, int64_t at_ms, struct error *err);
/* Writes what has changed but was not written yet. The caller commits. */
bool tree_save(struct tree *tree, struct error *err);
