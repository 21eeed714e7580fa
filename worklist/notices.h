/* SPDX-License-Identifier: MIT */
#pragma once
/* Events of work items (PS3.4 CC.2.4) as they are kept: an OBJECT_NOTICE for each, written in the
 * turn of what happened, so that the feed has it at its place; who delivers follows the feed
 * (events.h). Without any subscription none is written. */

#include "worklist/objects.h"

/* Event Type ID. */
enum workitem_event {
    WORKITEM_EVENT_STATE = 1,
    WORKITEM_EVENT_CANCEL_REQUESTED = 2,
    WORKITEM_EVENT_PROGRESS = 3,
    WORKITEM_EVENT_SCP_STATUS = 4,
    WORKITEM_EVENT_ASSIGNED = 5,
};

/* What a notice holds besides the event information, which is its data set. */
struct notice {
    uint8_t type; /* enum workitem_event */
    char uid[UID_SIZE];
    char to[24]; /* the subscriber that it is for alone, "": all that the item is subscribed by */
};
bool notice_read(const struct object *object, struct notice *notice, struct error *err);

/* Is there anybody to tell? As of the last commit: asked in a turn, nothing comes between. */
bool notices_are_wanted(struct worklist *worklist, bool *wanted, struct error *err);

/* What the data set of an item says for an event of this type. `reasons`: of a cancel request. */
bool notice_write(struct turn *turn, const struct notice *notice, const struct dataset *item,
                  const struct dataset *reasons, struct error *err);
/* The server has begun or is about to end. */
bool notice_write_status(struct turn *turn, const char *status, struct error *err);

/* Deletes those up to this number of the feed: everybody has heard them. */
bool notices_forget(struct worklist *worklist, uint64_t up_to, struct error *err);
