/* SPDX-License-Identifier: MIT */
#pragma once
/* The ordered change feed, and the positions of those who follow it. Sequence numbers begin at 1,
 * grow, and may have gaps; one that was seen is durable, and none appears later below it.
 * Thread-safe. */

#include "storage/storage.h"

uint64_t
feed_latest(struct storage *storage); /* the last durable sequence number, 0 when there is none */

/* Entries after `after`, at most up to feed_latest as of now. Read it with storage_cursor_next: the
 * key is the sequence number, see feed_sequence. */
bool feed_open(struct storage *storage, uint64_t after, struct storage_cursor **out,
               struct error *err);
/* The same from the last entry down. After a restore or rebuild it is below feed_latest. */
bool feed_open_backwards(struct storage *storage, struct storage_cursor **out, struct error *err);
uint64_t feed_sequence(struct slice key);

/* How many numbers after `after` may have entries. 0: all was read. */
uint64_t feed_behind(struct storage *storage, uint64_t after);

/* True when there may be entries after `after`; waits up to timeout_ms for that. Wakes early on
 * feed_wake. */
bool feed_wait(struct storage *storage, uint64_t after, int64_t timeout_ms);
void feed_wake(struct storage *storage); /* lets all who wait return, for an orderly stop */

/* An entry is of the stream that its first byte names: several writers share one order of numbers,
 * and each follows its own entries. The same three for one stream alone: nothing of another one
 * wakes who waits, or counts as news. */
uint64_t feed_latest_of(struct storage *storage, uint8_t stream);
uint64_t feed_behind_of(struct storage *storage, uint8_t stream, uint64_t after);
bool feed_wait_of(struct storage *storage, uint8_t stream, uint64_t after, int64_t timeout_ms);

/* A follower's position, by name; 0 when it never saved one. Durable when save returns. */
bool feed_position_load(struct storage *storage, const char *follower, uint64_t *position,
                        struct error *err);
bool feed_position_save(struct storage *storage, const char *follower, uint64_t position,
                        struct error *err);
/* The same in a transaction, with what else changes in it. Removed, it is 0 again. */
struct transaction;
void feed_position_put(struct transaction *transaction, const char *follower, uint64_t position);
void feed_position_remove(struct transaction *transaction, const char *follower);
