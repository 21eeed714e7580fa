/* SPDX-License-Identifier: MIT */
#pragma once
/* What stands in an entry of the change feed: {version, action, Unix time in ms, place, SOP class}.
 */

#include "archive/changes.h"

enum {
    FEED_ENTRY_SIZE = 512,
    FEED_ENTRY_VERSION = 1, /* and the stream of the archive's entries (storage/feed.h) */
    FEED_OTHERS = 0x20,     /* from here on the first byte is that of another stream */
};

/* The archive's, and not of another stream of the same feed. */
static inline bool feed_entry_is_own(struct slice bytes)
{
    return !bytes.size || bytes.data[0] < FEED_OTHERS;
}

/* `sequence` is not part of it. Appends. */
void feed_entry_encode(const struct change *change, struct buffer *out);
bool feed_entry_decode(struct slice bytes, uint64_t sequence, struct change *change,
                       struct error *err);
