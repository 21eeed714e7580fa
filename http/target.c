/* SPDX-License-Identifier: MIT */
#include "http/target.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Length of the UTF-8 character that begins here, 0 when there is none (RFC 3629 4). */
static size_t utf8_length(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size_t length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

static bool is_clean_text(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    while (*p) {
        size_t length = utf8_length(p);
        if (!length || *p < 0x20 || *p == 0x7f)
            return false;
        p += length;
    }
    return true;
}

/* Decodes in place: what comes out is never longer. */
static bool decode(char *text, const char *what, struct error *err)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        int high = hex_value(in[1]);
        int low = high < 0 ? -1 : hex_value(in[2]);
        if (low < 0)
            return error_set(err, ERROR_INVALID, "%s holds a broken percent-escape", what);
        if (high == 0 && low == 0)
            return error_set(err, ERROR_INVALID, "%s holds %%00", what);
        *out++ = (char)(high << 4 | low);
        in += 2;
    }
    *out = '\0';
    if (!is_clean_text(text))
        return error_set(err, ERROR_INVALID, "%s holds control characters or is not UTF-8", what);
    return true;
}

static bool parse_path(char *path, struct target *target, struct error *err)
{
    target->segments = mem_alloc_array(TARGET_MAX_SEGMENTS, sizeof(target->segments[0]));
    for (char *at = path + 1; at;) {
        char *slash = strchr(at, '/');
        if (slash)
            *slash = '\0';
        if (target->segment_count == TARGET_MAX_SEGMENTS)
            return error_set(err, ERROR_LIMIT, "the path has more than %d segments",
                             TARGET_MAX_SEGMENTS);
        if (!decode(at, "the path", err))
            return false;
        if (strcmp(at, ".") == 0 || strcmp(at, "..") == 0)
            return error_set(err, ERROR_INVALID, "the path holds dot segments");
        target->segments[target->segment_count++] = at;
        at = slash ? slash + 1 : NULL;
    }
    return true;
}

static void join_path(struct target *target)
{
    size_t size = 1;
    for (size_t i = 0; i < target->segment_count; i++)
        size += strlen(target->segments[i]) + 1;
    char *out = target->path = mem_alloc(size);
    for (size_t i = 0; i < target->segment_count; i++) {
        *out++ = '/';
        size_t length = strlen(target->segments[i]);
        memcpy(out, target->segments[i], length);
        out += length;
    }
}

static size_t count_pairs(const char *query)
{
    size_t count = 1;
    for (const char *p = query; (p = strchr(p, '&')); p++)
        count++;
    return count;
}

/* The query twice over: one copy is decoded in place, the other keeps the raw values. */
static bool parse_query(char *decoded, char *raw, struct target *target, struct error *err)
{
    size_t count = count_pairs(raw);
    if (count > TARGET_MAX_PAIRS)
        return error_set(err, ERROR_LIMIT, "the query has more than %d parameters",
                         TARGET_MAX_PAIRS);
    target->pairs = mem_alloc_array(count, sizeof(target->pairs[0]));
    while (raw) {
        char *end = strchr(raw, '&');
        size_t length = end ? (size_t)(end - raw) : strlen(raw);
        raw[length] = decoded[length] = '\0';
        char *equals = strchr(raw, '=');
        size_t name_length = equals ? (size_t)(equals - raw) : length;
        if (length) {
            struct query_pair *pair = &target->pairs[target->pair_count++];
            decoded[name_length] = '\0';
            pair->name = decoded;
            pair->value = equals ? decoded + name_length + 1 : decoded + length;
            pair->raw = equals ? equals + 1 : raw + length;
            if (!decode(decoded, "a query parameter's name", err) ||
                (equals &&
                 !decode(decoded + name_length + 1, "the value of a query parameter", err)))
                return false;
        }
        decoded += length + 1;
        raw = end ? end + 1 : NULL;
    }
    return true;
}

/* "http://host/path": only our own host may stand there (RFC 9112 3.2.2). NULL: not ours. */
static const char *skip_authority(const char *raw, const char *host)
{
    size_t scheme = strncasecmp(raw, "http://", 7) == 0    ? 7
                    : strncasecmp(raw, "https://", 8) == 0 ? 8
                                                           : 0;
    if (!scheme || !host)
        return NULL;
    const char *authority = raw + scheme;
    size_t length = strcspn(authority, "/?");
    if (length != strlen(host) || strncasecmp(authority, host, length) != 0)
        return NULL;
    return authority[length] == '/' ? authority + length : NULL;
}

bool target_parse(const char *raw, const char *host, struct target *target, struct error *err)
{
    memset(target, 0, sizeof(*target));
    if (raw[0] != '/')
        raw = skip_authority(raw, host);
    if (!raw)
        return error_set(err, ERROR_INVALID, "the request-target is no path of this server");
    size_t length = strlen(raw);
    if (length > TARGET_LIMIT)
        return error_set(err, ERROR_LIMIT, "the request-target is too long");
    if (strchr(raw, '#'))
        return error_set(err, ERROR_INVALID, "the request-target holds a fragment");

    /* Both halves of the text have room for the target and its NUL. */
    target->text = mem_alloc(2 * (length + 1));
    memcpy(target->text, raw, length);
    memcpy(target->text + length + 1, raw, length);
    char *question = strchr(target->text, '?');
    if (question) {
        *question = '\0';
        if (question[1] && !parse_query(question + 1, question + 1 + length + 1, target, err))
            goto fail;
    }
    if (!parse_path(target->text, target, err))
        goto fail;
    join_path(target);
    return true;
fail:
    target_release(target);
    return false;
}

void target_release(struct target *target)
{
    free(target->path);
    free(target->segments);
    free(target->pairs);
    free(target->text);
    memset(target, 0, sizeof(*target));
}

bool host_is_valid(const char *host)
{
    size_t length;
    if (host[0] == '[') {
        length = 1 + strspn(host + 1, "0123456789abcdefABCDEF:.");
        if (length == 1 || length > 253 || host[length++] != ']')
            return false;
    } else {
        length = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
        if (!length || length > 253)
            return false;
    }
    if (host[length] == '\0')
        return true;
    if (host[length] != ':')
        return false;
    size_t digits = strspn(host + length + 1, "0123456789");
    return digits <= 5 && host[length + 1 + digits] == '\0';
}
