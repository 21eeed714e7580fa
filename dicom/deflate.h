/* SPDX-License-Identifier: MIT */
#pragma once
/* Inflates the data set of a deflated transfer syntax (PS3.5 A.5: raw deflate, RFC 1951) piece by
 * piece, and stops bombs. One thread at a time. */

#include "base/error.h"
#include "base/slice.h"

struct inflater;

/* The result is at most `limit` bytes, and at most 1000 times what came in plus 1 MiB. */
struct inflater *inflater_new(uint64_t limit);
void inflater_free(struct inflater *inflater);

/* Takes from the front of `input` what it can, and gives what came out of it, borrowed until the
 * next call. Call until both are empty. */
bool inflater_next(struct inflater *inflater, struct slice *input, struct slice *output,
                   struct error *err);
/* ERROR_INVALID when the end of the deflated bytes has not come. */
bool inflater_finish(const struct inflater *inflater, struct error *err);
