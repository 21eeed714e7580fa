/* SPDX-License-Identifier: MIT */
/* The framing of MLLP. The first byte says where the bytes are cut: whatever they are, both ways
 * give the same blocks, none is longer than the limit, and a block that is written is read again.
 */
#include <stdint.h>
#include <stdlib.h>

#include "hl7/mllp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 40, EVENTS_LIMIT = 1 << 20 };

static void feed(struct mllp *mllp, struct slice bytes, struct buffer *told)
{
    while (bytes.size) {
        size_t used;
        enum mllp_event event = mllp_feed(mllp, bytes, &used);
        if (used > bytes.size || (event == MLLP_NOTHING && used != bytes.size) ||
            mllp->content.size > LIMIT)
            abort();
        if (event != MLLP_NOTHING) {
            buffer_append_byte(told, (uint8_t)event);
            buffer_append_u32le(told, (uint32_t)mllp->content.size);
            buffer_append(told, buffer_slice(&mllp->content));
        }
        bytes = slice_skip(bytes, used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice bytes = slice_of(data + 1, size - 1);
    struct buffer whole = buffer_up_to(EVENTS_LIMIT);
    struct buffer cut = buffer_up_to(EVENTS_LIMIT);
    struct buffer block = buffer_up_to(EVENTS_LIMIT);
    struct mllp one;
    struct mllp other;
    mllp_init(&one, LIMIT);
    mllp_init(&other, LIMIT);
    feed(&one, bytes, &whole);
    feed(&other, slice_take(bytes, data[0]), &cut);
    feed(&other, slice_skip(bytes, data[0]), &cut);
    if (!slice_equal(buffer_slice(&whole), buffer_slice(&cut)) || one.state != other.state ||
        one.stray != other.stray)
        abort();
    mllp_append_block(&block, slice_text("MSH"));
    buffer_clear(&cut);
    feed(&one, buffer_slice(&block), &cut);
    if (cut.size < 8 || memcmp(cut.data + cut.size - 3, "MSH", 3) != 0)
        abort();
    mllp_release(&one);
    mllp_release(&other);
    buffer_release(&whole);
    buffer_release(&cut);
    buffer_release(&block);
    return 0;
}
