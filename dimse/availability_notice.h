/* SPDX-License-Identifier: MIT */
#pragma once
/* What is told of one study (PS3.4 table R.3.2-1). One thread at a time. */

#include "archive/changes.h"
#include "dimse/configuration.h"

/* What was deleted of a study, as its changes say. */
struct deletions {
    struct change *items;
    size_t count;
    size_t capacity;
};
enum { DELETIONS_MAX = 100000 }; /* of one study; more are not told one by one */
void deletions_add(struct deletions *deletions, const struct change *change);
void deletions_release(struct deletions *deletions);

/* Appends the data set: all that is here, ONLINE, and what was deleted and is not here again,
 * UNAVAILABLE; with the performed steps that instances name, and those of the worklist (or NULL)
 * that ended. *count tells of how many instances. */
bool availability_notice(struct archive *archive, struct worklist *worklist, const char *study,
                         const struct deletions *deletions, const char *retrieve_ae,
                         bool explicit_vr, struct buffer *out, size_t *count, struct error *err);

/* Are all instances here that a performed step names (PS3.4 table F.7.2-1)? A step that names none
 * has none that are here. */
bool availability_step_is_here(struct archive *archive, struct worklist *worklist, const char *step,
                               bool *is_here, struct error *err);
