/* SPDX-License-Identifier: MIT */
#include "cast/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* cJSON answers NULL when memory is out. */
static cJSON *must(cJSON *item)
{
    if (!item)
        abort();
    return item;
}

static bool is_number_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

static size_t skip_digits(struct slice text, size_t at)
{
    while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9')
        at++;
    return at;
}

/* -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?  (RFC 8259 6) */
static bool is_number(struct slice text)
{
    size_t at = text.size && text.data[0] == '-';
    size_t end = skip_digits(text, at);
    if (end == at || (end - at > 1 && text.data[at] == '0'))
        return false;
    at = end;
    if (at < text.size && text.data[at] == '.') {
        end = skip_digits(text, at + 1);
        if (end == at + 1)
            return false;
        at = end;
    }
    if (at < text.size && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at++;
        if (at < text.size && (text.data[at] == '+' || text.data[at] == '-'))
            at++;
        end = skip_digits(text, at);
        if (end == at)
            return false;
        at = end;
    }
    return at == text.size;
}

/* The text with a 0 in the place of each number, and the numbers in their order. cJSON then has
 * nothing to round, and no number that is too long for it. */
struct numbers {
    struct buffer text;
    struct slice *tokens;
    size_t count;
    size_t capacity;
};

static void numbers_add(struct numbers *numbers, struct slice token)
{
    if (numbers->count == numbers->capacity) {
        numbers->capacity = numbers->capacity ? numbers->capacity * 2 : 64;
        numbers->tokens = mem_resize_array(numbers->tokens, numbers->capacity,
                                           sizeof *numbers->tokens);
    }
    numbers->tokens[numbers->count++] = token;
    buffer_append_byte(&numbers->text, '0');
}

/* The size of the string that begins at `at`, with its quotes; 0 when it does not end, or has a NUL
 * in it, which a text of C cannot carry on. */
static size_t string_size(struct slice text, size_t at)
{
    for (size_t i = at + 1; i < text.size; i++) {
        if (text.data[i] == '"')
            return i + 1 - at;
        if (text.data[i] == '\\') {
            if (slice_starts_with(slice_skip(text, i), slice_text("\\u0000")))
                return 0;
            i++;
        }
    }
    return 0;
}

static bool take_numbers(struct slice text, struct numbers *numbers, struct error *err)
{
    size_t depth = 0;
    size_t values = 0;
    for (size_t i = 0; i < text.size;) {
        uint8_t c = text.data[i];
        size_t size = 1;
        /* What a value can begin behind, strings apart. */
        if ((c == ',' || c == '[' || c == '{') && ++values > JSON_MAX_VALUES)
            return error_set(err, ERROR_INVALID, "JSON: more than %d values", JSON_MAX_VALUES);
        if (c == '"') {
            size = string_size(text, i);
            if (!size)
                return error_set(err, ERROR_INVALID, "JSON: a string is broken at byte %zu", i);
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            while (i + size < text.size && is_number_byte(text.data[i + size]))
                size++;
            struct slice token = slice_of(text.data + i, size);
            if (!is_number(token))
                return error_set(err, ERROR_INVALID, "JSON: a number is broken at byte %zu", i);
            numbers_add(numbers, token);
            i += size;
            continue;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_MAX_DEPTH)
                return error_set(err, ERROR_INVALID, "JSON: deeper than %d levels", JSON_MAX_DEPTH);
        } else if ((c == ']' || c == '}') && depth) {
            depth--;
        } else if (c == 0) {
            return error_set(err, ERROR_INVALID, "JSON: a NUL at byte %zu", i);
        }
        buffer_append(&numbers->text, slice_of(text.data + i, size));
        i += size;
    }
    return true;
}

static void number_to_raw(cJSON *item, struct slice token)
{
    item->type = (item->type & ~0xFF) | cJSON_Raw;
    /* cJSON frees it with free(), as nobody sets its hooks. */
    item->valuestring = mem_copy_text_up_to((const char *)token.data, token.size);
}

cJSON *json_walk_next(struct json_walk *walk, const cJSON *item)
{
    if (item->child && walk->depth < sizeof(walk->parents) / sizeof(*walk->parents)) {
        walk->parents[walk->depth++] = item;
        return item->child;
    }
    while (walk->depth && !item->next)
        item = walk->parents[--walk->depth];
    return walk->depth ? item->next : NULL;
}

/* The n-th number of the tree is the n-th token of the text. */
static void give_back_numbers(cJSON *root, const struct numbers *numbers)
{
    struct json_walk walk = { .depth = 0 };
    size_t next = 0;
    for (cJSON *item = root; item; item = json_walk_next(&walk, item))
        if (cJSON_IsNumber(item) && next < numbers->count)
            number_to_raw(item, numbers->tokens[next++]);
}

bool json_parse(struct slice text, cJSON **out, struct error *err)
{
    struct numbers numbers = { .text = buffer_up_to(text.size + 1) };
    cJSON *tree = NULL;
    bool ok = false;

    *out = NULL;
    if (!take_numbers(text, &numbers, err))
        goto out;
    tree = cJSON_ParseWithOpts(buffer_text(&numbers.text), NULL, true);
    if (!tree) {
        error_set(err, ERROR_INVALID, "it is no JSON");
        goto out;
    }
    give_back_numbers(tree, &numbers);
    *out = tree;
    ok = true;
out:
    free(numbers.tokens);
    buffer_release(&numbers.text);
    return ok;
}

void json_print(const cJSON *tree, struct buffer *text)
{
    char *printed = cJSON_PrintUnformatted(tree);
    if (!printed)
        abort();
    buffer_append_text(text, printed);
    cJSON_free(printed);
}

cJSON *json_object(void)
{
    return must(cJSON_CreateObject());
}

cJSON *json_array(void)
{
    return must(cJSON_CreateArray());
}

cJSON *json_string(const char *text)
{
    return must(cJSON_CreateString(text));
}

cJSON *json_integer(int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return must(cJSON_CreateRaw(text));
}

/* What no double holds is no measurement, and no server's database takes it. */
static bool is_in_range(const char *number)
{
    enum { MOST_EXPONENT = 300 };
    const char *exponent = number + strcspn(number, "eE");
    long value = *exponent ? strtol(exponent + 1, NULL, 10) : 0;
    return value <= MOST_EXPONENT && value >= -MOST_EXPONENT && isfinite(strtod(number, NULL));
}

/* [+-]? digits? (. digits?)? ([eE] ...)? with one digit at least, as RFC 8259 6 wants it. */
cJSON *json_decimal(const char *text)
{
    struct buffer decimal = buffer_up_to(128);
    size_t digits = 0, fraction = 0;
    cJSON *number = NULL;
    text += strspn(text, " ");
    if (*text == '-')
        buffer_append_byte(&decimal, '-');
    text += *text == '-' || *text == '+';
    while (*text == '0' && text[1] >= '0' && text[1] <= '9')
        text++;
    digits = strspn(text, "0123456789");
    buffer_append(&decimal, digits ? slice_of(text, digits) : slice_text("0"));
    text += digits;
    if (*text == '.') {
        fraction = strspn(text + 1, "0123456789");
        if (fraction)
            buffer_append(&decimal, slice_of(text, fraction + 1));
        text += fraction + 1;
    }
    size_t exponent = strcspn(text, " ");
    buffer_append(&decimal, slice_of(text, exponent));
    text += exponent;
    if (digits + fraction && !text[strspn(text, " ")] && !decimal.overflowed &&
        is_number(buffer_slice(&decimal)) && is_in_range(buffer_text(&decimal)))
        number = must(cJSON_CreateRaw(buffer_text(&decimal)));
    buffer_release(&decimal);
    return number;
}

cJSON *json_boolean(bool value)
{
    return must(cJSON_CreateBool(value));
}

cJSON *json_copy(const cJSON *tree)
{
    return must(cJSON_Duplicate(tree, true));
}

size_t json_footprint(const cJSON *tree)
{
    enum { ALLOCATED = 16 }; /* beside what was asked for */
    struct json_walk walk = { .depth = 0 };
    size_t size = 0;
    for (const cJSON *item = tree; item; item = json_walk_next(&walk, item)) {
        size += sizeof *item + ALLOCATED;
        size += item->string ? strlen(item->string) + ALLOCATED : 0;
        size += item->valuestring ? strlen(item->valuestring) + ALLOCATED : 0;
    }
    return size;
}

bool json_equal(const cJSON *a, const cJSON *b)
{
    return cJSON_Compare(a, b, true);
}

cJSON *json_get(const cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

const char *json_text(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(json_get(object, name));
}

bool json_is_resource(const cJSON *resource, const char *type)
{
    const char *present = json_text(resource, "resourceType");
    return present && strcmp(present, type) == 0;
}

cJSON *json_first(const cJSON *array)
{
    return cJSON_IsArray(array) ? array->child : NULL;
}

void json_set_take(cJSON *object, const char *name, cJSON *value)
{
    if ((cJSON_IsArray(value) || cJSON_IsObject(value)) && !value->child) {
        cJSON_Delete(value);
        return;
    }
    cJSON *present = json_get(object, name);
    if (!present) {
        if (!cJSON_AddItemToObject(object, name, value))
            abort();
        return;
    }
    if (!cJSON_ReplaceItemInObjectCaseSensitive(object, name, value))
        abort();
}

void json_set_text(cJSON *object, const char *name, const char *text)
{
    if (text && *text)
        json_set_take(object, name, json_string(text));
}

void json_set_integer(cJSON *object, const char *name, int64_t value)
{
    json_set_take(object, name, json_integer(value));
}

void json_remove(cJSON *object, const char *name)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
}

bool json_remove_items(cJSON *object, const char *name,
                       bool (*goes)(const cJSON *item, const void *context), const void *context)
{
    cJSON *array = json_get(object, name);
    cJSON *next;
    bool any = false;
    for (cJSON *item = json_first(array); item; item = next) {
        next = item->next;
        if (!goes(item, context))
            continue;
        cJSON_Delete(cJSON_DetachItemViaPointer(array, item));
        any = true;
    }
    if (array && !array->child)
        json_remove(object, name);
    return any;
}

void json_append_take(cJSON *array, cJSON *value)
{
    if (!cJSON_AddItemToArray(array, value))
        abort();
}

void json_append_new_take(cJSON *array, cJSON *value)
{
    const cJSON *each;
    size_t count = 0;
    for (each = json_first(array); each; each = each->next) {
        if (++count == JSON_MAX_NEW || json_equal(each, value)) {
            cJSON_Delete(value);
            return;
        }
    }
    json_append_take(array, value);
}

cJSON *json_need_array(cJSON *object, const char *name)
{
    cJSON *array = json_get(object, name);
    if (cJSON_IsArray(array))
        return array;
    array = json_array();
    if (json_get(object, name))
        json_remove(object, name);
    if (!cJSON_AddItemToObject(object, name, array))
        abort();
    return array;
}
