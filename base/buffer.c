/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"

void buffer_release(struct buffer *buffer)
{
    free(buffer->data);
    buffer->data = NULL;
    buffer->size = 0;
    buffer->capacity = 0;
}

static void grow_to(struct buffer *buffer, size_t needed)
{
    if (needed <= buffer->capacity)
        return;
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    buffer->data = mem_resize(buffer->data, capacity);
    buffer->capacity = capacity;
}

struct space buffer_reserve(struct buffer *buffer, size_t size)
{
    struct space none = { NULL, 0 };
    if (buffer->overflowed || size > buffer->limit || buffer->size > buffer->limit - size) {
        buffer->overflowed = true;
        return none;
    }
    grow_to(buffer, buffer->size + size);
    struct space space = { buffer->data + buffer->size, size };
    return space;
}

void buffer_advance(struct buffer *buffer, size_t size)
{
    buffer->size += size;
}

bool buffer_append(struct buffer *buffer, struct slice bytes)
{
    if (!bytes.size)
        return !buffer->overflowed;
    struct space space = buffer_reserve(buffer, bytes.size);
    if (!space.data)
        return false;
    memcpy(space.data, bytes.data, bytes.size);
    buffer->size += bytes.size;
    return true;
}

bool buffer_append_text(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, slice_text(text));
}

bool buffer_append_byte(struct buffer *buffer, uint8_t byte)
{
    return buffer_append(buffer, slice_of(&byte, 1));
}

bool buffer_append_format(struct buffer *buffer, const char *format, ...)
{
    char small[256];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(small, sizeof(small), format, arguments);
    va_end(arguments);
    if (size < 0)
        return false;
    if ((size_t)size < sizeof(small))
        return buffer_append(buffer, slice_of(small, (size_t)size));
    struct space space = buffer_reserve(buffer, (size_t)size);
    if (!space.data)
        return false;
    grow_to(buffer, buffer->size + (size_t)size + 1);
    va_start(arguments, format);
    vsnprintf((char *)buffer->data + buffer->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)size;
    return true;
}

bool buffer_append_u16le(struct buffer *buffer, uint16_t value)
{
    uint8_t bytes[2];
    put_u16le(bytes, value);
    return buffer_append(buffer, slice_of(bytes, sizeof(bytes)));
}

bool buffer_append_u32le(struct buffer *buffer, uint32_t value)
{
    uint8_t bytes[4];
    put_u32le(bytes, value);
    return buffer_append(buffer, slice_of(bytes, sizeof(bytes)));
}

bool buffer_append_u64le(struct buffer *buffer, uint64_t value)
{
    uint8_t bytes[8];
    put_u64le(bytes, value);
    return buffer_append(buffer, slice_of(bytes, sizeof(bytes)));
}

bool buffer_append_u16be(struct buffer *buffer, uint16_t value)
{
    uint8_t bytes[2];
    put_u16be(bytes, value);
    return buffer_append(buffer, slice_of(bytes, sizeof(bytes)));
}

bool buffer_append_u32be(struct buffer *buffer, uint32_t value)
{
    uint8_t bytes[4];
    put_u32be(bytes, value);
    return buffer_append(buffer, slice_of(bytes, sizeof(bytes)));
}

bool buffer_check(const struct buffer *buffer, const char *what, struct error *err)
{
    if (buffer->overflowed)
        return error_set(err, ERROR_LIMIT, "%s exceeds %zu bytes", what, buffer->limit);
    return true;
}

const char *buffer_text(struct buffer *buffer)
{
    grow_to(buffer, buffer->size + 1);
    buffer->data[buffer->size] = '\0';
    return (const char *)buffer->data;
}
