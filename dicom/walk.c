/* SPDX-License-Identifier: MIT */
#include "dicom/cursor.h"

struct walk dataset_walk(const struct dataset *dataset)
{
    return (struct walk){ .dataset = dataset, .position = dataset->base };
}

struct walk walk_sequence(const struct dataset *dataset, const struct element *element)
{
    struct cursor cursor = cursor_at(dataset, element->offset);
    struct walk walk = { .dataset = dataset, .position = element->offset, .elision = cursor.gap };
    walk.inside = true;
    walk.depth = 1;
    walk.open[0].tag = element->tag;
    walk.open[0].undefined_sequence = element->undefined_length;
    walk.open[0].implicit = element->implicit;
    walk.open[0].sequence_end = element->offset + element->size;
    walk.open[0].charset = element->charset;
    return walk;
}

/* Where what stands around the next byte ends. */
static uint64_t enclosing_end(const struct walk *walk)
{
    if (!walk->depth)
        return walk->dataset->end;
    return walk->open[walk->depth - 1].in_item ? walk->open[walk->depth - 1].item_end
                                               : walk->open[walk->depth - 1].sequence_end;
}

static enum walk_event broken(struct walk *walk)
{
    walk->broken = true;
    return WALK_END;
}

/* What ends here because its defined length is over. */
static enum walk_event end_of_defined(struct walk *walk, struct element *element)
{
    if (!walk->depth || walk->position != enclosing_end(walk))
        return WALK_END;
    size_t level = walk->depth - 1;
    if (walk->open[level].in_item) {
        if (walk->open[level].undefined_item)
            return WALK_END;
        walk->open[level].in_item = false;
        walk->open[level].item++;
        element->tag = TAG_ITEM;
        return WALK_ITEM_END;
    }
    if (walk->open[level].undefined_sequence)
        return WALK_END;
    element->tag = walk->open[level].tag;
    walk->depth--;
    return WALK_SEQUENCE_END;
}

static enum walk_event next_item(struct walk *walk, struct cursor *cursor, struct element *element)
{
    size_t level = walk->depth - 1;
    struct element_header header;
    if (!cursor_header(cursor, enclosing_end(walk), &header))
        return broken(walk);
    element->tag = header.tag;
    if (header.tag == TAG_SEQUENCE_DELIMITER) {
        if (!walk->open[level].undefined_sequence)
            return broken(walk);
        element->tag = walk->open[level].tag;
        walk->depth--;
        return WALK_SEQUENCE_END;
    }
    if (header.tag != TAG_ITEM)
        return broken(walk);
    uint64_t left = walk->open[level].sequence_end - cursor->position;
    bool undefined = header.length == LENGTH_UNDEFINED;
    if (!undefined && header.length > left)
        return broken(walk);
    element->offset = cursor->position;
    element->size = undefined ? 0 : header.length;
    element->undefined_length = undefined;
    const struct charset *outer = level ? walk->open[level - 1].charset : walk->dataset->charset;
    walk->open[level].charset = outer;
    walk->open[level].in_item = true;
    walk->open[level].undefined_item = undefined;
    walk->open[level].item_end = cursor->position + (undefined ? left : header.length);
    return WALK_ITEM;
}

static enum walk_event open_sequence(struct walk *walk, const struct element *element)
{
    if (walk->depth == DATASET_MAX_DEPTH)
        return broken(walk);
    uint64_t end = element->undefined_length ? enclosing_end(walk)
                                             : element->offset + element->size;
    size_t level = walk->depth++;
    walk->open[level].tag = element->tag;
    walk->open[level].in_item = false;
    walk->open[level].undefined_sequence = element->undefined_length;
    walk->open[level].implicit = element->implicit;
    walk->open[level].sequence_end = end;
    walk->open[level].item = 0;
    return WALK_SEQUENCE;
}

static enum walk_event next_element(struct walk *walk, struct cursor *cursor,
                                    struct element *element)
{
    size_t level = walk->depth; /* of the item, plus one */
    uint64_t end = enclosing_end(walk);
    struct element_header header;
    if (!cursor_header(cursor, end, &header))
        return broken(walk);
    if (level && header.tag == TAG_ITEM_DELIMITER) {
        if (!walk->open[level - 1].undefined_item)
            return broken(walk);
        walk->open[level - 1].in_item = false;
        walk->open[level - 1].item++;
        element->tag = TAG_ITEM;
        return WALK_ITEM_END;
    }
    if (header.tag >> 16 == 0xFFFE)
        return broken(walk);
    bool undefined = header.length == LENGTH_UNDEFINED;
    bool fragments = undefined &&
                     element_has_fragments(header.tag, walk->dataset->syntax->encapsulated);
    struct cursor behind = *cursor;
    uint64_t size = undefined ? 0 : header.length;
    if (fragments) {
        if (!cursor_skip_fragments(&behind, end))
            return broken(walk);
        size = behind.position - cursor->position;
    } else if (!cursor_skip(&behind, size, end)) {
        return broken(walk);
    }
    if (!cursor_element(cursor, header.tag, header.vr, size, undefined, element))
        return broken(walk);
    if (level)
        element->charset = walk->open[level - 1].charset;
    if (element->vr == VR_SQ)
        return open_sequence(walk, element);
    *cursor = behind;
    if (level && header.tag == TAG_SPECIFIC_CHARACTER_SET)
        walk->open[level - 1].charset = charset_of(element, element->charset);
    return WALK_ELEMENT;
}

enum walk_event walk_next(struct walk *walk, struct element *element)
{
    *element = (struct element){ .offset = walk->position };
    if (walk->broken ||
        (walk->depth ? false : walk->inside || walk->position == walk->dataset->end))
        return WALK_END;
    enum walk_event event = end_of_defined(walk, element);
    if (event != WALK_END)
        return event;
    struct cursor cursor = { walk->dataset, walk->position, walk->elision,
                             walk->dataset->in_unknown, walk->depth };
    bool in_item = true;
    if (walk->depth) {
        in_item = walk->open[walk->depth - 1].in_item;
        cursor.in_unknown = walk->open[walk->depth - 1].implicit &&
                            walk->dataset->syntax->explicit_vr;
    }
    event = in_item ? next_element(walk, &cursor, element) : next_item(walk, &cursor, element);
    walk->position = cursor.position;
    walk->elision = cursor.gap;
    return event;
}
