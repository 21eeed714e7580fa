/* SPDX-License-Identifier: MIT */
#pragma once
/* What stays of a study, series or instance that was deleted: the time of its deletion. It means
 * "gone" as long as nothing stands at its place. */

#include "archive/archive.h"
#include "storage/transaction.h"

void tombstone_put(struct transaction *transaction, const struct identity *place, int64_t at_ms);
bool tombstone_get(struct transaction *transaction, const struct identity *place, int64_t *at_ms,
                   bool *found, struct error *err);
/* What tombstone_put wrote. ERROR_CORRUPT when it cannot be read. */
bool tombstone_decode(struct slice value, int64_t *at_ms, struct error *err);

/* Into the index that a rebuild makes, from the old one: so what was deleted stays so. What cannot
 * be read there is left out, as is one that does not fit the times of what was stored since. */
bool tombstones_take_over(struct storage *storage, uint64_t *count, struct error *err);
