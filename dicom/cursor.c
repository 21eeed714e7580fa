/* SPDX-License-Identifier: MIT */
#include "dicom/cursor.h"

struct cursor cursor_at(const struct dataset *dataset, uint64_t position)
{
    size_t low = 0, high = dataset->gap_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (dataset->gaps[middle].offset < position)
            low = middle + 1;
        else
            high = middle;
    }
    return (struct cursor){ dataset, position, low, dataset->in_unknown, 0 };
}

/* Undefined lengths alternate: a sequence, in it an item, in it a sequence ... so that their number
 * and the kind of the innermost say all; what has a defined length is stepped over whole. */
bool cursor_skip_undefined(struct cursor *cursor, bool in_item, uint64_t end)
{
    bool was_in_unknown = cursor->in_unknown;
    size_t unknown_depth = SIZE_MAX; /* the sequence that came as UN */
    size_t depth = 1;
    bool starts_in_item = in_item;
    for (;;) {
        struct element_header header;
        if (!cursor_header(cursor, end, &header))
            return false;
        bool undefined = header.length == LENGTH_UNDEFINED;
        if (header.tag == (in_item ? TAG_ITEM_DELIMITER : TAG_SEQUENCE_DELIMITER)) {
            if (depth == 1 && in_item == starts_in_item)
                break;
            if (!in_item && depth-- == unknown_depth) {
                unknown_depth = SIZE_MAX;
                cursor->in_unknown = was_in_unknown;
            }
            in_item = !in_item;
        } else if ((header.tag == TAG_ITEM) == in_item) {
            return false;
        } else if (!undefined) {
            if (!cursor_skip(cursor, header.length, end))
                return false;
        } else if (!in_item) {
            in_item = true;
        } else {
            if (++depth > DATASET_MAX_DEPTH)
                return false;
            if (header.vr == VR_UN && unknown_depth == SIZE_MAX) {
                unknown_depth = depth;
                cursor->in_unknown = true;
            }
            in_item = false;
        }
    }
    cursor->in_unknown = was_in_unknown;
    return true;
}

bool cursor_skip_fragments(struct cursor *cursor, uint64_t end)
{
    const struct dataset *dataset = cursor->dataset;
    if (cursor->gap < dataset->gap_count && dataset->gaps[cursor->gap].offset == cursor->position)
        return cursor_skip(cursor, dataset->gaps[cursor->gap].size, end);
    return cursor_skip_undefined(cursor, false, end);
}

/* Does the value, which came as UN, hold the items that the dictionary says it has? The scan passed
 * it unread, so that what it demands is asked here. */
static bool is_sequence(const struct cursor *cursor, const struct element *element)
{
    struct element inner = *element;
    inner.vr = VR_SQ;
    struct walk walk = walk_sequence(cursor->dataset, &inner);
    bool allowed = true;
    while (allowed && walk_next(&walk, &inner) != WALK_END) {
        uint32_t group = inner.tag >> 16;
        allowed = group != 0x0000 && group != 0x0002 &&
                  cursor->depth + walk.depth <= DATASET_MAX_DEPTH;
    }
    return allowed && !walk.broken;
}

static uint16_t known_vr(const struct cursor *cursor, uint32_t tag)
{
    const struct dictionary_entry *entry = dictionary_find(tag);
    if (!entry)
        return dictionary_vr(tag);
    return entry->signed_vr && cursor->dataset->signed_pixels ? entry->signed_vr : entry->vr;
}

static bool take_value(const struct cursor *cursor, struct element *element)
{
    const struct dataset *dataset = cursor->dataset;
    if (!element->size)
        return true;
    if (cursor->gap < dataset->gap_count && dataset->gaps[cursor->gap].offset == cursor->position &&
        dataset->gaps[cursor->gap].size == element->size) {
        element->elided = true;
        return true;
    }
    struct cursor behind = *cursor;
    if (!cursor_skip(&behind, element->size, dataset->end))
        return false;
    size_t begin = cursor_index(cursor);
    element->value = slice_of(dataset->bytes.data + begin, cursor_index(&behind) - begin);
    if (element->value.size == element->size)
        return true;
    /* Parts of it were left out: of a sequence a matter of its items, of an icon's fragments as if
     * all were. */
    if (element->vr == VR_SQ)
        return true;
    element->elided = element->undefined_length;
    element->value.size = 0;
    return element->elided;
}

bool cursor_element(const struct cursor *cursor, uint32_t tag, uint16_t vr, uint64_t size,
                    bool undefined_length, struct element *element)
{
    bool explicit_vr = cursor_is_explicit(cursor);
    bool unknown = explicit_vr && vr == VR_UN;
    *element = (struct element){
        .tag = tag,
        .vr = explicit_vr && !unknown ? vr : known_vr(cursor, tag),
        .offset = cursor->position,
        .size = size,
        .undefined_length = undefined_length,
        .big_endian = cursor_is_big_endian(cursor) && !unknown,
        .implicit = !explicit_vr || unknown,
        .charset = cursor->dataset->charset,
    };
    if (undefined_length && !element_has_fragments(tag, cursor->dataset->syntax->encapsulated))
        element->vr = VR_SQ;
    if (!take_value(cursor, element))
        return false;
    if (unknown && element->vr == VR_SQ && !undefined_length &&
        (element->elided || !is_sequence(cursor, element)))
        element->vr = VR_UN;
    return true;
}
