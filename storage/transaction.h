/* SPDX-License-Identifier: MIT */
#pragma once
/* An atomic, durable change of the index. One transaction at a time has the write turn: it reads
 * what the ones before it wrote, so no update is lost, and the feed numbers are given out in the
 * order of the writes. The turn is short (memory only); after it the commits of all who wait share
 * one sync. Reads see a change when its write is done; the feed shows it only when it is durable,
 * in order, so that no sequence number ever appears behind a reader. A transaction belongs to one
 * thread. Do nothing slow between open and commit: all other writers wait. */

#include "storage/blob.h"
#include "storage/storage.h"

struct transaction;

bool transaction_open(struct storage *storage, struct transaction **out, struct error *err);

/* Sees the transaction's own puts and deletes. */
bool transaction_get(struct transaction *transaction, enum table table, struct slice key,
                     struct buffer *value, bool *found, struct error *err);
void transaction_put(struct transaction *transaction, enum table table, struct slice key,
                     struct slice value); /* copies both */
void transaction_delete(struct transaction *transaction, enum table table, struct slice key);

/* Adds to the change feed and returns the entry's sequence number (the first is 1). All entries of
 * one transaction are of one stream (feed.h): they begin with the same byte. */
uint64_t transaction_append_feed(struct transaction *transaction, struct slice entry);

/* The next number given out is above `sequence`, or above the last one, whichever is more. */
void transaction_skip_feed(struct transaction *transaction, uint64_t sequence);

/* The blob's space is given back after the commit, when nobody reads it any more; also after a
 * crash in between. */
void transaction_delete_blob(struct transaction *transaction, const struct blob_id *id);

/* Returns when all of it is durable. On an error nothing of it is there, but for one: when the sync
 * failed (ERROR_IO) it is seen, nothing more is written, and only the restart shows whether it
 * stayed. Ends the turn either way. */
bool transaction_commit(struct transaction *transaction, struct error *err);
/* Ends as transaction_commit, but does not wait until it is durable: the next sync does that, and
 * only then the feed shows it. Deletes no blobs. */
bool transaction_commit_unsynced(struct transaction *transaction, struct error *err);
void transaction_close(
    struct transaction *transaction); /* without a commit before it: leaves no trace */
