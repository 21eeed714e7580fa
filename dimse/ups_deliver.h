/* SPDX-License-Identifier: MIT */
#pragma once
/* Events of unified procedure steps sent to who subscribed over DIMSE (PS3.4 CC.2.4): over
 * associations that we open, one subscriber after its own position each, so that one who cannot be
 * reached holds nobody up. */

#include "dimse/configuration.h"

struct ups_delivery;

/* Both outlive it. */
bool ups_delivery_open(struct worklist *worklist, struct configuration_place *place,
                       struct ups_delivery **out, struct error *err);
/* What is to be told by now may still be told for `grace_ms`. NULL does nothing. */
void ups_delivery_close(struct ups_delivery *delivery, int64_t grace_ms);
