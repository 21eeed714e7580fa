/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "dicom/json.h"
#include "dicom/json_value.h"

/* Numbers, binary ones and those in text (PS3.18 F.2.3, F.2.4). */

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

void json_put_numbers(const struct element *element, struct buffer *json)
{
    size_t unit = vr_unit_size(element->vr);
    for (size_t at = 0; at + unit <= element->value.size; at += unit) {
        if (at)
            JSON_PUT(json, ",");
        put_number(element->vr, get_unsigned(element->value.data + at, unit, element->big_endian),
                   json);
    }
}

void json_put_tags(const struct element *element, struct buffer *json)
{
    for (size_t at = 0; at + 4 <= element->value.size; at += 4) {
        const uint8_t *p = element->value.data + at;
        if (at)
            JSON_PUT(json, ",");
        JSON_PUT(json, "\"");
        json_put_tag((uint32_t)get_unsigned(p, 2, element->big_endian) << 16 |
                         (uint32_t)get_unsigned(p + 2, 2, element->big_endian),
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

/* The digits stay as they are, only that JSON allows no plus, no zeros before others, and wants
 * digits on both sides of a point. An IS has neither fraction nor exponent. */
bool json_put_decimal(struct slice text, bool integer, struct buffer *json)
{
    struct decimal decimal;
    if (!decimal_parse(text, &decimal) || !is_exact(&decimal))
        return false;
    if (integer && text.size != decimal.whole.size &&
        (text.size != decimal.whole.size + 1 || decimal.fraction.data))
        return false;
    if (integer && decimal.whole.size > 15)
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
