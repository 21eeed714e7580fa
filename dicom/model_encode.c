/* SPDX-License-Identifier: MIT */
/* The values of one attribute, as documents write them, into the bytes of their VR (PS3.18 F.2.3,
 * PS3.5 6.2). */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "dicom/model_builder.h"
#include "dicom/utf8.h"

enum { TOKEN_HEAD = 5, MAX_NUMBER = 64, DS_SIZE = 16, IS_SIZE = 12 };

bool model_token_next(struct slice *tokens, struct token *token)
{
    if (tokens->size < TOKEN_HEAD)
        return false;
    token->kind = (enum model_token)tokens->data[0];
    token->text = slice_take(slice_skip(*tokens, TOKEN_HEAD), get_u32le(tokens->data + 1));
    *tokens = slice_skip(*tokens, TOKEN_HEAD + token->text.size);
    return true;
}

static bool refuse(const char **why, const char *reason)
{
    *why = reason;
    return false;
}

/* Numbers. */

/* Text of a number, spaces off, in a buffer that ends with a NUL. False when it is longer than a
 * number can be. */
static bool take_number(struct slice text, char number[MAX_NUMBER + 1])
{
    while (text.size && text.data[0] == ' ')
        text = slice_skip(text, 1);
    while (text.size && text.data[text.size - 1] == ' ')
        text.size--;
    if (!text.size || text.size > MAX_NUMBER || memchr(text.data, 0, text.size))
        return false;
    memcpy(number, text.data, text.size);
    number[text.size] = '\0';
    return true;
}

static bool parse_real(struct slice text, double *real)
{
    static const struct {
        const char *name;
        double value;
    } names[] = { { "NaN", (double)NAN },
                  { "Infinity", (double)INFINITY },
                  { "inf", (double)INFINITY },
                  { "-Infinity", -(double)INFINITY },
                  { "-inf", -(double)INFINITY } };
    char number[MAX_NUMBER + 1];
    char *end;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_equals_text(text, names[i].name)) {
            *real = names[i].value;
            return true;
        }
    }
    if (!take_number(text, number) || number[strspn(number, "0123456789+-.eE")])
        return false;
    *real = strtod(number, &end);
    return !*end && isfinite(*real);
}

/* A whole number as sign and magnitude; also "1.0" and "1e3", as writers of JSON put them. */
static bool parse_whole(struct slice text, bool *negative, uint64_t *magnitude)
{
    char number[MAX_NUMBER + 1];
    char *end;
    double real;
    if (!take_number(text, number))
        return false;
    const char *digits = number + (number[0] == '-' || number[0] == '+');
    *negative = number[0] == '-';
    errno = 0;
    if (*digits && !digits[strspn(digits, "0123456789")]) {
        *magnitude = strtoull(digits, &end, 10);
        return errno == 0;
    }
    if (!parse_real(text, &real) || real != nearbyint(real) || fabs(real) > (double)(1ULL << 53))
        return false;
    *negative = real < 0;
    *magnitude = (uint64_t)fabs(real);
    return true;
}

static bool append_unit(struct buffer *value, uint64_t unit, size_t size)
{
    uint8_t bytes[8];
    put_u64le(bytes, unit);
    return buffer_append(value, slice_of(bytes, size));
}

static bool append_whole(uint16_t vr, struct slice text, struct buffer *value, const char **why)
{
    size_t size = vr_unit_size(vr);
    bool is_signed = vr == VR_SS || vr == VR_SL || vr == VR_SV;
    uint64_t most = UINT64_MAX >> (64 - 8 * size);
    uint64_t magnitude;
    bool negative;
    if (!parse_whole(text, &negative, &magnitude))
        return refuse(why, "a value is no whole number");
    if (is_signed)
        most = (most >> 1) + negative;
    if (magnitude > most || (negative && magnitude && !is_signed))
        return refuse(why, "a number is out of the range of its VR");
    return append_unit(value, negative ? 0 - magnitude : magnitude, size);
}

static bool append_real(uint16_t vr, struct slice text, struct buffer *value, const char **why)
{
    double real;
    uint64_t bits;
    uint32_t single_bits;
    if (!parse_real(text, &real))
        return refuse(why, "a value is no number");
    if (vr == VR_FD) {
        memcpy(&bits, &real, sizeof(bits));
        return append_unit(value, bits, sizeof(bits));
    }
    float single = (float)real;
    if (isinf(single) && !isinf(real))
        return refuse(why, "a number is out of the range of its VR");
    memcpy(&single_bits, &single, sizeof(single_bits));
    return append_unit(value, single_bits, sizeof(single_bits));
}

int model_hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool model_tag_parse(struct slice text, uint32_t *tag)
{
    *tag = 0;
    for (size_t i = 0; i < text.size && text.size == 8; i++) {
        int digit = model_hex_digit(text.data[i]);
        if (digit < 0)
            return false;
        *tag = *tag << 4 | (uint32_t)digit;
    }
    return text.size == 8;
}

static bool append_tag(struct slice text, struct buffer *value, const char **why)
{
    uint32_t tag;
    if (!model_tag_parse(text, &tag))
        return refuse(why, "a value is no tag");
    buffer_append_u16le(value, (uint16_t)(tag >> 16));
    return buffer_append_u16le(value, (uint16_t)tag);
}

static bool encode_numbers(uint16_t vr, enum model_kind kind, struct slice tokens,
                           struct buffer *value, const char **why)
{
    struct token token;
    while (model_token_next(&tokens, &token)) {
        bool ok;
        if (token.kind != TOKEN_TEXT && token.kind != TOKEN_NUMBER)
            return refuse(why, "a number is missing among others");
        if (kind == MODEL_TAG)
            ok = append_tag(token.text, value, why);
        else if (vr == VR_FL || vr == VR_FD)
            ok = append_real(vr, token.text, value, why);
        else
            ok = append_whole(vr, token.text, value, why);
        if (!ok)
            return false;
    }
    return true;
}

/* Text. */

/* A JSON number as a DS or IS, which have at most 16 and 12 characters (PS3.5 6.2). */
static bool append_decimal(uint16_t vr, struct slice number, struct buffer *value, const char **why)
{
    char text[32];
    bool negative;
    uint64_t magnitude;
    double real;
    if (vr == VR_IS) {
        if (!parse_whole(number, &negative, &magnitude) ||
            magnitude > (uint64_t)INT32_MAX + negative)
            return refuse(why, "a value is no whole number of an IS");
        return buffer_append_format(value, "%s%llu", negative && magnitude ? "-" : "",
                                    (unsigned long long)magnitude);
    }
    if (number.size <= DS_SIZE)
        return buffer_append(value, number);
    if (!parse_real(number, &real))
        return refuse(why, "a value is no number");
    int size = DS_SIZE + 1;
    for (int digits = DS_SIZE; size > DS_SIZE; digits--)
        size = snprintf(text, sizeof(text), "%.*g", digits, real);
    return buffer_append(value, slice_of(text, (size_t)size));
}

static bool append_text(uint16_t vr, enum model_kind kind, const struct token *token,
                        struct buffer *value, const char **why)
{
    switch (token->kind) {
    case TOKEN_EMPTY:
        return true;
    case TOKEN_TEXT:
        return buffer_append(value, token->text);
    case TOKEN_NUMBER:
        if (kind == MODEL_DECIMAL)
            return append_decimal(vr, token->text, value, why);
        return refuse(why, "a number stands where its VR has text");
    case TOKEN_OTHER:
        break;
    }
    return refuse(why, "a value is neither text nor number");
}

static bool encode_texts(uint16_t vr, enum model_kind kind, struct slice tokens,
                         struct buffer *value, const char **why)
{
    struct token token;
    for (size_t count = 0; model_token_next(&tokens, &token); count++) {
        if (count && kind == MODEL_PARAGRAPH)
            return refuse(why, "several values where its VR has one");
        if (count)
            buffer_append_byte(value, '\\');
        if (!append_text(vr, kind, &token, value, why))
            return false;
    }
    return true;
}

bool model_values_encode(uint16_t vr, struct slice tokens, struct buffer *value, bool *beyond_ascii,
                         const char **why)
{
    enum model_kind kind = model_kind_of(vr);
    bool ok;
    *why = NULL;
    buffer_clear(value);
    if (!tokens.size)
        return true;
    if (kind == MODEL_BINARY)
        return refuse(why, "values of its VR are InlineBinary or bulk data");
    if (kind == MODEL_NUMBER || kind == MODEL_TAG)
        ok = encode_numbers(vr, kind, tokens, value, why);
    else
        ok = encode_texts(vr, kind, tokens, value, why);
    if (!ok && !*why)
        *why = "its values are too long";
    *beyond_ascii |= ok && vr_is_text(vr) && !slice_is_ascii(buffer_slice(value));
    return ok;
}

/* Base64 (RFC 4648 4), with its padding. */

static int digit_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool model_base64_decode(struct slice base64, bool spaces, struct buffer *bytes)
{
    uint32_t bits = 0;
    size_t digits = 0;
    size_t padding = 0;
    buffer_clear(bytes);
    struct space space = buffer_reserve(bytes, base64.size / 4 * 3 + 3);
    if (!space.data)
        return false;
    size_t size = 0;
    for (size_t i = 0; i < base64.size; i++) {
        uint8_t c = base64.data[i];
        int digit = digit_of(c);
        if (spaces && (c == ' ' || c == '\t' || c == '\r' || c == '\n'))
            continue;
        if (c == '=' && digits % 4 >= 2)
            padding++;
        else if (digit < 0 || padding)
            return false;
        bits = bits << 6 | (uint32_t)(digit < 0 ? 0 : digit);
        if (++digits % 4)
            continue;
        for (size_t k = 0; k < 3 - padding; k++)
            space.data[size++] = (uint8_t)(bits >> (16 - 8 * k));
    }
    buffer_advance(bytes, size);
    return digits % 4 == 0 && padding <= 2;
}
