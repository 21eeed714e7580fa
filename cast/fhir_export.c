/* SPDX-License-Identifier: MIT */
#include "cast/fhir_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "cast/fhir_search.h"
#include "cast/text.h"
#include "cast/view_answer.h"

enum {
    LINES_MAX = 256 << 20,      /* a study has no more */
    LINES_AT_ONCE = 256 * 1024, /* what is gathered before it is sent */
    URL_MAX = 16 * 1024,
    PATIENTS_AT_ONCE = 100,
    TYPES_MAX = 1024,
};

/* --- begin and status --- */

/* ",ImagingStudy,Patient," of _type; all when there is none. False: there is a type in it that is
 * not here. */
static bool is_wanted(const char *types, const char *type)
{
    size_t size = strlen(type);
    for (const char *at = types; at && *at;) {
        size_t length = strcspn(at, ",");
        if (length == size && memcmp(at, type, size) == 0)
            return true;
        at += length + (at[length] == ',');
    }
    return !types || !*types;
}

static bool check_types(const char *types, enum fhir_version version, struct error *err)
{
    for (const char *at = types; at && *at;) {
        size_t length = strcspn(at, ",");
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), at);
        if (!search_type_find(name, version))
            return error_set(err, ERROR_INVALID, "_type names a type that is not here");
        at += length + (at[length] == ',');
    }
    return !types || strlen(types) < TYPES_MAX ||
           error_set(err, ERROR_INVALID, "_type is too long");
}

static bool check(const struct request *request, enum fhir_version version, struct error *err)
{
    const char *since = request_query_value(request, "_since");
    const char *format = request_query_value(request, "_outputFormat");
    struct time_span span;
    if (since && !time_span_read(since, &span))
        return error_set(err, ERROR_INVALID, "_since is no instant");
    if (format && !strstr(format, "ndjson"))
        return error_set(err, ERROR_INVALID, "_outputFormat is application/fhir+ndjson");
    return check_types(request_query_value(request, "_type"), version, err);
}

static void append_parameter(struct buffer *url, char separator, const char *name,
                             const char *value)
{
    buffer_append_format(url, "%c%s=", separator, name);
    text_percent_encode(slice_text(value), url);
}

void fhir_export_begin(struct request *request, struct response *response, const char *base,
                       enum fhir_version version)
{
    struct buffer url = buffer_up_to(URL_MAX);
    struct error err = { 0 };
    char now[CLOCK_TEXT_SIZE];
    const char *names[] = { "_type", "_since" };
    if (!check(request, version, &err)) {
        view_answer_error(request, response, &err);
        return;
    }
    clock_format_utc(clock_unix_ms(), now);
    buffer_append_format(&url, "%s/$export-status", base);
    append_parameter(&url, '?', "at", now);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = request_query_value(request, names[i]);
        if (value)
            append_parameter(&url, '&', names[i], value);
    }
    response_header(response, "Content-Location", buffer_text(&url));
    buffer_release(&url);
    view_answer_outcome(request, response, 202, "informational", "see Content-Location");
}

static void add_output(cJSON *list, const char *base, const char *type, const char *since)
{
    struct buffer url = buffer_up_to(URL_MAX);
    cJSON *output = json_object();
    buffer_append_format(&url, "%s/$export-output/%s", base, type);
    if (since)
        append_parameter(&url, '?', "_since", since);
    json_set_text(output, "type", type);
    json_set_text(output, "url", buffer_text(&url));
    json_append_take(list, output);
    buffer_release(&url);
}

void fhir_export_status(struct request *request, struct response *response, const char *base,
                        enum fhir_version version)
{
    const char *types = request_query_value(request, "_type");
    const char *since = request_query_value(request, "_since");
    const char *at = request_query_value(request, "at");
    struct buffer body = buffer_up_to(URL_MAX * 16), asked = buffer_up_to(URL_MAX);
    struct time_span span;
    struct error err = { 0 };
    char now[CLOCK_TEXT_SIZE];
    if (!check(request, version, &err)) {
        view_answer_error(request, response, &err);
        return;
    }
    clock_format_utc(clock_unix_ms(), now);
    cJSON *manifest = json_object();
    json_set_text(manifest, "transactionTime", at && time_span_read(at, &span) ? at : now);
    buffer_append_format(&asked, "%s/$export", base);
    if (types)
        append_parameter(&asked, '?', "_type", types);
    if (since)
        append_parameter(&asked, types ? '&' : '?', "_since", since);
    json_set_text(manifest, "request", buffer_text(&asked));
    json_set_take(manifest, "requiresAccessToken", json_boolean(*request_user(request)));
    for (size_t i = 0; i < search_type_count; i++)
        if (is_wanted(types, search_types[i].name) && search_type_is_of(&search_types[i], version))
            add_output(json_need_array(manifest, "output"), base, search_types[i].name, since);
    json_need_array(manifest, "error");
    json_print(manifest, &body);
    cJSON_Delete(manifest);
    buffer_release(&asked);
    response_status(response, 200);
    response_content_type(response, "application/json");
    response_body_take(response, &body);
}

/* --- a file --- */

struct output {
    struct view_source source;
    const struct search_type *type;
    enum fhir_version version;
    int64_t since_ms;            /* INT64_MIN: all */
    char study[UID_SIZE];        /* the last one that was written */
    char page[SEARCH_PAGE_SIZE]; /* of Patients */
    bool at_end;
    struct buffer lines;
};

static bool is_recent(const struct output *output, const cJSON *resource)
{
    const char *text = json_text(json_get(resource, "meta"), "lastUpdated");
    struct time_span span;
    return !text || !time_span_read(text, &span) || span.to_ms > output->since_ms;
}

static void write_line(struct output *output, cJSON *resource)
{
    if (!is_recent(output, resource))
        return;
    fhir_version_shape(resource, output->version);
    json_print(resource, &output->lines);
    buffer_append_byte(&output->lines, '\n');
}

/* The next study in the order of UIDs: one that comes or goes meanwhile moves no other. */
static bool write_study(struct output *output, struct error *err)
{
    struct mapping mapping;
    struct error why = { 0 };
    bool found;
    char uid[UID_SIZE];
    if (!study_next(output->source.archive, output->study, uid, &found, err))
        return false;
    output->at_end = !found;
    if (!found)
        return true;
    memcpy(output->study, uid, sizeof output->study);
    if (!view_study(&output->source, uid, &mapping, &why)) {
        if (why.code == ERROR_NOT_FOUND || why.code == ERROR_GONE)
            return true;
        *err = why;
        return false;
    }
    if (!output->type->is_document)
        write_line(output, mapping.imaging_study);
    for (cJSON *each = json_first(mapping.documents); each; each = each->next)
        if (output->type->is_document &&
            strcmp(json_text(each, "resourceType"), output->type->name) == 0)
            write_line(output, each);
    mapping_release(&mapping);
    return true;
}

static void find_page(struct output *output, const cJSON *bundle)
{
    const cJSON *link = json_first(json_get(bundle, "link"));
    output->at_end = true;
    for (; link; link = link->next) {
        const char *page = strstr(json_text(link, "url"), "_page=");
        if (strcmp(json_text(link, "relation"), "next") != 0 || !page)
            continue;
        snprintf(output->page, sizeof output->page, "%s", page + strlen("_page="));
        output->at_end = false;
    }
}

/* A page of a search without criteria. */
static bool write_page(struct output *output, struct error *err)
{
    struct search_request request = {
        .type = output->type,
        .version = FHIR_R4,
        .base = "",
        .count = PATIENTS_AT_ONCE,
        .page = output->page[0] ? output->page : NULL,
        .heeded = buffer_up_to(SEARCH_URL_MAX),
    };
    cJSON *bundle = NULL;
    if (!fhir_search(&output->source, &request, &bundle, err))
        return false;
    const cJSON *entry = json_first(json_get(bundle, "entry"));
    for (; entry; entry = entry->next)
        write_line(output, json_get(entry, "resource"));
    find_page(output, bundle);
    cJSON_Delete(bundle);
    return true;
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct output *output = state;
    bool is_study = output->type->is_document || strcmp(output->type->name, "ImagingStudy") == 0;
    buffer_clear(&output->lines);
    while (!output->at_end && output->lines.size < LINES_AT_ONCE)
        if (!(is_study ? write_study(output, err) : write_page(output, err)))
            return false;
    if (!buffer_check(&output->lines, "an export", err))
        return false;
    piece->kind = output->lines.size ? PIECE_BYTES : PIECE_END;
    piece->bytes = buffer_slice(&output->lines);
    return true;
}

static void close_output(void *state)
{
    struct output *output = state;
    buffer_release(&output->lines);
    free(output);
}

void fhir_export_output(const struct view_source *source, enum fhir_version version,
                        struct request *request, struct response *response)
{
    const struct search_type *type = search_type_find(request_parameter(request, "kind"), version);
    const char *since = request_query_value(request, "_since");
    struct time_span span = { INT64_MIN / 2, 0 };
    if (!type) {
        view_answer_outcome(request, response, 404, "not-found", "there is no such output");
        return;
    }
    if (since && !time_span_read(since, &span)) {
        view_answer_outcome(request, response, 400, "invalid", "_since is no instant");
        return;
    }
    struct output *output = mem_alloc(sizeof *output);
    *output = (struct output){ .source = *source,
                               .type = type,
                               .version = version,
                               .since_ms = span.from_ms,
                               .lines = buffer_up_to(LINES_MAX) };
    const struct body_source body = { next_piece, close_output, output };
    response_status(response, 200);
    response_content_type(response, "application/fhir+ndjson");
    response_stream_take(response, &body, UINT64_MAX);
}
