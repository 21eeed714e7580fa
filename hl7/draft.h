/* SPDX-License-Identifier: MIT */
#pragma once
/* A data set in the making: values by their place, in any order, replaced when they are set again,
 * and encoded in one go in Explicit VR Little Endian and UTF-8. Bounded. One thread at a time. */

#include "base/buffer.h"
#include "base/slice.h"

enum { DRAFT_DEPTH = 3, DRAFT_MAX_VALUES = 512, DRAFT_LIMIT = 4 << 20 };

/* Where a value stands: its tag, behind those of the sequences around it with their items, from 0.
 */
struct draft_place {
    uint32_t tags[DRAFT_DEPTH];
    uint16_t items[DRAFT_DEPTH - 1];
    uint8_t depth;
};
static inline struct draft_place draft_at(uint32_t tag)
{
    return (struct draft_place){ .tags = { tag }, .depth = 1 };
}
static inline struct draft_place draft_in(uint32_t sequence, unsigned item, uint32_t tag)
{
    return (struct draft_place){ { sequence, tag }, { (uint16_t)item }, 2 };
}
/* `tag` beside this place's own tag: in the item of it when that is a sequence. */
static inline struct draft_place draft_under(struct draft_place place, unsigned item, uint32_t tag)
{
    place.items[place.depth - 1] = (uint16_t)item;
    place.tags[place.depth++] = tag;
    return place;
}

struct draft_value {
    struct draft_place place;
    size_t offset; /* in the texts */
    size_t size;
};

struct draft {
    struct buffer texts;
    struct draft_value *values; /* in order */
    size_t count;
    bool overflowed;
};

struct draft draft_init(void);
void draft_release(struct draft *draft);

/* UTF-8, all values with backslashes between, as the VR wants it; may be a text of the draft
 * itself. Empty: an attribute without a value. A sequence that is set itself has no items. */
void draft_set(struct draft *draft, struct draft_place place, struct slice utf8);
void draft_set_text(struct draft *draft, struct draft_place place, const char *text);
bool draft_has(const struct draft *draft, struct draft_place place);
/* Empty when it is not there. Borrowed until the next change. */
struct slice draft_get(const struct draft *draft, struct draft_place place);
/* All values of the other one too. */
void draft_merge(struct draft *draft, const struct draft *from);

/* Appends it; with (0008,0005) where a value is not ASCII. False when it became too large. */
bool draft_encode(const struct draft *draft, struct buffer *out);
