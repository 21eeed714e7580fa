/* SPDX-License-Identifier: MIT */
#pragma once
/* Peers that the options name are told what becomes of performed procedure steps, over associations
 * that we open (the notification SOP class, PS3.4 F.9). Each of them follows the changes from a
 * saved position of its own, so that one who cannot be reached holds nobody up and misses nothing.
 */

#include "dimse/configuration.h"

struct notify;

/* All outlive it. */
bool notify_open(struct archive *archive, struct worklist *worklist,
                 struct configuration_place *place, struct notify **out, struct error *err);
void notify_close(struct notify *notify); /* NULL does nothing */
