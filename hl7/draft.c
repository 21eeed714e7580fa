/* SPDX-License-Identifier: MIT */
#include "hl7/draft.h"

#include <stdlib.h>

#include "base/memory.h"
#include "dicom/encode.h"
#include "dicom/tag.h"

struct draft draft_init(void)
{
    return (struct draft){ .texts = buffer_up_to(DRAFT_LIMIT) };
}

void draft_release(struct draft *draft)
{
    buffer_release(&draft->texts);
    free(draft->values);
    draft->values = NULL;
    draft->count = 0;
}

/* The order of a data set: sequence by sequence, item by item. */
static int compare(const struct draft_place *a, const struct draft_place *b)
{
    for (unsigned i = 0; i < a->depth && i < b->depth; i++) {
        if (a->tags[i] != b->tags[i])
            return a->tags[i] < b->tags[i] ? -1 : 1;
        if (i + 1 < a->depth && i + 1 < b->depth && a->items[i] != b->items[i])
            return a->items[i] < b->items[i] ? -1 : 1;
    }
    return (int)a->depth - (int)b->depth;
}

/* Where it stands or would stand. */
static bool find(const struct draft *draft, const struct draft_place *place, size_t *index)
{
    size_t low = 0;
    size_t high = draft->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(&draft->values[middle].place, place);
        if (order == 0) {
            *index = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *index = low;
    return false;
}

/* The text may be one of the draft's own, which move when there must be more room for them. */
static bool append_text(struct draft *draft, struct slice utf8)
{
    uintptr_t begin = (uintptr_t)draft->texts.data;
    uintptr_t at = (uintptr_t)utf8.data;
    bool is_own = begin && at >= begin && at < begin + draft->texts.size;
    if (!utf8.size)
        return true;
    struct space space = buffer_reserve(&draft->texts, utf8.size);
    if (!space.data)
        return false;
    memcpy(space.data, is_own ? draft->texts.data + (at - begin) : utf8.data, utf8.size);
    buffer_advance(&draft->texts, utf8.size);
    return true;
}

void draft_set(struct draft *draft, struct draft_place place, struct slice utf8)
{
    size_t index;
    size_t offset = draft->texts.size;
    bool is_there = find(draft, &place, &index);
    if ((!is_there && draft->count == DRAFT_MAX_VALUES) || !append_text(draft, utf8)) {
        draft->overflowed = true;
        return;
    }
    if (!is_there) {
        draft->values = mem_resize_array(draft->values, draft->count + 1, sizeof(*draft->values));
        memmove(draft->values + index + 1, draft->values + index,
                (draft->count - index) * sizeof(*draft->values));
        draft->count++;
    }
    draft->values[index] = (struct draft_value){ place, offset, utf8.size };
}

void draft_set_text(struct draft *draft, struct draft_place place, const char *text)
{
    draft_set(draft, place, slice_text(text));
}

bool draft_has(const struct draft *draft, struct draft_place place)
{
    size_t index;
    return find(draft, &place, &index);
}

static struct slice text_of(const struct draft *draft, const struct draft_value *value)
{
    return slice_take(slice_skip(buffer_slice(&draft->texts), value->offset), value->size);
}

struct slice draft_get(const struct draft *draft, struct draft_place place)
{
    size_t index;
    return find(draft, &place, &index) ? text_of(draft, &draft->values[index]) : slice_of(NULL, 0);
}

void draft_merge(struct draft *draft, const struct draft *from)
{
    for (size_t i = 0; i < from->count; i++)
        draft_set(draft, from->values[i].place, text_of(from, &from->values[i]));
    draft->overflowed |= from->overflowed;
}

/* How many sequences two places are in together, in the same items. */
static unsigned shared_depth(const struct draft_place *a, const struct draft_place *b)
{
    unsigned depth = 0;
    while (depth + 1 < a->depth && depth + 1 < b->depth && a->tags[depth] == b->tags[depth] &&
           a->items[depth] == b->items[depth])
        depth++;
    return depth;
}

/* Leaves the items of `from` and enters those of `to` (NULL: none any more). */
static void move(struct encoder *encoder, const struct draft_place *from,
                 const struct draft_place *to)
{
    static const struct draft_place top = { .depth = 1 };
    from = from ? from : &top;
    to = to ? to : &top;
    unsigned shared = shared_depth(from, to);
    bool stays = shared + 1 < from->depth && shared + 1 < to->depth &&
                 from->tags[shared] == to->tags[shared]; /* in the sequence, in another item */
    for (unsigned i = from->depth - 1u; i > shared; i--) {
        encode_item_end(encoder);
        if (i > shared + 1 || !stays)
            encode_sequence_end(encoder);
    }
    for (unsigned i = shared; i + 1 < to->depth; i++) {
        if (i > shared || !stays)
            encode_sequence_begin(encoder, to->tags[i]);
        encode_item_begin(encoder);
    }
}

static uint16_t decimal(struct slice text)
{
    unsigned number = 0;
    for (size_t i = 0; i < text.size && i < 4; i++)
        number = number * 10 + (text.data[i] - '0') % 10u;
    return (uint16_t)number;
}

bool draft_encode(const struct draft *draft, struct buffer *out)
{
    struct encoder encoder = { .out = out, .explicit_vr = true };
    const struct draft_place *before = NULL;
    if (!slice_is_ascii(buffer_slice(&draft->texts)))
        encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    for (size_t i = 0; i < draft->count; i++) {
        const struct draft_place *place = &draft->values[i].place;
        uint32_t tag = place->tags[place->depth - 1];
        uint16_t vr = dictionary_vr(tag);
        move(&encoder, before, place);
        if (vr == VR_SQ) {
            encode_sequence_begin(&encoder, tag);
            encode_sequence_end(&encoder);
        } else if (vr == VR_US && draft->values[i].size) {
            encode_u16(&encoder, tag, decimal(text_of(draft, &draft->values[i])));
        } else {
            encode_bytes(&encoder, tag, vr, text_of(draft, &draft->values[i]));
        }
        before = place;
    }
    move(&encoder, before, NULL);
    return !draft->overflowed && !out->overflowed;
}
