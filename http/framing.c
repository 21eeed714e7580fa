/* SPDX-License-Identifier: MIT */
#include "http/framing.h"

#include <string.h>
#include <strings.h>

static bool is_token(const char *text)
{
    size_t size = strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return size && text[size] == '\0';
}

static bool has_control_character(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
            return true;
    return false;
}

static size_t count_fields(const struct request *request, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++)
        count += strcasecmp(request->headers[i].name, name) == 0;
    return count;
}

static bool parse_length(const char *text, uint64_t *length)
{
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 18 || text[digits + strspn(text + digits, " \t")])
        return false;
    *length = 0;
    for (size_t i = 0; i < digits; i++)
        *length = *length * 10 + (uint64_t)(text[i] - '0');
    return true;
}

static int refuse(struct error *err, int status, const char *why)
{
    error_set(err, ERROR_INVALID, "%s", why);
    return status;
}

static int check_method(const char *method, struct error *err)
{
    static const char *const known[] = { "GET",    "HEAD",    "POST",  "PUT",    "PATCH",
                                         "DELETE", "OPTIONS", "TRACE", "CONNECT" };
    if (!is_token(method))
        return refuse(err, 400, "the method is no token");
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i], method) == 0)
            return 0;
    return refuse(err, 501, "the method is not known here");
}

static int check_length(const struct request *request, bool is_http_1_1, struct framing *framing,
                        struct error *err)
{
    size_t lengths = count_fields(request, "Content-Length");
    size_t codings = count_fields(request, "Transfer-Encoding");
    if (lengths > 1 || codings > 1 || (lengths && codings))
        return refuse(err, 400, "the length of the body is stated twice");
    if (codings) {
        if (!is_http_1_1)
            return refuse(err, 400, "HTTP/1.0 has no transfer codings");
        if (strcasecmp(request_header(request, "Transfer-Encoding"), "chunked") != 0)
            return refuse(err, 501, "the only transfer coding here is chunked");
        framing->has_body = true;
    }
    if (lengths) {
        if (!parse_length(request_header(request, "Content-Length"), &framing->length))
            return refuse(err, 400, "Content-Length is no number");
        framing->has_length = true;
        framing->has_body = framing->length > 0;
    }
    return 0;
}

static int check_host(const struct request *request, bool is_http_1_1, struct error *err)
{
    size_t hosts = count_fields(request, "Host");
    if (hosts > 1 || (is_http_1_1 && !hosts))
        return refuse(err, 400, "a request has one Host field");
    if (hosts && !host_is_valid(request_header(request, "Host")))
        return refuse(err, 400, "the Host field names no host");
    return 0;
}

int framing_check(const struct request *request, const char *version, struct framing *framing,
                  struct error *err)
{
    bool is_http_1_1 = strcmp(version, "HTTP/1.1") == 0;
    memset(framing, 0, sizeof(*framing));
    if (!is_http_1_1 && strcmp(version, "HTTP/1.0") != 0)
        return refuse(err, 505, "the protocol is neither HTTP/1.0 nor HTTP/1.1");
    for (size_t i = 0; i < request->header_count; i++) {
        if (!is_token(request->headers[i].name))
            return refuse(err, 400, "the name of a header field is no token");
        if (has_control_character(request->headers[i].value))
            return refuse(err, 400, "a header field holds control characters");
    }
    int status = check_method(request->method, err);
    if (!status)
        status = check_length(request, is_http_1_1, framing, err);
    if (!status)
        status = check_host(request, is_http_1_1, err);
    /* Another party might go by the other one. */
    if (!status && count_fields(request, "Authorization") > 1)
        status = refuse(err, 400, "a request has one Authorization field at most");
    const char *expect = request_header(request, "Expect");
    if (!status && expect && strcasecmp(expect, "100-continue") != 0)
        status = refuse(err, 417, "the only expectation here is 100-continue");
    return status;
}
