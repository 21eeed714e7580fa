/* SPDX-License-Identifier: MIT */
#include "cast/view_answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/memory.h"
#include "cast/bundle.h"
#include "cast/search_date.h"

enum { BODY_MAX = 256 << 20 };

/* --- what is wanted --- */

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

/* The value of the parameter fhirVersion, in quotes or not. False: there is none. */
static bool version_in(const char *text, char version[16])
{
    static const char name[] = "fhirVersion=";
    const char *at = text ? strcasestr(text, name) : NULL;
    if (!at)
        return false;
    at += sizeof name - 1;
    at += *at == '"';
    size_t size = strspn(at, "0123456789.");
    size = size < 15 ? size : 15;
    memcpy(version, at, size);
    version[size] = 0;
    return true;
}

bool view_negotiate(const struct request *request, struct response *response,
                    enum fhir_version usual, enum fhir_version *version)
{
    char text[16];
    *version = usual;
    response_header(response, "Vary", "Accept");
    if (!wants_json(request)) {
        view_answer_outcome(request, response, 406, "not-supported",
                            "only application/fhir+json is given here");
        return false;
    }
    if ((version_in(request_query_value(request, "_format"), text) ||
         version_in(request_header(request, "Accept"), text)) &&
        !fhir_version_of(text, version)) {
        view_answer_outcome(request, response, 406, "not-supported",
                            "FHIR 4.0 and 5.0 are spoken here");
        return false;
    }
    return true;
}

/* --- answers --- */

/* A browser shows application/json, and offers to save what it has not heard of. */
static const char *content_type(const struct request *request)
{
    const char *accept = request_header(request, "Accept");
    char version[16];
    if (accept && strstr(accept, "text/html"))
        return "application/json; charset=utf-8";
    if (!version_in(request_query_value(request, "_format"), version) &&
        !version_in(accept, version))
        return "application/fhir+json; charset=utf-8";
    return version[0] == '5' ? "application/fhir+json; fhirVersion=5.0; charset=utf-8"
                             : "application/fhir+json; fhirVersion=4.0; charset=utf-8";
}

static bool wants_pretty(const struct request *request)
{
    const char *pretty = request_query_value(request, "_pretty");
    return pretty && strcmp(pretty, "true") == 0;
}

void view_answer_take(const struct request *request, struct response *response, int status,
                      cJSON *resource)
{
    struct buffer body = buffer_up_to(BODY_MAX);
    if (wants_pretty(request)) {
        char *text = cJSON_Print(resource);
        if (!text)
            abort();
        buffer_append_text(&body, text);
        cJSON_free(text);
    } else {
        json_print(resource, &body);
    }
    cJSON_Delete(resource);
    response_status(response, status);
    response_content_type(response, content_type(request));
    response_body_take(response, &body);
}

void view_answer_outcome(const struct request *request, struct response *response, int status,
                         const char *code, const char *text)
{
    cJSON *outcome = json_object();
    cJSON *issue = json_object();
    json_set_text(outcome, "resourceType", "OperationOutcome");
    json_set_text(issue, "severity", status < 400 ? "information" : "error");
    json_set_text(issue, "code", code);
    json_set_text(issue, "diagnostics", text);
    json_append_take(json_need_array(outcome, "issue"), issue);
    view_answer_take(request, response, status, outcome);
}

/* Codes of http://hl7.org/fhir/issue-type. */
static const char *issue_code(int status)
{
    switch (status) {
    case 400:
        return "invalid";
    case 404:
        return "not-found";
    case 406:
        return "not-supported";
    case 409:
        return "conflict";
    case 410:
        return "deleted";
    case 413:
        return "too-costly";
    case 503:
        return "transient";
    case 504:
        return "timeout";
    case 507:
        return "no-store";
    default:
        return "exception";
    }
}

void view_answer_error(const struct request *request, struct response *response,
                       const struct error *err)
{
    int status = http_status_of(err->code);
    view_answer_outcome(request, response, status, issue_code(status), err->message);
}

/* --- what the client has already --- */

/* "Sat, 21 Nov 2026 18:50:40 GMT" (RFC 9110 5.6.7) of an instant. */
static bool http_date(const char *instant, char text[64], int64_t *seconds)
{
    struct time_span span;
    struct tm parts;
    if (!instant || !time_span_read(instant, &span))
        return false;
    *seconds = span.from_ms / 1000;
    time_t time = (time_t)*seconds;
    return gmtime_r(&time, &parts) && strftime(text, 64, "%a, %d %b %Y %H:%M:%S GMT", &parts) > 0;
}

static bool is_unmodified(const struct request *request, int64_t seconds)
{
    const char *since = request_header(request, "If-Modified-Since");
    struct tm parts = { 0 };
    const char *end = since ? strptime(since, "%a, %d %b %Y %H:%M:%S GMT", &parts) : NULL;
    return end && !*end && !request_header(request, "If-None-Match") &&
           seconds <= (int64_t)timegm(&parts);
}

void view_answer_version_take(const struct request *request, struct response *response,
                              cJSON *resource)
{
    char etag[ETAG_SIZE], date[64];
    int64_t seconds = 0;
    bool dated = http_date(json_text(json_get(resource, "meta"), "lastUpdated"), date, &seconds);
    bundle_etag(resource, etag);
    if (dated)
        response_header(response, "Last-Modified", date);
    bool known = *etag && response_etag(response, request, etag);
    if (!known && dated && is_unmodified(request, seconds)) {
        response_status(response, 304);
        known = true;
    }
    if (known)
        cJSON_Delete(resource);
    else
        view_answer_take(request, response, 200, resource);
}
