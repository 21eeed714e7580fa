/* SPDX-License-Identifier: MIT */
#pragma once
/* One sync for all who wait. Who has written takes a ticket and waits for it; the first who finds
 * no sync running becomes the leader and syncs for everybody whose ticket was taken before.
 * A sync that fails, fails for good: what the kernel dropped cannot be asked for again.
 * Thread-safe. */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct group_sync {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t written; /* the last ticket; this and the rest are guarded by lock */
    uint64_t synced;  /* all tickets up to here are durable */
    uint64_t mark;    /* of the last ticket */
    uint64_t syncs;   /* how often sync ran */
    bool running;
    bool failed;
    bool (*sync)(void *context, struct error *err);
    /* Called after a sync, in order, before anybody is released; may be NULL. */
    void (*done)(void *context, uint64_t mark);
    void *context;
};

void group_sync_init(struct group_sync *group, bool (*sync)(void *, struct error *),
                     void (*done)(void *, uint64_t), void *context);
void group_sync_release(struct group_sync *group);

/* Call it when the write has returned. `mark` grows with the tickets and is handed to done. */
uint64_t group_sync_written(struct group_sync *group, uint64_t mark);
/* ERROR_IO when the sync of this or of an earlier ticket failed. */
bool group_sync_wait(struct group_sync *group, uint64_t ticket, struct error *err);
/* Waits for all tickets taken so far, as if the last one were the caller's. */
bool group_sync_settle(struct group_sync *group, struct error *err);
uint64_t group_sync_count(struct group_sync *group);
