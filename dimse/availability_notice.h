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
 * UNAVAILABLE. *count tells of how many instances. */
bool availability_notice(struct archive *archive, const char *study,
                         const struct deletions *deletions, const char *retrieve_ae,
                         bool explicit_vr, struct buffer *out, size_t *count, struct error *err);
