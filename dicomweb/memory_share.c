/* SPDX-License-Identifier: MIT */
#include "dicomweb/memory_share.h"

#include <stdlib.h>

#include "base/memory.h"

enum {
    FREE = 1 << 20, /* times the connections: 512 MiB */
    STEP = 1 << 20,
    WAIT_MS = 2000,
};

bool memory_share_cover(struct memory_share *share, uint64_t size, struct error *err)
{
    uint64_t taken;
    if (size <= FREE || size - FREE <= share->taken)
        return true;
    uint64_t more = size - FREE - share->taken;
    if (!decode_budget_take(share->budget, more > STEP ? more : STEP, WAIT_MS, &taken, err))
        return false;
    share->taken += taken;
    return true;
}

void memory_share_release(struct memory_share *share)
{
    decode_budget_give_back(share->budget, share->taken);
    share->taken = 0;
}

/* --- an answer --- */

struct held_answer {
    struct memory_share share;
    struct buffer body;
    bool given;
};

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct held_answer *answer = state;
    (void)err;
    piece->kind = answer->given ? PIECE_END : PIECE_BYTES;
    piece->bytes = buffer_slice(&answer->body);
    answer->given = true;
    return true;
}

static void close_answer(void *state)
{
    struct held_answer *answer = state;
    buffer_release(&answer->body);
    memory_share_release(&answer->share);
    free(answer);
}

void memory_share_answer_take(struct memory_share *share, struct buffer *body,
                              struct response *response)
{
    if (!share->taken) {
        response_body_take(response, body);
        return;
    }
    struct held_answer *answer = mem_alloc(sizeof(*answer));
    const struct body_source source = { next_piece, close_answer, answer };
    answer->share = *share;
    answer->body = *body;
    share->taken = 0;
    *body = buffer_up_to(body->limit);
    response_stream_take(response, &source, answer->body.size);
}
