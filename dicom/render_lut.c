/* SPDX-License-Identifier: MIT */
#include "dicom/render_lut.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"

enum {
    ENTRIES_MAX = 65536,
    DATA_MAX = ENTRIES_MAX * 2,
    SEGMENTED_MAX = 1 << 20,
    SEGMENTS_MAX = 2 * ENTRIES_MAX, /* expanded: each of use makes an entry at least */
};

static uint16_t word(const struct element *element, const uint8_t *bytes)
{
    return element->big_endian ? get_u16be(bytes) : get_u16le(bytes);
}

/* PS3.3 C.7.9.2: segments 0 are entries, 1 lines to a value, 2 repeat what stands at an offset. */
struct segments {
    const struct element *element;
    struct slice words;
    struct lut *lut;
    uint32_t filled;
    uint32_t steps; /* segments that make nothing could be repeated for minutes */
};

static bool take(struct segments *segments, size_t *at, uint16_t *value)
{
    if (segments->words.size < *at + 2)
        return false;
    *value = word(segments->element, segments->words.data + *at);
    *at += 2;
    return true;
}

static bool put(struct segments *segments, uint16_t value)
{
    if (segments->filled == segments->lut->count)
        return false;
    segments->lut->entries[segments->filled++] = value;
    return true;
}

static bool expand_discrete(struct segments *segments, size_t *at, uint16_t length)
{
    uint16_t value;
    for (uint16_t i = 0; i < length; i++)
        if (!take(segments, at, &value) || !put(segments, value))
            return false;
    return true;
}

static bool expand_line(struct segments *segments, size_t *at, uint16_t length)
{
    uint16_t end;
    if (!segments->filled || !take(segments, at, &end))
        return false;
    int32_t begin = segments->lut->entries[segments->filled - 1];
    for (int32_t i = 1; i <= length; i++)
        if (!put(segments, (uint16_t)(begin + (end - begin) * (int64_t)i / length)))
            return false;
    return true;
}

static bool expand_one(struct segments *segments, size_t *at, bool may_repeat)
{
    uint16_t opcode;
    uint16_t length;
    uint16_t low;
    uint16_t high;
    if (++segments->steps > SEGMENTS_MAX || !take(segments, at, &opcode) ||
        !take(segments, at, &length))
        return false;
    if (opcode == 0)
        return expand_discrete(segments, at, length);
    if (opcode == 1)
        return expand_line(segments, at, length);
    if (opcode != 2 || !may_repeat || !take(segments, at, &low) || !take(segments, at, &high))
        return false;
    size_t there = (uint32_t)high << 16 | low;
    for (uint16_t i = 0; i < length; i++)
        if (!expand_one(segments, &there, false))
            return false;
    return true;
}

static bool expand(const struct element *element, struct slice words, struct lut *lut,
                   struct error *err)
{
    struct segments segments = { element, words, lut, 0, 0 };
    size_t at = 0;
    while (segments.filled < lut->count)
        if (!expand_one(&segments, &at, true))
            return error_set_tag(err, ERROR_INVALID, element->tag,
                                 "the segments make no lookup table");
    return true;
}

/* Entries of 8 bits may stand one in a byte or one in a word (PS3.3 C.7.6.3.1.6). */
static bool fill(const struct element *element, struct slice bytes, struct lut *lut,
                 struct error *err)
{
    bool by_byte = bytes.size < (size_t)lut->count * 2;
    if (bytes.size < (by_byte ? lut->count : (size_t)lut->count * 2))
        return error_set_tag(err, ERROR_INVALID, element->tag, "a lookup table is too short");
    uint16_t highest = 0;
    for (uint32_t i = 0; i < lut->count; i++) {
        /* In words of big endian order the first byte of each two is the second entry. */
        lut->entries[i] = by_byte
                              ? bytes.data[element->big_endian && bytes.size % 2 == 0 ? i ^ 1 : i]
                              : word(element, bytes.data + (size_t)i * 2);
        if (lut->entries[i] > highest)
            highest = lut->entries[i];
    }
    if (by_byte || (lut->bits > 8 && highest <= UINT8_MAX && lut->count <= 256))
        lut->bits = 8; /* as many write it who mean bytes */
    return true;
}

static bool read_descriptor(const struct element *element, bool is_signed, struct lut *lut,
                            struct error *err)
{
    if (element->elided || element->value.size < 6)
        return error_set_tag(err, ERROR_INVALID, element->tag, "a lookup table is not described");
    uint16_t count = word(element, element->value.data);
    uint16_t first = word(element, element->value.data + 2);
    uint16_t bits = word(element, element->value.data + 4);
    lut->count = count ? count : ENTRIES_MAX;
    lut->first = is_signed ? (int16_t)first : first;
    lut->bits = bits >= 8 && bits <= 16 ? bits : 16;
    return true;
}

bool lut_read(const struct dataset *dataset, uint32_t descriptor_tag, uint32_t data_tag,
              uint32_t segmented_tag, bool is_signed, const struct value_source *source,
              struct lut *lut, bool *found, struct error *err)
{
    struct element descriptor;
    struct element data;
    *lut = (struct lut){ 0 };
    *found = dataset_find(dataset, descriptor_tag, &descriptor);
    if (!*found)
        return true;
    bool plain = dataset_find(dataset, data_tag, &data) && data.size;
    if (!plain && !(segmented_tag && dataset_find(dataset, segmented_tag, &data)))
        return error_set_tag(err, ERROR_INVALID, data_tag, "a lookup table has no data");
    if (!read_descriptor(&descriptor, is_signed, lut, err))
        return false;
    struct buffer bytes = buffer_up_to(plain ? DATA_MAX : SEGMENTED_MAX);
    lut->entries = mem_alloc_array(lut->count, sizeof(*lut->entries));
    bool ok = value_read(&data, source, plain ? DATA_MAX : SEGMENTED_MAX, &bytes, err) &&
              (plain ? fill(&data, buffer_slice(&bytes), lut, err)
                     : expand(&data, buffer_slice(&bytes), lut, err));
    buffer_release(&bytes);
    if (!ok)
        lut_release(lut);
    return ok;
}

void lut_release(struct lut *lut)
{
    free(lut->entries);
    lut->entries = NULL;
}

bool lut_find(const struct dataset *place, uint32_t sequence_tag, const struct render_input *input,
              struct lut **out, struct error *err)
{
    bool found = false;
    struct lut lut;
    *out = NULL;
    struct dataset *item = dataset_item(place, sequence_tag, 0);
    if (!item)
        return true;
    bool ok = lut_read(item, TAG_LUT_DESCRIPTOR, TAG_LUT_DATA, 0,
                       input->format->pixel_representation == 1, input->source, &lut, &found, err);
    dataset_close(item);
    if (ok && found) {
        *out = mem_alloc(sizeof(lut));
        **out = lut;
    }
    return ok;
}

void lut_free(struct lut *lut)
{
    if (lut)
        lut_release(lut);
    free(lut);
}
