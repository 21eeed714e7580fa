/* SPDX-License-Identifier: MIT */
#include "dicom/encode.h"

#include <stdio.h>

#include "base/bytes.h"
#include "dicom/cursor.h"

enum { SHORT_FORM_MAX = 0xFFFE };

static void write_tag(struct encoder *encoder, uint32_t tag)
{
    buffer_append_u16le(encoder->out, (uint16_t)(tag >> 16));
    buffer_append_u16le(encoder->out, (uint16_t)tag);
}

static void write_header(struct encoder *encoder, uint32_t tag, uint16_t vr, uint32_t length)
{
    write_tag(encoder, tag);
    if (encoder->explicit_vr) {
        buffer_append_byte(encoder->out, (uint8_t)(vr >> 8));
        buffer_append_byte(encoder->out, (uint8_t)vr);
        if (!vr_has_long_form(vr)) {
            buffer_append_u16le(encoder->out, (uint16_t)length);
            return;
        }
        buffer_append_u16le(encoder->out, 0);
    }
    buffer_append_u32le(encoder->out, length);
}

void encode_bytes(struct encoder *encoder, uint32_t tag, uint16_t vr, struct slice value)
{
    if (value.size > LENGTH_UNDEFINED - 2) {
        encoder->out->overflowed = true;
        return;
    }
    uint8_t padding = vr_padding(vr);
    if (value.size > SHORT_FORM_MAX && !vr_has_long_form(vr))
        vr = VR_UN;
    write_header(encoder, tag, vr, (uint32_t)(value.size + value.size % 2));
    buffer_append(encoder->out, value);
    if (value.size % 2)
        buffer_append_byte(encoder->out, padding);
}

void encode_text(struct encoder *encoder, uint32_t tag, uint16_t vr, const char *text)
{
    encode_bytes(encoder, tag, vr, slice_text(text));
}

void encode_u16(struct encoder *encoder, uint32_t tag, uint16_t value)
{
    uint8_t bytes[2];
    put_u16le(bytes, value);
    encode_bytes(encoder, tag, VR_US, slice_of(bytes, sizeof(bytes)));
}

void encode_u32(struct encoder *encoder, uint32_t tag, uint32_t value)
{
    uint8_t bytes[4];
    put_u32le(bytes, value);
    encode_bytes(encoder, tag, VR_UL, slice_of(bytes, sizeof(bytes)));
}

void encode_integer(struct encoder *encoder, uint32_t tag, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    encode_text(encoder, tag, VR_IS, text);
}

void encode_sequence_begin(struct encoder *encoder, uint32_t tag)
{
    write_header(encoder, tag, VR_SQ, LENGTH_UNDEFINED);
}

static void write_item_header(struct encoder *encoder, uint32_t tag, uint32_t length)
{
    write_tag(encoder, tag);
    buffer_append_u32le(encoder->out, length);
}

void encode_item_begin(struct encoder *encoder)
{
    write_item_header(encoder, TAG_ITEM, LENGTH_UNDEFINED);
}

void encode_item_end(struct encoder *encoder)
{
    write_item_header(encoder, TAG_ITEM_DELIMITER, 0);
}

void encode_sequence_end(struct encoder *encoder)
{
    write_item_header(encoder, TAG_SEQUENCE_DELIMITER, 0);
}

void encode_structure(struct encoder *encoder, enum walk_event event, uint32_t tag)
{
    if (event == WALK_SEQUENCE)
        encode_sequence_begin(encoder, tag);
    else if (event == WALK_ITEM)
        encode_item_begin(encoder);
    else if (event == WALK_ITEM_END)
        encode_item_end(encoder);
    else if (event == WALK_SEQUENCE_END)
        encode_sequence_end(encoder);
}

/* What texts are written in. */
struct target {
    struct charset_writer *charset; /* NULL: UTF-8 */
    bool lost;
};

static void copy_text(struct encoder *encoder, const struct dataset *dataset,
                      const struct element *element, struct target *target)
{
    enum { UTF8_MAX = 4, ESCAPES_MAX = 8 };
    struct buffer text = buffer_up_to(element->value.size * UTF8_MAX + UTF8_MAX);
    dataset_element_text(dataset, element, &text);
    if (target->charset) {
        struct buffer written = buffer_up_to(text.size * ESCAPES_MAX + ESCAPES_MAX);
        if (!charset_write(target->charset, element->vr, buffer_slice(&text), &written)) {
            target->lost = true;
            buffer_clear(&written);
        }
        encode_bytes(encoder, element->tag, element->vr, buffer_slice(&written));
        buffer_release(&written);
    } else {
        encode_bytes(encoder, element->tag, element->vr, buffer_slice(&text));
    }
    buffer_release(&text);
}

/* Bytes in little endian order; an incomplete last unit is left out. */
static void copy_swapped(struct encoder *encoder, const struct element *element)
{
    size_t unit = vr_unit_size(element->vr);
    size_t size = element->value.size - element->value.size % unit;
    struct buffer bytes = buffer_up_to(size);
    for (size_t i = 0; i < size; i += unit)
        for (size_t k = unit; k-- > 0;)
            buffer_append_byte(&bytes, element->value.data[i + k]);
    encode_bytes(encoder, element->tag, element->vr, buffer_slice(&bytes));
    buffer_release(&bytes);
}

/* A set that is named inside an item would be wrong now: one set holds for all. */
static void copy_value(struct encoder *encoder, const struct dataset *dataset,
                       const struct element *element, struct target *target)
{
    if (element->undefined_length) /* fragments, which are of another transfer syntax */
        encode_bytes(encoder, element->tag, element->vr, slice_of(NULL, 0));
    else if (element->tag == TAG_SPECIFIC_CHARACTER_SET && target->charset)
        return;
    else if (element->tag == TAG_SPECIFIC_CHARACTER_SET)
        encode_text(encoder, element->tag, VR_CS, "ISO_IR 192");
    else if (vr_uses_character_set(element->vr) && element->value.size)
        copy_text(encoder, dataset, element, target);
    else if (element->big_endian && vr_unit_size(element->vr) > 1)
        copy_swapped(encoder, element);
    else
        encode_bytes(encoder, element->tag, element->vr, element->value);
}

/* What a broken sequence leaves open. */
static void close_all(struct encoder *encoder, const struct walk *walk)
{
    for (size_t depth = walk->depth; depth > 0; depth--) {
        if (walk->open[depth - 1].in_item)
            encode_item_end(encoder);
        encode_sequence_end(encoder);
    }
}

static bool copy(struct encoder *encoder, const struct dataset *dataset, uint32_t tag,
                 struct target *target)
{
    struct element element;
    if (!dataset_find(dataset, tag, &element))
        return false;
    if (element.vr != VR_SQ) {
        copy_value(encoder, dataset, &element, target);
        return true;
    }
    encode_sequence_begin(encoder, tag);
    struct walk walk = walk_sequence(dataset, &element);
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (event == WALK_ELEMENT)
            copy_value(encoder, dataset, &element, target);
        else
            encode_structure(encoder, event, element.tag);
    }
    close_all(encoder, &walk);
    return true;
}

bool encode_copy(struct encoder *encoder, const struct dataset *dataset, uint32_t tag)
{
    struct target utf8 = { NULL, false };
    return copy(encoder, dataset, tag, &utf8);
}

void encode_element(struct encoder *encoder, const struct dataset *dataset,
                    const struct element *element)
{
    struct target utf8 = { NULL, false };
    copy_value(encoder, dataset, element, &utf8);
}

bool encode_copy_in(struct encoder *encoder, const struct dataset *dataset, uint32_t tag,
                    struct charset_writer *charset, bool *lost)
{
    struct target target = { charset, false };
    bool found = copy(encoder, dataset, tag, &target);
    *lost |= target.lost;
    return found;
}
