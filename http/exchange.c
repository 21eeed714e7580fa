/* SPDX-License-Identifier: MIT */
#include "http/exchange.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/memory.h"
#include "http/negotiate.h"

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    { 200, "OK" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 206, "Partial Content" },
    { 304, "Not Modified" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 411, "Length Required" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 416, "Range Not Satisfiable" },
    { 417, "Expectation Failed" },
    { 422, "Unprocessable Content" },
    { 426, "Upgrade Required" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
    { 507, "Insufficient Storage" },
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "";
}

int http_status_of(enum error_code code)
{
    switch (code) {
    case ERROR_NONE:
        return 200;
    case ERROR_INVALID:
        return 400;
    case ERROR_MISMATCH:
    case ERROR_CONFLICT:
        return 409;
    case ERROR_UNSUPPORTED:
        return 406;
    case ERROR_NOT_FOUND:
        return 404;
    case ERROR_GONE:
        return 410;
    case ERROR_LIMIT:
        return 413;
    case ERROR_NO_SPACE:
        return 507;
    case ERROR_BUSY:
    case ERROR_STOPPED:
        return 503;
    case ERROR_TIMEOUT:
        return 504;
    case ERROR_IO:
    case ERROR_CORRUPT:
    case ERROR_CLOSED:
        break;
    }
    return 500;
}

void *request_context(const struct request *request)
{
    return request->match.context;
}

void request_set_state(struct request *request, void *state)
{
    request->state = state;
}

void *request_state(const struct request *request)
{
    return request->state;
}

const char *request_method(const struct request *request)
{
    return request->method;
}

const char *request_path(const struct request *request)
{
    return request->target.path;
}

const char *request_parameter(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->match.parameter_count; i++)
        if (strcmp(request->match.names[i], name) == 0)
            return request->match.values[i];
    return NULL;
}

const char *request_header(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return NULL;
}

const struct query_pair *request_query(const struct request *request, size_t *count)
{
    *count = request->target.pair_count;
    return request->target.pairs;
}

const char *request_query_value(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->target.pair_count; i++)
        if (strcmp(request->target.pairs[i].name, name) == 0)
            return request->target.pairs[i].value;
    return NULL;
}

const char *request_base_url(const struct request *request)
{
    return request->base_url;
}

const char *request_user(const struct request *request)
{
    return request->user;
}

void request_client(const struct request *request, char address[HTTP_CLIENT_SIZE])
{
    static_assert((int)HTTP_CLIENT_SIZE >= (int)ADDRESS_TEXT_SIZE, "any address fits");
    snprintf(address, HTTP_CLIENT_SIZE, "-");
    address_format(&request->origin.client, address);
}

uint64_t request_requester(const struct request *request)
{
    const uint8_t *bytes = request->origin.client.bytes;
    size_t size = sizeof(request->origin.client.bytes);
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */
    if (request->user[0]) {
        bytes = (const uint8_t *)request->user;
        size = strlen(request->user);
    }
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001B3u;
    return hash;
}

void request_set_base_url(struct request *request, const char *configured, const char *bound)
{
    const struct origin *origin = &request->origin;
    const char *host = *origin->host ? origin->host : request_header(request, "Host");
    if (configured) {
        request->base_url = configured;
    } else if (host && host_is_valid(host)) {
        request->host_url = mem_format("http%s://%s%s", origin->secure ? "s" : "", host,
                                       origin->prefix);
        request->base_url = request->host_url;
    } else {
        request->base_url = bound;
    }
}

void request_release(struct request *request)
{
    target_release(&request->target);
    free(request->host_url);
}

void response_status(struct response *response, int status)
{
    response->status = status;
}

/* Visible characters, spaces and tabs: nothing that could begin another header (RFC 9110 5.5). */
static bool is_header_text(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
            return false;
    return true;
}

void response_header(struct response *response, const char *name, const char *value)
{
    if (!is_header_text(name) || !is_header_text(value)) {
        log_error("http: a response header with control characters was left out name=%s", name);
        return;
    }
    response->headers = mem_resize_array(response->headers, response->header_count + 1,
                                         sizeof(response->headers[0]));
    response->headers[response->header_count].name = mem_copy_text(name);
    response->headers[response->header_count++].value = mem_copy_text(value);
}

const char *response_find_header(const struct response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++)
        if (strcasecmp(response->headers[i].name, name) == 0)
            return response->headers[i].value;
    return NULL;
}

void response_content_type(struct response *response, const char *type)
{
    response_header(response, "Content-Type", type);
}

static void drop_body(struct response *response)
{
    buffer_release(&response->body);
    if (response->source.next && response->source.close)
        response->source.close(response->source.state);
    memset(&response->source, 0, sizeof(response->source));
}

void response_body_take(struct response *response, struct buffer *body)
{
    drop_body(response);
    response->body = *body;
    *body = buffer_up_to(body->limit);
}

void response_text(struct response *response, int status, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    struct buffer body = buffer_up_to(sizeof(text));
    buffer_append_text(&body, text);
    response_status(response, status);
    response_content_type(response, "text/plain; charset=utf-8");
    response_body_take(response, &body);
}

void response_stream_take(struct response *response, const struct body_source *source,
                          uint64_t size)
{
    drop_body(response);
    response->source = *source;
    response->source_size = size;
}

void response_drop_header(struct response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++) {
        if (strcasecmp(response->headers[i].name, name) != 0)
            continue;
        free(response->headers[i].name);
        free(response->headers[i].value);
        response->headers[i--] = response->headers[--response->header_count];
    }
}

static void append_json_text(const char *text, struct buffer *json)
{
    buffer_append_byte(json, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            buffer_append_byte(json, '\\');
        if (*p < 0x20)
            buffer_append_format(json, "\\u%04x", *p);
        else
            buffer_append_byte(json, *p);
    }
    buffer_append_byte(json, '"');
}

void response_error(struct response *response, const struct request *request, int status,
                    const char *message)
{
    static const struct offer offers[] = {
        { "text/plain", NULL, NULL, false },
        { "application/json", NULL, NULL, false },
        { "application/dicom+json", NULL, NULL, false },
    };
    const char *accept = request ? request_header(request, "Accept") : NULL;
    /* What was said of the answer that was to be. */
    response_drop_header(response, "ETag");
    response_drop_header(response, "Cache-Control");
    if (status == 503)
        response_header(response, "Retry-After", "10");
    if (negotiate(accept, offers, 3) <= 0) {
        response_text(response, status, "%d %s\n%s\n", status, http_reason(status), message);
        return;
    }
    struct buffer json = buffer_up_to(4096);
    buffer_append_format(&json, "{\"status\":%d,\"reason\":\"%s\",\"message\":", status,
                         http_reason(status));
    append_json_text(message, &json);
    buffer_append_text(&json, "}\n");
    response_status(response, status);
    response_content_type(response, "application/json");
    response_body_take(response, &json);
}

void response_release(struct response *response)
{
    for (size_t i = 0; i < response->header_count; i++) {
        free(response->headers[i].name);
        free(response->headers[i].value);
    }
    free(response->headers);
    response->headers = NULL;
    response->header_count = 0;
    drop_body(response);
}
