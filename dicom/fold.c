/* SPDX-License-Identifier: MIT */
#include "dicom/fold.h"

#include <stdio.h>

#include "dicom/fold_table.h"
#include "dicom/utf8.h"

struct slice fold_trim(struct slice text)
{
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == 0))
        text.size--;
    while (text.size && (text.data[0] == ' ' || text.data[0] == 0))
        text = slice_skip(text, 1);
    return text;
}

static void append_expansion(uint32_t code, struct buffer *folded)
{
    for (size_t i = 0; i < fold_expansion_count; i++) {
        if (fold_expansions[i].code == code) {
            buffer_append_text(folded, fold_expansions[i].text);
            return;
        }
    }
}

/* Signs that people type in several ways. */
static uint32_t fold_sign(uint32_t code)
{
    switch (code) {
    case 0x00A0: /* no-break space */
    case 0x3000: /* ideographic space */
        return ' ';
    case 0x02BC:
    case 0x2018:
    case 0x2019:
        return '\'';
    case 0x2010:
    case 0x2011:
    case 0x2013:
        return '-';
    default:
        return code;
    }
}

static void append_folded(uint32_t code, struct buffer *folded)
{
    code = fold_sign(code);
    if (code >= 0xFF21 && code <= 0xFF3A)
        code += 'a' - 0xFF21;
    else if (code >= 0xFF41 && code <= 0xFF5A)
        code += 'a' - 0xFF41;
    else if (code >= 0xFF10 && code <= 0xFF19)
        code += '0' - 0xFF10;
    uint32_t result = code;
    if (code >= 'A' && code <= 'Z')
        result = code + 'a' - 'A';
    else if (code >= FOLD_LOW_FIRST && code < FOLD_LOW_END)
        result = fold_table_low[code - FOLD_LOW_FIRST];
    else if (code >= FOLD_HIGH_FIRST && code < FOLD_HIGH_END)
        result = fold_table_high[code - FOLD_HIGH_FIRST];
    if (result == FOLD_EXPANDS && code != FOLD_EXPANDS)
        append_expansion(code, folded);
    else if (result || !code)
        utf8_append(folded, result);
}

void fold_text(struct slice utf8, struct buffer *folded)
{
    while (utf8.size) {
        size_t size;
        uint32_t code = utf8_next(utf8, &size);
        append_folded(code, folded);
        utf8 = slice_skip(utf8, size);
    }
}

void fold_name_group(struct slice utf8, struct buffer *folded)
{
    size_t end = folded->size; /* behind the last component that is not empty */
    for (;;) {
        const uint8_t *caret = utf8.size ? memchr(utf8.data, '^', utf8.size) : NULL;
        size_t size = caret ? (size_t)(caret - utf8.data) : utf8.size;
        size_t start = folded->size;
        fold_text(slice_take(utf8, size), folded);
        struct slice component = fold_trim(slice_skip(buffer_slice(folded), start));
        if (component.size)
            memmove(folded->data + start, component.data, component.size);
        folded->size = start + component.size;
        if (component.size)
            end = folded->size;
        if (!caret)
            break;
        buffer_append_byte(folded, '^');
        utf8 = slice_skip(utf8, size + 1);
    }
    folded->size = end;
}

enum { MAX_DIGITS = 1024, PLAIN_DIGITS = 20, MAX_EXPONENT = 100000 };

/* A decimal number as its digits, without zeros at either end, and a power of ten. */
struct decimal {
    bool negative;
    int exponent;
    size_t count;
    char digits[MAX_DIGITS];
};

static bool take_exponent(struct slice text, int *exponent)
{
    bool negative = text.size && text.data[0] == '-';
    if (text.size && (text.data[0] == '-' || text.data[0] == '+'))
        text = slice_skip(text, 1);
    if (!text.size)
        return false;
    int value = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || value > MAX_EXPONENT)
            return false;
        value = value * 10 + (text.data[i] - '0');
    }
    *exponent += negative ? -value : value;
    return true;
}

static bool decimal_parse(struct slice text, struct decimal *decimal)
{
    decimal->negative = text.size && text.data[0] == '-';
    decimal->exponent = 0;
    decimal->count = 0;
    if (text.size && (text.data[0] == '-' || text.data[0] == '+'))
        text = slice_skip(text, 1);
    bool any = false, point = false;
    for (; text.size; text = slice_skip(text, 1)) {
        uint8_t byte = text.data[0];
        if (byte >= '0' && byte <= '9') {
            any = true;
            decimal->exponent -= point;
            if (!decimal->count && byte == '0')
                continue;
            if (decimal->count == MAX_DIGITS)
                return false;
            decimal->digits[decimal->count++] = (char)byte;
        } else if (byte == '.' && !point) {
            point = true;
        } else if ((byte == 'e' || byte == 'E') && any) {
            if (!take_exponent(slice_skip(text, 1), &decimal->exponent))
                return false;
            break;
        } else {
            return false;
        }
    }
    while (decimal->count && decimal->digits[decimal->count - 1] == '0') {
        decimal->count--;
        decimal->exponent++;
    }
    return any;
}

bool fold_number(struct slice text, struct buffer *folded)
{
    struct decimal decimal;
    if (!decimal_parse(fold_trim(text), &decimal))
        return false;
    if (!decimal.count) {
        buffer_append_byte(folded, '0');
        return true;
    }
    if (decimal.negative)
        buffer_append_byte(folded, '-');
    buffer_append(folded, slice_of(decimal.digits, decimal.count));
    /* Whole numbers of a usual size stay readable. */
    if (decimal.exponent >= 0 && decimal.count + (size_t)decimal.exponent <= PLAIN_DIGITS) {
        for (int i = 0; i < decimal.exponent; i++)
            buffer_append_byte(folded, '0');
    } else {
        buffer_append_format(folded, "e%d", decimal.exponent);
    }
    return true;
}
