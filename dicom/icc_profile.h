/* SPDX-License-Identifier: MIT */
#pragma once
/* ICC profiles as peers send them (ICC.1, 7): what stands where, before anything else reads them.
 * Bytes in, bytes out; thread-safe. */

#include "base/buffer.h"

enum { ICC_PROFILE_MAX = 8 << 20 };

/* Is this a profile for pictures of so many samples (1: grey, 3: RGB) that a file may carry? Sets
 * *profile to its bytes, without what stands behind its end. */
bool icc_profile_check(struct slice bytes, unsigned samples, struct slice *profile);

/* The same profile with no more than what turns RGB into colours, each table of it checked to lie
 * in its tag: what a colour library may read in bounded time and memory. False when it has nothing
 * of the kind. `profile` has passed icc_profile_check; appends. */
bool icc_profile_reduce(struct slice profile, struct buffer *out);
