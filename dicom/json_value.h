/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside json*.c: values of one element as DICOM JSON (PS3.18 F.2.2 to F.2.7). */

#include "base/buffer.h"
#include "dicom/model_value.h"

/* The common case of an append, inline. */
static inline void json_put(struct buffer *json, const void *data, size_t size)
{
    if (size <= json->capacity - json->size && size <= json->limit - json->size &&
        !json->overflowed) {
        memcpy(json->data + json->size, data, size);
        json->size += size;
    } else {
        buffer_append(json, slice_of(data, size));
    }
}
#define JSON_PUT(json, literal) json_put(json, literal, sizeof(literal) - 1)

/* `text` with what JSON wants escaped, without quotes. */
void json_put_escaped(struct slice text, struct buffer *json);

/* ggggeeee */
void json_tag_digits(uint32_t tag, char digits[8]);
void json_put_tag(uint32_t tag, struct buffer *json);

/* Appends `,"Value":[...]`, or nothing when there is no value but padding. Not for MODEL_BINARY.
 * `text` is a scratch buffer. True when the text is more than ASCII. */
bool json_put_values(const struct element *element, enum model_kind kind, struct buffer *text,
                     struct buffer *json);

/* The values with commas between. */
void json_put_numbers(const struct element *element, struct buffer *json);
void json_put_tags(const struct element *element, struct buffer *json);
/* A DS, or an IS, as a number; false and nothing appended when JSON has none for it. */
bool json_put_decimal(struct slice text, bool integer, struct buffer *json);
