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
/* Takes the next value off such a text; *more tells whether another follows. */
struct slice model_next_value(uint16_t vr, enum model_kind kind, struct slice *rest, bool *more);

/* The component groups of one person name (PS3.5 6.2.1): alphabetic, ideographic, phonetic. */
enum { MODEL_NAME_GROUPS = 3 };
void model_split_name(struct slice name, struct slice groups[MODEL_NAME_GROUPS]);

/* Appends the value in base64, as little endian. */
void model_put_base64(const struct element *element, struct buffer *out);
