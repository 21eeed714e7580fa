/* SPDX-License-Identifier: MIT */
#include "cast/fhir_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cast/capability.h"
#include "cast/fhir_export.h"
#include "cast/fhir_history.h"
#include "cast/fhir_search.h"
#include "cast/view_answer.h"
#include "http/target.h"

enum { FORM_MAX = SEARCH_URL_MAX };

struct fhir_view {
    struct view_source source;
    enum fhir_version version; /* of those who do not say one */
    char *prefix;
    bool orders; /* are taken */
};

struct fhir_view *fhir_view_new(struct archive *archive, const struct mapping_options *mapping,
                                enum fhir_version version, bool orders)
{
    struct fhir_view *view = mem_alloc(sizeof *view);
    view->source = (struct view_source){ archive, mapping };
    view->version = version == FHIR_R5 ? FHIR_R5 : FHIR_R4;
    view->prefix = mem_copy_text("");
    view->orders = orders;
    return view;
}

void fhir_view_free(struct fhir_view *view)
{
    if (!view)
        return;
    free(view->prefix);
    free(view);
}

static char *view_base(const struct fhir_view *view, const struct request *request)
{
    return mem_format("%s%s", request_base_url(request), view->prefix);
}

/* --- what there is --- */

static void metadata(struct request *request, struct response *response)
{
    const struct fhir_view *view = request_context(request);
    enum fhir_version version;
    if (!view_negotiate(request, response, view->version, &version))
        return;
    char *base = view_base(view, request);
    view_answer_take(request, response, 200, capability_statement(base, version, view->orders));
    free(base);
}

/* R4 3.1.0.1.10.1: the releases that fhirVersion may name. */
static void versions(struct request *request, struct response *response)
{
    const struct fhir_view *view = request_context(request);
    enum fhir_version version;
    if (!view_negotiate(request, response, view->version, &version))
        return;
    static const char *const names[][2] = { { "version", "4.0" },
                                            { "version", "5.0" },
                                            { "default", NULL } };
    cJSON *parameters = json_object();
    json_set_text(parameters, "resourceType", "Parameters");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cJSON *parameter = json_object();
        json_set_text(parameter, "name", names[i][0]);
        json_set_text(parameter, "valueCode",
                      names[i][1]                ? names[i][1]
                      : view->version == FHIR_R5 ? "5.0"
                                                 : "4.0");
        json_append_take(json_need_array(parameters, "parameter"), parameter);
    }
    view_answer_take(request, response, 200, parameters);
}

/* For who opens the base URL to see what it is. */
static void welcome(struct request *request, struct response *response)
{
    const struct fhir_view *view = request_context(request);
    const char *accept = request_header(request, "Accept");
    const char *number = fhir_version_number(view->version);
    if (accept && strstr(accept, "text/html")) {
        struct buffer page = buffer_up_to(16 * 1024);
        buffer_append_format(&page,
                             "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\">"
                             "<title>FHIR</title><h1>FHIR %s</h1><p>The studies of this imaging "
                             "archive, read-only.<ul><li><a href=\"%s/metadata?_pretty=true\">"
                             "metadata</a>: what can be asked",
                             number, view->prefix);
        for (size_t i = 0; i < search_type_count; i++)
            if (search_type_is_of(&search_types[i], view->version))
                buffer_append_format(&page, "<li><a href=\"%s/%s?_pretty=true\">%s</a>",
                                     view->prefix, search_types[i].name, search_types[i].name);
        buffer_append_text(&page, "</ul></html>\n");
        response_status(response, 200);
        response_content_type(response, "text/html; charset=utf-8");
        response_body_take(response, &page);
        return;
    }
    struct buffer text = buffer_up_to(4096);
    char *base = view_base(view, request);
    buffer_append_format(&text, "FHIR %s, read-only. What can be asked: %s/metadata", number, base);
    for (size_t i = 0; i < search_type_count; i++)
        if (search_type_is_of(&search_types[i], view->version))
            buffer_append_format(&text, ", %s/%s", base, search_types[i].name);
    view_answer_outcome(request, response, 200, "informational", buffer_text(&text));
    buffer_release(&text);
    free(base);
}

static void unknown(struct request *request, struct response *response)
{
    view_answer_outcome(request, response, 404, "not-supported",
                        "there is nothing of this kind here; /metadata says what there is");
}

/* --- read and vread --- */

static bool read_observation(const struct view_source *source, const char *id, cJSON **out,
                             struct error *err)
{
    return view_document(source, "Observation", id, out, err);
}

static bool read_report(const struct view_source *source, const char *id, cJSON **out,
                        struct error *err)
{
    return view_document(source, "DiagnosticReport", id, out, err);
}

static bool read_document(const struct view_source *source, const char *id, cJSON **out,
                          struct error *err)
{
    return view_document(source, "DocumentReference", id, out, err);
}

static bool read_selection(const struct view_source *source, const char *id, cJSON **out,
                           struct error *err)
{
    return view_document(source, "ImagingSelection", id, out, err);
}

static bool read_device(const struct view_source *source, const char *id, cJSON **out,
                        struct error *err)
{
    return view_document(source, "Device", id, out, err);
}

static const struct reader {
    const char *type;
    bool (*read)(const struct view_source *source, const char *id, cJSON **out, struct error *err);
} readers[] = {
    { "ImagingStudy", view_imaging_study }, { "Patient", view_patient },
    { "Endpoint", view_endpoint },          { "Observation", read_observation },
    { "DiagnosticReport", read_report },    { "DocumentReference", read_document },
    { "ImagingSelection", read_selection }, { "Device", read_device },
};

static bool read_one(const struct fhir_view *view, const char *type, const char *id, cJSON **out,
                     struct error *err)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (strcmp(readers[i].type, type) == 0)
            return readers[i].read(&view->source, id, out, err);
    return error_set(err, ERROR_NOT_FOUND, "there is no such resource");
}

/* _summary and _elements are for reads, too. */
static bool read_form(const struct request *request, struct search_request *form,
                      enum fhir_version version, const char *type, struct error *err)
{
    struct query_pair pairs[2];
    size_t count = 0;
    static const char *const names[] = { "_summary", "_elements" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = request_query_value(request, names[i]);
        if (value)
            pairs[count++] = (struct query_pair){ .name = names[i], .value = value };
    }
    const struct search_input input = {
        .type = search_type_find(type, version),
        .version = version,
        .base = "",
        .pairs = pairs,
        .count = count,
    };
    return search_request_read(&input, form, err);
}

static void read_resource(struct request *request, struct response *response, const char *type,
                          const char *wanted)
{
    const struct fhir_view *view = request_context(request);
    struct error err = { 0 };
    enum fhir_version version;
    struct search_request form = { .heeded = buffer_up_to(0) };
    cJSON *resource = NULL;
    if (!view_negotiate(request, response, view->version, &version))
        return;
    if (!search_type_find(type, version)) { /* not in this release */
        unknown(request, response);
        return;
    }
    if (!read_form(request, &form, version, type, &err) ||
        !read_one(view, type, request_parameter(request, "id"), &resource, &err)) {
        view_answer_error(request, response, &err);
        goto out;
    }
    const char *held = json_text(json_get(resource, "meta"), "versionId");
    if (wanted && (!held || strcmp(held, wanted) != 0)) {
        view_answer_outcome(request, response, 404, "not-found",
                            "this version is not kept: there is the present one only");
        goto out;
    }
    fhir_version_shape(resource, version);
    search_request_subset(&form, resource);
    view_answer_version_take(request, response, resource);
    resource = NULL;
out:
    cJSON_Delete(resource);
    search_request_release(&form);
}

/* --- searches --- */

static bool is_strict(const struct request *request)
{
    const char *prefer = request_header(request, "Prefer");
    return prefer && strstr(prefer, "handling=strict");
}

static void search(struct request *request, struct response *response, const char *type,
                   const struct query_pair *pairs, size_t count)
{
    const struct fhir_view *view = request_context(request);
    struct error err = { 0 };
    struct search_request asked = { .heeded = buffer_up_to(0) };
    cJSON *searchset = NULL;
    enum fhir_version version;
    if (!view_negotiate(request, response, view->version, &version))
        return;
    if (!search_type_find(type, version)) {
        unknown(request, response);
        return;
    }
    char *base = view_base(view, request);
    const struct search_input input = {
        .type = search_type_find(type, version),
        .version = version,
        .base = base,
        .pairs = pairs,
        .count = count,
        .strict = is_strict(request),
    };
    if (search_request_read(&input, &asked, &err) &&
        fhir_search(&view->source, &asked, &searchset, &err))
        view_answer_take(request, response, 200, searchset);
    else
        view_answer_error(request, response, &err);
    search_request_release(&asked);
    free(base);
}

static void search_type(struct request *request, struct response *response, const char *type)
{
    size_t count;
    const struct query_pair *pairs = request_query(request, &count);
    search(request, response, type, pairs, count);
}

/* POST [type]/_search: a form (R4 3.1.1.1.1). */
static bool form_open(struct request *request, struct response *response)
{
    const char *type = request_header(request, "Content-Type");
    static const char form[] = "application/x-www-form-urlencoded";
    if (type && strncmp(type, form, sizeof form - 1) != 0) {
        view_answer_outcome(request, response, 415, "not-supported",
                            "a search is posted as application/x-www-form-urlencoded");
        return true;
    }
    struct buffer *body = mem_alloc(sizeof *body);
    *body = buffer_up_to(FORM_MAX);
    request_set_state(request, body);
    return true;
}

static bool form_body(struct request *request, struct slice piece)
{
    return buffer_append(request_state(request), piece);
}

static void form_close(struct request *request, bool complete)
{
    struct buffer *body = request_state(request);
    (void)complete;
    if (body)
        buffer_release(body);
    free(body);
}

static void search_by_form(struct request *request, struct response *response, const char *type)
{
    struct buffer *body = request_state(request);
    struct buffer url = buffer_up_to(3 * FORM_MAX + 16);
    struct target target = { 0 };
    struct error err = { 0 };
    size_t count;
    const struct query_pair *pairs = request_query(request, &count);
    if (body->overflowed) {
        view_answer_outcome(request, response, 413, "too-long", "the form is too long");
        goto out;
    }
    /* In a form a space is a plus sign. */
    buffer_append_text(&url, "/?");
    for (size_t i = 0; i < body->size; i++) {
        if (body->data[i] == '+')
            buffer_append_text(&url, "%20");
        else if (body->data[i] > ' ' && body->data[i] != '#')
            buffer_append_byte(&url, body->data[i]);
    }
    if (!target_parse(buffer_text(&url), NULL, &target, &err)) {
        view_answer_error(request, response, &err);
        goto out;
    }
    struct query_pair *all = mem_alloc_array(count + target.pair_count + 1, sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = pairs[i];
    for (size_t i = 0; i < target.pair_count; i++)
        all[count + i] = target.pairs[i];
    search(request, response, type, all, count + target.pair_count);
    free(all);
out:
    target_release(&target);
    buffer_release(&url);
}

/* --- histories --- */

static void answer_history(struct request *request, struct response *response,
                           const char *study_uid)
{
    const struct fhir_view *view = request_context(request);
    struct error err = { 0 };
    enum fhir_version version;
    cJSON *bundle = NULL;
    size_t count;
    if (!view_negotiate(request, response, view->version, &version))
        return;
    char *base = view_base(view, request);
    const struct query_pair *pairs = request_query(request, &count);
    const struct search_input input = {
        .version = version,
        .base = base,
        .pairs = pairs,
        .count = count,
        .strict = is_strict(request),
    };
    if (fhir_history(&view->source, &input, study_uid, &bundle, &err))
        view_answer_take(request, response, 200, bundle);
    else
        view_answer_error(request, response, &err);
    free(base);
}

static void history_of_all(struct request *request, struct response *response)
{
    answer_history(request, response, NULL);
}

static void history_of_one(struct request *request, struct response *response)
{
    answer_history(request, response, request_parameter(request, "id"));
}

/* --- bulk --- */

static void export_begin(struct request *request, struct response *response)
{
    const struct fhir_view *view = request_context(request);
    char *base = view_base(view, request);
    fhir_export_begin(request, response, base, view->version);
    free(base);
}

static void export_status(struct request *request, struct response *response)
{
    const struct fhir_view *view = request_context(request);
    char *base = view_base(view, request);
    fhir_export_status(request, response, base, view->version);
    free(base);
}

static void export_output(struct request *request, struct response *response)
{
    const struct fhir_view *view = request_context(request);
    fhir_export_output(&view->source, view->version, request, response);
}

/* Nothing is kept that could be deleted. */
static void export_end(struct request *request, struct response *response)
{
    view_answer_outcome(request, response, 202, "informational", "it is no more");
}

/* --- what is not done --- */

static void refuse_write(struct request *request, struct response *response)
{
    response_header(response, "Allow", "GET, HEAD");
    view_answer_outcome(request, response, 405, "not-supported", "this endpoint is read-only");
}

/* --- routes: one for each type, so that they can be told of --- */

#define TYPE(name, words)                                                                          \
    static void search_##words(struct request *request, struct response *response)                 \
    {                                                                                              \
        search_type(request, response, name);                                                      \
    }                                                                                              \
    static void search_##words##_by_form(struct request *request, struct response *response)       \
    {                                                                                              \
        search_by_form(request, response, name);                                                   \
    }                                                                                              \
    static void read_##words(struct request *request, struct response *response)                   \
    {                                                                                              \
        read_resource(request, response, name, NULL);                                              \
    }                                                                                              \
    static void vread_##words(struct request *request, struct response *response)                  \
    {                                                                                              \
        read_resource(request, response, name, request_parameter(request, "version"));             \
    }

TYPE("ImagingStudy", imaging_study)
TYPE("Patient", patient)
TYPE("Endpoint", endpoint)
TYPE("Observation", an_observation)
TYPE("DiagnosticReport", a_report)
TYPE("DocumentReference", a_document)
TYPE("ImagingSelection", a_selection)
TYPE("Device", a_device)

#define FHIR     .produces = "application/fhir+json"
#define OF_READ  "_summary,_elements,_format,_pretty"
#define OF_ALL   "_id,_lastUpdated,_tag,_source,_count,_total," OF_READ
#define OF_TYPES "_sort," OF_ALL

/* What is not a route of ours is answered here too, because a FHIR client expects an
 * OperationOutcome for it. */
static const struct route routes[] = {
    { .method = "GET",
      .pattern = "",
      .respond = welcome,
      .summary = "Where to begin with the FHIR view",
      FHIR },
    { .method = "GET",
      .pattern = "/metadata",
      .respond = metadata,
      .summary = "What the FHIR view can do",
      .query = "_format,_pretty",
      FHIR },
    { .method = "GET",
      .pattern = "/$versions",
      .respond = versions,
      .summary = "The releases of FHIR that are spoken",
      .query = "_format,_pretty",
      FHIR },
    { .method = "GET",
      .pattern = "/ImagingStudy",
      .respond = search_imaging_study,
      .summary = "Studies as ImagingStudy",
      .query = "identifier,patient,subject,started,modality,series,instance,dicom-class,endpoint,"
               "status,bodysite,basedon,encounter,reason,patient.identifier,_include," OF_TYPES,
      FHIR },
    { .method = "POST",
      .pattern = "/ImagingStudy/_search",
      .respond = search_imaging_study_by_form,
      .open = form_open,
      .body = form_body,
      .close = form_close,
      .right = HTTP_READ,
      .summary = "Studies as ImagingStudy, asked for by a form",
      .query = "_format,_pretty",
      .consumes = "application/x-www-form-urlencoded",
      FHIR },
    { .method = "GET",
      .pattern = "/ImagingStudy/_history",
      .respond = history_of_all,
      .summary = "ImagingStudies by when they changed, deleted ones too",
      .query = "_since,_count,_format,_pretty",
      FHIR },
    { .method = "GET",
      .pattern = "/ImagingStudy/{id}/_history",
      .respond = history_of_one,
      .summary = "An ImagingStudy's present version, or its deletion",
      .query = "_format,_pretty",
      FHIR },
    { .method = "GET",
      .pattern = "/ImagingStudy/{id}",
      .respond = read_imaging_study,
      .summary = "An ImagingStudy",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/ImagingStudy/{id}/_history/{version}",
      .respond = vread_imaging_study,
      .summary = "An ImagingStudy, if it is of this version",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/Patient",
      .respond = search_patient,
      .summary = "Patients",
      .query = "identifier,name,family,given,birthdate,gender,_revinclude," OF_TYPES,
      FHIR },
    { .method = "POST",
      .pattern = "/Patient/_search",
      .respond = search_patient_by_form,
      .open = form_open,
      .body = form_body,
      .close = form_close,
      .right = HTTP_READ,
      .summary = "Patients, asked for by a form",
      .query = "_format,_pretty",
      .consumes = "application/x-www-form-urlencoded",
      FHIR },
    { .method = "GET",
      .pattern = "/Patient/{id}",
      .respond = read_patient,
      .summary = "A Patient",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/Patient/{id}/_history/{version}",
      .respond = vread_patient,
      .summary = "A Patient, if it is of this version",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/Endpoint",
      .respond = search_endpoint,
      .summary = "Where the studies are, as Endpoint",
      .query = "identifier,connection-type,payload-type,name,status," OF_ALL,
      FHIR },
    { .method = "POST",
      .pattern = "/Endpoint/_search",
      .respond = search_endpoint_by_form,
      .open = form_open,
      .body = form_body,
      .close = form_close,
      .right = HTTP_READ,
      .summary = "Where the studies are, as Endpoint, asked for by a form",
      .query = "_format,_pretty",
      .consumes = "application/x-www-form-urlencoded",
      FHIR },
    { .method = "GET",
      .pattern = "/Endpoint/{id}",
      .respond = read_endpoint,
      .summary = "An Endpoint",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/Endpoint/{id}/_history/{version}",
      .respond = vread_endpoint,
      .summary = "An Endpoint, if it is of this version",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/Observation",
      .respond = search_an_observation,
      .summary = "What was measured, and doses, as Observation",
      .query = "identifier,patient,subject,status,code,category,date,value-concept,component-code,"
               "derived-from,part-of,has-member,patient.identifier,_include," OF_TYPES,
      FHIR },
    { .method = "POST",
      .pattern = "/Observation/_search",
      .respond = search_an_observation_by_form,
      .open = form_open,
      .body = form_body,
      .close = form_close,
      .right = HTTP_READ,
      .summary = "What was measured, and doses, as Observation, asked for by a form",
      .query = "_format,_pretty",
      .consumes = "application/x-www-form-urlencoded",
      FHIR },
    { .method = "GET",
      .pattern = "/Observation/{id}",
      .respond = read_an_observation,
      .summary = "An Observation",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/Observation/{id}/_history/{version}",
      .respond = vread_an_observation,
      .summary = "An Observation, if it is of this version",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/DiagnosticReport",
      .respond = search_a_report,
      .summary = "Reports as DiagnosticReport",
      .query = "identifier,patient,subject,status,code,category,date,issued,conclusion,result,"
               "patient.identifier,_include," OF_TYPES,
      FHIR },
    { .method = "POST",
      .pattern = "/DiagnosticReport/_search",
      .respond = search_a_report_by_form,
      .open = form_open,
      .body = form_body,
      .close = form_close,
      .right = HTTP_READ,
      .summary = "Reports as DiagnosticReport, asked for by a form",
      .query = "_format,_pretty",
      .consumes = "application/x-www-form-urlencoded",
      FHIR },
    { .method = "GET",
      .pattern = "/DiagnosticReport/{id}",
      .respond = read_a_report,
      .summary = "A DiagnosticReport",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/DiagnosticReport/{id}/_history/{version}",
      .respond = vread_a_report,
      .summary = "A DiagnosticReport, if it is of this version",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/DocumentReference",
      .respond = search_a_document,
      .summary = "Key object selections as DocumentReference",
      .query = "identifier,patient,subject,status,type,date,contenttype,format,patient.identifier,_"
               "include," OF_TYPES,
      FHIR },
    { .method = "POST",
      .pattern = "/DocumentReference/_search",
      .respond = search_a_document_by_form,
      .open = form_open,
      .body = form_body,
      .close = form_close,
      .right = HTTP_READ,
      .summary = "Key object selections as DocumentReference, asked for by a form",
      .query = "_format,_pretty",
      .consumes = "application/x-www-form-urlencoded",
      FHIR },
    { .method = "GET",
      .pattern = "/DocumentReference/{id}",
      .respond = read_a_document,
      .summary = "A DocumentReference",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/DocumentReference/{id}/_history/{version}",
      .respond = vread_a_document,
      .summary = "A DocumentReference, if it is of this version",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/ImagingSelection",
      .respond = search_a_selection,
      .summary = "Key object selections as ImagingSelection (R5)",
      .query = "identifier,patient,subject,status,code,issued,study-uid,derived-from,patient."
               "identifier,_include," OF_TYPES,
      FHIR },
    { .method = "POST",
      .pattern = "/ImagingSelection/_search",
      .respond = search_a_selection_by_form,
      .open = form_open,
      .body = form_body,
      .close = form_close,
      .right = HTTP_READ,
      .summary = "Key object selections as ImagingSelection (R5), asked for by a form",
      .query = "_format,_pretty",
      .consumes = "application/x-www-form-urlencoded",
      FHIR },
    { .method = "GET",
      .pattern = "/ImagingSelection/{id}",
      .respond = read_a_selection,
      .summary = "An ImagingSelection (R5)",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/ImagingSelection/{id}/_history/{version}",
      .respond = vread_a_selection,
      .summary = "An ImagingSelection (R5), if it is of this version",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/Device",
      .respond = search_a_device,
      .summary = "Devices, as each study tells of them",
      .query = "identifier,manufacturer,model,device-name,status," OF_TYPES,
      FHIR },
    { .method = "POST",
      .pattern = "/Device/_search",
      .respond = search_a_device_by_form,
      .open = form_open,
      .body = form_body,
      .close = form_close,
      .right = HTTP_READ,
      .summary = "Devices, asked for by a form",
      .query = "_format,_pretty",
      .consumes = "application/x-www-form-urlencoded",
      FHIR },
    { .method = "GET",
      .pattern = "/Device/{id}",
      .respond = read_a_device,
      .summary = "A Device",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/Device/{id}/_history/{version}",
      .respond = vread_a_device,
      .summary = "A Device, if it is of this version",
      .query = OF_READ,
      FHIR },
    { .method = "GET",
      .pattern = "/$export",
      .respond = export_begin,
      .summary = "Begins a bulk export",
      .query = "_type,_since,_outputFormat",
      FHIR },
    { .method = "GET",
      .pattern = "/$export-status",
      .respond = export_status,
      .summary = "The files of a bulk export",
      .query = "_type,_since",
      .produces = "application/json" },
    { .method = "GET",
      .pattern = "/$export-output/{kind}",
      .respond = export_output,
      .summary = "All resources of a type, one a line",
      .query = "_since",
      .produces = "application/fhir+ndjson" },
    { .method = "DELETE", .pattern = "/$export-status", .respond = export_end, .right = HTTP_READ },
    { .method = "GET", .pattern = "/", .respond = welcome },
    { .method = "GET", .pattern = "/{type}", .respond = unknown },
    { .method = "GET", .pattern = "/{type}/{id}", .respond = unknown },
    { .method = "GET", .pattern = "/{type}/{id}/{rest...}", .respond = unknown },
    { .method = "POST", .pattern = "", .respond = refuse_write },
    { .method = "POST", .pattern = "/{type}", .respond = refuse_write },
    { .method = "POST", .pattern = "/{type}/{id}", .respond = refuse_write },
    { .method = "PUT", .pattern = "/{type}", .respond = refuse_write },
    { .method = "PUT", .pattern = "/{type}/{id}", .respond = refuse_write },
    { .method = "PATCH", .pattern = "/{type}", .respond = refuse_write },
    { .method = "PATCH", .pattern = "/{type}/{id}", .respond = refuse_write },
    { .method = "DELETE", .pattern = "/{type}", .respond = refuse_write },
    { .method = "DELETE", .pattern = "/{type}/{id}", .respond = refuse_write },
};

struct route_table fhir_view_routes(struct fhir_view *view, const char *prefix)
{
    free(view->prefix);
    view->prefix = mem_copy_text(prefix);
    struct route_table table = {
        .prefix = view->prefix,
        .routes = routes,
        .count = sizeof routes / sizeof *routes,
        .context = view,
    };
    return table;
}
