/* SPDX-License-Identifier: MIT */
#pragma once
/* What one request holds in memory of a body that is gathered, or of an answer that waits until its
 * client takes it: a little is free, the rest is taken of one budget for all requests. Zeroed but
 * for the budget at first; one thread at a time. */

#include "base/buffer.h"
#include "base/decode_budget.h"
#include "http/server.h"

struct memory_share {
    struct decode_budget *budget;
    uint64_t taken;
};

/* So many bytes are about to be held in all. ERROR_BUSY: others have what this would take. */
bool memory_share_cover(struct memory_share *share, uint64_t size, struct error *err);
void memory_share_release(struct memory_share *share);
/* The body of an answer is these bytes, and both are given back when it was sent. Taken over, share
 * and buffer are empty afterwards. */
void memory_share_answer_take(struct memory_share *share, struct buffer *body,
                              struct response *response);
