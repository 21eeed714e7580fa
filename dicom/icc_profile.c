/* SPDX-License-Identifier: MIT */
#include "dicom/icc_profile.h"

#include "base/bytes.h"

enum {
    HEADER_SIZE = 128,
    TABLE_AT = HEADER_SIZE + 4, /* behind the number of tags */
    TAG_SIZE = 12,
    TAGS_MAX = 256,
    MOST_CURVE_POINTS = 32767,
    CHANNELS = 3,
    KEPT_MAX = 9,
};

/* Four characters as the number that profiles have them as. */
#define SIGNATURE(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static uint32_t number_at(struct slice bytes, size_t at)
{
    return get_u32be(bytes.data + at);
}

static bool is_device_class(uint32_t class)
{
    return class == SIGNATURE('s', 'c', 'n', 'r') || class == SIGNATURE('m', 'n', 't', 'r') ||
           class == SIGNATURE('p', 'r', 't', 'r') || class == SIGNATURE('s', 'p', 'a', 'c');
}

static bool check_header(struct slice profile, unsigned samples)
{
    uint32_t space = number_at(profile, 16);
    uint32_t connection = number_at(profile, 20);
    return number_at(profile, 36) == SIGNATURE('a', 'c', 's', 'p') &&
           is_device_class(number_at(profile, 12)) &&
           space ==
               (samples == 1 ? SIGNATURE('G', 'R', 'A', 'Y') : SIGNATURE('R', 'G', 'B', ' ')) &&
           (connection == SIGNATURE('X', 'Y', 'Z', ' ') ||
            connection == SIGNATURE('L', 'a', 'b', ' ')) &&
           number_at(profile, 64) <= 3; /* rendering intent */
}

bool icc_profile_check(struct slice bytes, unsigned samples, struct slice *profile)
{
    if (bytes.size < TABLE_AT)
        return false;
    uint32_t size = number_at(bytes, 0);
    if (size > bytes.size || size > ICC_PROFILE_MAX || size < TABLE_AT || size % 4)
        return false;
    *profile = slice_take(bytes, size);
    uint32_t tags = number_at(*profile, HEADER_SIZE);
    if (!check_header(*profile, samples) || tags > TAGS_MAX || size < TABLE_AT + tags * TAG_SIZE)
        return false;
    for (uint32_t i = 0; i < tags; i++) {
        size_t entry = TABLE_AT + i * TAG_SIZE;
        uint32_t at = number_at(*profile, entry + 4);
        if (at > size || number_at(*profile, entry + 8) > size - at)
            return false;
    }
    return true;
}

/* --- The tags that matter to who reads RGB (8.3, 8.4 and 10 of the same). */

static bool check_numbers(struct slice tag, uint32_t type, size_t count)
{
    return tag.size >= 8 + 4 * count && number_at(tag, 0) == type;
}

/* 10.6 and 10.18: a table, or one of five formulas. */
static bool check_curve(struct slice tag)
{
    static const size_t parameters[] = { 1, 3, 4, 5, 7 };
    if (tag.size < 12)
        return false;
    if (number_at(tag, 0) == SIGNATURE('c', 'u', 'r', 'v')) {
        uint32_t points = number_at(tag, 8);
        return points <= MOST_CURVE_POINTS && tag.size >= 12 + 2 * (size_t)points;
    }
    uint16_t formula = get_u16be(tag.data + 8);
    return number_at(tag, 0) == SIGNATURE('p', 'a', 'r', 'a') && formula < 5 &&
           tag.size >= 12 + 4 * parameters[formula];
}

/* A table of three dimensions with three values in each place. */
static bool table_fits(const uint8_t sides[CHANNELS], size_t value_size, size_t room)
{
    size_t places = 1;
    for (int i = 0; i < CHANNELS; i++) {
        if (sides[i] < 2)
            return false;
        places *= sides[i];
    }
    return places * CHANNELS * value_size <= room;
}

/* 10.10 and 10.11: curves, a table, curves; each of 8 or of 16 bits. */
static bool check_old_lut(struct slice tag, bool is_wide)
{
    size_t head = is_wide ? 52 : 48;
    if (tag.size < head || tag.data[8] != CHANNELS || tag.data[9] != CHANNELS)
        return false;
    const uint8_t sides[CHANNELS] = { tag.data[10], tag.data[10], tag.data[10] };
    size_t in = is_wide ? get_u16be(tag.data + 48) : 256;
    size_t out = is_wide ? get_u16be(tag.data + 50) : 256;
    size_t value_size = is_wide ? 2 : 1;
    size_t curves = CHANNELS * (in + out) * value_size;
    return in >= 2 && out >= 2 && in <= MOST_CURVE_POINTS && out <= MOST_CURVE_POINTS &&
           tag.size - head >= curves && table_fits(sides, value_size, tag.size - head - curves);
}

static size_t curve_size(struct slice tag)
{
    static const size_t parameters[] = { 1, 3, 4, 5, 7 };
    size_t size = number_at(tag, 0) == SIGNATURE('c', 'u', 'r', 'v')
                      ? 12 + 2 * (size_t)number_at(tag, 8)
                      : 12 + 4 * parameters[get_u16be(tag.data + 8)];
    return (size + 3) / 4 * 4;
}

static bool check_curves(struct slice tag, uint32_t at)
{
    struct slice rest = slice_skip(tag, at);
    for (int i = 0; at && i < CHANNELS; i++) {
        if (!check_curve(rest))
            return false;
        rest = slice_skip(rest, curve_size(rest));
    }
    return true;
}

/* 10.12: any of curves, matrix and table, each where it says. */
static bool check_new_lut(struct slice tag)
{
    if (tag.size < 32 || tag.data[8] != CHANNELS || tag.data[9] != CHANNELS)
        return false;
    uint32_t matrix = number_at(tag, 16);
    uint32_t table = number_at(tag, 24);
    if (!number_at(tag, 12) || (matrix && (matrix > tag.size || tag.size - matrix < 48)))
        return false;
    if (table) {
        struct slice rest = slice_skip(tag, table);
        if (rest.size < 20 || rest.data[16] < 1 || rest.data[16] > 2 ||
            !table_fits(rest.data, rest.data[16], rest.size - 20))
            return false;
    }
    return check_curves(tag, number_at(tag, 12)) && check_curves(tag, number_at(tag, 20)) &&
           check_curves(tag, number_at(tag, 28));
}

static bool check_lut(struct slice tag)
{
    if (tag.size < 8)
        return false;
    switch (number_at(tag, 0)) {
    case SIGNATURE('m', 'f', 't', '1'):
        return check_old_lut(tag, false);
    case SIGNATURE('m', 'f', 't', '2'):
        return check_old_lut(tag, true);
    case SIGNATURE('m', 'A', 'B', ' '):
        return check_new_lut(tag);
    default:
        return false;
    }
}

enum kind { COLUMN, CURVE, WHITE, ADAPTATION, LUT };

static bool check_tag(struct slice tag, enum kind kind)
{
    switch (kind) {
    case CURVE:
        return check_curve(tag);
    case ADAPTATION:
        return check_numbers(tag, SIGNATURE('s', 'f', '3', '2'), 9);
    case LUT:
        return check_lut(tag);
    default:
        return check_numbers(tag, SIGNATURE('X', 'Y', 'Z', ' '), 3);
    }
}

static bool find_tag(struct slice profile, uint32_t signature, struct slice *tag)
{
    uint32_t tags = number_at(profile, HEADER_SIZE);
    for (uint32_t i = 0; i < tags; i++) {
        size_t entry = TABLE_AT + i * TAG_SIZE;
        if (number_at(profile, entry) != signature)
            continue;
        *tag = slice_take(slice_skip(profile, number_at(profile, entry + 4)),
                          number_at(profile, entry + 8));
        return true;
    }
    return false;
}

static void write_tags(struct slice profile, const uint32_t *signatures, const struct slice *tags,
                       size_t count, struct buffer *out)
{
    size_t begin = out->size;
    size_t at = TABLE_AT + count * TAG_SIZE;
    buffer_append(out, slice_take(profile, HEADER_SIZE));
    buffer_append_u32be(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        buffer_append_u32be(out, signatures[i]);
        buffer_append_u32be(out, (uint32_t)at);
        buffer_append_u32be(out, (uint32_t)tags[i].size);
        at += (tags[i].size + 3) / 4 * 4;
    }
    for (size_t i = 0; i < count; i++) {
        buffer_append(out, tags[i]);
        while ((out->size - begin) % 4)
            buffer_append_byte(out, 0);
    }
    if (!out->overflowed)
        put_u32be(out->data + begin, (uint32_t)at);
}

bool icc_profile_reduce(struct slice profile, struct buffer *out)
{
    static const struct {
        uint32_t signature;
        enum kind kind;
    } wanted[KEPT_MAX] = {
        { SIGNATURE('w', 't', 'p', 't'), WHITE },  { SIGNATURE('c', 'h', 'a', 'd'), ADAPTATION },
        { SIGNATURE('A', '2', 'B', '0'), LUT },    { SIGNATURE('r', 'X', 'Y', 'Z'), COLUMN },
        { SIGNATURE('g', 'X', 'Y', 'Z'), COLUMN }, { SIGNATURE('b', 'X', 'Y', 'Z'), COLUMN },
        { SIGNATURE('r', 'T', 'R', 'C'), CURVE },  { SIGNATURE('g', 'T', 'R', 'C'), CURVE },
        { SIGNATURE('b', 'T', 'R', 'C'), CURVE },
    };
    uint32_t signatures[KEPT_MAX];
    struct slice tags[KEPT_MAX];
    size_t count = 0;
    unsigned parts = 0; /* of matrix and curves, six make a whole */
    bool has_lut = false;
    for (size_t i = 0; i < KEPT_MAX; i++) {
        if (!find_tag(profile, wanted[i].signature, &tags[count]) ||
            !check_tag(tags[count], wanted[i].kind))
            continue;
        signatures[count++] = wanted[i].signature;
        parts += wanted[i].kind == COLUMN || wanted[i].kind == CURVE;
        has_lut |= wanted[i].kind == LUT;
    }
    /* Matrices lead to XYZ alone. */
    if (!has_lut && (parts < 6 || number_at(profile, 20) != SIGNATURE('X', 'Y', 'Z', ' ')))
        return false;
    write_tags(profile, signatures, tags, count, out);
    return !out->overflowed;
}
