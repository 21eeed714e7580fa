/* SPDX-License-Identifier: MIT */
#include "dicomweb/flat_json.h"

#include <string.h>

#include "base/buffer.h"
#include "dicom/utf8.h"

static bool fail(struct error *err)
{
    return error_set(err, ERROR_INVALID, "no JSON of plain objects");
}

static void skip_space(struct flat_json *json)
{
    while (json->rest.size && memchr(" \t\r\n", json->rest.data[0], 4))
        json->rest = slice_skip(json->rest, 1);
}

/* The next character that says something; NUL at the end. */
static char peek(struct flat_json *json)
{
    skip_space(json);
    return json->rest.size ? (char)json->rest.data[0] : '\0';
}

static bool is_at_end(struct flat_json *json)
{
    skip_space(json);
    return !json->rest.size;
}

static bool take(struct flat_json *json, char c)
{
    if (peek(json) != c || !json->rest.size)
        return false;
    json->rest = slice_skip(json->rest, 1);
    return true;
}

bool flat_json_open(struct flat_json *json, struct slice bytes, struct error *err)
{
    *json = (struct flat_json){ .rest = bytes, .is_first = true };
    json->in_array = take(json, '[');
    return json->in_array || peek(json) == '{' || fail(err);
}

bool flat_json_object(struct flat_json *json, bool *found, struct error *err)
{
    bool first = json->is_first;
    *found = false;
    if (json->in_array ? take(json, ']') : !first)
        return is_at_end(json) || fail(err);
    if ((!first && !take(json, ',')) || !take(json, '{'))
        return fail(err);
    json->in_object = json->is_first = true;
    *found = true;
    return true;
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool take_hex(struct flat_json *json, uint32_t *code)
{
    *code = 0;
    if (json->rest.size < 5 || json->rest.data[0] != 'u')
        return false;
    for (int i = 1; i <= 4; i++) {
        int digit = hex_digit(json->rest.data[i]);
        if (digit < 0)
            return false;
        *code = *code << 4 | (uint32_t)digit;
    }
    json->rest = slice_skip(json->rest, 5);
    return true;
}

/* A character outside the first 65,536 is two of them (RFC 8259 7). */
static bool take_code(struct flat_json *json, uint32_t *code)
{
    uint32_t low;
    if (!take_hex(json, code) || !*code || (*code >= 0xDC00 && *code < 0xE000))
        return false;
    if (*code < 0xD800 || *code >= 0xE000)
        return true;
    if (!json->rest.size || json->rest.data[0] != '\\')
        return false;
    json->rest = slice_skip(json->rest, 1);
    if (!take_hex(json, &low) || low < 0xDC00 || low >= 0xE000)
        return false;
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

static size_t put_utf8(uint32_t code, char utf8[4])
{
    struct buffer bytes = buffer_up_to(4);
    utf8_append(&bytes, code);
    size_t size = bytes.size;
    memcpy(utf8, bytes.data, size);
    buffer_release(&bytes);
    return size;
}

/* Behind the backslash. */
static bool take_escape(struct flat_json *json, char utf8[4], size_t *size)
{
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    uint32_t code;
    if (!json->rest.size)
        return false;
    const char *at = memchr(escapes, json->rest.data[0], sizeof(escapes) - 1);
    if (at) {
        utf8[0] = meant[at - escapes];
        *size = 1;
        json->rest = slice_skip(json->rest, 1);
        return true;
    }
    if (!take_code(json, &code))
        return false;
    *size = put_utf8(code, utf8);
    return true;
}

static bool take_text(struct flat_json *json, char text[FLAT_JSON_TEXT])
{
    size_t size = 0;
    if (!take(json, '"'))
        return false;
    while (json->rest.size) {
        char utf8[4] = { (char)json->rest.data[0] };
        size_t more = 1;
        json->rest = slice_skip(json->rest, 1);
        if (utf8[0] == '"') {
            text[size] = '\0';
            return utf8_is_valid(slice_of(text, size)); /* RFC 8259 8.1 */
        }
        if ((unsigned char)utf8[0] < 0x20 || (utf8[0] == '\\' && !take_escape(json, utf8, &more)))
            return false;
        if (size + more >= FLAT_JSON_TEXT)
            return false;
        memcpy(text + size, utf8, more);
        size += more;
    }
    return false;
}

static bool take_word(struct flat_json *json, char text[FLAT_JSON_TEXT])
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.";
    size_t size = 0;
    skip_space(json);
    while (json->rest.size && size + 1 < FLAT_JSON_TEXT &&
           memchr(allowed, json->rest.data[0], sizeof(allowed) - 1)) {
        text[size++] = (char)json->rest.data[0];
        json->rest = slice_skip(json->rest, 1);
    }
    text[size] = '\0';
    return size > 0;
}

bool flat_json_member(struct flat_json *json, struct flat_member *member, bool *found,
                      struct error *err)
{
    *found = false;
    if (!json->in_object)
        return fail(err);
    if (take(json, '}')) {
        json->in_object = json->is_first = false;
        return true;
    }
    if ((!json->is_first && !take(json, ',')) || !take_text(json, member->name) || !take(json, ':'))
        return fail(err);
    json->is_first = false;
    member->is_text = peek(json) == '"';
    *found = member->is_text ? take_text(json, member->value) : take_word(json, member->value);
    return *found || fail(err);
}
