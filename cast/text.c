/* SPDX-License-Identifier: MIT */
#include "cast/text.h"

#include <ctype.h>

/* U+0080..U+009F are C2 80..C2 9F. */
static bool is_c1_control(const char *at)
{
    return (uint8_t)at[0] == 0xC2 && (uint8_t)at[1] >= 0x80 && (uint8_t)at[1] <= 0x9F;
}

/* The size of a space at `at`: ASCII white space, no-break space (C2 A0), ideographic space
 * (E3 80 80); 0 when it is none. */
static size_t space_size(const char *at)
{
    if (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n')
        return 1;
    if ((uint8_t)at[0] == 0xC2 && (uint8_t)at[1] == 0xA0)
        return 2;
    if ((uint8_t)at[0] == 0xE3 && (uint8_t)at[1] == 0x80 && (uint8_t)at[2] == 0x80)
        return 3;
    return 0;
}

/* One pass: `from` runs ahead of `to`. `end` stays behind the last byte that is no space. */
static bool clean(char *text, bool as_code)
{
    char *to = text;
    char *end = text;
    bool spaced = false;
    for (const char *from = text; *from;) {
        size_t space = space_size(from);
        if (space) {
            if (to != text && !(as_code && spaced)) {
                if (as_code)
                    *to++ = ' ';
                else
                    for (size_t i = 0; i < space; i++)
                        *to++ = from[i];
            }
            spaced = true;
            from += space;
            continue;
        }
        if (is_c1_control(from)) {
            from += 2;
            continue;
        }
        if ((uint8_t)*from >= 0x20 && *from != 0x7F) {
            *to++ = *from;
            end = to;
            spaced = false;
        }
        from++;
    }
    *end = 0;
    return end != text;
}

bool text_clean(char *text)
{
    return clean(text, false);
}

bool text_clean_code(char *text)
{
    return clean(text, true);
}

void text_percent_encode(struct slice text, struct buffer *out)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c < 0x80 && (isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~'))
            buffer_append_byte(out, c);
        else
            buffer_append_format(out, "%%%02X", c);
    }
}

bool text_is_uri(const char *text)
{
    const char *at = text;
    if (!isalpha((unsigned char)*at))
        return false;
    while (isalnum((unsigned char)*at) || *at == '+' || *at == '-' || *at == '.')
        at++;
    if (*at != ':' || !at[1])
        return false;
    for (; *at; at++)
        if ((uint8_t)*at <= ' ' || (uint8_t)*at >= 0x7F || strchr("\"<>\\^`{|}", *at))
            return false;
    return true;
}
