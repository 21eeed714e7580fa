/* SPDX-License-Identifier: MIT */
#pragma once
/* Events as one subscriber hears them: in order, each once, from where it stopped. A subscriber
 * follows the feed with a position of its own, so one that cannot be reached holds nobody up and
 * loses nothing, over restarts too. Beyond EVENTS_KEPT_MS nothing is kept for it. One thread at a
 * time for each follower. */

#include "worklist/notices.h"
#include "worklist/subscriptions.h"

#define EVENTS_KEPT_MS ((int64_t)7 * 24 * 60 * 60 * 1000)

struct workitem_heard {
    uint8_t type;        /* enum workitem_event */
    char uid[UID_SIZE];  /* of the item; of what concerns all, UID_UPS_GLOBAL */
    struct buffer bytes; /* event information: Explicit VR Little Endian, UTF-8 */
};
void workitem_heard_release(struct workitem_heard *heard);

/* The subscriber follows from here on: in the turn in which it subscribes. */
void events_begin(struct turn *turn, const char *subscriber);
/* It follows no more: in the turn in which it is forgotten. */
void events_end(struct turn *turn, const char *subscriber);

struct event_follower;
bool event_follower_open(struct worklist *worklist, const char *subscriber,
                         struct event_follower **out, struct error *err);
void event_follower_close(struct event_follower *follower);
/* The next event; *found false when there is none by now. The same one again until it is taken. */
bool event_follower_next(struct event_follower *follower, struct workitem_heard *heard, bool *found,
                         struct error *err);
/* It was delivered: will not be heard again. Saves the position. */
bool event_follower_take(struct event_follower *follower, struct error *err);
/* It is not to be delivered any more, nor heard again: what cannot be told must not hold up what
 * comes behind it. */
bool event_follower_pass(struct event_follower *follower, struct error *err);
/* Waits until there may be another event, or until the time is over, or a wake for a stop. */
void event_follower_wait(struct event_follower *follower, int64_t timeout_ms);

/* The server has begun, or is about to end: told to all subscribers. */
bool events_announce(struct worklist *worklist, const char *status, struct error *err);
/* Forgets what all have heard, and what is older than EVENTS_KEPT_MS. */
bool events_tidy(struct worklist *worklist, struct error *err);
