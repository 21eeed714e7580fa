/* SPDX-License-Identifier: MIT */
#pragma once
/* Who hears of which work items (PS3.4 CC.2.3): of one, of all, or of those that match keys, with a
 * deletion lock or without. A subscriber is an AE title at one door: events for who subscribed over
 * DIMSE go out by DIMSE, those for who subscribed over HTTP by a WebSocket, and each has its own
 * subscriptions. They are objects, and so outlast restarts. Thread-safe. */

#include "worklist/workitem.h"

/* The first letter of a subscriber's name; behind it stand a backslash (which no AE title has) and
 * the AE title. */
enum subscriber_door { SUBSCRIBER_DIMSE = 'd', SUBSCRIBER_WEB = 'w' };
enum { SUBSCRIBER_SIZE = 2 + WORKITEM_AE_SIZE };
void subscriber_name(enum subscriber_door door, const char *ae_title, char name[SUBSCRIBER_SIZE]);

/* All of these: `uid` is of an item, or UID_UPS_GLOBAL, or UID_UPS_FILTERED. A false return is a
 * failure of the worklist; the rest is a code. */

/* Existing items, and new ones, of UID_UPS_FILTERED those that match the `filter` (keys as of a
 * search; NULL for the others). The state of each existing one is told first, of at most
 * SUBSCRIPTION_FIRST items; of a subscription to all that is there already, none. `lock`: wanted,
 * and granted when the options say so. */
enum { SUBSCRIPTION_FIRST = 1000, SUBSCRIPTIONS_MAX = 100000, SUBSCRIPTION_GENERAL_MAX = 1000 };
bool subscription_add(struct worklist *worklist, const char *subscriber, const char *uid, bool lock,
                      const struct dataset *filter, struct workitem_outcome *outcome,
                      struct error *err);
/* Of UID_UPS_GLOBAL: all that the subscriber has. *found false: there was nothing. */
bool subscription_remove(struct worklist *worklist, const char *subscriber, const char *uid,
                         bool *found, struct workitem_outcome *outcome, struct error *err);
/* Items that come from now on are no longer subscribed to; those that are here stay so. */
bool subscription_suspend(struct worklist *worklist, const char *subscriber, const char *uid,
                          bool *found, struct workitem_outcome *outcome, struct error *err);

/* Has the subscriber subscribed to this item (or to one that is created as it stands)? *since is
 * the feed's number of that. */
bool subscription_covers(struct worklist *worklist, const char *subscriber,
                         const struct object *item, const struct dataset *dataset, bool *covers,
                         uint64_t *since, bool *locked, struct error *err);
/* Is anybody? */
bool subscription_any(struct worklist *worklist, const struct object *item,
                      const struct dataset *dataset, bool *any, struct error *err);
/* Does anybody hold a deletion lock of it? */
bool subscription_locks(struct worklist *worklist, const struct object *item,
                        const struct dataset *dataset, bool *locked, struct error *err);
/* When a deletion lock of many items was released last; 0: never. */
bool subscription_unlocked_ms(struct worklist *worklist, int64_t *at_ms, struct error *err);

/* Those to one item that is gone: in turns of their own. */
bool subscriptions_forget(struct worklist *worklist, const char *uid, struct error *err);

/* Is the subscriber this user's ("": nobody logged in)? One that is nobody's is anybody's;
 * `makes_it` makes it the user's. */
bool subscriber_claim(struct worklist *worklist, const char *subscriber, const char *user,
                      bool makes_it, bool *is_theirs, struct error *err);
/* Has the subscriber any? */
bool subscriber_exists(struct worklist *worklist, const char *subscriber, bool *exists,
                       struct error *err);
/* Who has none any more is no longer one of those that subscriber_next gives. */
bool subscriber_forget(struct worklist *worklist, const char *subscriber, struct error *err);
/* Those of one door, in order: the next behind `after` ("" for the first). */
bool subscriber_next(struct worklist *worklist, enum subscriber_door door, const char *after,
                     char subscriber[SUBSCRIBER_SIZE], bool *found, struct error *err);
