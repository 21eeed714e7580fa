/* SPDX-License-Identifier: MIT */
#pragma once
/* Versions of an instance: what was stored under a SOP Instance UID before other bytes took its
 * place. Their blobs stay, and a record for each; no query and no retrieve shows them. They go with
 * their instance, and the oldest when there are more than the archive keeps. */

#include "archive/core.h"
#include "archive/keys.h"
#include "archive/records.h"
#include "dicom/dataset.h"
#include "storage/transaction.h"

enum { VERSIONS_KEPT_MAX = 1000 };

/* Whether `fresh` may take the place of `old`, which has this header (PS3.4 B.2.3): the same
 * instance of the same class, study, series and, unless it amends that, patient. Anything else is a
 * conflict, whatever the policy says. */
bool version_may_follow(const struct identity *fresh, const struct dataset *fresh_header,
                        const struct identity *old, const struct dataset *old_header, bool amends);

/* Of an instance that was made here, by an amendment of the one before it: nobody sent it. */
#define VERSION_DROPPED SIZE_MAX

/* What becomes of the record of an instance whose place is taken. Beyond `kept` (0: all stay) the
 * oldest go; VERSION_DROPPED: it goes itself. */
bool version_keep(struct archive *archive, struct transaction *transaction,
                  const struct identity *identity, const struct instance_record *old, size_t kept,
                  struct error *err);
/* Removes all versions of an instance with their blobs. Nothing of it was written in this
 * transaction. */
bool versions_remove(struct archive *archive, struct transaction *transaction,
                     const struct identity *identity, struct error *err);
/* Whether any instance of the study has versions. */
bool versions_exist(struct archive *archive, const char *study, bool *exist, struct error *err);
/* Whether a version was the instance when change number `sequence` was the last. */
bool version_was_there(struct archive *archive, const struct identity *identity, uint64_t sequence,
                       bool *was, struct error *err);

/* The one that came first, and the one whose place the instance took. */
bool version_first(struct archive *archive, const struct identity *identity,
                   struct instance_record *record, bool *found, struct error *err);
bool version_last(struct archive *archive, const struct identity *identity,
                  struct instance_record *record, bool *found, struct error *err);
/* The version that change number `sequence` stored. */
bool version_get(struct archive *archive, const struct identity *identity, uint64_t sequence,
                 struct instance_record *record, bool *found, struct error *err);
/* The version that stands in this blob; `key` is that of its record. */
bool version_find(struct archive *archive, const struct identity *identity,
                  const struct blob_id *blob, struct key *key, struct instance_record *record,
                  bool *found, struct error *err);
/* The place in a key of a version. False when it is none. */
bool version_split_key(struct slice key, struct identity *identity);
