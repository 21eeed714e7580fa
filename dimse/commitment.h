/* SPDX-License-Identifier: MIT */
#pragma once
/* Storage Commitment Push Model as SCP (PS3.4 annex J): a durable queue of transactions and one
 * thread that checks and reports them. What was taken is reported exactly once, as far as the
 * requester says so: over the association it came by if that is still open, else over one of our
 * own to the requester's peer, again and again with growing pauses, across restarts.
 *
 * The queue stands in the state of the follower "commitment" (docs/index-format.md). Thread-safe;
 * a line belongs to the thread of its association. */

#include "archive/archive.h"
#include "dimse/commitment_report.h"
#include "dimse/configuration.h"

struct commitment;

/* Loads what is left from before. `place` outlives it. */
bool commitment_open(struct archive *archive, struct configuration_place *place,
                     struct commitment **out, struct error *err);
/* Ends the thread; what is not reported yet stays in the queue. */
void commitment_close(struct commitment *commitment);

/* An association over which reports can go out. NULL when there is no descriptor to be had for it:
 * they go out over associations of our own then. */
struct commitment_line;
struct commitment_line *commitment_line_new(struct commitment *commitment);
/* What was handed over and not answered goes back into the queue. */
void commitment_line_close(struct commitment_line *line);
int commitment_line_fd(const struct commitment_line *line); /* readable: there is a report */
/* The next report to send, borrowed until its answer; NULL: none. */
const struct commitment_report *commitment_line_take(struct commitment_line *line,
                                                     uint16_t *message_id);
/* The requester answered, or the report could not be sent (status not 0). */
void commitment_line_answered(struct commitment_line *line, uint16_t message_id, uint16_t status);

struct commitment_request {
    const char *calling_ae; /* who asks, and whom to report to */
    const char *called_ae;
    const char *transaction;
    struct slice references; /* see references_write */
    size_t count;
    struct commitment_line *line; /* or NULL */
};
/* Durable when it returns true. A transaction that is known already is reported again when it has
 * the same references, and ERROR_CONFLICT with others; ERROR_LIMIT when too much waits. */
bool commitment_add(struct commitment *commitment, const struct commitment_request *request,
                    struct error *err);
