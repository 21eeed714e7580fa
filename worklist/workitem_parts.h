/* SPDX-License-Identifier: MIT */
#pragma once
/* Between the files of work items. */

#include "dicom/attribute_rules.h"
#include "dicom/encode.h"
#include "worklist/workitem.h"

/* object.own of a work item. */
struct workitem_own {
    char transaction[UID_SIZE];       /* the lock; "": nobody's */
    char performer[WORKITEM_AE_SIZE]; /* who has claimed it */
    int64_t ended_ms;                 /* Unix time of the final state, or of the deletion */
    int64_t unlocked_ms;              /* a deletion lock of it was released */
    uint64_t created;                 /* the feed's number of its creation; 0: the revision is */
};
void workitem_own_write(const struct workitem_own *own, struct object *object);
bool workitem_own_read(const struct object *object, struct workitem_own *own, struct error *err);

/* A DT as of now, in UTC. */
enum { DATE_TIME_SIZE = 27 };
void workitem_now(char text[DATE_TIME_SIZE]);

static inline void outcome_add(struct workitem_outcome *outcome, uint32_t tag)
{
    if (outcome->tag_count < WORKITEM_TAGS)
        outcome->tags[outcome->tag_count++] = tag;
}

/* --- workitem_rules.c: what may stand in a data set. */

/* Of a new item: sets the code of what is wrong; WORKITEM_OK else. */
void workitem_check_new(const struct dataset *dataset, struct workitem_outcome *outcome);
/* Of a modification list. */
void workitem_check_changes(const struct dataset *changes, struct workitem_outcome *outcome);
/* Is what a final state wants there? */
bool workitem_is_ready(const struct dataset *dataset, enum workitem_state state);
/* Appends, as a data set of its own, values that are right but for their spelling, put right.
 * *count tells how many. */
void workitem_coerce(const struct dataset *dataset, struct buffer *out, size_t *count);
/* Attributes that the dictionary does not know, at most WORKITEM_TAGS of them. */
size_t workitem_unknown(const struct dataset *dataset, uint32_t tags[WORKITEM_TAGS]);
/* Appends, as a data set, the attributes that an item always has, empty. */
void workitem_encode_frame(struct encoder *encoder);
