/* SPDX-License-Identifier: MIT */
#pragma once
/* Deleting: an instance, a series or a study in one atomic step, with a tombstone per level (so
 * that later reads can say "gone") and a change per instance. Space is given back when nobody reads
 * it any more. */

#include "archive/archive.h"

/* series and instance NULL: the whole study or series. *count tells the instances deleted.
 * ERROR_NOT_FOUND; ERROR_GONE when it was deleted before; ERROR_CONFLICT when the study is held
 * (archive/hold.h). */
bool archive_delete(struct archive *archive, const char *study, const char *series,
                    const char *instance, uint64_t *count, struct error *err);
