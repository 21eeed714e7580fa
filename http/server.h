/* SPDX-License-Identifier: MIT */
#pragma once
/* HTTP/1.1 service: routes, streamed bodies both ways, file ranges, compression, limits. One door
 * to libmicrohttpd; the interface fits another back end. A request is served by one thread, which
 * may block.
 *
 * Who adds routes gives a table of them. A path pattern has segments; {name} takes one segment,
 * percent-decoded once; {name...} at the end takes one or more, of the paths that no other pattern
 * has, and is no parameter; with another method they are unknown. Unknown path: 404; known path,
 * other method: 405 with Allow. HEAD is GET without the body. */

#include "base/buffer.h"
#include "base/error.h"
#include "base/file_range.h"
#include "base/slice.h"
#include "base/tls.h"

struct request;
struct response;

/* What a user may ask for. */
enum http_right {
    HTTP_BY_METHOD = 0, /* GET: read; DELETE: delete; all others: write */
    HTTP_READ = 1 << 0,
    HTTP_WRITE = 1 << 1,
    HTTP_DELETE = 1 << 2,
    HTTP_ADMIN = 1 << 3,
    HTTP_ANYBODY = 1 << 4, /* of a route: without a login too */
};

struct route {
    const char *method;
    const char *pattern; /* "/studies/{study}/metadata" below the prefix of its table */

    /* Answers the request. Called once, after the body (if any). Must fill the response. */
    void (*respond)(struct request *request, struct response *response);

    /* For routes that take a body, both or none. open: before the first byte (the request's headers
     * are there); it may answer at once (response_status set): then the body is drained and respond
     * is not called. body: each piece as it arrives; after false the rest is drained, and respond
     * is called and knows why from its own state. */
    bool (*open)(struct request *request, struct response *response);
    bool (*body)(struct request *request, struct slice piece);
    /* Always called at the end, also when the client went away in the middle: frees the state. May
     * be NULL. */
    void (*close)(struct request *request, bool complete);
    enum http_right right; /* that it needs, when there are users */

    /* What is said of it to those who ask what there is; summary NULL: nothing, as it is there to
     * refuse. Lists with commas. */
    const char *summary;
    const char *query;    /* parameters; "*": attributes, too */
    const char *produces; /* media types, the default first; NULL: no body */
    const char *consumes;
};

struct route_table {
    const char *prefix; /* "/dicomweb", "" */
    const struct route *routes;
    size_t count;
    void *context; /* request_context: what the handlers work on */
};

/* --- the request: everything borrowed until close --- */
void *request_context(const struct request *request);
void request_set_state(struct request *request, void *state); /* of the handler, for this request */
void *request_state(const struct request *request);
const char *request_method(const struct request *request);
const char *request_path(
    const struct request *request); /* percent-decoded, safe to compare, not to log unescaped */
/* A number for who asks: the user, without a login the address. */
uint64_t request_requester(const struct request *request);
const char *request_parameter(const struct request *request, const char *name); /* {name}; NULL */
const char *request_header(const struct request *request,
                           const char *name); /* case-insensitive; NULL */
/* The query as pairs in order, percent-decoded once ('+' stays a plus sign, PS3.18 8.3.1.1); `raw`
 * is the value before decoding, for those who split at commas first. */
struct query_pair {
    const char *name;
    const char *value;
    const char *raw;
};
const struct query_pair *request_query(const struct request *request, size_t *count);
const char *request_query_value(const struct request *request,
                                const char *name); /* first of that name; NULL */
/* "http://host:port" under which the client sees us: settings' base URL, else what a trusted proxy
 * says, else the Host header when it is well formed, else the bound address. Without a slash at the
 * end. */
const char *request_base_url(const struct request *request);
/* Who asks, for the audit trail: the user ("": nobody logged in), and the address as far as it can
 * be told. */
enum { HTTP_CLIENT_SIZE = 48 };
const char *request_user(const struct request *request);
void request_client(const struct request *request, char address[HTTP_CLIENT_SIZE]);
/* For those who wait: false when the client has gone, its user was taken away or may have been
 * (http_server_reload), or the server stops. */
bool request_is_wanted(const struct request *request);
/* For those who work long: false when the client has ended its direction, or is cut. */
bool request_client_is_there(const struct request *request);

/* --- the response --- */
void response_status(struct response *response, int status);
void response_header(struct response *response, const char *name,
                     const char *value); /* CR, LF refused */
void response_content_type(struct response *response, const char *type);
/* Names the representation (RFC 9110 8.8.3, with its quotes) and lets the client keep it, to be
 * asked about each time. True: the client has it already, and the response is a 304 without a body.
 */
bool response_etag(struct response *response, const struct request *request, const char *etag);
/* The body is these bytes; taken over, the buffer is empty afterwards. */
void response_body_take(struct response *response, struct buffer *body);
void response_text(struct response *response, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A body that is made while it is sent. next() gives piece after piece: bytes (borrowed until the
 * next call) or a range of a file (valid until the next call); *piece.kind END at the end. When it
 * fails, the connection is cut so that the client sees an incomplete message. close() is always
 * called once. */
struct piece {
    enum { PIECE_END, PIECE_BYTES, PIECE_FILE } kind;
    bool flush; /* it goes out at once, without what comes next */
    struct slice bytes;
    struct file_range file;
};
struct body_source {
    bool (*next)(void *state, struct piece *piece, struct error *err);
    void (*close)(void *state);
    void *state;
};
/* size: of all pieces together, or UINT64_MAX when not known (chunked). The source is taken over.
 */
void response_stream_take(struct response *response, const struct body_source *source,
                          uint64_t size);

/* The connection becomes a WebSocket (RFC 6455 4.2): `serve` has it, and the request with its
 * state, until it returns (http/channel.h). False: the request asks for
 * none, or wrongly (426, 400), or stands in a page of an origin that is not let in (403), and the
 * response is filled. */
struct channel;
bool response_channel(struct response *response, struct request *request,
                      void (*serve)(struct request *request, struct channel *channel));

/* HTTP status for an error code: 400, 404, 409, 410, 413, 503, 507, 500 ... */
int http_status_of(enum error_code code);
/* A problem answer: status, and a small text or JSON body (what the client accepts) with the
 * message. No paths, no stack traces. */
void response_error(struct response *response, const struct request *request, int status,
                    const char *message);

/* --- the server --- */
struct http_server;

/* Somebody who may ask, by a password, a token or either. */
enum { HTTP_USER_SIZE = 65 };
struct http_user {
    const char *name; /* shorter than HTTP_USER_SIZE, without colon and control characters */
    const char *password_hash; /* as crypt(3) makes it; NULL: none */
    const char *token_sha256;  /* 64 hexadecimal digits; NULL: none */
    int64_t expires_ms;        /* Unix time; 0: never */
    unsigned rights;           /* enum http_right */
};
struct http_options {
    const char *address;        /* "127.0.0.1", "::1", "0.0.0.0" */
    uint16_t port;              /* 0: any free one, see http_server_port */
    bool secure;                /* HTTPS as well, on secure_port, with these: */
    uint16_t secure_port;       /* 0: any free one */
    struct tls_files tls_files; /* certificate and key */
    /* NULL-terminated networks ("10.0.0.0/8") whose X-Forwarded-For, -Proto, -Host and -Prefix are
     * believed, or whose Forwarded (RFC 7239); NULL: nobody's */
    const char *const *trusted_proxies;
    bool forwarded_rfc_7239;
    const char *base_url; /* public URL, NULL: from the request */
    bool access_log;      /* a line for each request */
    bool login;           /* only these users may ask: */
    const struct http_user *users;
    size_t user_count;
    const char *const *cors_origins; /* of pages that may use the server; "*": any */
    size_t cors_origin_count;
    unsigned connection_limit;             /* 0: 512 */
    unsigned connection_limit_per_address; /* 0: 256 */
    unsigned idle_timeout_s;               /* 0: 60 */
    unsigned header_timeout_s;             /* 0: 20: all headers must have come */
    uint64_t body_limit;                   /* 0: 64 GiB: larger bodies are 413 */
    uint64_t minimum_rate; /* 0: 1024 bytes a second, over idle_timeout_s: slower clients are cut */
};
/* The tables (copied) and their routes must outlive the server. */
bool http_server_open(const struct http_options *options, const struct route_table *tables,
                      size_t table_count, struct http_server **out, struct error *err);
uint16_t http_server_port(const struct http_server *server);
uint16_t http_server_secure_port(const struct http_server *server); /* 0: there is none */
/* Reads the certificate anew, and takes other users. Open connections go on; on failure all stays
 * as it was. */
bool http_server_reload(struct http_server *server, const struct http_options *options,
                        struct error *err);
/* Can this be a member of trusted_proxies? */
bool http_is_network(const char *text);
/* Takes no new connections, lets requests in work finish for `grace_ms`, then cuts them. */
void http_server_close(struct http_server *server, int64_t grace_ms);
