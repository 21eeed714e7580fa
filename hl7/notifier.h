/* SPDX-License-Identifier: MIT */
#pragma once
/* Tells others what becomes of orders (IHE RAD-3): follows the worklist's changes, with a thread
 * and a saved position for each destination, so that one that cannot be reached holds nobody up and
 * misses nothing, over restarts too. A destination begins with what happens after it was first
 * named. One that refuses a message (AE, AR) has heard it. A message that is never answered while
 * the next one is, is parked: told in the log, counted, and left out, so that it does not hold up
 * all others for ever. Thread-safe. */

#include "base/tls.h"
#include "hl7/server.h"
#include "worklist/worklist.h"

struct hl7_notifier;

/* Options are copied. Without destinations nothing is opened, and *out is NULL. */
bool hl7_notifier_open(struct worklist *worklist, const struct hl7_options *options,
                       struct hl7_notifier **out, struct error *err);
void hl7_notifier_close(struct hl7_notifier *notifier);
