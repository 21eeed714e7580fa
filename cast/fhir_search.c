/* SPDX-License-Identifier: MIT */
#include "cast/fhir_search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cast/identifier.h"
#include "cast/text.h"

enum { DEFAULT_COUNT = 20, MOST_COUNT = 100, MOST_VALUES = 50, MOST_OFFSET = 1000 * 1000 };
/* Instances in one page: a page of large studies is a short one. */
enum { MOST_INSTANCES = 20 * 1000 };

static const struct search_parameter imaging_study_parameters[] = {
    { "_id", "token", "The Study Instance UID" },
    { "identifier", "token",
      "urn:dicom:uid|urn:oid:<Study Instance UID>, or an accession number or study ID" },
    { "patient", "reference", "The id of a Patient of this server" },
    { "subject", "reference", "As patient" },
};
static const struct search_parameter patient_parameters[] = {
    { "_id", "token", "The id of a Patient of this server" },
    { "identifier", "token", "A Patient ID, with or without its system" },
};
static const struct search_parameter endpoint_parameters[] = {
    { "_id", "token", "wado-rs or qido-rs" },
    { "identifier", "token", "The service with its address" },
};

const struct search_parameter *fhir_search_parameters(const char *type, size_t *count)
{
    if (strcmp(type, "ImagingStudy") == 0) {
        *count = sizeof imaging_study_parameters / sizeof *imaging_study_parameters;
        return imaging_study_parameters;
    }
    if (strcmp(type, "Patient") == 0) {
        *count = sizeof patient_parameters / sizeof *patient_parameters;
        return patient_parameters;
    }
    *count = sizeof endpoint_parameters / sizeof *endpoint_parameters;
    return endpoint_parameters;
}

/* --- what is asked for --- */

/* One value of an identifier parameter: [system|]value (R4 3.1.1.4.10). */
struct token {
    bool any_system;
    char *system;
    char *value;
};

struct values {
    char *texts[MOST_VALUES];
    size_t count;
};

struct search {
    const struct view_source *source;
    const char *type;
    struct token identifiers[MOST_VALUES];
    size_t identifier_count;
    struct values ids;
    struct values patients;
    bool by_identifier;
    bool by_id;
    bool by_patient;
    uint64_t count;
    uint64_t offset;
    /* What was found. */
    uint64_t matched;
    uint64_t given;
    size_t instances;
    bool more;
    cJSON *seen; /* object: ids */
    cJSON *entries;
    const char *base;
};

static void search_release(struct search *search)
{
    for (size_t i = 0; i < search->identifier_count; i++) {
        free(search->identifiers[i].system);
        free(search->identifiers[i].value);
    }
    for (size_t i = 0; i < search->ids.count; i++)
        free(search->ids.texts[i]);
    for (size_t i = 0; i < search->patients.count; i++)
        free(search->patients.texts[i]);
    cJSON_Delete(search->seen);
    cJSON_Delete(search->entries);
}

/* The text up to the next `,` (or, for tokens, `|`) that no backslash stands before, without the
 * backslashes. *at goes behind it and *separator tells what it was. */
static char *unescape_to(const char **at, const char *separators, char *separator)
{
    struct buffer text = buffer_up_to(IDENTIFIER_MAX * 4);
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

static bool too_many(struct error *err)
{
    return error_set(err, ERROR_LIMIT, "a parameter has more than %d values", MOST_VALUES);
}

static bool read_identifiers(struct search *search, const char *text, struct error *err)
{
    search->by_identifier = true;
    do {
        char separator;
        if (search->identifier_count == MOST_VALUES)
            return too_many(err);
        struct token *token = &search->identifiers[search->identifier_count++];
        token->value = unescape_to(&text, "|,", &separator);
        token->any_system = separator != '|';
        if (separator == '|') {
            token->system = token->value;
            token->value = unescape_to(&text, ",", &separator);
        }
        if (separator != ',')
            return true;
    } while (true);
}

static bool read_values(struct values *values, const char *text, struct error *err)
{
    char separator = ',';
    while (separator == ',') {
        if (values->count == MOST_VALUES)
            return too_many(err);
        values->texts[values->count++] = unescape_to(&text, ",", &separator);
    }
    return true;
}

/* "Patient/x", "x", or a whole URL of ours, as the id. */
static void strip_references(struct search *search, const char *base)
{
    for (size_t i = 0; i < search->patients.count; i++) {
        char *text = search->patients.texts[i];
        size_t size = strlen(base);
        const char *rest = text;
        if (strncmp(rest, base, size) == 0 && rest[size] == '/')
            rest += size + 1;
        if (strncmp(rest, "Patient/", 8) == 0)
            rest += 8;
        memmove(text, rest, strlen(rest) + 1);
    }
}

static bool read_number(const char *name, const char *text, uint64_t most, uint64_t *number,
                        struct error *err)
{
    if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 9)
        return error_set(err, ERROR_INVALID, "%s is no number", name);
    *number = strtoull(text, NULL, 10);
    if (*number > most)
        *number = most;
    return true;
}

static bool is_strict(const struct request *request)
{
    const char *prefer = request_header(request, "Prefer");
    return prefer && strstr(prefer, "handling=strict");
}

static bool is_parameter_of(const char *type, const char *name)
{
    size_t count;
    const struct search_parameter *parameters = fhir_search_parameters(type, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(parameters[i].name, name) == 0)
            return true;
    return false;
}

static bool read_parameter(struct search *search, const struct query_pair *pair, bool strict,
                           struct error *err)
{
    if (strcmp(pair->name, "_count") == 0)
        return read_number("_count", pair->value, MOST_COUNT, &search->count, err) &&
               (search->count || (search->count = 1));
    if (strcmp(pair->name, "_offset") == 0)
        return read_number("_offset", pair->value, MOST_OFFSET, &search->offset, err);
    if (strcmp(pair->name, "_format") == 0 || strcmp(pair->name, "_pretty") == 0)
        return true;
    if (!is_parameter_of(search->type, pair->name))
        return !strict || error_set(err, ERROR_INVALID, "a search parameter is not known here");
    if (strcmp(pair->name, "identifier") == 0)
        return read_identifiers(search, pair->value, err);
    if (strcmp(pair->name, "_id") == 0) {
        search->by_id = true;
        return read_values(&search->ids, pair->value, err);
    }
    search->by_patient = true;
    return read_values(&search->patients, pair->value, err);
}

static bool read_parameters(struct search *search, const struct request *request, struct error *err)
{
    size_t count;
    const struct query_pair *pairs = request_query(request, &count);
    search->count = DEFAULT_COUNT;
    for (size_t i = 0; i < count; i++)
        if (!read_parameter(search, &pairs[i], is_strict(request), err))
            return false;
    strip_references(search, search->base);
    return true;
}

/* --- what matches --- */

static bool token_fits(const struct token *token, const cJSON *identifier)
{
    const char *system = json_text(identifier, "system");
    const char *value = json_text(identifier, "value");
    if (*token->value && (!value || strcmp(value, token->value) != 0))
        return false;
    return token->any_system || strcmp(system ? system : "", token->system) == 0;
}

static bool fits_identifier(const struct search *search, const cJSON *resource)
{
    const cJSON *identifier;
    for (identifier = json_first(json_get(resource, "identifier")); identifier;
         identifier = identifier->next)
        for (size_t i = 0; i < search->identifier_count; i++)
            if (token_fits(&search->identifiers[i], identifier))
                return true;
    return !search->by_identifier;
}

static bool is_among(const struct values *values, const char *text)
{
    for (size_t i = 0; text && i < values->count; i++)
        if (strcmp(values->texts[i], text) == 0)
            return true;
    return false;
}

static bool fits(const struct search *search, const cJSON *resource)
{
    const char *subject = json_text(json_get(resource, "subject"), "reference");
    if (search->by_id && !is_among(&search->ids, json_text(resource, "id")))
        return false;
    if (search->by_patient && !(subject && strncmp(subject, "Patient/", 8) == 0 &&
                                is_among(&search->patients, subject + 8)))
        return false;
    return fits_identifier(search, resource);
}

static void add_entry_take(struct search *search, cJSON *resource)
{
    cJSON *entry = json_object();
    cJSON *mode = json_object();
    char *url = mem_format("%s/%s/%s", search->base, search->type, json_text(resource, "id"));
    json_set_text(entry, "fullUrl", url);
    json_set_take(entry, "resource", resource);
    json_set_text(mode, "mode", "match");
    json_set_take(entry, "search", mode);
    json_append_take(search->entries, entry);
    free(url);
}

/* Takes the resource; false when the page is full and there was one more. */
static bool offer_take(struct search *search, cJSON *resource)
{
    const char *id = json_text(resource, "id");
    if (json_get(search->seen, id) || !fits(search, resource)) {
        cJSON_Delete(resource);
        return true;
    }
    json_set_text(search->seen, id, "seen");
    uint64_t index = search->matched++;
    if (index < search->offset) {
        cJSON_Delete(resource);
        return true;
    }
    if (search->given >= search->count || search->instances >= MOST_INSTANCES) {
        cJSON_Delete(resource);
        search->more = true;
        return false;
    }
    const cJSON *series;
    for (series = json_first(json_get(resource, "series")); series; series = series->next)
        search->instances += (size_t)cJSON_GetArraySize(json_get(series, "instance"));
    search->given++;
    add_entry_take(search, resource);
    return true;
}

static bool is_absence(const struct error *err)
{
    return err->code == ERROR_NOT_FOUND || err->code == ERROR_GONE;
}

/* --- where to look --- */

typedef bool (*resource_maker)(const struct view_source *source, const char *key, cJSON **out,
                               struct error *err);

/* One resource by its key, when it is there. */
static bool offer(struct search *search, resource_maker make, const char *key, struct error *err)
{
    cJSON *resource = NULL;
    struct error why = { 0 };
    if (search->more)
        return true;
    if (!make(search->source, key, &resource, &why)) {
        if (is_absence(&why))
            return true;
        *err = why;
        return false;
    }
    offer_take(search, resource);
    return true;
}

/* All studies with a value of a key. */
static bool offer_studies(struct search *search, resource_maker make, uint32_t tag,
                          const char *value, struct error *err)
{
    struct view_studies studies;
    char uid[UID_SIZE];
    bool found = true;
    bool ok = true;
    if (!view_studies_open(search->source, tag, value, 0, &studies, err))
        return err->code == ERROR_INVALID; /* no value that the attribute can have */
    while (ok && !search->more) {
        ok = view_studies_next(&studies, uid, &found, err);
        if (!ok || !found)
            break;
        ok = offer(search, make, uid, err);
    }
    view_studies_close(&studies);
    return ok;
}

/* Without a criterion the page is cut where the studies are read, not where they are mapped. */
static bool offer_page(struct search *search, struct error *err)
{
    struct view_studies studies;
    char uid[UID_SIZE];
    bool found = true;
    bool ok = true;
    if (!view_studies_open(search->source, 0, NULL, search->offset, &studies, err))
        return false;
    search->matched = search->offset;
    while (ok && !search->more) {
        ok = view_studies_next(&studies, uid, &found, err);
        if (!ok || !found)
            break;
        ok = offer(search, view_imaging_study, uid, err);
    }
    view_studies_close(&studies);
    return ok;
}

static const char *study_uid_of(const struct token *token)
{
    static const char oid[] = "urn:oid:";
    bool uid_system = token->any_system || strcmp(token->system, SYSTEM_DICOM_UID) == 0;
    return uid_system && strncmp(token->value, oid, sizeof oid - 1) == 0
               ? token->value + sizeof oid - 1
               : NULL;
}

static bool imaging_studies_by_token(struct search *search, const struct token *token,
                                     struct error *err)
{
    const char *uid = study_uid_of(token);
    if (uid)
        return offer(search, view_imaging_study, uid, err);
    return !*token->value ||
           (offer_studies(search, view_imaging_study, TAG_ACCESSION_NUMBER, token->value, err) &&
            offer_studies(search, view_imaging_study, TAG_STUDY_ID, token->value, err));
}

/* The studies of a Patient: by its Patient ID, or the one study that tells of it. */
static bool imaging_studies_of(struct search *search, const char *id, struct error *err)
{
    struct error why = { 0 };
    cJSON *patient = NULL;
    if (!view_patient(search->source, id, &patient, &why)) {
        if (is_absence(&why))
            return true;
        *err = why;
        return false;
    }
    char value[FHIR_ID_SIZE];
    const char *text = json_text(identifier_of_resource(patient), "value");
    bool ok = patient_id_read(id, value) == PATIENT_ID_STUDY
                  ? offer(search, view_imaging_study, text, err)
                  : offer_studies(search, view_imaging_study, TAG_PATIENT_ID, text, err);
    cJSON_Delete(patient);
    return ok;
}

static bool search_imaging_studies(struct search *search, struct error *err)
{
    bool ok = true;
    if (search->by_id) {
        for (size_t i = 0; i < search->ids.count && ok; i++)
            ok = offer(search, view_imaging_study, search->ids.texts[i], err);
    } else if (search->by_identifier) {
        for (size_t i = 0; i < search->identifier_count && ok; i++)
            ok = imaging_studies_by_token(search, &search->identifiers[i], err);
    } else if (search->by_patient) {
        for (size_t i = 0; i < search->patients.count && ok; i++)
            ok = imaging_studies_of(search, search->patients.texts[i], err);
    } else {
        ok = offer_page(search, err);
    }
    return ok;
}

static bool patients_by_token(struct search *search, const struct token *token, struct error *err)
{
    if (!*token->value)
        return true;
    if (uid_is_valid(token->value) && !offer(search, view_patient_of_study, token->value, err))
        return false;
    return offer_studies(search, view_patient_of_study, TAG_PATIENT_ID, token->value, err);
}

static bool search_patients(struct search *search, struct error *err)
{
    bool ok = true;
    if (search->by_id) {
        for (size_t i = 0; i < search->ids.count && ok; i++)
            ok = offer(search, view_patient, search->ids.texts[i], err);
    } else if (search->by_identifier) {
        for (size_t i = 0; i < search->identifier_count && ok; i++)
            ok = patients_by_token(search, &search->identifiers[i], err);
    } else {
        ok = offer_studies(search, view_patient_of_study, 0, NULL, err);
    }
    return ok;
}

static bool search_endpoints(struct search *search, struct error *err)
{
    cJSON *endpoints[MAPPING_ENDPOINTS];
    (void)err;
    size_t count = view_endpoints(search->source, endpoints);
    for (size_t i = 0; i < count; i++)
        offer_take(search, endpoints[i]);
    return true;
}

/* --- the searchset --- */

static void add_link(cJSON *links, const char *relation, const char *url)
{
    cJSON *link = json_object();
    json_set_text(link, "relation", relation);
    json_set_text(link, "url", url);
    json_append_take(links, link);
}

/* The parameters that were heeded, spelt anew. */
static char *make_url(const struct search *search, const struct request *request, uint64_t offset)
{
    struct buffer url = buffer_up_to(64 * 1024);
    size_t count;
    const struct query_pair *pairs = request_query(request, &count);
    buffer_append_format(&url, "%s/%s?_count=%llu", search->base, search->type,
                         (unsigned long long)search->count);
    for (size_t i = 0; i < count; i++)
        if (is_parameter_of(search->type, pairs[i].name)) {
            buffer_append_format(&url, "&%s=", pairs[i].name);
            text_percent_encode(slice_text(pairs[i].value), &url);
        }
    if (offset)
        buffer_append_format(&url, "&_offset=%llu", (unsigned long long)offset);
    char *text = mem_copy_text(buffer_text(&url));
    buffer_release(&url);
    return text;
}

static cJSON *make_searchset(struct search *search, const struct request *request)
{
    cJSON *bundle = json_object();
    json_set_text(bundle, "resourceType", "Bundle");
    json_set_text(bundle, "type", "searchset");
    if (!search->more)
        json_set_integer(bundle, "total", (int64_t)search->matched);
    cJSON *links = json_array();
    char *self = make_url(search, request, search->offset);
    add_link(links, "self", self);
    if (search->more) {
        char *next = make_url(search, request, search->offset + search->given);
        add_link(links, "next", next);
        free(next);
    }
    json_set_take(bundle, "link", links);
    json_set_take(bundle, "entry", search->entries);
    search->entries = NULL;
    free(self);
    return bundle;
}

bool fhir_search(const struct view_source *source, const char *base, const char *type,
                 const struct request *request, cJSON **out, struct error *err)
{
    struct search search = { .source = source, .base = base, .type = type };
    bool ok = false;
    *out = NULL;
    search.seen = json_object();
    search.entries = json_array();
    if (!read_parameters(&search, request, err))
        goto out;
    if (strcmp(type, "ImagingStudy") == 0)
        ok = search_imaging_studies(&search, err);
    else if (strcmp(type, "Patient") == 0)
        ok = search_patients(&search, err);
    else
        ok = search_endpoints(&search, err);
    if (ok)
        *out = make_searchset(&search, request);
out:
    search_release(&search);
    return ok;
}
