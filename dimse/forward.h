/* SPDX-License-Identifier: MIT */
#pragma once
/* Forwarding by rule: each destination has a thread that follows the change feed from the moment at
 * which a rule named it first, and sends what its rules want by C-STORE, in the order of the feed.
 * Its position is saved, so that nothing is left out over a restart or a crash; the last few
 * instances may be sent twice then. A destination that does not answer is called again after pauses
 * that grow, and holds up nobody else. Thread-safe. */

#include "dimse/configuration.h"

struct forward;

bool forward_open(struct archive *archive, struct configuration_place *place, struct forward **out,
                  struct error *err);
/* Other rules or peers may be current. Those who pause try again. */
void forward_reload(struct forward *forward);
void forward_close(struct forward *forward);

/* Does a rule want this instance sent there? Never to who sent it: it would go in circles. */
bool forward_wants(const struct dimse_options *options, const char *to, const char *source_ae,
                   const char *modality);

/* What the status of a C-STORE-RSP means here. */
enum forward_outcome {
    FORWARD_SENT,
    FORWARD_LATER,   /* out of resources: most likely all else would be told the same */
    FORWARD_REFUSED, /* this instance is not wanted (A9xx, Cxxx ...) */
};
enum forward_outcome forward_judge(uint16_t status);
