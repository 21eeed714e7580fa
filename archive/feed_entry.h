/* SPDX-License-Identifier: MIT */
#pragma once
/* What stands in an entry of the change feed: {version, action, Unix time in ms, place, SOP class}.
 */

#include "archive/changes.h"

enum { FEED_ENTRY_SIZE = 512 };

/* `sequence` is not part of it. Appends. */
void feed_entry_encode(const struct change *change, struct buffer *out);
bool feed_entry_decode(struct slice bytes, uint64_t sequence, struct change *change,
                       struct error *err);
