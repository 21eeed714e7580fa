/* SPDX-License-Identifier: MIT */
#include "cast/fhir_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cast/bundle.h"
#include "cast/capability.h"
#include "cast/fhir_search.h"

enum { BODY_MAX = 256 << 20 };

struct fhir_view {
    struct view_source source;
    char *prefix;
};

struct fhir_view *fhir_view_new(struct archive *archive, const struct mapping_options *mapping)
{
    struct fhir_view *view = mem_alloc(sizeof *view);
    view->source = (struct view_source){ archive, mapping };
    view->prefix = mem_copy_text("");
    return view;
}

void fhir_view_free(struct fhir_view *view)
{
    if (!view)
        return;
    free(view->prefix);
    free(view);
}

/* --- answers --- */

/* A browser shows application/json, and offers to save what it has not heard of. */
static const char *content_type(const struct request *request)
{
    const char *accept = request_header(request, "Accept");
    return accept && strstr(accept, "text/html") ? "application/json; charset=utf-8"
                                                 : "application/fhir+json; charset=utf-8";
}

/* Takes the resource. */
static void answer_take(const struct request *request, struct response *response, int status,
                        cJSON *resource)
{
    struct buffer body = buffer_up_to(BODY_MAX);
    json_print(resource, &body);
    cJSON_Delete(resource);
    response_status(response, status);
    response_content_type(response, content_type(request));
    response_body_take(response, &body);
}

static void answer_outcome(const struct request *request, struct response *response, int status,
                           const char *code, const char *text)
{
    cJSON *outcome = json_object();
    cJSON *issue = json_object();
    json_set_text(outcome, "resourceType", "OperationOutcome");
    json_set_text(issue, "severity", "error");
    json_set_text(issue, "code", code);
    json_set_text(issue, "diagnostics", text);
    json_append_take(json_need_array(outcome, "issue"), issue);
    answer_take(request, response, status, outcome);
}

/* Codes of http://hl7.org/fhir/issue-type. */
static const char *issue_code(int status)
{
    switch (status) {
    case 400:
        return "invalid";
    case 404:
        return "not-found";
    case 410:
        return "deleted";
    case 413:
        return "too-costly";
    case 503:
        return "transient";
    default:
        return "exception";
    }
}

static void answer_error(const struct request *request, struct response *response,
                         const struct error *err)
{
    int status = http_status_of(err->code);
    answer_outcome(request, response, status, issue_code(status), err->message);
}

/* Only JSON is spoken here; without a word about it, that is what the client gets. */
static bool wants_json(const struct request *request)
{
    const char *format = request_query_value(request, "_format");
    const char *accept = request_header(request, "Accept");
    if (format)
        return strstr(format, "json") != NULL;
    return !accept || strstr(accept, "json") || strstr(accept, "*/*") ||
           strstr(accept, "application/*");
}

static bool check_format(const struct request *request, struct response *response)
{
    if (wants_json(request))
        return true;
    answer_outcome(request, response, 406, "not-supported",
                   "only application/fhir+json is given here");
    return false;
}

static char *view_base(const struct fhir_view *view, const struct request *request)
{
    return mem_format("%s%s", request_base_url(request), view->prefix);
}

/* --- interactions --- */

static void metadata(struct request *request, struct response *response)
{
    const struct fhir_view *view = request_context(request);
    if (!check_format(request, response))
        return;
    char *base = view_base(view, request);
    answer_take(request, response, 200, capability_statement(base));
    free(base);
}

static void read_resource(struct request *request, struct response *response,
                          bool (*make)(const struct view_source *source, const char *id,
                                       cJSON **out, struct error *err))
{
    const struct fhir_view *view = request_context(request);
    struct error err;
    cJSON *resource = NULL;
    char etag[ETAG_SIZE];
    if (!check_format(request, response))
        return;
    if (!make(&view->source, request_parameter(request, "id"), &resource, &err)) {
        answer_error(request, response, &err);
        return;
    }
    bundle_etag(resource, etag);
    const char *known = request_header(request, "If-None-Match");
    if (*etag)
        response_header(response, "ETag", etag);
    if (*etag && known && strcmp(known, etag) == 0) {
        cJSON_Delete(resource);
        response_status(response, 304);
        return;
    }
    answer_take(request, response, 200, resource);
}

static void read_imaging_study(struct request *request, struct response *response)
{
    read_resource(request, response, view_imaging_study);
}

static void read_patient(struct request *request, struct response *response)
{
    read_resource(request, response, view_patient);
}

static void read_endpoint(struct request *request, struct response *response)
{
    read_resource(request, response, view_endpoint);
}

static void search_type(struct request *request, struct response *response, const char *type)
{
    const struct fhir_view *view = request_context(request);
    struct error err;
    cJSON *searchset = NULL;
    if (!check_format(request, response))
        return;
    char *base = view_base(view, request);
    if (fhir_search(&view->source, base, type, request, &searchset, &err))
        answer_take(request, response, 200, searchset);
    else
        answer_error(request, response, &err);
    free(base);
}

static void search_imaging_studies(struct request *request, struct response *response)
{
    search_type(request, response, "ImagingStudy");
}

static void search_patients(struct request *request, struct response *response)
{
    search_type(request, response, "Patient");
}

static void search_endpoints(struct request *request, struct response *response)
{
    search_type(request, response, "Endpoint");
}

static void unknown(struct request *request, struct response *response)
{
    answer_outcome(request, response, 404, "not-supported",
                   "here are ImagingStudy, Patient, Endpoint and metadata");
}

static void refuse_write(struct request *request, struct response *response)
{
    response_header(response, "Allow", "GET, HEAD");
    answer_outcome(request, response, 405, "not-supported", "this endpoint is read-only");
}

/* What is not a route of ours is answered here too, because a FHIR client expects an
 * OperationOutcome for it. */
#define FHIR .query = "_format", .produces = "application/fhir+json"

static const struct route routes[] = {
    { .method = "GET",
      .pattern = "/metadata",
      .respond = metadata,
      .summary = "What the FHIR view can do",
      FHIR },
    { .method = "GET",
      .pattern = "/ImagingStudy",
      .respond = search_imaging_studies,
      .summary = "Studies as ImagingStudy",
      FHIR },
    { .method = "GET",
      .pattern = "/ImagingStudy/{id}",
      .respond = read_imaging_study,
      .summary = "An ImagingStudy",
      FHIR },
    { .method = "GET",
      .pattern = "/Patient",
      .respond = search_patients,
      .summary = "Patients",
      FHIR },
    { .method = "GET",
      .pattern = "/Patient/{id}",
      .respond = read_patient,
      .summary = "A Patient",
      FHIR },
    { .method = "GET",
      .pattern = "/Endpoint",
      .respond = search_endpoints,
      .summary = "Where the studies are, as Endpoint",
      FHIR },
    { .method = "GET",
      .pattern = "/Endpoint/{id}",
      .respond = read_endpoint,
      .summary = "An Endpoint",
      FHIR },
    { .method = "GET", .pattern = "/{type}", .respond = unknown },
    { .method = "GET", .pattern = "/{type}/{id}", .respond = unknown },
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
