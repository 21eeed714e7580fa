/* SPDX-License-Identifier: MIT */
#pragma once
/* Short texts with how often each was counted, in ascending order, kept in their stored form:
 * {8-bit length, characters, 32-bit count} each. For the modalities and SOP classes of a study. At
 * most TALLY_MAX texts: what comes beyond is not counted. */

#include "base/buffer.h"

enum { TALLY_MAX = 256, TALLY_SIZE = TALLY_MAX * (1 + 64 + 4) };

/* Counts `name` (at most 64 characters, not empty) up or down; a name that comes to 0 is gone. True
 * when the set of names changed. */
bool tally_add(struct buffer *tally, struct slice name, int32_t amount);

/* Walks the names from *position = 0; false at the end. */
bool tally_next(struct slice tally, size_t *position, struct slice *name, uint32_t *count);
