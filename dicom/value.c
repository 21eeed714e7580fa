/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "dicom/cursor.h"

/* Values as people read them. */

/* The shortest decimal that reads back as the same number. */
static void append_float(double number, int digits, int most, struct buffer *text)
{
    char decimal[40];
    for (; digits <= most; digits++) {
        snprintf(decimal, sizeof(decimal), "%.*g", digits, number);
        double back = strtod(decimal, NULL);
        if (most == 9 ? (float)back == (float)number : back == number)
            break;
    }
    buffer_append_text(text, decimal);
}

static void append_number(uint16_t vr, uint64_t unit, struct buffer *text)
{
    float single;
    double twice;
    uint32_t bits = (uint32_t)unit;
    switch (vr) {
    case VR_SS:
        buffer_append_format(text, "%d", (int16_t)unit);
        break;
    case VR_SL:
        buffer_append_format(text, "%" PRId32, (int32_t)unit);
        break;
    case VR_SV:
        buffer_append_format(text, "%" PRId64, (int64_t)unit);
        break;
    case VR_FL:
        memcpy(&single, &bits, sizeof(single));
        append_float((double)single, 6, 9, text);
        break;
    case VR_FD:
        memcpy(&twice, &unit, sizeof(twice));
        append_float(twice, 15, 17, text);
        break;
    default:
        buffer_append_format(text, "%" PRIu64, unit);
        break;
    }
}

static bool is_number(uint16_t vr)
{
    return vr == VR_US || vr == VR_SS || vr == VR_UL || vr == VR_SL || vr == VR_UV || vr == VR_SV ||
           vr == VR_FL || vr == VR_FD;
}

static void append_numbers(const struct element *element, struct buffer *text)
{
    size_t unit = vr_unit_size(element->vr);
    for (size_t i = 0; i + unit <= element->value.size; i += unit) {
        if (i)
            buffer_append_byte(text, '\\');
        append_number(element->vr, get_unsigned(element->value.data + i, unit, element->big_endian),
                      text);
    }
}

static void append_tags(const struct element *element, struct buffer *text)
{
    for (size_t i = 0; i + 4 <= element->value.size; i += 4) {
        const uint8_t *p = element->value.data + i;
        buffer_append_format(text, "%s%04X%04X", i ? "\\" : "",
                             (unsigned)get_unsigned(p, 2, element->big_endian),
                             (unsigned)get_unsigned(p + 2, 2, element->big_endian));
    }
}

static bool is_padding(uint8_t byte)
{
    return byte == ' ' || byte == 0;
}

static bool is_plain(struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        if (bytes.data[i] >= 0x80)
            return false;
    return true;
}

/* Takes the padding off each value of the UTF-8 text behind `begin`. Leading spaces are padding but
 * in running text (PS3.5 6.2). */
static void trim(struct buffer *text, size_t begin, uint16_t vr)
{
    bool several = vr_is_multi_valued(vr);
    bool leading = several && vr != VR_UC;
    uint8_t *to = text->data + begin;
    const uint8_t *from = to, *end = text->data + text->size;
    for (;;) {
        const uint8_t *next = several ? memchr(from, '\\', (size_t)(end - from)) : NULL;
        const uint8_t *value_end = next ? next : end;
        while (value_end > from && is_padding(value_end[-1]))
            value_end--;
        while (leading && from < value_end && *from == ' ')
            from++;
        memmove(to, from, (size_t)(value_end - from));
        to += value_end - from;
        if (!next)
            break;
        *to++ = '\\';
        from = next + 1;
    }
    text->size = (size_t)(to - text->data);
}

static void append_characters(const struct dataset *dataset, const struct element *element,
                              struct buffer *text)
{
    struct slice value = element->value;
    while (value.size && is_padding(value.data[value.size - 1]))
        value.size--;
    size_t begin = text->size;
    if (vr_uses_character_set(element->vr))
        charset_decode(element->charset ? element->charset : dataset->charset, element->vr, value,
                       text);
    else if (is_plain(value))
        buffer_append(text, value);
    else
        charset_decode(charset_find(slice_of(NULL, 0)), element->vr, value, text);
    if (text->size > begin)
        trim(text, begin, element->vr);
}

bool dataset_element_text(const struct dataset *dataset, const struct element *element,
                          struct buffer *text)
{
    size_t begin = text->size;
    if (element->elided || !element->value.size)
        return false;
    if (vr_is_text(element->vr))
        append_characters(dataset, element, text);
    else if (element->vr == VR_AT)
        append_tags(element, text);
    else if (is_number(element->vr))
        append_numbers(element, text);
    if (text->overflowed)
        text->size = begin;
    return text->size > begin;
}

bool dataset_text(const struct dataset *dataset, uint32_t tag, struct buffer *text)
{
    struct element element;
    return dataset_find(dataset, tag, &element) && dataset_element_text(dataset, &element, text);
}

/* How much of the UTF-8 text can stand in `size` bytes, no character cut. */
static size_t whole_characters(struct slice text, size_t size)
{
    if (text.size <= size)
        return text.size;
    while (size && (text.data[size] & 0xC0) == 0x80)
        size--;
    return size;
}

bool dataset_string(const struct dataset *dataset, uint32_t tag, char *text, size_t size)
{
    if (size)
        text[0] = '\0';
    struct element element;
    if (!size || !dataset_find(dataset, tag, &element))
        return false;
    /* A character takes at most four bytes in UTF-8, and a number at most 12 times its own. */
    struct buffer all = buffer_up_to(element.value.size * 12 + 64);
    if (dataset_element_text(dataset, &element, &all)) {
        struct slice value = buffer_slice(&all);
        const uint8_t *end = vr_is_text(element.vr) && !vr_is_multi_valued(element.vr)
                                 ? NULL
                                 : memchr(value.data, '\\', value.size);
        if (end)
            value.size = (size_t)(end - value.data);
        value.size = whole_characters(value, size - 1);
        memcpy(text, value.data, value.size);
        text[value.size] = '\0';
    }
    buffer_release(&all);
    return text[0];
}

bool dataset_uid(const struct dataset *dataset, uint32_t tag, char uid[UID_SIZE])
{
    struct element element;
    uid[0] = '\0';
    if (!dataset_find(dataset, tag, &element) || !element.value.size)
        return false;
    const uint8_t *end = memchr(element.value.data, '\\', element.value.size);
    if (end)
        element.value.size = (size_t)(end - element.value.data);
    return uid_copy(element.value, uid);
}

static bool integer_of_text(const struct dataset *dataset, uint32_t tag, int64_t *value)
{
    char text[32];
    char *end;
    if (!dataset_string(dataset, tag, text, sizeof(text)))
        return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return !*end && !errno;
}

bool dataset_integer(const struct dataset *dataset, uint32_t tag, int64_t *value)
{
    struct element element;
    if (!dataset_find(dataset, tag, &element) || !element.value.size)
        return false;
    if (vr_is_text(element.vr))
        return integer_of_text(dataset, tag, value);
    size_t size = vr_unit_size(element.vr);
    if (!is_number(element.vr) || element.vr == VR_FL || element.vr == VR_FD ||
        element.value.size < size)
        return false;
    uint64_t unit = get_unsigned(element.value.data, size, element.big_endian);
    *value = element.vr == VR_SS   ? (int16_t)unit
             : element.vr == VR_SL ? (int32_t)unit
                                   : (int64_t)unit;
    return element.vr != VR_UV || unit <= INT64_MAX;
}
