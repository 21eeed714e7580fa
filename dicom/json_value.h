/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside json*.c: values of one element as DICOM JSON (PS3.18 F.2.2 to F.2.7). */

#include "base/buffer.h"
#include "dicom/dataset.h"

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
void json_put_tag(uint32_t tag, struct buffer *json);

/* Appends `,"Value":[...]`, or nothing when there is no value but padding. `text` is a scratch
 * buffer. True when the text is more than ASCII. */
bool json_put_values(const struct element *element, struct buffer *text, struct buffer *json);

/* Is the element one whose value stands in base64 or at a URI? */
bool json_is_binary(uint16_t vr);

/* Appends the value in base64, as little endian. */
void json_put_base64(const struct element *element, struct buffer *json);
