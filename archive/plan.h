/* SPDX-License-Identifier: MIT */
#pragma once
/* Which studies a query looks at, and in which order: newest first, then by UID (patients: by
 * Patient ID). The keys choose the index that leads to the fewest; what comes is a candidate, and
 * every key is still to be matched. One thread at a time. */

#include "archive/query_key.h"

struct plan;

/* `scan`: use no index, for comparison in tests. */
bool plan_open(struct archive *archive, const struct query_keys *keys, enum level level, bool scan,
               struct plan **out, struct error *err);
/* The next study; with a series or an instance when only that one can match. At LEVEL_PATIENT the
 * newest study of the next patient. */
bool plan_next(struct plan *plan, struct identity *place, bool *found, struct error *err);
/* Every candidate matches: no key need be looked at. */
bool plan_is_exact(const struct plan *plan);
void plan_close(struct plan *plan);
