/* SPDX-License-Identifier: MIT */
#pragma once
/* What values of one element are in the models of a data set (PS3.18 annex F, PS3.19 annex A). */

#include "base/buffer.h"
#include "dicom/dataset.h"

/* How values of a VR are written. */
enum model_kind {
    MODEL_STRING,    /* several, by backslashes; default repertoire */
    MODEL_TEXT,      /* the same in the character set */
    MODEL_PARAGRAPH, /* one, leading spaces count (ST LT UT; UR) */
    MODEL_NAME,
    MODEL_DECIMAL, /* IS DS: numbers in text */
    MODEL_NUMBER,
    MODEL_TAG,
    MODEL_BINARY, /* in base64 or at a URI */
};
enum model_kind model_kind_of(uint16_t vr);

/* As UTF-8 and without the padding at its end, all values of it; borrowed from the data set or from
 * `scratch`. For the kinds that are text. */
struct slice model_text(const struct element *element, enum model_kind kind, struct buffer *scratch,
                        bool *beyond_ascii);
static inline bool model_is_padding(uint8_t byte)
{
    return byte == ' ' || byte == 0;
}

/* Running text may begin with spaces that count (PS3.5 6.2). */
static inline struct slice model_trim(struct slice text, bool leading)
{
    while (text.size && model_is_padding(text.data[text.size - 1]))
        text.size--;
    while (leading && text.size && text.data[0] == ' ')
        text = slice_skip(text, 1);
    return text;
}

static inline struct slice model_take_part(struct slice *rest, uint8_t separator, bool *more)
{
    const uint8_t *end = rest->size ? memchr(rest->data, separator, rest->size) : NULL;
    struct slice part = slice_take(*rest, end ? (size_t)(end - rest->data) : rest->size);
    *rest = slice_skip(*rest, part.size + (end != NULL));
    *more = end != NULL;
    return part;
}

/* Takes the next value off such a text; *more tells whether another follows. */
static inline struct slice model_next_value(uint16_t vr, enum model_kind kind, struct slice *rest,
                                            bool *more)
{
    *more = false;
    if (kind == MODEL_PARAGRAPH)
        return *rest;
    return model_trim(model_take_part(rest, '\\', more), vr != VR_UC);
}

/* The component groups of one person name (PS3.5 6.2.1): alphabetic, ideographic, phonetic. */
enum { MODEL_NAME_GROUPS = 3 };
void model_split_name(struct slice name, struct slice groups[MODEL_NAME_GROUPS]);

/* Appends the value in base64, as little endian. */
void model_put_base64(const struct element *element, struct buffer *out);
