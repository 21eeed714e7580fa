/* SPDX-License-Identifier: MIT */
#pragma once
/* A set of UIDs from a list with backslashes between. Immutable after it was read. */

#include "base/slice.h"
#include "dicom/uid.h"

struct uid_set {
    char (*uids)[UID_SIZE]; /* ascending, each once */
    size_t count;
};

/* NULL and "" make an empty set. What is no UID is left out: it cannot be stored. */
struct uid_set uid_set_read(const char *list);
void uid_set_release(struct uid_set *set);
bool uid_set_has(const struct uid_set *set, const char *uid);
