/* SPDX-License-Identifier: MIT */
#include "sample-data/attributes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/memory.h"

enum { MAX_TEXT = 4096, MAX_FRAGMENTS = 64 << 20 };

struct attribute {
    uint32_t tag;
    uint16_t vr;
    bool fragments; /* the value is encapsulated pixel data, item headers and all */
    struct slice value;
    struct attributes **items;
    size_t item_count;
};

struct attributes {
    struct attribute *list;
    size_t count;
};

struct attributes *attributes_new(void)
{
    return mem_alloc(sizeof(struct attributes));
}

static void release_attribute(struct attribute *attribute)
{
    free((void *)(uintptr_t)attribute->value.data);
    for (size_t i = 0; i < attribute->item_count; i++)
        attributes_free(attribute->items[i]);
    free(attribute->items);
}

void attributes_free(struct attributes *attributes)
{
    if (!attributes)
        return;
    for (size_t i = 0; i < attributes->count; i++)
        release_attribute(&attributes->list[i]);
    free(attributes->list);
    free(attributes);
}

/* The place of `tag`: where it stands, or where it belongs. */
static size_t find_place(const struct attributes *attributes, uint32_t tag)
{
    size_t place = 0;
    while (place < attributes->count && attributes->list[place].tag < tag)
        place++;
    return place;
}

static struct attribute *find_or_add(struct attributes *attributes, uint32_t tag)
{
    size_t place = find_place(attributes, tag);
    if (place < attributes->count && attributes->list[place].tag == tag)
        return &attributes->list[place];
    attributes->list = mem_resize_array(attributes->list, attributes->count + 1,
                                        sizeof(struct attribute));
    struct attribute *attribute = &attributes->list[place];
    memmove(attribute + 1, attribute, (attributes->count - place) * sizeof(*attribute));
    attributes->count++;
    memset(attribute, 0, sizeof(*attribute));
    attribute->tag = tag;
    return attribute;
}

void attributes_bytes(struct attributes *attributes, uint32_t tag, uint16_t vr, struct slice value)
{
    struct attribute *attribute = find_or_add(attributes, tag);
    release_attribute(attribute);
    *attribute = (struct attribute){ .tag = tag, .vr = vr };
    attribute->value = slice_of(mem_copy(value.data, value.size), value.size);
}

void attributes_text(struct attributes *attributes, uint32_t tag, uint16_t vr, const char *text)
{
    attributes_bytes(attributes, tag, vr, slice_text(text));
}

void attributes_format(struct attributes *attributes, uint32_t tag, uint16_t vr, const char *format,
                       ...)
{
    char text[MAX_TEXT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    attributes_text(attributes, tag, vr, text);
}

void attributes_u16(struct attributes *attributes, uint32_t tag, uint16_t value)
{
    uint8_t bytes[2];
    put_u16le(bytes, value);
    attributes_bytes(attributes, tag, VR_US, slice_of(bytes, sizeof(bytes)));
}

void attributes_u32(struct attributes *attributes, uint32_t tag, uint32_t value)
{
    uint8_t bytes[4];
    put_u32le(bytes, value);
    attributes_bytes(attributes, tag, VR_UL, slice_of(bytes, sizeof(bytes)));
}

void attributes_texts(struct attributes *attributes, const struct text_attribute *table)
{
    for (; table->tag; table++)
        attributes_text(attributes, table->tag, table->vr, table->text);
}

void attributes_empty_sequence(struct attributes *attributes, uint32_t tag)
{
    attributes_bytes(attributes, tag, VR_SQ, slice_of(NULL, 0));
}

struct attributes *attributes_item(struct attributes *attributes, uint32_t tag)
{
    struct attribute *sequence = find_or_add(attributes, tag);
    sequence->vr = VR_SQ;
    sequence->items = mem_resize_array(sequence->items, sequence->item_count + 1,
                                       sizeof(struct attributes *));
    struct attributes *item = attributes_new();
    sequence->items[sequence->item_count++] = item;
    return item;
}

void attributes_code(struct attributes *attributes, uint32_t tag, struct code code)
{
    struct attributes *item = attributes_item(attributes, tag);
    attributes_text(item, 0x00080100, VR_SH, code.value);
    attributes_text(item, 0x00080102, VR_SH, code.scheme);
    attributes_text(item, 0x00080104, VR_LO, code.meaning);
}

static void append_item_header(struct buffer *out, uint32_t tag, size_t size)
{
    buffer_append_u16le(out, (uint16_t)(tag >> 16));
    buffer_append_u16le(out, (uint16_t)tag);
    buffer_append_u32le(out, (uint32_t)size);
}

void attributes_frames(struct attributes *attributes, const struct slice *frames, size_t count)
{
    struct buffer value = buffer_up_to(MAX_FRAGMENTS);
    uint32_t offset = 0;
    append_item_header(&value, TAG_ITEM, count * 4);
    for (size_t i = 0; i < count; i++) {
        buffer_append_u32le(&value, offset);
        offset += 8 + (uint32_t)(frames[i].size + frames[i].size % 2);
    }
    for (size_t i = 0; i < count; i++) {
        append_item_header(&value, TAG_ITEM, frames[i].size + frames[i].size % 2);
        buffer_append(&value, frames[i]);
        if (frames[i].size % 2)
            buffer_append_byte(&value, 0);
    }
    append_item_header(&value, TAG_SEQUENCE_DELIMITER, 0);
    attributes_bytes(attributes, TAG_PIXEL_DATA, VR_OB, buffer_slice(&value));
    find_or_add(attributes, TAG_PIXEL_DATA)->fragments = true;
    buffer_release(&value);
}

void attributes_get_text(const struct attributes *attributes, uint32_t tag, char *text, size_t size)
{
    size_t place = find_place(attributes, tag);
    text[0] = '\0';
    if (place < attributes->count && attributes->list[place].tag == tag) {
        struct slice value = attributes->list[place].value;
        snprintf(text, size, "%.*s", (int)value.size, (const char *)value.data);
    }
}

static void append_u16(struct buffer *out, struct encoding encoding, uint16_t value)
{
    if (encoding.big_endian)
        buffer_append_u16be(out, value);
    else
        buffer_append_u16le(out, value);
}

static void append_u32(struct buffer *out, struct encoding encoding, uint32_t value)
{
    if (encoding.big_endian)
        buffer_append_u32be(out, value);
    else
        buffer_append_u32le(out, value);
}

static void append_tag(struct buffer *out, struct encoding encoding, uint32_t tag)
{
    append_u16(out, encoding, (uint16_t)(tag >> 16));
    append_u16(out, encoding, (uint16_t)tag);
}

static void append_header(struct buffer *out, struct encoding encoding,
                          const struct attribute *attribute, uint32_t size)
{
    append_tag(out, encoding, attribute->tag);
    if (!encoding.explicit_vr) {
        append_u32(out, encoding, size);
        return;
    }
    buffer_append_byte(out, (uint8_t)(attribute->vr >> 8));
    buffer_append_byte(out, (uint8_t)attribute->vr);
    if (vr_has_long_form(attribute->vr)) {
        append_u16(out, encoding, 0);
        append_u32(out, encoding, size);
    } else {
        append_u16(out, encoding, (uint16_t)size);
    }
}

static void append_value(struct buffer *out, struct encoding encoding,
                         const struct attribute *attribute)
{
    size_t unit = encoding.big_endian ? vr_unit_size(attribute->vr) : 1;
    for (size_t at = 0; at < attribute->value.size; at += unit) {
        for (size_t byte = 0; byte < unit; byte++)
            buffer_append_byte(out, attribute->value.data[at + unit - 1 - byte]);
    }
    if (attribute->value.size % 2)
        buffer_append_byte(out, vr_padding(attribute->vr));
}

static void encode_sequence(const struct attribute *sequence, struct encoding encoding,
                            struct buffer *out)
{
    struct buffer content = buffer_up_to(out->limit);
    struct buffer item = buffer_up_to(out->limit);
    for (size_t i = 0; i < sequence->item_count; i++) {
        buffer_clear(&item);
        attributes_encode(sequence->items[i], encoding, &item);
        append_tag(&content, encoding, TAG_ITEM);
        append_u32(&content, encoding, (uint32_t)item.size);
        buffer_append(&content, buffer_slice(&item));
    }
    append_header(out, encoding, sequence, (uint32_t)content.size);
    buffer_append(out, buffer_slice(&content));
    buffer_release(&item);
    buffer_release(&content);
}

void attributes_encode(const struct attributes *attributes, struct encoding encoding,
                       struct buffer *out)
{
    for (size_t i = 0; i < attributes->count; i++) {
        const struct attribute *attribute = &attributes->list[i];
        if (attribute->vr == VR_SQ) {
            encode_sequence(attribute, encoding, out);
        } else if (attribute->fragments) {
            append_header(out, encoding, attribute, LENGTH_UNDEFINED);
            buffer_append(out, attribute->value);
        } else {
            append_header(out, encoding, attribute,
                          (uint32_t)(attribute->value.size + attribute->value.size % 2));
            append_value(out, encoding, attribute);
        }
    }
}
