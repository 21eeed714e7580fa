/* SPDX-License-Identifier: MIT */
#include "cast/search_entries.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "cast/identifier.h"

enum {
    MOST_INSTANCES = 20 * 1000, /* in a page: one of large studies is a short one */
    MOST_INCLUDED = 1000,       /* resources beside the matches */
};

void search_entries_init(struct search_entries *entries, const struct view_source *source,
                         const struct search_request *request)
{
    *entries = (struct search_entries){
        .source = source,
        .request = request,
        .now_ms = clock_unix_ms(),
        .seen = json_object(),
        .shown = json_object(),
        .list = json_array(),
    };
}

void search_entries_release(struct search_entries *entries)
{
    cJSON_Delete(entries->seen);
    cJSON_Delete(entries->shown);
    cJSON_Delete(entries->list);
}

void search_entries_begin_again(struct search_entries *entries)
{
    cJSON_Delete(entries->seen);
    entries->seen = json_object();
    entries->matched = 0;
    entries->sorted = NULL;
}

bool search_entries_seen(const struct search_entries *entries, const char *id)
{
    return json_get(entries->seen, id) != NULL;
}

static void append_take(struct search_entries *entries, cJSON *resource, const char *mode)
{
    cJSON *entry = json_object();
    cJSON *search = json_object();
    const char *id = json_text(resource, "id");
    if (id) {
        char *url = mem_format("%s/%s/%s", entries->request->base,
                               json_text(resource, "resourceType"), id);
        json_set_text(entry, "fullUrl", url);
        free(url);
    }
    json_set_take(entry, "resource", resource);
    json_set_text(search, "mode", mode);
    json_set_take(entry, "search", search);
    json_append_take(entries->list, entry);
}

static size_t count_instances(const cJSON *resource)
{
    size_t count = 0;
    const cJSON *series;
    for (series = json_first(json_get(resource, "series")); series; series = series->next)
        count += (size_t)cJSON_GetArraySize(json_get(series, "instance"));
    return count;
}

void search_entries_offer(struct search_entries *entries, cJSON **resource, const cJSON *patient)
{
    const char *id = json_text(*resource, "id");
    if (entries->more || search_entries_seen(entries, id) ||
        !search_request_fits(entries->request, *resource, patient, entries->now_ms))
        return;
    bool is_looked_at_only = entries->counting || entries->sorted;
    bool is_passed = entries->skip > 0;
    bool is_full = entries->given >= entries->request->count ||
                   (entries->given && entries->instances >= MOST_INSTANCES);
    if (!is_looked_at_only && !is_passed && is_full) {
        entries->more = true;
        return;
    }
    json_set_text(entries->seen, id, "seen");
    entries->matched++;
    if (entries->sorted)
        search_sorted_add(entries->sorted, *resource);
    if (is_passed) {
        entries->skip--;
        return;
    }
    if (is_looked_at_only)
        return;
    entries->instances += count_instances(*resource);
    entries->given++;
    append_take(entries, *resource, "match");
    *resource = NULL;
}

/* --- what belongs to them --- */

static bool is_asked(unsigned bits, const char *const *names, const char *name)
{
    for (size_t i = 0; i < SEARCH_INCLUDES && names[i]; i++)
        if (bits & 1U << i && strcmp(strchr(names[i], ':') + 1, name) == 0)
            return true;
    return false;
}

static bool show_once(struct search_entries *entries, const char *reference)
{
    if (json_get(entries->shown, reference))
        return false;
    json_set_text(entries->shown, reference, "shown");
    if (cJSON_GetArraySize(entries->shown) > MOST_INCLUDED)
        entries->cut = true;
    return !entries->cut;
}

typedef bool (*read_function)(const struct view_source *source, const char *id, cJSON **out,
                              struct error *err);

static bool include(struct search_entries *entries, const cJSON *reference, read_function read,
                    struct error *err)
{
    const char *text = json_text(reference, "reference");
    const char *id = text ? strchr(text, '/') : NULL;
    struct error why = { 0 };
    cJSON *resource = NULL;
    if (!id || !show_once(entries, text))
        return true;
    if (read(entries->source, id + 1, &resource, &why)) {
        append_take(entries, resource, "include");
        return true;
    }
    if (why.code == ERROR_NOT_FOUND || why.code == ERROR_GONE)
        return true; /* deleted meanwhile */
    *err = why;
    return false;
}

static bool include_of_study(struct search_entries *entries, const cJSON *imaging_study,
                             struct error *err)
{
    const struct search_request *request = entries->request;
    const char *const *names = request->type->includes;
    bool ok = true;
    if (is_asked(request->includes, names, "patient") ||
        is_asked(request->includes, names, "subject"))
        ok = include(entries, json_get(imaging_study, "subject"), view_patient, err);
    if (is_asked(request->includes, names, "endpoint")) {
        const cJSON *each = json_first(json_get(imaging_study, "endpoint"));
        for (; each && ok; each = each->next)
            ok = include(entries, each, view_endpoint, err);
    }
    return ok;
}

static bool include_study(struct search_entries *entries, const char *uid, const char *patient,
                          struct error *err)
{
    cJSON *imaging_study = NULL;
    struct error why = { 0 };
    char *reference = mem_format("ImagingStudy/%s", uid);
    bool ok = true;
    if (json_get(entries->shown, reference))
        goto out;
    if (!view_imaging_study(entries->source, uid, &imaging_study, &why)) {
        if (why.code != ERROR_NOT_FOUND && why.code != ERROR_GONE) {
            *err = why;
            ok = false;
        }
        goto out;
    }
    const char *subject = json_text(json_get(imaging_study, "subject"), "reference");
    if (!subject || strncmp(subject, "Patient/", 8) != 0 || strcmp(subject + 8, patient) != 0 ||
        !show_once(entries, reference))
        goto out;
    entries->instances += count_instances(imaging_study);
    append_take(entries, imaging_study, "include");
    imaging_study = NULL;
    if (entries->instances >= MOST_INSTANCES)
        entries->cut = true;
out:
    cJSON_Delete(imaging_study);
    free(reference);
    return ok;
}

/* The studies of a Patient. */
static bool revinclude(struct search_entries *entries, const cJSON *patient, struct error *err)
{
    const char *id = json_text(patient, "id");
    const char *text = json_text(identifier_of_resource(patient), "value");
    const struct view_key key = { LEVEL_PATIENT, TAG_PATIENT_ID, text, true };
    char value[FHIR_ID_SIZE], uid[UID_SIZE];
    struct view_studies studies;
    bool found = true;
    bool ok = true;
    if (patient_id_read(id, value) == PATIENT_ID_STUDY)
        return include_study(entries, value, id, err);
    if (!view_studies_open(entries->source, &key, 1, 0, &studies, err))
        return false;
    while (ok && !entries->cut) {
        ok = view_studies_next(&studies, uid, &found, err);
        if (!ok || !found)
            break;
        ok = include_study(entries, uid, id, err);
    }
    view_studies_close(&studies);
    return ok;
}

static void tell(struct search_entries *entries, const char *code, const char *text)
{
    cJSON *outcome = json_object();
    cJSON *issue = json_object();
    json_set_text(outcome, "resourceType", "OperationOutcome");
    json_set_text(issue, "severity", "warning");
    json_set_text(issue, "code", code);
    json_set_text(issue, "diagnostics", text);
    json_append_take(json_need_array(outcome, "issue"), issue);
    append_take(entries, outcome, "outcome");
}

bool search_entries_include(struct search_entries *entries, struct error *err)
{
    const struct search_request *request = entries->request;
    uint64_t left = entries->given;
    bool ok = true;
    const cJSON *each = json_first(entries->list);
    for (; each && left && ok; each = each->next, left--) {
        const cJSON *resource = json_get(each, "resource");
        if (request->includes)
            ok = include_of_study(entries, resource, err);
        if (ok && request->revincludes)
            ok = revinclude(entries, resource, err);
    }
    /* R4 3.1.1.5.4: what is left out must not look as if it were not there. */
    if (ok && entries->cut)
        tell(entries, "too-costly",
             "not everything is included: there is too much of it for one page");
    if (ok && request->order_refused)
        tell(entries, "not-supported",
             "_sort was left out: there is no such order, /metadata says which there are");
    return ok;
}

/* --- the Bundle --- */

static void add_link(const struct search_entries *entries, cJSON *links, const char *relation,
                     const char *place)
{
    const struct search_request *request = entries->request;
    struct buffer url = buffer_up_to(2 * SEARCH_URL_MAX);
    const struct buffer *heeded = &request->heeded;
    buffer_append_format(&url, "%s/%s", request->base, request->type->name);
    if (heeded->size) {
        buffer_append_byte(&url, '?');
        buffer_append(&url, buffer_slice(heeded));
    }
    if (place && *place)
        buffer_append_format(&url, "%c%s", heeded->size ? '&' : '?', place);
    cJSON *link = json_object();
    json_set_text(link, "relation", relation);
    json_set_text(link, "url", buffer_text(&url));
    json_append_take(links, link);
    buffer_release(&url);
}

cJSON *search_entries_bundle(struct search_entries *entries, const char *here, const char *next,
                             const uint64_t *total)
{
    cJSON *bundle = json_object();
    cJSON *links = json_array();
    cJSON *each;
    json_set_text(bundle, "resourceType", "Bundle");
    json_set_text(bundle, "type", "searchset");
    if (total)
        json_set_integer(bundle, "total", (int64_t)*total);
    add_link(entries, links, "self", here);
    if (entries->request->summary != SUMMARY_COUNT) {
        add_link(entries, links, "first", NULL);
        if (next)
            add_link(entries, links, "next", next);
    }
    json_set_take(bundle, "link", links);
    for (each = json_first(entries->list); each; each = each->next) {
        cJSON *resource = json_get(each, "resource");
        fhir_version_shape(resource, entries->request->version);
        if (strcmp(json_text(resource, "resourceType"), entries->request->type->name) == 0)
            search_request_subset(entries->request, resource);
    }
    json_set_take(bundle, "entry", entries->list);
    entries->list = NULL;
    return bundle;
}
