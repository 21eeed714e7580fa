/* SPDX-License-Identifier: MIT */
#pragma once
/* What C-MOVE and C-GET have in common (PS3.4 C.4.2, C.4.3): unique keys select instances, each is
 * a sub-operation, which is counted and reported, and the final response tells how it went. One
 * thread at a time. */

#include "dimse/delivery.h"
#include "dimse/excerpt.h"
#include "dimse/identifier.h"
#include "dimse/session.h"

/* A pending response comes at least this often while sub-operations run (PS3.4 C.4.2.3.1). */
enum { RETRIEVAL_REPORT_MS = 500 };

struct retrieval {
    struct session *session;
    const struct message *request;
    struct selection selection; /* texts in `keys` */
    struct buffer keys[LEVEL_INSTANCE + 1];
    uint64_t total;
    uint64_t completed;
    uint64_t failed;
    uint64_t warning;
    struct buffer failed_uids;
    struct error first_failure;
    bool cancelled;
    struct excerpt *excerpt; /* what is sent instead of the one instance, or NULL */
    int64_t reported_ms;     /* when the last pending response went out; 0: none yet */
};

/* Borrows both. */
void retrieval_init(struct retrieval *retrieval, struct session *session,
                    const struct message *request);
void retrieval_release(struct retrieval *retrieval);

/* Takes the unique keys: a list of UIDs at the level asked for, single values above, no wildcards
 * (PS3.4 C.4.2.1.4.1, C.4.2.2.1). */
bool retrieval_select(struct retrieval *retrieval, const struct identifier *identifier,
                      struct error *refusal);

/* After that, at the FRAME level: makes the new instance. The *status is of a refusal. */
bool retrieval_excerpt(struct retrieval *retrieval, const struct identifier *identifier,
                       struct status *status);

/* What became of a sub-operation. */
void retrieval_count(struct retrieval *retrieval, const char *sop_instance, enum delivery delivery,
                     const struct error *failure);
/* A pending response, if it is time for one. False when the requester has gone. */
bool retrieval_report(struct retrieval *retrieval, struct error *err);
/* The final response. */
bool retrieval_finish(struct retrieval *retrieval, struct error *err);
