/* SPDX-License-Identifier: MIT */
#include "dicom/utf8.h"

/* How many bytes a lead byte asks for, and the range of the second one, which rules out overlong
 * forms, surrogates and what is above U+10FFFF (table 3-7 of the Unicode standard). */
static size_t lead_size(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80)
        return 1;
    if (lead < 0xC2 || lead > 0xF4)
        return 0;
    if (lead < 0xE0)
        return 2;
    if (lead < 0xF0) {
        if (lead == 0xE0)
            *low = 0xA0;
        else if (lead == 0xED)
            *high = 0x9F;
        return 3;
    }
    if (lead == 0xF0)
        *low = 0x90;
    else if (lead == 0xF4)
        *high = 0x8F;
    return 4;
}

/* How many bytes at the start of `text` belong together, and whether they are a whole character. */
static size_t measure(struct slice text, bool *whole)
{
    uint8_t low, high;
    size_t wanted = lead_size(text.data[0], &low, &high);
    size_t size = 1;
    while (size < wanted && size < text.size && text.data[size] >= low && text.data[size] <= high) {
        size++;
        low = 0x80;
        high = 0xBF;
    }
    *whole = size == wanted;
    return size;
}

size_t utf8_size(struct slice text)
{
    if (!text.size)
        return 0;
    bool whole;
    size_t size = measure(text, &whole);
    return whole ? size : 0;
}

uint32_t utf8_next(struct slice text, size_t *size)
{
    bool whole;
    *size = measure(text, &whole);
    if (!whole)
        return UTF8_REPLACEMENT;
    if (*size == 1)
        return text.data[0];
    uint32_t code = text.data[0] & (0xFFu >> (*size + 1));
    for (size_t i = 1; i < *size; i++)
        code = code << 6 | (text.data[i] & 0x3F);
    return code;
}

bool utf8_is_valid(struct slice text)
{
    while (text.size) {
        size_t size = utf8_size(text);
        if (!size)
            return false;
        text = slice_skip(text, size);
    }
    return true;
}

void utf8_append(struct buffer *utf8, uint32_t code)
{
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        code = UTF8_REPLACEMENT;
    uint8_t bytes[4];
    size_t size;
    if (code < 0x80) {
        bytes[0] = (uint8_t)code;
        size = 1;
    } else if (code < 0x800) {
        bytes[0] = (uint8_t)(0xC0 | code >> 6);
        size = 2;
    } else if (code < 0x10000) {
        bytes[0] = (uint8_t)(0xE0 | code >> 12);
        size = 3;
    } else {
        bytes[0] = (uint8_t)(0xF0 | code >> 18);
        size = 4;
    }
    for (size_t i = 1; i < size; i++)
        bytes[i] = (uint8_t)(0x80 | (code >> 6 * (size - 1 - i) & 0x3F));
    buffer_append(utf8, slice_of(bytes, size));
}

void utf8_append_repaired(struct buffer *utf8, struct slice text)
{
    while (text.size) {
        size_t good = 0, size;
        while ((size = utf8_size(slice_skip(text, good))))
            good += size;
        buffer_append(utf8, slice_take(text, good));
        text = slice_skip(text, good);
        if (text.size) {
            utf8_append(utf8, utf8_next(text, &size));
            text = slice_skip(text, size);
        }
    }
}
