/* SPDX-License-Identifier: MIT */
/* Resources compared with what a search asks for, along the paths of its parameters. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cast/search_request.h"
#include "dicom/fold.h"

static const char oid_prefix[] = "urn:oid:";

static const char *without_oid(const char *text)
{
    size_t size = sizeof oid_prefix - 1;
    return strncmp(text, oid_prefix, size) == 0 ? text + size : text;
}

/* A UID is the same with "urn:oid:" before it and without. */
static bool same_code(const char *wanted, const char *held)
{
    return !*wanted || strcmp(wanted, held) == 0 ||
           strcmp(without_oid(wanted), without_oid(held)) == 0;
}

static bool same_system(const char *wanted, const char *held)
{
    return !wanted || strcmp(wanted, held ? held : "") == 0;
}

static bool fits_one_token(const struct search_value *value, const cJSON *item)
{
    const char *plain = cJSON_GetStringValue(item);
    if (plain) /* a code, an id, a string: its system goes without saying */
        return same_code(value->text, plain);
    const char *code = json_text(item, "value");
    if (!code)
        code = json_text(item, "code");
    return code && (*value->text || value->system) && same_code(value->text, code) &&
           same_system(value->system, json_text(item, "system"));
}

/* Coding, CodeableConcept, Identifier, code, id (R4 3.1.1.4.10). */
static bool fits_token(const struct search_value *value, const cJSON *item)
{
    const cJSON *coding = json_first(json_get(item, "coding"));
    if (!coding)
        return fits_one_token(value, item);
    for (; coding; coding = coding->next)
        if (fits_one_token(value, coding))
            return true;
    return false;
}

static bool fits_reference(const struct search_criterion *criterion,
                           const struct search_value *value, const cJSON *item)
{
    const char *target = criterion->parameter->target;
    const char *reference = json_text(item, "reference");
    size_t size = target ? strlen(target) : 0;
    if (criterion->modifier == MODIFIER_IDENTIFIER)
        return fits_one_token(value, json_get(item, "identifier"));
    return target && reference && !value->whole_type && strncmp(reference, target, size) == 0 &&
           reference[size] == '/' && strcmp(reference + size + 1, value->text) == 0;
}

static bool contains(struct slice text, struct slice part)
{
    for (size_t i = 0; i + part.size <= text.size; i++)
        if (memcmp(text.data + i, part.data, part.size) == 0)
            return true;
    return false;
}

/* In whatever case (R4 3.1.1.4.8). */
static bool fits_string(const struct search_criterion *criterion, const struct search_value *value,
                        const char *held)
{
    if (criterion->modifier == MODIFIER_EXACT)
        return strcmp(held, value->text) == 0;
    struct buffer text = buffer_up_to(4 * SEARCH_VALUE_MAX);
    struct buffer part = buffer_up_to(4 * SEARCH_VALUE_MAX);
    fold_text(slice_text(held), &text);
    fold_text(slice_text(value->text), &part);
    bool fits = criterion->modifier == MODIFIER_CONTAINS
                    ? contains(buffer_slice(&text), buffer_slice(&part))
                    : slice_starts_with(buffer_slice(&text), buffer_slice(&part));
    buffer_release(&text);
    buffer_release(&part);
    return fits;
}

static bool fits_value(const struct search_criterion *criterion, const struct search_value *value,
                       const cJSON *item, int64_t now_ms)
{
    const char *text = cJSON_GetStringValue(item);
    struct time_span span;
    switch (criterion->parameter->kind) {
    case SEARCH_TOKEN:
        return fits_token(value, item);
    case SEARCH_REFERENCE:
        return fits_reference(criterion, value, item);
    case SEARCH_DATE:
        return text && time_span_read(text, &span) &&
               time_span_fits(value->prefix, value->span, span, now_ms);
    case SEARCH_STRING:
        return text && fits_string(criterion, value, text);
    case SEARCH_URI:
        return text && strcmp(text, value->text) == 0;
    }
    return false;
}

static bool fits_any_value(const struct search_criterion *criterion, const cJSON *item,
                           int64_t now_ms)
{
    if (criterion->modifier == MODIFIER_MISSING)
        return true; /* it is there, which is what is asked */
    for (size_t i = 0; i < criterion->count; i++)
        if (fits_value(criterion, &criterion->values[i], item, now_ms))
            return true;
    return false;
}

/* Every element at a path, which ends before `end`: one of them must fit. It goes as deep as our
 * own paths do. */
static bool fits_below(const struct search_criterion *criterion, const cJSON *object,
                       const char *path, const char *end, int64_t now_ms)
{
    const char *dot = memchr(path, '.', (size_t)(end - path));
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)((dot ? dot : end) - path), path);
    const cJSON *value = json_get(object, name);
    const cJSON *each = cJSON_IsArray(value) ? value->child : value;
    for (; each; each = each == value ? NULL : each->next) {
        bool fits = dot ? fits_below(criterion, each, dot + 1, end, now_ms)
                        : fits_any_value(criterion, each, now_ms);
        if (fits)
            return true;
    }
    return false;
}

static bool fits_paths(const struct search_criterion *criterion, const cJSON *resource,
                       const char *paths, int64_t now_ms)
{
    for (const char *at = paths; *at;) {
        size_t size = strcspn(at, " ");
        if (fits_below(criterion, resource, at, at + size, now_ms))
            return true;
        at += size + (at[size] == ' ');
    }
    return false;
}

bool search_criterion_fits(const struct search_criterion *criterion, const cJSON *resource,
                           const cJSON *patient, int64_t now_ms)
{
    if (criterion->of_patient) {
        const cJSON *identifier = json_first(json_get(patient, "identifier"));
        for (; identifier; identifier = identifier->next)
            for (size_t i = 0; i < criterion->count; i++)
                if (fits_one_token(&criterion->values[i], identifier))
                    return true;
        return false;
    }
    bool found = fits_paths(criterion, resource, criterion->parameter->paths, now_ms);
    if (criterion->modifier == MODIFIER_NOT)
        return !found;
    if (criterion->modifier == MODIFIER_MISSING)
        return found == (strcmp(criterion->values[0].text, "false") == 0);
    return found;
}

bool search_request_fits(const struct search_request *request, const cJSON *resource,
                         const cJSON *patient, int64_t now_ms)
{
    for (size_t i = 0; i < request->criterion_count; i++)
        if (!search_criterion_fits(&request->criteria[i], resource, patient, now_ms))
            return false;
    return true;
}
