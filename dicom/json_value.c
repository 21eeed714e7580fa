/* SPDX-License-Identifier: MIT */
#include "dicom/json_value.h"

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

/* How many bytes at the start of `text` need no look: eight at a time, by the highest bit of each
 * byte for those that do (below space, quote, backslash, above 7F). A borrow can only mark bytes
 * behind one that is rightly marked. */
static size_t count_clean(struct slice text)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    size_t at = 0;
    for (; at + 8 <= text.size; at += 8) {
        uint64_t bytes = get_u64le(text.data + at);
        uint64_t quote = bytes ^ ones * '"', backslash = bytes ^ ones * '\\';
        uint64_t found = ((bytes - ones * 0x20) | (quote - ones) | (backslash - ones) | bytes) &
                         highs;
        if (found)
            return at + (size_t)__builtin_ctzll(found) / 8;
    }
    while (at < text.size && !escapes[text.data[at]])
        at++;
    return at;
}

void json_put_escaped(struct slice text, struct buffer *json)
{
    size_t done = 0, at = 0;
    while ((at += count_clean(slice_skip(text, at))) < text.size) {
        uint8_t byte = text.data[at];
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

void json_tag_digits(uint32_t tag, char digits[8])
{
    /* The eight nibbles spread to a byte each, the first one lowest; 7 more for A to F. */
    uint64_t bytes = __builtin_bswap32(tag);
    bytes = (bytes | bytes << 16) & UINT64_C(0x0000FFFF0000FFFF);
    bytes = (bytes | bytes << 8) & UINT64_C(0x00FF00FF00FF00FF);
    bytes = (bytes >> 4 | bytes << 8) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    uint64_t letters = (bytes + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    bytes += UINT64_C(0x3030303030303030) + letters * 7;
    put_u64le((uint8_t *)digits, bytes);
}

void json_put_tag(uint32_t tag, struct buffer *json)
{
    char digits[8];
    json_tag_digits(tag, digits);
    json_put(json, digits, sizeof(digits));
}

/* Text. */

enum json_kind json_kind_of(uint16_t vr)
{
    switch (vr) {
    case VR_LO:
    case VR_SH:
    case VR_UC:
        return JSON_TEXT;
    case VR_LT:
    case VR_ST:
    case VR_UT:
    case VR_UR:
        return JSON_PARAGRAPH;
    case VR_PN:
        return JSON_NAME;
    case VR_DS:
    case VR_IS:
        return JSON_DECIMAL;
    case VR_FD:
    case VR_FL:
    case VR_SL:
    case VR_SS:
    case VR_SV:
    case VR_UL:
    case VR_US:
    case VR_UV:
        return JSON_NUMBER;
    case VR_AT:
        return JSON_TAG;
    case VR_OB:
    case VR_OD:
    case VR_OF:
    case VR_OL:
    case VR_OV:
    case VR_OW:
    case VR_UN:
        return JSON_BINARY;
    default:
        return JSON_STRING;
    }
}

static bool is_padding(uint8_t byte)
{
    return byte == ' ' || byte == 0;
}

/* Running text may begin with spaces that count (PS3.5 6.2). */
static struct slice trim(struct slice text, bool leading)
{
    while (text.size && is_padding(text.data[text.size - 1]))
        text.size--;
    while (leading && text.size && text.data[0] == ' ')
        text = slice_skip(text, 1);
    return text;
}

static struct slice take_part(struct slice *rest, uint8_t separator, bool *more)
{
    const uint8_t *end = rest->size ? memchr(rest->data, separator, rest->size) : NULL;
    struct slice part = slice_take(*rest, end ? (size_t)(end - rest->data) : rest->size);
    *rest = slice_skip(*rest, part.size + (end != NULL));
    *more = end != NULL;
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
        group = trim(group, true);
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

static void put_text(const struct element *element, enum json_kind kind, struct slice text,
                     struct buffer *json)
{
    if (!text.size)
        JSON_PUT(json, "null");
    else if (kind == JSON_NAME)
        put_name(text, json);
    else if (kind != JSON_DECIMAL || !json_put_decimal(text, element->vr == VR_IS, json))
        json_write_string(text, json);
}

static void put_texts(const struct element *element, enum json_kind kind, struct slice text,
                      struct buffer *json)
{
    bool more = false;
    do {
        struct slice one = text;
        if (kind != JSON_PARAGRAPH)
            one = trim(take_part(&text, '\\', &more), element->vr != VR_UC);
        put_text(element, kind, one, json);
        if (more)
            JSON_PUT(json, ",");
    } while (more);
}

/* As UTF-8 and without the padding at its end; borrowed from the data set or from `scratch`. */
static struct slice decode(const struct element *element, enum json_kind kind,
                           struct buffer *scratch, bool *beyond_ascii)
{
    const struct charset *charset = element->charset;
    bool leading = kind != JSON_PARAGRAPH && element->vr != VR_UC;
    if (kind == JSON_STRING || kind == JSON_DECIMAL || element->vr == VR_UR || !charset)
        charset = charset_find(slice_of(NULL, 0));
    struct slice text = trim(element->value, leading);
    *beyond_ascii = !charset_is_plain(charset, text);
    if (!*beyond_ascii)
        return text;
    buffer_clear(scratch);
    charset_decode(charset, element->vr, text, scratch);
    return trim(buffer_slice(scratch), leading);
}

bool json_put_values(const struct element *element, enum json_kind kind, struct buffer *text,
                     struct buffer *json)
{
    bool beyond_ascii = false;
    if (!element->value.size)
        return false;
    if (kind == JSON_NUMBER || kind == JSON_TAG) {
        JSON_PUT(json, ",\"Value\":[");
        if (kind == JSON_TAG)
            json_put_tags(element, json);
        else
            json_put_numbers(element, json);
        JSON_PUT(json, "]");
        return false;
    }
    struct slice decoded = decode(element, kind, text, &beyond_ascii);
    if (decoded.size) {
        JSON_PUT(json, ",\"Value\":[");
        put_texts(element, kind, decoded, json);
        JSON_PUT(json, "]");
    }
    return beyond_ascii;
}

/* Binary values. */

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
        struct slice piece = slice_take(rest, PIECE);
        rest = slice_skip(rest, PIECE);
        size_t whole = piece.size / unit * unit;
        for (size_t i = 0; i < piece.size; i++)
            swapped[i] = piece.data[i < whole ? i / unit * unit + unit - 1 - i % unit : i];
        put_base64(slice_of(swapped, piece.size), json);
    }
}
