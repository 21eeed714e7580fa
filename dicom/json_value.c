/* SPDX-License-Identifier: MIT */
#include "dicom/json_value.h"

#include "base/bytes.h"
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

/* PS3.18 F.2.2: an object of the component groups that are not empty. */
static void put_name(struct slice name, struct buffer *json)
{
    static const char *const keys[] = { "\"Alphabetic\":", "\"Ideographic\":", "\"Phonetic\":" };
    struct slice groups[MODEL_NAME_GROUPS];
    size_t begin = json->size;
    model_split_name(name, groups);
    for (size_t i = 0; i < MODEL_NAME_GROUPS; i++) {
        if (!groups[i].size)
            continue;
        json_put(json, json->size == begin ? "{" : ",", 1);
        json_put(json, keys[i], strlen(keys[i]));
        json_write_string(groups[i], json);
    }
    if (json->size == begin)
        JSON_PUT(json, "null");
    else
        JSON_PUT(json, "}");
}

static void put_text(const struct element *element, enum model_kind kind, struct slice text,
                     struct buffer *json)
{
    if (!text.size)
        JSON_PUT(json, "null");
    else if (kind == MODEL_NAME)
        put_name(text, json);
    else if (kind != MODEL_DECIMAL || !json_put_decimal(text, element->vr == VR_IS, json))
        json_write_string(text, json);
}

static void put_texts(const struct element *element, enum model_kind kind, struct slice text,
                      struct buffer *json)
{
    bool more;
    do {
        put_text(element, kind, model_next_value(element->vr, kind, &text, &more), json);
        if (more)
            JSON_PUT(json, ",");
    } while (more);
}

bool json_put_values(const struct element *element, enum model_kind kind, struct buffer *text,
                     struct buffer *json)
{
    bool beyond_ascii = false;
    if (!element->value.size)
        return false;
    if (kind == MODEL_NUMBER || kind == MODEL_TAG) {
        JSON_PUT(json, ",\"Value\":[");
        if (kind == MODEL_TAG)
            json_put_tags(element, json);
        else
            json_put_numbers(element, json);
        JSON_PUT(json, "]");
        return false;
    }
    struct slice decoded = model_text(element, kind, text, &beyond_ascii);
    if (decoded.size) {
        JSON_PUT(json, ",\"Value\":[");
        put_texts(element, kind, decoded, json);
        JSON_PUT(json, "]");
    }
    return beyond_ascii;
}
