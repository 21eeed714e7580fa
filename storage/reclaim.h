/* SPDX-License-Identifier: MIT */
#pragma once
/* Who reads which blob, which blobs are deleted, and the thread that gives their space back when
 * nobody reads them any more. Only storage/ and its tests include this header. Thread-safe. */

#include "storage/blob.h"

struct reclaim;
struct keyvalue;

struct reclaim *reclaim_new(struct storage *storage);
/* Takes up the deletions that a crash left undone, and begins to work. */
bool reclaim_start(struct reclaim *reclaim, struct keyvalue *keyvalue, struct error *err);
/* Ends the thread when it has done what can be done. */
void reclaim_free(struct reclaim *reclaim);

/* False when the blob is deleted; else it stays until the release. */
bool reclaim_pin(struct reclaim *reclaim, const struct blob_id *id);
void reclaim_unpin(struct reclaim *reclaim, const struct blob_id *id);

/* The deletion is written: nobody opens the blob any more. */
void reclaim_mark(struct reclaim *reclaim, const struct blob_id *id);
/* The deletion is durable: the space may go. */
void reclaim_schedule(struct reclaim *reclaim, const struct blob_id *id);
/* From the mark until the record itself says that it is dead, or is gone. */
bool reclaim_is_marked(struct reclaim *reclaim, const struct blob_id *id);
/* How many marks have ended. */
uint64_t reclaim_ended(struct reclaim *reclaim);

uint64_t reclaim_pending_bytes(struct reclaim *reclaim);

/* Until the release no record is marked dead, no space given back and no segment removed; deletions
 * are committed and wait. False when what is under way has not ended within `timeout_ms`. */
bool reclaim_hold(struct reclaim *reclaim, int64_t timeout_ms);
void reclaim_release(struct reclaim *reclaim);

/* Key of a pending deletion in TABLE_SEGMENT. */
enum { RECLAIM_KEY_SIZE = 1 + BLOB_ID_SIZE };
void reclaim_key(const struct blob_id *id, uint8_t key[RECLAIM_KEY_SIZE]);
