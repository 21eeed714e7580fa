/* SPDX-License-Identifier: MIT */
#pragma once
/* Owned bytes that grow, born with a limit. One thread at a time. A buffer that was refused once
 * stays `overflowed`, so that many appends can be made and checked once at the end. */

#include "base/error.h"
#include "base/slice.h"

struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t limit;
    bool overflowed; /* an append went past the limit; nothing more was added since */
};

static inline struct buffer buffer_up_to(size_t limit)
{
    struct buffer buffer = { NULL, 0, 0, limit, false };
    return buffer;
}

void buffer_release(struct buffer *buffer);
static inline void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
    buffer->overflowed = false;
}

/* Room for `size` more bytes at the end (size in the result is exactly that), or NULL data past the
 * limit. */
struct space buffer_reserve(struct buffer *buffer, size_t size);
void buffer_advance(struct buffer *buffer,
                    size_t size); /* counts bytes that were written into the reserve */

bool buffer_append(struct buffer *buffer, struct slice bytes);
bool buffer_append_text(struct buffer *buffer, const char *text);
bool buffer_append_byte(struct buffer *buffer, uint8_t byte);
bool buffer_append_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

bool buffer_append_u16le(struct buffer *buffer, uint16_t value);
bool buffer_append_u32le(struct buffer *buffer, uint32_t value);
bool buffer_append_u64le(struct buffer *buffer, uint64_t value);
bool buffer_append_u16be(struct buffer *buffer, uint16_t value);
bool buffer_append_u32be(struct buffer *buffer, uint32_t value);

/* False with ERROR_LIMIT when the buffer has overflowed. */
bool buffer_check(const struct buffer *buffer, const char *what, struct error *err);

/* NUL-terminates (the NUL is not counted in size) and returns the text, owned by the buffer. The
 * NUL does not count against the limit. */
const char *buffer_text(struct buffer *buffer);

static inline struct slice buffer_slice(const struct buffer *buffer)
{
    return slice_of(buffer->data, buffer->size);
}
