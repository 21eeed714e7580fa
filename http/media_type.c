/* SPDX-License-Identifier: MIT */
#include "http/media_type.h"

#include <string.h>

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool is_token_character(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Real clients leave out the quotes around values that need them: application/dicom. */
static bool is_bare_value_character(uint8_t c)
{
    return c > 0x20 && c < 0x7f && c != ';' && c != ',' && c != '"';
}

static struct slice skip_spaces(struct slice text)
{
    while (text.size && is_space(text.data[0]))
        text = slice_skip(text, 1);
    return text;
}

static void copy_lower_case(struct slice text, char *out)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = (char)text.data[i];
        out[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    out[text.size] = '\0';
}

static struct slice take_token(struct slice *text)
{
    size_t size = 0;
    while (size < text->size && is_token_character(text->data[size]))
        size++;
    struct slice token = slice_take(*text, size);
    *text = slice_skip(*text, size);
    return token;
}

/* A value, quoted or bare, into `value` of `room` bytes with its NUL; *fits false when it was too
 * long. */
static bool take_value(struct slice *text, char *value, size_t room, bool *fits)
{
    size_t at = 0;
    size_t size = 0;
    bool quoted = text->size && text->data[0] == '"';
    *fits = true;
    for (at = quoted; at < text->size; at++) {
        uint8_t c = text->data[at];
        if (quoted ? c == '"' : !is_bare_value_character(c))
            break;
        if (quoted && c == '\\' && ++at < text->size)
            c = text->data[at];
        if (at == text->size || c < 0x20)
            return false;
        if (size + 1 < room)
            value[size++] = (char)c;
        else
            *fits = false;
    }
    if (quoted && at++ >= text->size)
        return false;
    value[size] = '\0';
    *text = slice_skip(*text, at);
    return true;
}

static bool take_parameter(struct slice *text, struct media_type *type)
{
    struct slice name = take_token(text);
    *text = skip_spaces(*text);
    if (!name.size || !text->size || text->data[0] != '=')
        return false;
    *text = skip_spaces(slice_skip(*text, 1));
    char value[MEDIA_TYPE_TEXT];
    bool fits;
    if (!take_value(text, value, sizeof(value), &fits))
        return false;
    size_t index = type->parameter_count;
    if (fits && index < MEDIA_TYPE_PARAMETERS && name.size < sizeof(type->parameters[0].name)) {
        copy_lower_case(name, type->parameters[index].name);
        memcpy(type->parameters[index].value, value, sizeof(value));
        type->parameter_count++;
    }
    return true;
}

bool media_type_parse(struct slice text, struct media_type *type)
{
    type->type[0] = '\0';
    type->parameter_count = 0;
    text = skip_spaces(text);
    struct slice whole = text;
    struct slice major = take_token(&text);
    if (!major.size || !text.size || text.data[0] != '/')
        return false;
    text = slice_skip(text, 1);
    struct slice minor = take_token(&text);
    size_t size = major.size + 1 + minor.size;
    if (!minor.size || size >= sizeof(type->type))
        return false;
    copy_lower_case(slice_take(whole, size), type->type);

    for (text = skip_spaces(text); text.size; text = skip_spaces(text)) {
        if (text.data[0] != ';')
            return false;
        text = skip_spaces(slice_skip(text, 1));
        if (!text.size || text.data[0] == ';')
            continue; /* an empty parameter, as RFC 9110 5.6.6 lets it be */
        if (!take_parameter(&text, type))
            return false;
    }
    return true;
}

const char *media_type_parameter(const struct media_type *type, const char *name)
{
    for (size_t i = 0; i < type->parameter_count; i++)
        if (strcmp(type->parameters[i].name, name) == 0)
            return type->parameters[i].value;
    return NULL;
}

bool media_type_next_member(struct slice *list, struct slice *member)
{
    if (!list->size)
        return false;
    bool quoted = false;
    size_t size = 0;
    for (; size < list->size; size++) {
        uint8_t c = list->data[size];
        if (c == '"')
            quoted = !quoted;
        else if (quoted && c == '\\')
            size += size + 1 < list->size;
        else if (c == ',' && !quoted)
            break;
    }
    *member = slice_take(*list, size);
    *list = slice_skip(*list, size + 1);
    return true;
}
