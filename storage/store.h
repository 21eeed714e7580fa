/* SPDX-License-Identifier: MIT */
#pragma once
/* The inside of struct storage. Only storage/ and its tests include this header. */

#include <pthread.h>
#include <stdatomic.h>

#include "storage/block_pool.h"
#include "storage/feed.h"
#include "storage/group_sync.h"
#include "storage/identity.h"
#include "storage/keyvalue.h"
#include "storage/reclaim.h"
#include "storage/segments.h"
#include "storage/storage.h"
#include "storage/transaction.h"

/* Sequence numbers above `after` and up to `upto` that have no entries: a restore and a rebuild go
 * on far behind all that were ever given out. */
struct feed_gap {
    uint64_t after;
    uint64_t upto;
};
enum { FEED_GAPS = 2, FEED_STREAMS = 256 };

/* The last entry that a stream has. */
struct feed_stream {
    uint64_t written;
    uint64_t durable;
};

struct storage {
    char *path;
    int folder_fd;
    int lock_fd;
    bool rebuild; /* see storage_options */
    struct identity_file identity;
    atomic_bool failed;    /* a sync failed: nothing is written any more */
    atomic_bool backed_up; /* a backup is under way */
    struct keyvalue *keyvalue;
    struct segments *segments;
    struct reclaim *reclaim;
    struct block_pool *pool;

    pthread_mutex_t turn;      /* held from transaction_open until its write is done */
    uint64_t last_sequence;    /* given out last; guarded by turn */
    uint8_t last_stream;       /* of the last entry; guarded by turn */
    struct group_sync commits; /* its mark is the last sequence number written */

    pthread_mutex_t feed_lock;
    pthread_cond_t feed_changed;
    struct feed_gap gaps[FEED_GAPS]; /* as of the opening */
    uint64_t durable_sequence;       /* this and the rest are guarded by feed_lock */
    uint64_t wakes;
    struct feed_stream streams[FEED_STREAMS];
    uint8_t durable_stream; /* of the last durable entry */
};

/* As storage_open, with an index of the caller's, which is taken also when it fails; NULL for the
 * one that the options name. */
bool storage_open_with(const struct storage_options *options, struct keyvalue *keyvalue_take,
                       struct storage **out, struct error *err);

enum { STORAGE_VERSION = 1 }; /* of the layout of a data directory */
/* Makes the folder a data directory. */
bool storage_write_format(int folder_fd, struct error *err);

/* ERROR_IO once a sync has failed. */
bool storage_check(struct storage *storage, struct error *err);

/* Called when an entry of the stream was written: it is not durable yet. */
void feed_written(struct storage *storage, uint8_t stream, uint64_t sequence);
/* Called when a sync of the index has succeeded. */
void feed_advance(struct storage *storage, uint64_t sequence);
/* The sequence number that was given out last, also when its entry is gone. */
bool feed_load_sequence(struct keyvalue *keyvalue, uint64_t *sequence, struct error *err);
/* Finds the gaps that the feed has before its first and behind its last entry. */
bool feed_load_gaps(struct storage *storage, struct error *err);
void feed_save_sequence(struct transaction *transaction, uint64_t sequence);
/* The last entry of a stream, kept when another stream goes on: the last entry of all tells itself.
 */
void feed_save_stream(struct transaction *transaction, struct storage *storage, uint8_t stream);
bool feed_load_streams(struct storage *storage, struct error *err);
/* In an index that nobody has open: no number up to `sequence` is given out again. Durable. */
bool feed_raise_sequence(struct keyvalue *keyvalue, uint64_t sequence, struct error *err);
