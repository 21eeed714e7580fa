/* SPDX-License-Identifier: MIT */
#include "dicomweb/flat_json.h"

#include <string.h>

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
        return peek(json) == '\0' || fail(err);
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

/* Behind the backslash. Names and codes are ASCII: other characters are not escaped. */
static bool take_escape(struct flat_json *json, char *c)
{
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (!json->rest.size)
        return false;
    const char *at = memchr(escapes, json->rest.data[0], sizeof(escapes) - 1);
    if (at) {
        *c = meant[at - escapes];
        json->rest = slice_skip(json->rest, 1);
        return true;
    }
    if (json->rest.data[0] != 'u' || json->rest.size < 5)
        return false;
    int code = 0;
    for (int i = 1; i <= 4; i++) {
        int digit = hex_digit(json->rest.data[i]);
        if (digit < 0)
            return false;
        code = code * 16 + digit;
    }
    *c = (char)code;
    json->rest = slice_skip(json->rest, 5);
    return code > 0 && code < 0x80;
}

static bool take_text(struct flat_json *json, char text[FLAT_JSON_TEXT])
{
    size_t size = 0;
    if (!take(json, '"'))
        return false;
    while (json->rest.size && size + 1 < FLAT_JSON_TEXT) {
        char c = (char)json->rest.data[0];
        json->rest = slice_skip(json->rest, 1);
        if (c == '"') {
            text[size] = '\0';
            return true;
        }
        if ((unsigned char)c < 0x20 || (c == '\\' && !take_escape(json, &c)))
            return false;
        text[size++] = c;
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
