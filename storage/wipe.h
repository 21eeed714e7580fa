/* SPDX-License-Identifier: MIT */
#pragma once
/* Gives the space of deleted records back, many at a time. Only storage/reclaim.c includes this
 * header. */

#include "storage/blob.h"

struct segment;
struct storage;
struct use;

enum wipe_outcome {
    WIPE_DONE,  /* it may be recorded */
    WIPE_RETRY, /* not possible at this moment, as without a free descriptor */
    WIPE_LEFT,  /* the disk does not let us: it stays deleted, and is tried again after a restart */
};

/* One deleted record. */
struct wipe {
    struct blob_id id;
    struct use *use; /* the caller's */
    bool redo; /* it may have been wiped already, by a server that ended before it recorded it */
    enum wipe_outcome outcome;
    struct segment *segment; /* pinned once for all in it; NULL: there is nothing to give back */
    uint64_t held;           /* what the file system did not take back */
    bool counted;            /* it is one more dead record of the segment */
    bool marked;
    bool whole; /* its header goes too */
};

/* Sorts them by place. Their marks of death are durable before any space goes. False when a sync
 * failed: nothing of it may be recorded. */
bool wipe_records(struct storage *storage, struct wipe *wipes, size_t count, struct error *err);
void wipe_release(struct storage *storage, struct wipe *wipes, size_t count);
