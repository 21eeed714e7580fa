/* SPDX-License-Identifier: MIT */
#pragma once
/* Tells others by HTTP what was stored, replaced and deleted: for each URL a thread that follows
 * the change feed from the moment at which the URL was named first, and posts what came, in the
 * order of the feed, some hundreds at a time. The position is saved, so that nothing is left out
 * over a restart or a crash; the last events may come twice then, and have the same numbers. A
 * receiver that does not answer with 2xx is asked again after pauses that grow, and holds up nobody
 * else. UIDs, numbers and times alone: nothing of a patient. Thread-safe. */

#include "archive/archive.h"

struct webhooks;

enum { WEBHOOKS_MAX = 16, WEBHOOK_EVENTS = 200 };

struct webhook_options {
    const char *const *urls; /* NULL-terminated; NULL: none */
    const char *secret_file; /* its content, but for white space around, signs each body; NULL */
    const char *tls_ca;      /* NULL: those whom the system trusts */
    const char *proxy;
    int64_t timeout_ms; /* 0: 30 s */
};

/* Options are copied. *out NULL when there is no URL. */
bool webhooks_open(struct archive *archive, const struct webhook_options *options,
                   struct webhooks **out, struct error *err);
/* Sets the gauge of what is not delivered yet to how it is now. NULL: does nothing. */
void webhooks_tell_metrics(struct webhooks *webhooks);
/* Ends the requests in flight. */
void webhooks_stop(struct webhooks *webhooks);
void webhooks_close(struct webhooks *webhooks);
