/* SPDX-License-Identifier: MIT */
#pragma once
/* The fields of a stored value, little endian, read in order and with bounds: after the first that
 * is not there, `broken` is set and all that follow are zero or empty. By value. */

#include "base/buffer.h"
#include "base/bytes.h"

struct fields {
    struct slice rest;
    bool broken;
};

static inline struct slice fields_take(struct fields *fields, size_t size)
{
    if (fields->broken || fields->rest.size < size) {
        fields->broken = true;
        return slice_of(NULL, 0);
    }
    struct slice taken = slice_take(fields->rest, size);
    fields->rest = slice_skip(fields->rest, size);
    return taken;
}

static inline uint8_t fields_u8(struct fields *fields)
{
    struct slice bytes = fields_take(fields, 1);
    return bytes.size ? bytes.data[0] : 0;
}

static inline uint16_t fields_u16(struct fields *fields)
{
    struct slice bytes = fields_take(fields, 2);
    return bytes.size ? get_u16le(bytes.data) : 0;
}

static inline uint32_t fields_u32(struct fields *fields)
{
    struct slice bytes = fields_take(fields, 4);
    return bytes.size ? get_u32le(bytes.data) : 0;
}

static inline uint64_t fields_u64(struct fields *fields)
{
    struct slice bytes = fields_take(fields, 8);
    return bytes.size ? get_u64le(bytes.data) : 0;
}

/* A 32-bit length and so many bytes. */
static inline struct slice fields_bytes(struct fields *fields)
{
    return fields_take(fields, fields_u32(fields));
}

/* An 8-bit length and so many characters, as a text of at most size - 1. */
static inline void fields_text(struct fields *fields, char *text, size_t size)
{
    struct slice bytes = fields_take(fields, fields_u8(fields));
    if (bytes.size >= size) {
        fields->broken = true;
        bytes.size = 0;
    }
    if (bytes.size)
        memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = '\0';
}

static inline void fields_put_bytes(struct buffer *out, struct slice bytes)
{
    buffer_append_u32le(out, (uint32_t)bytes.size);
    buffer_append(out, bytes);
}

/* At most 255 characters. */
static inline void fields_put_text(struct buffer *out, const char *text)
{
    struct slice bytes = slice_take(slice_text(text), 255);
    buffer_append_byte(out, (uint8_t)bytes.size);
    buffer_append(out, bytes);
}
