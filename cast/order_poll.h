/* SPDX-License-Identifier: MIT */
#pragma once
/* Orders that the FHIR server holds: a thread that asks it for ServiceRequests which were changed
 * since it last asked (_lastUpdated), with their Patients and Appointments, and tells the worklist.
 * What it has seen it may see again: the worklist takes an order once. Thread-safe but for open and
 * close. */

#include "archive/archive.h"
#include "cast/fhir_client.h"
#include "cast/service_request.h"

struct order_poll;

struct order_poll_options {
    struct fhir_client_options client;      /* copied by the client */
    struct service_request_options mapping; /* strings must outlive the poll */
    int64_t interval_ms;
};

/* The position is kept among the followers' state of the archive. */
bool order_poll_open(struct archive *archive, struct worklist *worklist,
                     const struct order_poll_options *options, struct order_poll **out,
                     struct error *err);
void order_poll_stop(struct order_poll *poll); /* ends the request in flight */
void order_poll_close(struct order_poll *poll);

/* What becomes of one request: for who else brings some. */
enum order_fate { ORDER_TAKEN, ORDER_NONE /* it is no order of ours: request->why */ };
bool order_apply(struct worklist *worklist, const struct service_request_parts *parts,
                 const struct service_request_options *options, struct service_request *request,
                 struct step_outcome *outcome, enum order_fate *fate, struct error *err);
