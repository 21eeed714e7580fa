/* SPDX-License-Identifier: MIT */
#pragma once
/* Instance Availability Notification as SCU (PS3.4 annex R): who is named in the options is told
 * what the archive has of a study when it has been quiet for a while, and what it has no more. One
 * thread for each of them follows the change feed from a position of its own, so that one who is
 * down is told later, over restarts too, and nobody waits for it. Thread-safe. */

#include "archive/archive.h"
#include "dimse/configuration.h"

struct availability;

/* Both outlive it. */
bool availability_open(struct archive *archive, struct configuration_place *place,
                       struct availability **out, struct error *err);
/* Others are named now. Who is named no more is told no more. */
void availability_reload(struct availability *availability);
void availability_close(struct availability *availability); /* NULL does nothing */
