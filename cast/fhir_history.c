/* SPDX-License-Identifier: MIT */
#include "cast/fhir_history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/study.h"
#include "base/clock.h"
#include "base/memory.h"
#include "cast/bundle.h"
#include "cast/view_changes.h"

enum {
    MOST_CHANGES = 200 * 1000, /* that are looked at for one page */
    MOST_INSTANCES = 20 * 1000,
};

struct history {
    const struct view_source *source;
    const struct search_input *input;
    uint64_t count;
    int64_t since_ms;
    const char *since; /* as it was asked for, or NULL */
    uint64_t before;
    cJSON *entries;
    size_t instances;
};

static bool read_count(const char *text, uint64_t *count, struct error *err)
{
    if (!*text || strlen(text) > 9 || strspn(text, "0123456789") != strlen(text))
        return error_set(err, ERROR_INVALID, "_count is no number");
    *count = strtoull(text, NULL, 10);
    if (*count > SEARCH_MOST_COUNT || !*count)
        *count = SEARCH_MOST_COUNT;
    return true;
}

static bool read_since(struct history *history, const char *text, struct error *err)
{
    struct time_span span;
    if (!time_span_read(text, &span))
        return error_set(err, ERROR_INVALID, "_since is no instant");
    history->since = text;
    history->since_ms = span.from_ms;
    return true;
}

static bool read_page(const char *text, uint64_t *before, struct error *err)
{
    if (!*text || strlen(text) > 16 || strspn(text, "0123456789abcdef") != strlen(text))
        return error_set(err, ERROR_INVALID, "_page is none that was given out");
    *before = strtoull(text, NULL, 16);
    return true;
}

static bool read_parameters(struct history *history, struct error *err)
{
    const struct search_input *input = history->input;
    for (size_t i = 0; i < input->count; i++) {
        const char *name = input->pairs[i].name, *value = input->pairs[i].value;
        bool ok = true;
        if (strcmp(name, "_count") == 0)
            ok = read_count(value, &history->count, err);
        else if (strcmp(name, "_since") == 0)
            ok = read_since(history, value, err);
        else if (strcmp(name, "_page") == 0)
            ok = read_page(value, &history->before, err);
        else if (input->strict && strcmp(name, "_format") != 0 && strcmp(name, "_pretty") != 0)
            ok = error_set(err, ERROR_INVALID, "a parameter of a history is not known here");
        if (!ok)
            return false;
    }
    return true;
}

/* --- entries --- */

static void add_take(struct history *history, const char *uid, cJSON *resource, int64_t at_ms)
{
    char text[CLOCK_TEXT_SIZE], etag[ETAG_SIZE] = "";
    cJSON *entry = json_object(), *request = json_object(), *response = json_object();
    char *url = mem_format("ImagingStudy/%s", uid);
    char *full = mem_format("%s/%s", history->input->base, url);
    json_set_text(entry, "fullUrl", full);
    json_set_text(request, "method", resource ? "PUT" : "DELETE");
    json_set_text(request, "url", url);
    json_set_text(response, "status", resource ? "200" : "204");
    if (resource) {
        bundle_etag(resource, etag);
        fhir_version_shape(resource, history->input->version);
        json_set_take(entry, "resource", resource);
    }
    clock_format_utc(at_ms, text);
    json_set_text(response, "etag", etag);
    json_set_text(response, "lastModified", text);
    json_set_take(entry, "request", request);
    json_set_take(entry, "response", response);
    json_append_take(history->entries, entry);
    free(full);
    free(url);
}

static size_t count_instances(const cJSON *resource)
{
    size_t count = 0;
    const cJSON *series;
    for (series = json_first(json_get(resource, "series")); series; series = series->next)
        count += (size_t)cJSON_GetArraySize(json_get(series, "instance"));
    return count;
}

static bool add_change(struct history *history, const struct view_change *change, struct error *err)
{
    cJSON *resource = NULL;
    struct error why = { 0 };
    if (!change->is_gone && !view_imaging_study(history->source, change->study, &resource, &why)) {
        if (why.code == ERROR_NOT_FOUND || why.code == ERROR_GONE)
            return true; /* gone meanwhile: the next poll tells of it */
        *err = why;
        return false;
    }
    history->instances += count_instances(resource);
    add_take(history, change->study, resource, change->at_ms);
    return true;
}

static bool add_all(struct history *history, uint64_t *next, struct error *err)
{
    struct view_changes changes;
    struct view_change change;
    bool found = true;
    bool ok = true;
    uint64_t given = 0;
    if (!view_changes_open(&changes, history->source, history->before, history->since_ms, false,
                           err))
        return false;
    while (ok && found && given < history->count && history->instances < MOST_INSTANCES &&
           changes.examined < MOST_CHANGES) {
        ok = view_changes_next(&changes, MOST_CHANGES - changes.examined, &change, &found, err);
        if (ok && found) {
            ok = add_change(history, &change, err);
            given++;
        }
    }
    *next = changes.next;
    view_changes_close(&changes);
    return ok;
}

/* --- the Bundle --- */

static void add_link(cJSON *links, const char *relation, const struct history *history,
                     const char *study_uid, uint64_t before)
{
    struct buffer url = buffer_up_to(4096);
    cJSON *link = json_object();
    buffer_append_format(&url, "%s/ImagingStudy", history->input->base);
    if (study_uid)
        buffer_append_format(&url, "/%s", study_uid);
    buffer_append_format(&url, "/_history?_count=%llu", (unsigned long long)history->count);
    if (history->since) {
        buffer_append_text(&url, "&_since=");
        for (const char *at = history->since; *at; at++)
            buffer_append_text(&url, *at == '+' || *at == ' ' ? "%2B" : (char[]){ *at, 0 });
    }
    if (before)
        buffer_append_format(&url, "&_page=%llx", (unsigned long long)before);
    json_set_text(link, "relation", relation);
    json_set_text(link, "url", buffer_text(&url));
    json_append_take(links, link);
    buffer_release(&url);
}

static bool add_one(struct history *history, const char *study_uid, struct error *err)
{
    cJSON *resource = NULL;
    int64_t gone_ms = 0;
    bool found = false;
    struct time_span span = { 0, 0 };
    struct error why = { 0 };
    if (view_imaging_study(history->source, study_uid, &resource, &why)) {
        const char *text = json_text(json_get(resource, "meta"), "lastUpdated");
        if (text)
            time_span_read(text, &span);
        if (span.from_ms >= history->since_ms)
            add_take(history, study_uid, resource, span.from_ms);
        else
            cJSON_Delete(resource);
        return true;
    }
    if (why.code == ERROR_GONE &&
        study_gone_at(history->source->archive, study_uid, &gone_ms, &found, err) && found) {
        if (gone_ms >= history->since_ms)
            add_take(history, study_uid, NULL, gone_ms);
        return true;
    }
    *err = why;
    return false;
}

bool fhir_history(const struct view_source *source, const struct search_input *input,
                  const char *study_uid, cJSON **out, struct error *err)
{
    struct history history = { .source = source,
                               .input = input,
                               .count = SEARCH_DEFAULT_COUNT,
                               .since_ms = INT64_MIN / 2,
                               .entries = json_array() };
    uint64_t next = 0;
    *out = NULL;
    if (!read_parameters(&history, err) ||
        !(study_uid ? add_one(&history, study_uid, err) : add_all(&history, &next, err))) {
        cJSON_Delete(history.entries);
        return false;
    }
    cJSON *bundle = json_object();
    cJSON *links = json_array();
    json_set_text(bundle, "resourceType", "Bundle");
    json_set_text(bundle, "type", "history");
    if (study_uid)
        json_set_integer(bundle, "total", cJSON_GetArraySize(history.entries));
    add_link(links, "self", &history, study_uid, history.before);
    if (next)
        add_link(links, "next", &history, study_uid, next);
    json_set_take(bundle, "link", links);
    json_set_take(bundle, "entry", history.entries);
    *out = bundle;
    return true;
}
