/* SPDX-License-Identifier: MIT */
#pragma once
/* Records by their place, from what is committed, and what is said of places where nothing is. */

#include "archive/core.h"
#include "archive/records.h"

bool lookup_study(struct archive *archive, const char *study, struct study_record *record,
                  bool *found, struct error *err);
bool lookup_series(struct archive *archive, const char *study, const char *series,
                   struct series_record *record, bool *found, struct error *err);
bool lookup_instance(struct archive *archive, const struct identity *identity,
                     struct instance_record *record, bool *found, struct error *err);

/* Where the instance with this SOP Instance UID stands; sop_class is not filled in. */
bool lookup_place(struct archive *archive, const char *instance, struct identity *identity,
                  bool *found, struct error *err);

/* Returns false: ERROR_GONE when there is a tombstone, else ERROR_NOT_FOUND. series and instance
 * may be NULL. */
bool lookup_absent(struct archive *archive, const char *study, const char *series,
                   const char *instance, struct error *err);

/* The tombstone of a study: when it was deleted. */
bool lookup_gone(struct archive *archive, const char *study, int64_t *at_ms, bool *found,
                 struct error *err);

/* Are these UIDs (NULL or "" for none) such as could stand in a key? What cannot was never stored.
 */
bool lookup_is_place(const char *study, const char *series, const char *instance);
