/* SPDX-License-Identifier: MIT */
#include "dimse/client_keys.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/encode.h"
#include "dicom/tag.h"

enum { NAME_SIZE = 80 };

/* "0010,0020", "(0010,0020)" or "00100020". */
static bool parse_number(const char *name, uint32_t *tag)
{
    char digits[9];
    size_t count = 0;
    for (const char *next = name; *next; next++) {
        if (*next == ',' || *next == '(' || *next == ')')
            continue;
        if (!isxdigit((unsigned char)*next) || count == 8)
            return false;
        digits[count++] = *next;
    }
    digits[count] = '\0';
    *tag = (uint32_t)strtoul(digits, NULL, 16);
    return count == 8;
}

static bool parse_name(const char *name, uint32_t *tag, struct error *err)
{
    const struct dictionary_entry *entry = dictionary_find_keyword(name);
    if (entry)
        *tag = entry->tag;
    else if (!parse_number(name, tag))
        return error_set(err, ERROR_INVALID,
                         "%s is no attribute: a keyword or a tag such as 0010,0020", name);
    if (*tag >> 16 >= 8)
        return true;
    return error_set(err, ERROR_INVALID, "%s is no attribute of a query", name);
}

static int compare(const void *a, const void *b)
{
    const struct client_key *x = a;
    const struct client_key *y = b;
    for (size_t i = 0; i < x->depth && i < y->depth; i++)
        if (x->tags[i] != y->tags[i])
            return x->tags[i] < y->tags[i] ? -1 : 1;
    return x->depth < y->depth ? -1 : x->depth > y->depth;
}

static bool add(struct client_keys *keys, const struct client_key *key, struct error *err)
{
    if (keys->count == CLIENT_KEYS)
        return error_set(err, ERROR_LIMIT, "more than %d keys", CLIENT_KEYS);
    for (size_t i = 0; i < keys->count; i++)
        if (compare(&keys->keys[i], key) == 0)
            return error_set(err, ERROR_INVALID, "an attribute is given twice");
    keys->keys[keys->count++] = *key;
    return true;
}

bool client_keys_add(struct client_keys *keys, const char *text, struct error *err)
{
    struct client_key key = { .depth = 0 };
    const char *equals = strchr(text, '=');
    const char *end = equals ? equals : text + strlen(text);
    key.value = equals ? equals + 1 : "";
    for (const char *start = text;; start++) {
        char name[NAME_SIZE];
        const char *dot = memchr(start, '.', (size_t)(end - start));
        size_t size = (size_t)((dot ? dot : end) - start);
        if (!size || size >= sizeof(name) || key.depth == CLIENT_KEY_DEPTH)
            return error_set(err, ERROR_INVALID, "%.60s is no key", text);
        memcpy(name, start, size);
        name[size] = '\0';
        if (!parse_name(name, &key.tags[key.depth++], err))
            return false;
        if (!dot)
            break;
        if (dictionary_vr(key.tags[key.depth - 1]) != VR_SQ)
            return error_set(err, ERROR_INVALID, "%s is no sequence", name);
        start = dot;
    }
    if (*key.value && dictionary_vr(key.tags[key.depth - 1]) == VR_SQ)
        return error_set(err, ERROR_INVALID, "%.60s: a sequence has no value of its own", text);
    return add(keys, &key, err) || error_add_context(err, "%.60s", text);
}

void client_keys_default(struct client_keys *keys, uint32_t tag, const char *value)
{
    struct client_key key = { .tags = { tag }, .depth = 1, .value = value };
    if (!client_keys_value(keys, tag))
        add(keys, &key, NULL);
}

const char *client_keys_value(const struct client_keys *keys, uint32_t tag)
{
    for (size_t i = 0; i < keys->count; i++)
        if (keys->keys[i].depth == 1 && keys->keys[i].tags[0] == tag)
            return keys->keys[i].value;
    return NULL;
}

static bool encode_number(struct encoder *encoder, uint32_t tag, uint16_t vr, const char *text,
                          struct error *err)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || number > (vr == VR_US ? 0xFFFFu : 0xFFFFFFFFu))
        return error_set_tag(err, ERROR_INVALID, tag, "%.60s is no number for (%04X,%04X)", text,
                             (unsigned)(tag >> 16), (unsigned)(tag & 0xFFFF));
    if (vr == VR_US)
        encode_u16(encoder, tag, (uint16_t)number);
    else
        encode_u32(encoder, tag, (uint32_t)number);
    return true;
}

static bool encode_key(struct encoder *encoder, const struct client_key *key, struct error *err)
{
    uint32_t tag = key->tags[key->depth - 1];
    uint16_t vr = dictionary_vr(tag);
    if (vr == VR_SQ) {
        encode_sequence_begin(encoder, tag);
        encode_sequence_end(encoder);
        return true;
    }
    if (*key->value && (vr == VR_US || vr == VR_UL))
        return encode_number(encoder, tag, vr, key->value, err);
    if (*key->value && !vr_is_text(vr) && vr != VR_UN)
        return error_set_tag(err, ERROR_INVALID, tag, "(%04X,%04X) takes no value in a query",
                             (unsigned)(tag >> 16), (unsigned)(tag & 0xFFFF));
    encode_text(encoder, tag, vr, key->value);
    return true;
}

static bool is_ascii(const struct client_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        for (const char *next = keys->keys[i].value; *next; next++)
            if ((unsigned char)*next >= 0x80)
                return false;
    return true;
}

/* How many sequences two keys have in common. */
static size_t common(const struct client_key *a, const struct client_key *b)
{
    size_t depth = 0;
    while (depth + 1 < a->depth && depth + 1 < b->depth && a->tags[depth] == b->tags[depth])
        depth++;
    return depth;
}

static void close_to(struct encoder *encoder, size_t *open, size_t depth)
{
    for (; *open > depth; --*open) {
        encode_item_end(encoder);
        encode_sequence_end(encoder);
    }
}

bool client_keys_encode(struct client_keys *keys, bool explicit_vr, struct buffer *out,
                        struct error *err)
{
    struct encoder encoder = { out, explicit_vr };
    size_t open = 0;
    if (!is_ascii(keys))
        client_keys_default(keys, TAG_SPECIFIC_CHARACTER_SET, "ISO_IR 192");
    qsort(keys->keys, keys->count, sizeof(keys->keys[0]), compare);
    for (size_t i = 0; i < keys->count; i++) {
        const struct client_key *key = &keys->keys[i];
        const struct client_key *next = i + 1 < keys->count ? key + 1 : NULL;
        close_to(&encoder, &open, i ? common(key - 1, key) : 0);
        /* A sequence that stands for itself, too, is there by its items. */
        if (next && next->depth > key->depth &&
            memcmp(key->tags, next->tags, key->depth * sizeof(key->tags[0])) == 0)
            continue;
        for (; open + 1 < key->depth; open++) {
            encode_sequence_begin(&encoder, key->tags[open]);
            encode_item_begin(&encoder);
        }
        if (!encode_key(&encoder, key, err))
            return false;
    }
    close_to(&encoder, &open, 0);
    return buffer_check(out, "identifier", err);
}
