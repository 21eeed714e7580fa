/* SPDX-License-Identifier: MIT */
#pragma once
/* The action information of a storage commitment request (PS3.4 J.3.2.1.1), read with limits. One
 * thread at a time. */

#include "archive/commitment_list.h"
#include "dicom/dataset.h"

enum { COMMITMENT_ACTION_SIZE = 4 << 20 }; /* bytes of the data set */

struct commitment_action {
    struct scan *scan;
    struct dataset *dataset;
    char transaction[UID_SIZE];
    struct buffer references; /* see archive/commitment_list.h */
    size_t count;
};

/* `action` is zeroed before and released after it, whatever the outcome. ERROR_INVALID when the
 * data set or what must stand in it is missing or malformed, ERROR_LIMIT. `bytes` are borrowed
 * until the release. */
bool commitment_action_read(struct commitment_action *action, const struct transfer_syntax *syntax,
                            struct slice bytes, struct error *err);
void commitment_action_release(struct commitment_action *action);
