/* SPDX-License-Identifier: MIT */
#pragma once
/* Which studies a query looks at, and in which order: newest first, then by UID (patients: by
 * Patient ID). The keys choose the index that leads to the fewest; what comes is a candidate, and
 * every key is still to be matched. One thread at a time. */

#include "archive/query_key.h"

struct plan;

/* At most so many candidates are sorted in memory; more are walked in the order of their dates. 0:
 * no index is used at all. Only tests want another than the default. */
enum { PLAN_GATHER_MAX = 100000 };

bool plan_open(struct archive *archive, const struct query_keys *keys, enum level level,
               size_t gather_max, struct plan **out, struct error *err);
/* The next study; with a series or an instance when only that one can match. At LEVEL_PATIENT the
 * newest study of the next patient. */
bool plan_next(struct plan *plan, struct identity *place, bool *found, struct error *err);
/* Every candidate matches: no key need be looked at. */
bool plan_is_exact(const struct plan *plan);
/* Passes over up to `at_most` candidates of an exact plan, maybe over less; over none at the end
 * only. */
bool plan_skip(struct plan *plan, uint64_t at_most, uint64_t *skipped, struct error *err);
void plan_close(struct plan *plan);
