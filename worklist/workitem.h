/* SPDX-License-Identifier: MIT */
#pragma once
/* Work items: unified procedure steps (PS3.4 annex CC, PS3.3 C.30). The key of OBJECT_WORKITEM is
 * the SOP Instance UID, its state enum workitem_state. The Transaction UID of who has claimed one
 * is kept beside its data set, never in it, and never told. Every change goes through the write
 * turn, so a claim has one winner, and what subscribers hear of it (notices.h) is written with it.
 * Thread-safe. */

#include "worklist/objects.h"
#include "worklist/workitem_state.h"

enum { WORKITEM_TAGS = 16, WORKITEM_AE_SIZE = 17 };

/* How a request ends: what the caller of a protocol is told. */
struct workitem_outcome {
    uint16_t code;                /* enum workitem_code */
    uint32_t tags[WORKITEM_TAGS]; /* the attributes that it is about */
    size_t tag_count;
    char uid[UID_SIZE]; /* of the item */
};

/* All return false only when the worklist failed (the disk ...): what is wrong with a request is a
 * code. Data sets are scanned ones of any syntax and character set. What succeeded is durable. */

/* N-CREATE (PS3.4 CC.2.5): `uid` "" for one of ours. Attributes of type 2 that are missing are
 * added empty; what a new item cannot have (progress, results, a lock) is left out, and values that
 * are only spelled wrongly are put right: WORKITEM_CREATED_MODIFIED. */
bool workitem_create(struct worklist *worklist, const struct dataset *dataset, const char *uid,
                     struct workitem_outcome *outcome, struct error *err);

/* N-SET (PS3.4 CC.2.6): the lock is the Transaction UID in `changes`, or, when that is not NULL,
 * `transaction`. All of it is done or nothing. */
bool workitem_set(struct worklist *worklist, const char *uid, const struct dataset *changes,
                  const char *transaction, struct workitem_outcome *outcome, struct error *err);

/* Change State (PS3.4 CC.2.1): `transaction` "" when there was none; `performer` is the AE title of
 * who asks, "" when it has none. */
bool workitem_change_state(struct worklist *worklist, const char *uid, enum workitem_state state,
                           const char *transaction, const char *performer,
                           struct workitem_outcome *outcome, struct error *err);

/* Request Cancellation (PS3.4 CC.2.2). `reasons` (may be NULL) has what the requester gave as its
 * reason and contact. WORKITEM_PERFORMER_UNREACHABLE: nobody is subscribed who would hear of it. */
bool workitem_request_cancel(struct worklist *worklist, const char *uid,
                             const struct dataset *reasons, const char *requester,
                             struct workitem_outcome *outcome, struct error *err);

/* The item, without its lock. *state tells whether there is none, or one no more (WORKITEM_GONE);
 * the object is filled for all others. */
bool workitem_get(struct worklist *worklist, const char *uid, struct object *object,
                  enum workitem_state *state, struct error *err);

/* Deletes what is final, is held by no deletion lock (subscriptions.h) and has been both for longer
 * than `keep_ms`; of these UID and state stay for as long again, so that they are known to be gone.
 * At most 1,000 a call. */
bool workitem_purge(struct worklist *worklist, int64_t now_ms, int64_t keep_ms, size_t *count,
                    struct error *err);
