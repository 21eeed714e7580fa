/* SPDX-License-Identifier: MIT */
#include "http/negotiate.h"

#include <string.h>
#include <strings.h>

#include "http/exchange.h"
#include "http/media_type.h"

/* qvalue of RFC 9110 12.4.2, as thousandths. */
static bool parse_quality(const char *text, unsigned *quality)
{
    if (text[0] != '0' && text[0] != '1')
        return false;
    *quality = text[0] == '1' ? 1000 : 0;
    if (text[1] == '\0')
        return true;
    if (text[1] != '.' || strlen(text) > 5)
        return false;
    unsigned scale = 100;
    for (const char *p = text + 2; *p; p++, scale /= 10) {
        if (*p < '0' || *p > '9')
            return false;
        *quality += (unsigned)(*p - '0') * scale;
    }
    return *quality <= 1000;
}

static void copy_lower_case(const char *text, char *out, size_t size)
{
    size_t i = 0;
    for (; text[i] && i + 1 < size; i++)
        out[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
    out[i] = '\0';
}

static bool parse_range(struct slice member, struct media_range *range)
{
    struct media_type type;
    if (!media_type_parse(member, &type))
        return false;
    memset(range, 0, sizeof(*range));
    range->quality = 1000;
    memcpy(range->type, type.type, sizeof(range->type));
    if (range->type[0] == '*' && strcmp(range->type, "*/*") != 0)
        return false;
    const char *quality = media_type_parameter(&type, "q");
    if (quality && !parse_quality(quality, &range->quality))
        return false;
    const char *inner = media_type_parameter(&type, "type");
    if (inner)
        copy_lower_case(inner, range->inner, sizeof(range->inner));
    const char *syntax = media_type_parameter(&type, "transfer-syntax");
    if (syntax && strlen(syntax) >= sizeof(range->transfer_syntax))
        return false;
    if (syntax)
        strncpy(range->transfer_syntax, syntax, sizeof(range->transfer_syntax) - 1);
    return true;
}

static void add_ranges(const char *field, struct accept *accept)
{
    struct slice list = slice_text(field);
    struct slice member;
    while (accept->count < ACCEPT_MAX_RANGES && media_type_next_member(&list, &member))
        if (parse_range(member, &accept->ranges[accept->count]))
            accept->count++;
}

void accept_parse(const char *field, struct accept *accept)
{
    accept->count = 0;
    add_ranges(field && field[0] ? field : "*/*", accept);
}

bool accept_of_request(const struct request *request, struct accept *accept, struct error *err)
{
    size_t count;
    const struct query_pair *pairs = request_query(request, &count);
    bool given = false;
    accept->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(pairs[i].name, "accept") != 0)
            continue;
        given = true;
        add_ranges(pairs[i].value, accept);
    }
    for (size_t i = 0; given && i < accept->count; i++)
        if (strchr(accept->ranges[i].type, '*'))
            return error_set(err, ERROR_INVALID, "the accept parameter holds a wildcard");
    if (given)
        return true;
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, "Accept") != 0)
            continue;
        given = given || request->headers[i].value[0];
        add_ranges(request->headers[i].value, accept);
    }
    if (!given)
        accept_parse(NULL, accept);
    return true;
}

/* "image/" of "image/ *", for a type or the type within a multipart. */
static bool has_category(const char *wildcard, const char *type)
{
    return type && strncmp(wildcard, type, strlen(wildcard) - 1) == 0;
}

/* How specifically a multipart's type parameter names what is within; 0: it does not fit. Clients
 * write wildcards there too, which PS3.18 8.7.3.3 has for the media type alone. */
static unsigned inner_specificity(const char *wanted, const char *inner)
{
    size_t length = strlen(wanted);
    if (!inner)
        return 0;
    if (strcmp(wanted, "*/*") == 0)
        return 4;
    if (length > 2 && strcmp(wanted + length - 2, "/*") == 0)
        return has_category(wanted, inner) ? 7 : 0;
    return strcmp(wanted, inner) == 0 ? 10 : 0;
}

/* How specifically the range names the offer; 0: it does not fit. */
static unsigned specificity(const struct media_range *range, const struct offer *offer)
{
    unsigned level;
    size_t length = strlen(range->type);
    if (strcmp(range->type, "*/*") == 0)
        level = 1;
    else if (range->type[length - 1] == '*' && range->type[length - 2] == '/')
        level = has_category(range->type, offer->type) || has_category(range->type, offer->inner)
                    ? 2
                    : 0;
    else
        level = strcmp(range->type, offer->type) == 0 ? 3 : 0;
    if (!level)
        return 0;
    if (range->inner[0]) {
        unsigned inner = inner_specificity(range->inner, offer->inner);
        if (!inner)
            return 0;
        level += inner;
    }
    bool any_syntax = strcmp(range->transfer_syntax, "*") == 0;
    if (!range->transfer_syntax[0])
        return offer->named_only ? 0 : level;
    if (offer->transfer_syntax && !any_syntax) {
        if (strcmp(range->transfer_syntax, offer->transfer_syntax) != 0)
            return 0;
        level += 100;
    }
    return level;
}

int accept_choose(const struct accept *accept, const struct offer *offers, size_t count,
                  size_t *range)
{
    int best = -1;
    unsigned best_quality = 0;
    unsigned best_level = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned level = 0;
        size_t decisive = 0;
        for (size_t j = 0; j < accept->count; j++) {
            unsigned fits = specificity(&accept->ranges[j], &offers[i]);
            if (fits > level) {
                level = fits;
                decisive = j;
            }
        }
        unsigned quality = level ? accept->ranges[decisive].quality : 0;
        if (!quality || quality < best_quality || (quality == best_quality && level <= best_level))
            continue;
        best = (int)i;
        best_quality = quality;
        best_level = level;
        if (range)
            *range = decisive;
    }
    return best;
}

int negotiate(const char *field, const struct offer *offers, size_t count)
{
    struct accept accept;
    accept_parse(field, &accept);
    return accept_choose(&accept, offers, count, NULL);
}

void offers_write(const struct offer *offers, size_t count, struct buffer *text)
{
    for (size_t i = 0; i < count; i++) {
        buffer_append_text(text, i ? ", " : "");
        buffer_append_text(text, offers[i].type);
        if (offers[i].inner)
            buffer_append_format(text, "; type=\"%s\"", offers[i].inner);
        if (offers[i].transfer_syntax)
            buffer_append_format(text, "; transfer-syntax=%s", offers[i].transfer_syntax);
    }
}
