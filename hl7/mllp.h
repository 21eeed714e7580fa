/* SPDX-License-Identifier: MIT */
#pragma once
/* The Minimal Lower Layer Protocol (HL7 v2.5.1 appendix C, C.4.3 "MLLP"): a message travels as a
 * block, 0B message 1C 0D. Pure: bytes in, blocks out, at every cut of the bytes the same blocks.
 * One thread at a time. */

#include "base/buffer.h"

enum { MLLP_START = 0x0B, MLLP_END = 0x1C, MLLP_RETURN = 0x0D };

enum mllp_event {
    MLLP_NOTHING,  /* all bytes are taken, and no block is complete */
    MLLP_BLOCK,    /* a whole one */
    MLLP_CUT,      /* only its beginning: another one began before its end */
    MLLP_TOO_LONG, /* only its beginning: the rest is skipped, up to its end or another start */
};

struct mllp {
    struct buffer content; /* of the block; the caller's to read until the next call */
    size_t stray;          /* bytes outside of blocks since the last one, line ends not counted */
    enum mllp_state {
        MLLP_OUTSIDE,
        MLLP_INSIDE,
        MLLP_ENDING,   /* after 1C */
        MLLP_SKIPPING, /* a block that is too long */
        MLLP_SKIPPING_END,
    } state;
    bool is_given; /* the content has been seen: the next byte begins anew */
};

/* Blocks of at most `limit` bytes. */
void mllp_init(struct mllp *mllp, size_t limit);
void mllp_release(struct mllp *mllp);

/* Takes bytes up to the next event; *used says how many. */
enum mllp_event mllp_feed(struct mllp *mllp, struct slice bytes, size_t *used);

/* Is something begun that is not ended: a block, or bytes that are none? */
bool mllp_is_begun(const struct mllp *mllp);

void mllp_append_block(struct buffer *out, struct slice message);
