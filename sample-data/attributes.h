/* SPDX-License-Identifier: MIT */
#pragma once
/* A data set (or an item of a sequence) as it is being made: attributes in any order of adding,
 * kept in ascending order of their tags. Values are little endian, unpadded. One thread at a time.
 */

#include "base/buffer.h"
#include "base/slice.h"
#include "dicom/tag.h"

struct attributes;

struct attributes *attributes_new(void);
void attributes_free(struct attributes *attributes);

/* Setting a tag again replaces its value. */
void attributes_bytes(struct attributes *attributes, uint32_t tag, uint16_t vr, struct slice value);
void attributes_text(struct attributes *attributes, uint32_t tag, uint16_t vr, const char *text);
void attributes_format(struct attributes *attributes, uint32_t tag, uint16_t vr, const char *format,
                       ...) __attribute__((format(printf, 4, 5)));
void attributes_u16(struct attributes *attributes, uint32_t tag, uint16_t value); /* US */
void attributes_u32(struct attributes *attributes, uint32_t tag, uint32_t value); /* UL */

/* A table of texts that ends with tag 0. */
struct text_attribute {
    uint32_t tag;
    uint16_t vr;
    const char *text;
};
void attributes_texts(struct attributes *attributes, const struct text_attribute *table);

/* A sequence without items, and one more item of a sequence: borrowed. */
void attributes_empty_sequence(struct attributes *attributes, uint32_t tag);
struct attributes *attributes_item(struct attributes *attributes, uint32_t tag);

/* PS3.3 table 8.8-1, one more item of the sequence. */
struct code {
    const char *value;
    const char *scheme;
    const char *meaning;
};
void attributes_code(struct attributes *attributes, uint32_t tag, struct code code);

/* Pixel Data in fragments, one for each frame, with a Basic Offset Table (PS3.5 A.4). */
void attributes_frames(struct attributes *attributes, const struct slice *frames, size_t count);

/* The text of an attribute at top level, for what a file is called in its meta information. */
void attributes_get_text(const struct attributes *attributes, uint32_t tag, char *text,
                         size_t size);

/* The data set encoded (PS3.5 7.1, annex A.1 to A.3). */
struct encoding {
    bool explicit_vr;
    bool big_endian;
};
void attributes_encode(const struct attributes *attributes, struct encoding encoding,
                       struct buffer *out);
