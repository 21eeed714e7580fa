/* SPDX-License-Identifier: MIT */
#pragma once
/* What stands behind struct request and struct response: for http/ and its back end only. One
 * thread at a time. */

#include <stdatomic.h>

#include "http/address.h"
#include "http/router.h"
#include "http/server.h"
#include "http/target.h"

enum { MAX_HEADERS = 100 }; /* of a request; more are 431 */

struct header {
    const char *name;
    const char *value;
};

/* Who asks, and how it called us, as far as we believe it (http/forwarded.h). */
struct origin {
    struct address client;
    bool trusted; /* a proxy that we trust is at the other end of the connection */
    bool secure;  /* https */
    char host[256];
    char prefix[256]; /* "/pacs": of the path, that the proxy took away */
};

enum { REQUEST_ID_SIZE = 65 };

struct request {
    const char *method;
    struct target target;
    struct route_match match;
    void *state;
    struct header headers[MAX_HEADERS]; /* borrowed from the back end */
    size_t header_count;
    const char *base_url;
    char *host_url; /* made of what the client called us, or NULL */
    struct origin origin;
    char id[REQUEST_ID_SIZE];  /* for the log, and for who looks into it */
    char user[HTTP_USER_SIZE]; /* whose credentials came; "": nobody's */
    unsigned let_in;           /* how often other users had been taken by then */
    int64_t let_in_until_ms;   /* Unix time; 0: for ever */
};

struct response {
    int status; /* 0: not filled yet */
    struct {
        char *name;
        char *value;
    } * headers;
    size_t header_count;
    struct buffer body;
    struct body_source source; /* next NULL: the body is the buffer */
    uint64_t source_size;
    void (*serve)(struct request *request, struct channel *channel); /* of an upgrade */
};

/* Once the headers are there: the settings' URL, else what the client called us, else the address.
 */
void request_set_base_url(struct request *request, const char *configured, const char *bound);
/* Frees what the request owns, not the struct. */
void request_release(struct request *request);
void response_release(struct response *response);
const char *response_find_header(const struct response *response, const char *name);
void response_drop_header(struct response *response, const char *name); /* all of that name */
const char *http_reason(int status); /* "Not Found"; "" for an unknown one */
