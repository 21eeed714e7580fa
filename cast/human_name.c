/* SPDX-License-Identifier: MIT */
#include "cast/human_name.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cast/text.h"

enum { GROUPS = 3, COMPONENTS = 5, NAME_SIZE = 2048 };
enum { FAMILY, GIVEN, MIDDLE, PREFIX, SUFFIX };

struct name {
    char buffer[NAME_SIZE];
    const char *parts[COMPONENTS]; /* "" when absent */
    bool overfull;                 /* more than five components */
};

static const char *const representations[GROUPS] = { "ABC", "IDE", "SYL" };
static const char *const placeholders[] = { "UNKNOWN", "ANONYMOUS", "ANONYMIZED", "NONE" };

static bool is_placeholder(const char *text)
{
    for (size_t i = 0; i < sizeof placeholders / sizeof *placeholders; i++)
        if (strcasecmp(text, placeholders[i]) == 0)
            return true;
    return false;
}

static size_t group_count(const char *pn)
{
    size_t count = 1;
    for (; *pn; pn++)
        count += *pn == '=';
    return count;
}

/* Group `index` of the value, cut at a size that no name has. */
static void group_copy(const char *pn, size_t index, char group[NAME_SIZE])
{
    for (; index && (pn = strchr(pn, '=')); index--)
        pn++;
    snprintf(group, NAME_SIZE, "%.*s", pn ? (int)strcspn(pn, "=") : 0, pn ? pn : "");
}

/* Splits at `^` in place, each component cleaned. */
static void name_split(struct name *name)
{
    char *at = name->buffer;
    name->overfull = false;
    for (int i = 0; i < COMPONENTS; i++)
        name->parts[i] = "";
    for (int i = 0; at; i++) {
        char *next = strchr(at, '^');
        if (next)
            *next++ = 0;
        bool filled = text_clean(at);
        if (i < COMPONENTS)
            name->parts[i] = at;
        else if (filled)
            name->overfull = true;
        at = next;
    }
}

static bool name_is_empty(const struct name *name)
{
    const char *only = NULL;
    int filled = 0;
    for (int i = 0; i < COMPONENTS; i++)
        if (*name->parts[i]) {
            only = name->parts[i];
            filled++;
        }
    return !filled || (filled == 1 && is_placeholder(only));
}

static void add_word(char *text, size_t size, const char *separator, const char *word)
{
    size_t used = strlen(text);
    if (*word)
        snprintf(text + used, size - used, "%s%s", used ? separator : "", word);
}

/* Ideographic and phonetic names are read family name first. */
static void name_format(const struct name *name, bool family_first, char *text, size_t size)
{
    text[0] = 0;
    add_word(text, size, " ", name->parts[PREFIX]);
    if (family_first)
        add_word(text, size, " ", name->parts[FAMILY]);
    add_word(text, size, " ", name->parts[GIVEN]);
    add_word(text, size, " ", name->parts[MIDDLE]);
    if (!family_first)
        add_word(text, size, " ", name->parts[FAMILY]);
    add_word(text, size, ", ", name->parts[SUFFIX]);
}

static void append_words(cJSON *array, const char *text)
{
    char word[NAME_SIZE];
    while (*text) {
        size_t size = strcspn(text, " ");
        snprintf(word, sizeof word, "%.*s", (int)size, text);
        if (text_clean(word))
            json_append_take(array, json_string(word));
        text += size;
        while (*text == ' ')
            text++;
    }
}

static void append_text(cJSON *array, const char *text)
{
    if (*text)
        json_append_take(array, json_string(text));
}

static void add_representation(cJSON *human_name, const char *code)
{
    cJSON *extension = json_object();
    json_set_text(extension, "url",
                  "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation");
    json_set_text(extension, "valueCode", code);
    json_append_take(json_need_array(human_name, "extension"), extension);
}

static cJSON *new_human_name(const struct name *name, size_t group, const char *use)
{
    char text[NAME_SIZE + 16];
    cJSON *human_name = json_object();
    cJSON *given = json_array(), *prefix = json_array(), *suffix = json_array();
    if (group)
        add_representation(human_name, representations[group]);
    json_set_text(human_name, "use", use);
    name_format(name, group > 0, text, sizeof text);
    json_set_text(human_name, "text", text);
    json_set_text(human_name, "family", name->parts[FAMILY]);
    append_words(given, name->parts[GIVEN]);
    append_words(given, name->parts[MIDDLE]);
    append_text(prefix, name->parts[PREFIX]);
    append_text(suffix, name->parts[SUFFIX]);
    json_set_take(human_name, "given", given);
    json_set_take(human_name, "prefix", prefix);
    json_set_take(human_name, "suffix", suffix);
    return human_name;
}

static void append_as_text(cJSON *names, const char *pn, const char *use)
{
    char text[NAME_SIZE];
    snprintf(text, sizeof text, "%s", pn);
    if (!text_clean(text))
        return;
    cJSON *human_name = json_object();
    json_set_text(human_name, "use", use);
    json_set_text(human_name, "text", text);
    json_append_take(names, human_name);
}

void human_name_append(cJSON *names, const char *pn, const char *use)
{
    struct name name = { .overfull = false };
    if (group_count(pn) > GROUPS) {
        append_as_text(names, pn, use);
        return;
    }
    for (size_t group = 0; group < GROUPS; group++) {
        char whole[NAME_SIZE];
        group_copy(pn, group, whole);
        memcpy(name.buffer, whole, sizeof whole);
        name_split(&name);
        if (name.overfull)
            append_as_text(names, whole, use);
        else if (!name_is_empty(&name))
            json_append_take(names, new_human_name(&name, group, use));
    }
}

bool human_name_text(const char *pn, char *text, size_t size)
{
    struct name name = { .overfull = false };
    for (size_t group = 0; group < GROUPS; group++) {
        group_copy(pn, group, name.buffer);
        name_split(&name);
        if (!name_is_empty(&name)) {
            name_format(&name, group > 0, text, size);
            return true;
        }
    }
    return false;
}
