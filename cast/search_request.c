/* SPDX-License-Identifier: MIT */
#include "cast/search_request.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cast/text.h"

static void value_release(struct search_value *value)
{
    free(value->text);
    free(value->system);
}

void search_request_release(struct search_request *request)
{
    for (size_t i = 0; i < request->criterion_count; i++) {
        struct search_criterion *criterion = &request->criteria[i];
        for (size_t k = 0; k < criterion->count; k++)
            value_release(&criterion->values[k]);
        free(criterion->values);
    }
    free(request->page);
    free(request->elements);
    buffer_release(&request->heeded);
    request->criterion_count = 0;
}

const struct search_criterion *search_request_find(const struct search_request *request,
                                                   const char *name)
{
    for (size_t i = 0; i < request->criterion_count; i++) {
        const struct search_criterion *criterion = &request->criteria[i];
        if (strcmp(criterion->parameter->name, name) == 0 && !criterion->of_patient)
            return criterion;
    }
    return NULL;
}

/* --- values --- */

/* The text up to the next separator that no backslash stands before, without the backslashes (R4
 * 3.1.1.4.1). *at goes behind the separator, which *separator tells. */
static char *unescape_to(const char **at, const char *separators, char *separator)
{
    struct buffer text = buffer_up_to(SEARCH_VALUE_MAX);
    const char *from = *at;
    for (; *from && !strchr(separators, *from); from++) {
        if (*from == '\\' && from[1])
            from++;
        buffer_append_byte(&text, (uint8_t)*from);
    }
    *separator = *from;
    *at = *from ? from + 1 : from;
    char *copy = mem_copy_text(buffer_text(&text));
    buffer_release(&text);
    return copy;
}

/* "Patient/x", "x", or a whole URL of ours, as the id. With a history it is a version's, which is
 * no other resource. */
static void reduce_reference(const struct search_request *request, const char *target,
                             struct search_value *value)
{
    size_t base_size = strlen(request->base);
    char *at = value->text;
    if (base_size && strncmp(at, request->base, base_size) == 0 && at[base_size] == '/')
        at += base_size + 1;
    char *slash = strchr(at, '/');
    if (slash) {
        size_t size = (size_t)(slash - at);
        value->whole_type = !target || strlen(target) != size || memcmp(at, target, size) != 0;
        at = slash + 1;
    }
    memmove(value->text, at, strlen(at) + 1);
    char *history = strstr(value->text, "/_history/");
    if (history)
        *history = 0;
}

static bool read_value(const struct search_request *request,
                       const struct search_criterion *criterion, const char **at, bool *more,
                       struct search_value *value, struct error *err)
{
    enum search_kind kind = criterion->parameter->kind;
    bool is_token = kind == SEARCH_TOKEN || criterion->modifier == MODIFIER_IDENTIFIER ||
                    criterion->of_patient;
    char separator;
    *value = (struct search_value){ .text = unescape_to(at, is_token ? "|," : ",", &separator) };
    if (separator == '|') {
        value->system = value->text;
        value->text = unescape_to(at, ",", &separator);
    }
    *more = separator == ',';
    if (criterion->modifier == MODIFIER_MISSING)
        return !strcmp(value->text, "true") || !strcmp(value->text, "false") ||
               error_set(err, ERROR_INVALID, "%s:missing is true or false",
                         criterion->parameter->name);
    if (kind == SEARCH_REFERENCE && !is_token)
        reduce_reference(request, criterion->parameter->target, value);
    if (kind == SEARCH_DATE) {
        const char *date;
        value->prefix = search_prefix_read(value->text, &date);
        if (!time_span_read(date, &value->span))
            return error_set(err, ERROR_INVALID, "%s is no date", criterion->parameter->name);
    }
    return true;
}

static bool read_values(const struct search_request *request, struct search_criterion *criterion,
                        const char *text, struct error *err)
{
    bool more = true;
    size_t room = 0;
    while (more) {
        if (criterion->count == SEARCH_MOST_VALUES)
            return error_set(err, ERROR_LIMIT, "%s has more than %d values",
                             criterion->parameter->name, SEARCH_MOST_VALUES);
        if (criterion->count == room) {
            room = room ? room * 2 : 4;
            criterion->values = mem_resize_array(criterion->values, room,
                                                 sizeof *criterion->values);
        }
        if (!read_value(request, criterion, &text, &more, &criterion->values[criterion->count++],
                        err))
            return false;
    }
    return true;
}

/* --- names --- */

static bool read_modifier(struct search_criterion *criterion, const char *text, struct error *err)
{
    static const struct {
        const char *name;
        enum search_modifier modifier;
        int kind; /* -1: all */
    } modifiers[] = {
        { "missing", MODIFIER_MISSING, -1 },
        { "not", MODIFIER_NOT, SEARCH_TOKEN },
        { "exact", MODIFIER_EXACT, SEARCH_STRING },
        { "contains", MODIFIER_CONTAINS, SEARCH_STRING },
        { "identifier", MODIFIER_IDENTIFIER, SEARCH_REFERENCE },
    };
    const struct search_parameter *parameter = criterion->parameter;
    for (size_t i = 0; i < sizeof modifiers / sizeof *modifiers; i++)
        if (strcmp(text, modifiers[i].name) == 0 &&
            (modifiers[i].kind < 0 || (enum search_kind)modifiers[i].kind == parameter->kind)) {
            criterion->modifier = modifiers[i].modifier;
            return true;
        }
    /* subject:Patient */
    if (parameter->target && strcmp(text, parameter->target) == 0)
        return true;
    return error_set(err, ERROR_INVALID, "%s has a modifier that is not known here",
                     parameter->name);
}

/* "subject:Patient.identifier", "patient.identifier" (R4 3.1.1.4.6): the one chain there is. */
static bool read_chain(struct search_criterion *criterion, const char *chain, struct error *err)
{
    const char *target = criterion->parameter->target;
    if (!target || strcmp(target, "Patient") != 0 || strcmp(chain, "identifier") != 0)
        return error_set(err, ERROR_INVALID,
                         "of chained parameters only patient.identifier is known");
    criterion->of_patient = true;
    return true;
}

/* *known false: there is no such parameter. */
static bool read_criterion(struct search_request *request, const struct query_pair *pair,
                           bool *known, struct error *err)
{
    size_t size = strcspn(pair->name, ":.");
    const char *rest = pair->name + size;
    const struct search_parameter *parameter = search_parameter_find(request->type, pair->name,
                                                                     size, request->version);
    *known = parameter != NULL;
    if (!parameter)
        return true;
    if (request->criterion_count == SEARCH_MOST_CRITERIA)
        return error_set(err, ERROR_LIMIT, "a search has more than %d parameters",
                         SEARCH_MOST_CRITERIA);
    struct search_criterion *criterion = &request->criteria[request->criterion_count++];
    *criterion = (struct search_criterion){ .parameter = parameter };
    if (*rest == ':') {
        char modifier[64];
        size_t length = strcspn(++rest, ".");
        if (length >= sizeof modifier)
            return error_set(err, ERROR_INVALID, "%s has a modifier that is not known here",
                             parameter->name);
        memcpy(modifier, rest, length);
        modifier[length] = 0;
        rest += length;
        if (!read_modifier(criterion, modifier, err))
            return false;
    }
    if (*rest == '.' && !read_chain(criterion, rest + 1, err))
        return false;
    return read_values(request, criterion, pair->value, err);
}

/* --- what is said of the result --- */

static bool read_number(const char *name, const char *text, uint64_t most, uint64_t *number,
                        struct error *err)
{
    if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 18)
        return error_set(err, ERROR_INVALID, "%s is no number", name);
    *number = strtoull(text, NULL, 10);
    if (*number > most)
        *number = most;
    return true;
}

static bool read_count(struct search_request *request, const char *text, struct error *err)
{
    if (!read_number("_count", text, SEARCH_MOST_COUNT, &request->count, err))
        return false;
    if (!request->count) /* R4 3.1.1.5.3 */
        request->summary = SUMMARY_COUNT;
    return true;
}

static bool read_offset(struct search_request *request, const char *text, struct error *err)
{
    return read_number("_offset", text, SEARCH_MOST_OFFSET, &request->offset, err);
}

static bool read_page(struct search_request *request, const char *text, struct error *err)
{
    size_t size = strlen(text);
    if (!size || size >= SEARCH_PAGE_SIZE || strspn(text, "0123456789abcdef") != size || size % 2)
        return error_set(err, ERROR_INVALID, "_page is none that was given out");
    free(request->page);
    request->page = mem_copy_text(text);
    return true;
}

static int place_of(const char *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return (int)i;
    return -1;
}

static bool read_summary(struct search_request *request, const char *text, struct error *err)
{
    static const char *const names[] = { "false", "true", "text", "data", "count" };
    int place = place_of(text, names, sizeof names / sizeof *names);
    if (place < 0)
        return error_set(err, ERROR_INVALID, "_summary is true, text, data, count or false");
    request->summary = (enum search_summary)place;
    return true;
}

static bool read_total(struct search_request *request, const char *text, struct error *err)
{
    static const char *const names[] = { "", "none", "accurate", "estimate" };
    int place = place_of(text, names, sizeof names / sizeof *names);
    if (place < 1)
        return error_set(err, ERROR_INVALID, "_total is none, estimate or accurate");
    /* An estimate is not better than what is known anyway. */
    request->total = place == 3 ? TOTAL_IF_KNOWN : (enum search_total)place;
    return true;
}

/* One key: an index has one order. */
static bool read_sort(struct search_request *request, const char *text, struct error *err)
{
    bool descending = *text == '-';
    enum search_order order;
    if (request->order == ORDER_OWN && !request->order_refused &&
        search_order_find(request->type, text + descending, &order)) {
        request->order = order;
        request->descending = descending;
        return true;
    }
    request->order = ORDER_OWN;
    request->order_refused = true;
    return error_set(err, ERROR_UNSUPPORTED,
                     "_sort names an order in which %s cannot be had: /metadata says by what it "
                     "is sorted",
                     request->type->name);
}

static bool read_elements(struct search_request *request, const char *text, struct error *err)
{
    struct buffer elements = buffer_up_to(SEARCH_ELEMENTS_MAX);
    buffer_append_byte(&elements, ' ');
    for (const char *at = text; *at; at++) {
        if (!isalnum((unsigned char)*at) && *at != ',' && *at != '_')
            break;
        buffer_append_byte(&elements, *at == ',' ? ' ' : (uint8_t)*at);
    }
    buffer_append_byte(&elements, ' ');
    bool ok = elements.size == strlen(text) + 2;
    if (ok) {
        free(request->elements);
        request->elements = mem_copy_text(buffer_text(&elements));
    }
    buffer_release(&elements);
    return ok || error_set(err, ERROR_INVALID, "_elements is no list of elements");
}

/* "ImagingStudy:patient", "ImagingStudy:patient:Patient", "*" */
static bool read_includes(const char *const names[SEARCH_INCLUDES], const char *text, bool any,
                          unsigned *bits)
{
    bool found = false;
    for (size_t i = 0; i < SEARCH_INCLUDES && names[i]; i++) {
        size_t size = strlen(names[i]);
        bool is_it = strncmp(text, names[i], size) == 0 && (!text[size] || text[size] == ':');
        if (is_it || (any && strcmp(text, "*") == 0)) {
            *bits |= 1U << i;
            found = true;
        }
    }
    return found;
}

static bool read_include(struct search_request *request, const char *text, struct error *err)
{
    return read_includes(request->type->includes, text, true, &request->includes) ||
           error_set(err, ERROR_UNSUPPORTED, "_include names what is not included here");
}

static bool read_revinclude(struct search_request *request, const char *text, struct error *err)
{
    return read_includes(request->type->revincludes, text, false, &request->revincludes) ||
           error_set(err, ERROR_UNSUPPORTED, "_revinclude names what is not included here");
}

/* Said of the answer's form, which is none of ours. */
static bool read_nothing(struct search_request *request, const char *text, struct error *err)
{
    (void)request;
    (void)text;
    (void)err;
    return true;
}

static const struct result_parameter {
    const char *name;
    bool (*read)(struct search_request *request, const char *text, struct error *err);
    bool heeded; /* a link says it again */
} result_parameters[] = {
    { "_count", read_count, true },
    { "_offset", read_offset, false },
    { "_page", read_page, false },
    { "_summary", read_summary, true },
    { "_total", read_total, true },
    { "_sort", read_sort, true },
    { "_elements", read_elements, true },
    { "_include", read_include, true },
    { "_include:iterate", read_include, true },
    { "_revinclude", read_revinclude, true },
    { "_revinclude:iterate", read_revinclude, true },
    { "_format", read_nothing, true },
    { "_pretty", read_nothing, true },
};

static const struct result_parameter *find_result_parameter(const char *name)
{
    for (size_t i = 0; i < sizeof result_parameters / sizeof *result_parameters; i++)
        if (strcmp(result_parameters[i].name, name) == 0)
            return &result_parameters[i];
    return NULL;
}

/* --- all of it --- */

static void heed(struct search_request *request, const struct query_pair *pair)
{
    if (request->heeded.size)
        buffer_append_byte(&request->heeded, '&');
    text_percent_encode(slice_text(pair->name), &request->heeded);
    buffer_append_byte(&request->heeded, '=');
    text_percent_encode(slice_text(pair->value), &request->heeded);
}

static bool ignore(const struct search_input *input, const char *why, struct error *err)
{
    return !input->strict || error_set(err, ERROR_INVALID, "%s", why);
}

static bool read_pair(const struct search_input *input, const struct query_pair *pair,
                      struct search_request *request, struct error *err)
{
    const struct result_parameter *result = find_result_parameter(pair->name);
    bool known = true;
    if (!*pair->value)
        return ignore(input, "a search parameter has no value", err);
    if (result) {
        struct error why = { 0 };
        if (!result->read(request, pair->value, &why)) {
            if (why.code == ERROR_UNSUPPORTED)
                return ignore(input, why.message, err);
            return error_set(err, why.code, "%s", why.message);
        }
    } else if (!read_criterion(request, pair, &known, err)) {
        return false;
    }
    if (!known)
        return ignore(input, "a search parameter is not known here", err);
    if (!result || result->heeded)
        heed(request, pair);
    return true;
}

bool search_request_read(const struct search_input *input, struct search_request *request,
                         struct error *err)
{
    *request = (struct search_request){
        .type = input->type,
        .version = input->version,
        .base = input->base,
        .count = SEARCH_DEFAULT_COUNT,
        .heeded = buffer_up_to(SEARCH_URL_MAX),
    };
    for (size_t i = 0; i < input->count; i++)
        if (!read_pair(input, &input->pairs[i], request, err))
            return false;
    if (request->heeded.overflowed)
        return error_set(err, ERROR_LIMIT, "the search is too long");
    return true;
}
