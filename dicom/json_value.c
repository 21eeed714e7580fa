/* SPDX-License-Identifier: MIT */
#include "dicom/json_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "dicom/charset.h"
#include "dicom/json.h"
#include "dicom/utf8.h"

static const char upper_hex[] = "0123456789ABCDEF";

/* What a byte is in a JSON string: 0 itself, 'u' by its number, 'x' part of a longer character,
 * else the letter behind the backslash. */
static const char escapes[256] = {
    [0x00 ... 0x07] = 'u', ['\b'] = 'b',  ['\t'] = 't',          ['\n'] = 'n',
    [0x0B] = 'u',          ['\f'] = 'f',  ['\r'] = 'r',          [0x0E ... 0x1F] = 'u',
    ['"'] = '"',           ['\\'] = '\\', [0x80 ... 0xFF] = 'x',
};

static void put_escape(uint8_t byte, struct buffer *json)
{
    char escape[6] = { '\\', escapes[byte], '0', '0', upper_hex[byte >> 4], upper_hex[byte & 15] };
    json_put(json, escape, escapes[byte] == 'u' ? 6 : 2);
}

void json_put_escaped(struct slice text, struct buffer *json)
{
    size_t done = 0, at = 0;
    while (at < text.size) {
        uint8_t byte = text.data[at];
        if (!escapes[byte]) {
            at++;
            continue;
        }
        size_t size = escapes[byte] == 'x' ? utf8_size(slice_skip(text, at)) : 0;
        if (size) {
            at += size;
            continue;
        }
        json_put(json, text.data + done, at - done);
        if (escapes[byte] == 'x') {
            utf8_next(slice_skip(text, at), &size);
            utf8_append(json, UTF8_REPLACEMENT);
        } else {
            put_escape(byte, json);
            size = 1;
        }
        done = at += size;
    }
    if (at > done)
        json_put(json, text.data + done, at - done);
}

void json_write_string(struct slice text, struct buffer *json)
{
    JSON_PUT(json, "\"");
    json_put_escaped(text, json);
    JSON_PUT(json, "\"");
}

void json_put_tag(uint32_t tag, struct buffer *json)
{
    char hex[8];
    for (int i = 0; i < 8; i++)
        hex[i] = upper_hex[tag >> (28 - 4 * i) & 15];
    json_put(json, hex, sizeof(hex));
}

/* Numbers. */

static uint64_t get_unit(const uint8_t *p, size_t size, bool big_endian)
{
    switch (size) {
    case 2:
        return big_endian ? get_u16be(p) : get_u16le(p);
    case 4:
        return big_endian ? get_u32be(p) : get_u32le(p);
    default:
        return big_endian ? get_u64be(p) : get_u64le(p);
    }
}

static void put_unsigned(uint64_t value, bool negative, struct buffer *json)
{
    char digits[21];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    if (negative)
        digits[--at] = '-';
    json_put(json, digits + at, sizeof(digits) - at);
}

/* Readers of JSON hold numbers as binary64: beyond 2^53 only a string keeps all digits. */
static void put_integer(uint64_t magnitude, bool negative, struct buffer *json)
{
    bool exact = magnitude <= UINT64_C(1) << 53;
    if (!exact)
        JSON_PUT(json, "\"");
    put_unsigned(magnitude, negative, json);
    if (!exact)
        JSON_PUT(json, "\"");
}

static void put_signed(int64_t value, struct buffer *json)
{
    put_integer(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0, json);
}

/* The fewest digits that read back as the same number. */
static void put_float(double number, bool single, struct buffer *json)
{
    char text[40];
    int size = 0;
    if (isnan(number) || isinf(number)) {
        json_write_string(slice_text(isnan(number) ? "NaN"
                                     : number < 0  ? "-Infinity"
                                                   : "Infinity"),
                          json);
        return;
    }
    if (number == nearbyint(number) && fabs(number) < 1e6 && !(number == 0 && signbit(number))) {
        put_signed((int64_t)number, json);
        return;
    }
    for (int digits = single ? 6 : 15, most = single ? 9 : 17; digits <= most; digits++) {
        size = snprintf(text, sizeof(text), "%.*g", digits, number);
        double back = strtod(text, NULL);
        if (single ? (float)back == (float)number : back == number)
            break;
    }
    json_put(json, text, (size_t)size);
}

static void put_number(uint16_t vr, uint64_t unit, struct buffer *json)
{
    float single;
    double twice;
    uint32_t bits = (uint32_t)unit;
    switch (vr) {
    case VR_SS:
        put_signed((int16_t)unit, json);
        break;
    case VR_SL:
        put_signed((int32_t)unit, json);
        break;
    case VR_SV:
        put_signed((int64_t)unit, json);
        break;
    case VR_FL:
        memcpy(&single, &bits, sizeof(single));
        put_float((double)single, true, json);
        break;
    case VR_FD:
        memcpy(&twice, &unit, sizeof(twice));
        put_float(twice, false, json);
        break;
    default:
        put_integer(unit, false, json);
        break;
    }
}

static void put_numbers(const struct element *element, struct buffer *json)
{
    size_t unit = vr_unit_size(element->vr);
    for (size_t at = 0; at + unit <= element->value.size; at += unit) {
        if (at)
            JSON_PUT(json, ",");
        put_number(element->vr, get_unit(element->value.data + at, unit, element->big_endian),
                   json);
    }
}

static void put_tags(const struct element *element, struct buffer *json)
{
    for (size_t at = 0; at + 4 <= element->value.size; at += 4) {
        const uint8_t *p = element->value.data + at;
        if (at)
            JSON_PUT(json, ",");
        JSON_PUT(json, "\"");
        json_put_tag((uint32_t)get_unit(p, 2, element->big_endian) << 16 |
                         (uint32_t)get_unit(p + 2, 2, element->big_endian),
                     json);
        JSON_PUT(json, "\"");
    }
}

/* Numbers in text. */

static size_t count_digits(struct slice text)
{
    size_t count = 0;
    while (count < text.size && text.data[count] >= '0' && text.data[count] <= '9')
        count++;
    return count;
}

static struct slice take_front(struct slice *text, size_t size)
{
    struct slice front = slice_take(*text, size);
    *text = slice_skip(*text, size);
    return front;
}

static bool take_sign(struct slice *text, bool plus)
{
    if (!text->size || (text->data[0] != '-' && !(plus && text->data[0] == '+')))
        return false;
    return take_front(text, 1).data[0] == '-';
}

/* A decimal number in its parts. */
struct decimal {
    bool negative;
    struct slice whole;
    struct slice fraction;
    bool negative_exponent;
    struct slice exponent;
};

static bool decimal_parse(struct slice text, struct decimal *decimal)
{
    *decimal = (struct decimal){ .negative = take_sign(&text, true) };
    decimal->whole = take_front(&text, count_digits(text));
    if (text.size && text.data[0] == '.') {
        take_front(&text, 1);
        decimal->fraction = take_front(&text, count_digits(text));
    }
    if (!decimal->whole.size && !decimal->fraction.size)
        return false;
    if (text.size && (text.data[0] == 'e' || text.data[0] == 'E')) {
        take_front(&text, 1);
        decimal->negative_exponent = take_sign(&text, true);
        decimal->exponent = take_front(&text, count_digits(text));
        if (!decimal->exponent.size)
            return false;
    }
    return !text.size;
}

/* Within what a binary64 tells apart and far from its ends. */
static bool is_exact(const struct decimal *decimal)
{
    enum { MOST_DIGITS = 17, MOST_EXPONENT_DIGITS = 2 };
    return decimal->whole.size + decimal->fraction.size <= MOST_DIGITS &&
           decimal->exponent.size <= MOST_EXPONENT_DIGITS;
}

/* DS, and IS which is one without fraction and exponent. The digits stay as they are, only that
 * JSON allows no plus, no zeros before others, and wants digits on both sides of a point. */
static bool put_decimal(uint16_t vr, struct slice text, struct buffer *json)
{
    struct decimal decimal;
    if (!decimal_parse(text, &decimal) || !is_exact(&decimal))
        return false;
    if (vr == VR_IS && text.size != decimal.whole.size &&
        (text.size != decimal.whole.size + 1 || decimal.fraction.data))
        return false;
    if (vr == VR_IS && decimal.whole.size > 15)
        return false;
    while (decimal.whole.size > 1 && decimal.whole.data[0] == '0')
        decimal.whole = slice_skip(decimal.whole, 1);
    if (decimal.negative)
        JSON_PUT(json, "-");
    if (decimal.whole.size)
        json_put(json, decimal.whole.data, decimal.whole.size);
    else
        JSON_PUT(json, "0");
    if (decimal.fraction.size) {
        JSON_PUT(json, ".");
        json_put(json, decimal.fraction.data, decimal.fraction.size);
    }
    if (decimal.exponent.size) {
        json_put(json, decimal.negative_exponent ? "e-" : "e+", 2);
        json_put(json, decimal.exponent.data, decimal.exponent.size);
    }
    return true;
}

/* Text. */

static struct slice trim(uint16_t vr, struct slice text)
{
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == 0))
        text.size--;
    if (!vr_is_multi_valued(vr) || vr == VR_UC)
        return text; /* running text may begin with spaces (PS3.5 6.2) */
    while (text.size && text.data[0] == ' ')
        text = slice_skip(text, 1);
    return text;
}

static struct slice take_part(struct slice *rest, uint8_t separator, bool *more)
{
    const uint8_t *end = rest->size ? memchr(rest->data, separator, rest->size) : NULL;
    struct slice part = take_front(rest, end ? (size_t)(end - rest->data) : rest->size);
    *more = end != NULL;
    if (end)
        take_front(rest, 1);
    return part;
}

/* PS3.18 F.2.2: an object of the component groups that are not empty. */
static void put_name(struct slice name, struct buffer *json)
{
    static const char *const groups[] = { "\"Alphabetic\":", "\"Ideographic\":", "\"Phonetic\":" };
    size_t begin = json->size;
    bool more = true;
    for (size_t i = 0; i < 3 && more; i++) {
        struct slice group = name;
        if (i < 2)
            group = take_part(&name, '=', &more);
        group = trim(VR_PN, group);
        if (!group.size)
            continue;
        json_put(json, json->size == begin ? "{" : ",", 1);
        json_put(json, groups[i], strlen(groups[i]));
        json_write_string(group, json);
    }
    if (json->size == begin)
        JSON_PUT(json, "null");
    else
        JSON_PUT(json, "}");
}

static void put_text(uint16_t vr, struct slice text, struct buffer *json)
{
    if (!text.size)
        JSON_PUT(json, "null");
    else if (vr == VR_PN)
        put_name(text, json);
    else if ((vr != VR_IS && vr != VR_DS) || !put_decimal(vr, text, json))
        json_write_string(text, json);
}

static void put_texts(uint16_t vr, struct slice text, struct buffer *json)
{
    bool more = true;
    if (!vr_is_multi_valued(vr)) {
        put_text(vr, text, json);
        return;
    }
    for (;;) {
        struct slice one = take_part(&text, '\\', &more);
        put_text(vr, trim(vr, one), json);
        if (!more)
            break;
        JSON_PUT(json, ",");
    }
}

/* As UTF-8 and without the padding at its end; borrowed from the data set or from `scratch`. */
static struct slice decode(const struct element *element, struct buffer *scratch,
                           bool *beyond_ascii)
{
    static const struct slice none;
    const struct charset *charset = element->charset;
    if (!vr_uses_character_set(element->vr) || !charset)
        charset = charset_find(none);
    struct slice text = trim(element->vr, element->value);
    *beyond_ascii = !charset_is_plain(charset, text);
    if (!*beyond_ascii)
        return text;
    buffer_clear(scratch);
    charset_decode(charset, element->vr, text, scratch);
    return trim(element->vr, buffer_slice(scratch));
}

bool json_put_values(const struct element *element, struct buffer *text, struct buffer *json)
{
    bool beyond_ascii = false;
    if (!element->value.size)
        return false;
    if (!vr_is_text(element->vr)) {
        JSON_PUT(json, ",\"Value\":[");
        if (element->vr == VR_AT)
            put_tags(element, json);
        else
            put_numbers(element, json);
        JSON_PUT(json, "]");
        return false;
    }
    struct slice decoded = decode(element, text, &beyond_ascii);
    if (decoded.size) {
        JSON_PUT(json, ",\"Value\":[");
        put_texts(element->vr, decoded, json);
        JSON_PUT(json, "]");
    }
    return beyond_ascii;
}

/* Binary values. */

bool json_is_binary(uint16_t vr)
{
    switch (vr) {
    case VR_OB:
    case VR_OW:
    case VR_OD:
    case VR_OF:
    case VR_OL:
    case VR_OV:
    case VR_UN:
        return true;
    default:
        return false;
    }
}

static void put_base64(struct slice bytes, struct buffer *json)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct space space = buffer_reserve(json, (bytes.size + 2) / 3 * 4);
    if (!space.data)
        return;
    uint8_t *to = space.data;
    for (size_t at = 0; at < bytes.size; at += 3) {
        size_t left = bytes.size - at;
        uint32_t three = (uint32_t)bytes.data[at] << 16;
        if (left > 1)
            three |= (uint32_t)bytes.data[at + 1] << 8;
        if (left > 2)
            three |= bytes.data[at + 2];
        *to++ = (uint8_t)digits[three >> 18];
        *to++ = (uint8_t)digits[three >> 12 & 63];
        *to++ = left > 1 ? (uint8_t)digits[three >> 6 & 63] : '=';
        *to++ = left > 2 ? (uint8_t)digits[three & 63] : '=';
    }
    buffer_advance(json, space.size);
}

void json_put_base64(const struct element *element, struct buffer *json)
{
    enum { PIECE = 24 * 16 }; /* whole units and whole groups of three bytes */
    size_t unit = vr_unit_size(element->vr);
    struct slice rest = element->value;
    if (!element->big_endian || unit == 1) {
        put_base64(rest, json);
        return;
    }
    while (rest.size) {
        uint8_t swapped[PIECE];
        struct slice piece = take_front(&rest, PIECE);
        size_t whole = piece.size / unit * unit;
        for (size_t i = 0; i < piece.size; i++)
            swapped[i] = piece.data[i < whole ? i / unit * unit + unit - 1 - i % unit : i];
        put_base64(slice_of(swapped, piece.size), json);
    }
}
