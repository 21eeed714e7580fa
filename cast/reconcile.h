/* SPDX-License-Identifier: MIT */
#pragma once
/* A comparison of the whole archive with the FHIR server: what is missing there, what differs, what
 * is too much, what is there twice; repaired or only told. */

#include "base/job.h"
#include "cast/follower.h"

/* `result` gets {"studies", "held", "waiting", "kinds": {...}, "findings": [{"kind", "study",
 * "repaired"}], "findingsTotal", "repairedTotal"}: UIDs alone. The follower goes on beside it. */
bool reconcile_run(struct archive *archive, struct follower *follower, bool dry_run,
                   struct job *job, cJSON *result, struct error *err);
/* What a page of a search says about the next one, as a path below the base: the server named is
 * never another one than ours. NULL at the end. Free it. */
char *reconcile_next_page(const cJSON *bundle, const char *base);
