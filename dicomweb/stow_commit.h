/* SPDX-License-Identifier: MIT */
#pragma once
/* Commits the parts of one STOW-RS request, several at a time, so that they share the waits for the
 * disk: 50 parts one after the other wait 50 times. Keeps the report, in the order of the parts.
 * All calls from the request's thread. */

#include <stdatomic.h>

#include "archive/ingest.h"
#include "dicomweb/stow_report.h"

struct stow_commit;

/* `workers_in_all` counts the threads of all requests together, and is shared by them. */
struct stow_commit *stow_commit_new(atomic_uint *workers_in_all);
/* Ends what is in work, then frees. */
void stow_commit_free(struct stow_commit *commit);

/* A complete part of `size` bytes. Waits while as many parts or bytes as allowed are in work. */
void stow_commit_add_take(struct stow_commit *commit, struct ingest *ingest, uint64_t size);
/* A part that has failed before its commit. */
void stow_commit_add_failure(struct stow_commit *commit, enum failure_reason reason,
                             const struct identity *identity);
/* Waits until all parts are durable or have failed. The report is borrowed. */
const struct stow_report *stow_commit_finish(struct stow_commit *commit);
/* Parts so far. */
size_t stow_commit_count(const struct stow_commit *commit);

void stow_log_failure(const struct identity *identity, const struct error *err);
