/* SPDX-License-Identifier: MIT */
#include "hl7/mllp.h"

void mllp_init(struct mllp *mllp, size_t limit)
{
    *mllp = (struct mllp){ .content = buffer_up_to(limit) };
}

void mllp_release(struct mllp *mllp)
{
    buffer_release(&mllp->content);
}

bool mllp_is_begun(const struct mllp *mllp)
{
    return mllp->state != MLLP_OUTSIDE || mllp->stray;
}

/* How many bytes there are before the next 0B or 1C. */
static size_t plain_size(struct slice bytes)
{
    const uint8_t *end = memchr(bytes.data, MLLP_END, bytes.size);
    size_t size = end ? (size_t)(end - bytes.data) : bytes.size;
    const uint8_t *start = memchr(bytes.data, MLLP_START, size);
    return start ? (size_t)(start - bytes.data) : size;
}

/* Up to the next start byte, which is taken. */
static size_t seek_start(struct mllp *mllp, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] == MLLP_START) {
            mllp->state = MLLP_INSIDE;
            mllp->stray = 0;
            return i + 1;
        }
        mllp->stray += bytes.data[i] != '\r' && bytes.data[i] != '\n';
    }
    return bytes.size;
}

static enum mllp_event finish(struct mllp *mllp, enum mllp_state next, enum mllp_event event)
{
    mllp->state = next;
    mllp->is_given = true;
    return event;
}

/* Keeps bytes of the block, as many as it may have. */
static bool keep(struct mllp *mllp, struct slice bytes)
{
    size_t room = mllp->content.limit - mllp->content.size;
    buffer_append(&mllp->content, slice_take(bytes, room));
    return bytes.size <= room;
}

/* One step inside of a block. *used 0 only with an event. */
static enum mllp_event take(struct mllp *mllp, struct slice bytes, size_t *used)
{
    static const uint8_t end = MLLP_END;
    bool skips = mllp->state == MLLP_SKIPPING || mllp->state == MLLP_SKIPPING_END;
    bool ends = mllp->state == MLLP_ENDING || mllp->state == MLLP_SKIPPING_END;
    uint8_t byte = bytes.data[0];
    *used = 1;
    if (ends && byte == MLLP_RETURN) {
        if (!skips)
            return finish(mllp, MLLP_OUTSIDE, MLLP_BLOCK);
        mllp->state = MLLP_OUTSIDE;
        return MLLP_NOTHING;
    }
    if (ends) /* the 1C was no end, but a byte of the message */
        mllp->state = skips ? MLLP_SKIPPING : MLLP_INSIDE;
    if (ends && !skips && !keep(mllp, slice_of(&end, 1))) {
        *used = 0;
        return finish(mllp, MLLP_SKIPPING, MLLP_TOO_LONG);
    }
    if (byte == MLLP_START) {
        *used = 0;
        if (!skips)
            return finish(mllp, MLLP_OUTSIDE, MLLP_CUT);
        mllp->state = MLLP_OUTSIDE;
        return MLLP_NOTHING;
    }
    if (byte == MLLP_END) {
        mllp->state = skips ? MLLP_SKIPPING_END : MLLP_ENDING;
        return MLLP_NOTHING;
    }
    *used = plain_size(bytes);
    if (!skips && !keep(mllp, slice_take(bytes, *used)))
        return finish(mllp, MLLP_SKIPPING, MLLP_TOO_LONG);
    return MLLP_NOTHING;
}

enum mllp_event mllp_feed(struct mllp *mllp, struct slice bytes, size_t *used)
{
    enum mllp_event event = MLLP_NOTHING;
    if (mllp->is_given)
        buffer_clear(&mllp->content);
    mllp->is_given = false;
    *used = 0;
    while (*used < bytes.size && event == MLLP_NOTHING) {
        struct slice rest = slice_skip(bytes, *used);
        size_t step;
        if (mllp->state == MLLP_OUTSIDE)
            step = seek_start(mllp, rest);
        else
            event = take(mllp, rest, &step);
        *used += step;
    }
    return event;
}

void mllp_append_block(struct buffer *out, struct slice message)
{
    buffer_append_byte(out, MLLP_START);
    buffer_append(out, message);
    buffer_append_byte(out, MLLP_END);
    buffer_append_byte(out, MLLP_RETURN);
}
