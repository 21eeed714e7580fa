/* SPDX-License-Identifier: MIT */
#pragma once
/* Borrowed bytes: a pointer never travels without its size. Immutable value, no ownership. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data;
    size_t size;
};

/* Room that somebody may write into. */
struct space {
    uint8_t *data;
    size_t size;
};

static inline struct slice slice_of(const void *data, size_t size)
{
    struct slice slice = { (const uint8_t *)data, size };
    return slice;
}

/* The bytes of a NUL-terminated text, without the NUL. NULL is the empty slice. */
static inline struct slice slice_text(const char *text)
{
    return slice_of(text, text ? strlen(text) : 0);
}

/* What remains after the first `count` bytes; all of it when there are fewer. */
static inline struct slice slice_skip(struct slice slice, size_t count)
{
    if (count > slice.size)
        count = slice.size;
    /* NULL + 0 is undefined in C. */
    return slice_of(count ? slice.data + count : slice.data, slice.size - count);
}

/* At most the first `count` bytes. */
static inline struct slice slice_take(struct slice slice, size_t count)
{
    return slice_of(slice.data, count < slice.size ? count : slice.size);
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_equals_text(struct slice slice, const char *text)
{
    return slice_equal(slice, slice_text(text));
}

static inline bool slice_is_ascii(struct slice slice)
{
    uint8_t any = 0;
    for (size_t i = 0; i < slice.size; i++)
        any |= slice.data[i];
    return any < 0x80;
}

static inline bool slice_starts_with(struct slice slice, struct slice prefix)
{
    return slice.size >= prefix.size && slice_equal(slice_take(slice, prefix.size), prefix);
}

/* Order of bytes, as memcmp; a prefix comes before what it begins. */
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order)
        return order;
    return a.size < b.size ? -1 : a.size > b.size;
}
