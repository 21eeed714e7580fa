/* SPDX-License-Identifier: MIT */
#pragma once
/* A data set put together from attributes of others, in any order; of one tag, what was put last
 * stays. Written in Explicit VR Little Endian and UTF-8. By value; one thread at a time. */

#include "dicom/encode.h"

struct edit_entry {
    uint32_t tag;
    size_t order;
    size_t offset;
    size_t size; /* 0: taken away */
};

struct edit {
    struct buffer bytes;
    struct edit_entry *entries;
    size_t count;
    size_t capacity;
};

struct edit edit_init(void);
void edit_release(struct edit *edit);

/* All attributes of the top level but group lengths and (0008,0005). NULL: none. */
void edit_copy_all(struct edit *edit, const struct dataset *dataset);
/* One, if it is there. */
void edit_copy(struct edit *edit, const struct dataset *dataset, uint32_t tag);
/* In the dictionary's VR. */
void edit_text(struct edit *edit, uint32_t tag, const char *text);
/* A sequence with this one item. */
void edit_item(struct edit *edit, uint32_t tag, struct edit *item);
void edit_remove(struct edit *edit, uint32_t tag);

/* The data set, with (0008,0005) before all. Replaces what `out` held. */
bool edit_write(struct edit *edit, struct buffer *out, struct error *err);
