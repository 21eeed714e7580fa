/* SPDX-License-Identifier: MIT */
#pragma once
/* The instances that a destination of forwarding refused, as they are kept: beside its position, by
 * the number of their change. Thread-safe. */

#include "archive/changes.h"

enum { PARKED_KEY_SIZE = 32 };

/* Only identity and sequence of the change count. */
bool forward_parked_put(struct archive *archive, const char *follower, const struct change *change,
                        struct error *err);
bool forward_parked_remove(struct archive *archive, const char *follower,
                           const struct change *change, struct error *err);
/* The next one behind `after` (0: the first); *found false at the end. */
bool forward_parked_next(struct archive *archive, const char *follower, uint64_t after,
                         struct change *change, bool *found, struct error *err);
