/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside dataset.c and walk.c: a place in a data set of which some values were left out. Every
 * position is one of the whole data set; the bytes at hand stand as many bytes earlier as were left
 * out before. */

#include "dicom/dataset.h"
#include "dicom/element_header.h"

/* A value that was left out, and how much was left out before it. */
struct gap {
    uint64_t offset;
    uint64_t size;
    uint64_t before;
};

/* An element of the top level, in the order of the tags. */
struct entry {
    uint32_t tag;
    uint16_t vr; /* as encoded; 0 in implicit VR */
    bool undefined_length;
    uint64_t offset;
    uint64_t size;
    size_t gap; /* the first at or behind the value */
};

struct dataset {
    struct slice bytes;
    uint64_t base; /* position of the first byte */
    uint64_t end;
    const struct transfer_syntax *syntax;
    bool in_unknown; /* an item inside UN: implicit VR little endian (PS3.5 6.2.2) */
    bool signed_pixels;
    const struct charset *charset;
    struct gap *gaps;
    size_t gap_count;
    size_t entry_count;
    size_t entry_capacity;
    struct entry entries[];
};

struct cursor {
    const struct dataset *dataset;
    uint64_t position;
    size_t gap; /* the first at or behind the position */
    bool in_unknown;
    size_t depth; /* sequences around it */
};

/* The cursor at a position that is no gap's inside. */
struct cursor cursor_at(const struct dataset *dataset, uint64_t position);
/* Where in the bytes at hand the cursor stands. */
static inline size_t cursor_index(const struct cursor *cursor)
{
    const struct dataset *dataset = cursor->dataset;
    uint64_t before = 0;
    if (cursor->gap)
        before = dataset->gaps[cursor->gap - 1].before + dataset->gaps[cursor->gap - 1].size;
    return (size_t)(cursor->position - dataset->base - before);
}

/* Whether the bytes at the cursor are in explicit VR, and in which order. */
static inline bool cursor_is_explicit(const struct cursor *cursor)
{
    return cursor->dataset->syntax->explicit_vr && !cursor->in_unknown;
}
static inline bool cursor_is_big_endian(const struct cursor *cursor)
{
    return cursor->dataset->syntax->big_endian && !cursor->in_unknown;
}

/* The bytes at hand from here to the next gap or the end. */
static inline struct slice cursor_bytes(const struct cursor *cursor)
{
    const struct dataset *dataset = cursor->dataset;
    uint64_t end = cursor->gap < dataset->gap_count ? dataset->gaps[cursor->gap].offset
                                                    : dataset->end;
    return slice_of(dataset->bytes.data + cursor_index(cursor), (size_t)(end - cursor->position));
}

/* The element header here, and the cursor behind it. False when there is none within `end`. */
static inline bool cursor_header(struct cursor *cursor, uint64_t end, struct element_header *header)
{
    struct slice bytes = cursor_bytes(cursor);
    if (end - cursor->position < bytes.size)
        bytes.size = (size_t)(end - cursor->position);
    if (element_header_read(bytes.data, bytes.size, cursor_is_explicit(cursor),
                            cursor_is_big_endian(cursor), header) != ELEMENT_HEADER_READ)
        return false;
    cursor->position += header->size;
    return true;
}

/* Over `size` bytes, gaps included. False when they do not end within `end`. */
static inline bool cursor_skip(struct cursor *cursor, uint64_t size, uint64_t end)
{
    const struct dataset *dataset = cursor->dataset;
    if (size > end - cursor->position)
        return false;
    cursor->position += size;
    while (cursor->gap < dataset->gap_count &&
           dataset->gaps[cursor->gap].offset < cursor->position) {
        const struct gap *gap = &dataset->gaps[cursor->gap++];
        if (gap->size > cursor->position - gap->offset)
            return false;
    }
    return true;
}

/* Over the value of undefined length whose first item or, `in_item`, first element is here, up to
 * and with its delimiter. */
bool cursor_skip_undefined(struct cursor *cursor, bool in_item, uint64_t end);
/* Over encapsulated pixel data (PS3.5 A.4), which is left out whole or stands here. */
bool cursor_skip_fragments(struct cursor *cursor, uint64_t end);

/* Fills in all of an element whose value begins at the cursor. `vr` as encoded; `size` with the
 * delimiter. False when its bytes are not at hand though it was not left out. */
bool cursor_element(const struct cursor *cursor, uint32_t tag, uint16_t vr, uint64_t size,
                    bool undefined_length, struct element *element);

/* A walk that begins before the first item of the sequence `element`; it ends behind it. */
struct walk walk_sequence(const struct dataset *dataset, const struct element *element);
/* The character set that an item states, or `inherited`. */
const struct charset *charset_of(const struct element *specific, const struct charset *inherited);
