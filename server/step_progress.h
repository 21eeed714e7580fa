/* SPDX-License-Identifier: MIT */
#pragma once
/* Closes the loop of an order: follows the archive's changes from a saved position and tells the
 * scheduled steps how many instances their studies hold. The one place that sees both the archive
 * and the worklist. */

#include "base/error.h"

struct archive;
struct worklist;
struct step_progress;

bool step_progress_open(struct archive *archive, struct worklist *worklist,
                        struct step_progress **out, struct error *err);
void step_progress_close(struct step_progress *progress); /* NULL does nothing */
