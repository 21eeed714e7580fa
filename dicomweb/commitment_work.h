/* SPDX-License-Identifier: MIT */
#pragma once
/* Storage commitment over HTTP (PS3.18 13): requests that are kept until a day after they came, and
 * one thread that checks them. The lists are durable, what came of them is not: after a restart it
 * is found out again. Thread-safe. */

#include "archive/archive.h"
#include "archive/commitment_check.h"

struct commitment_work;

/* The thread begins with the first request. */
struct commitment_work *commitment_work_new(struct archive *archive);
void commitment_work_free(struct commitment_work *work);

/* `references` as in commitment_list.h; `requester` is a number of his own. Durable when it returns
 * true. ERROR_CONFLICT for a transaction that is known, ERROR_BUSY when too much waits, of all or
 * of this requester. */
bool commitment_work_add(struct commitment_work *work, uint64_t requester, const char *transaction,
                         struct slice references, size_t count, struct error *err);

/* Waits up to timeout_ms for the end of the check. *done false: it is still to come; `result` is to
 * be released in any case. ERROR_NOT_FOUND for a transaction that nobody knows. */
bool commitment_work_result(struct commitment_work *work, const char *transaction,
                            int64_t timeout_ms, struct commitment_result *result, bool *done,
                            struct error *err);
