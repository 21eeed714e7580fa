/* SPDX-License-Identifier: MIT */
#include "http/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file_reader.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "http/admission.h"
#include "http/channel.h"
#include "http/compress.h"
#include "http/conditional.h"
#include "http/exchange.h"
#include "http/front.h"
#include "http/gate.h"
#include "http/head.h"
#include "http/listen.h"
#include "http/watchdog.h"

enum {
    STREAM_BLOCK = 256 << 10, /* of an answer made while it is sent */
    DISCARD_LIMIT = 64 << 20, /* of a body that nobody wants: more, and the connection is cut */
    LINGER_MS = 2000,         /* for the client to read an answer that came before its body's end */
    CONNECTION_LIMIT = 512,
    CONNECTION_LIMIT_PER_ADDRESS = 256,
    IDLE_TIMEOUT_S = 60,
    HEADER_TIMEOUT_S = 20,
};

struct http_server {
    struct front *front;
    struct front *secure_front; /* NULL: no HTTPS */
    struct admission *admission;
    struct gate *gate;
    struct watchdog *watchdog;
    uint64_t body_limit;
    uint16_t port;
    uint16_t secure_port;
    bool access_log;
    unsigned idle_timeout_s;
    atomic_bool stopping;
    atomic_uint in_work;  /* requests between their headers and their end */
    atomic_uint channels; /* threads that serve WebSockets */
};

/* What belongs to a connection, over all its requests. */
struct link {
    struct watched *watched;
    struct exchange *exchange; /* of the present request */
    struct address peer;
    void *session;     /* of TLS; NULL: there is none */
    bool above_limits; /* it is there to be told so */
    bool upgraded;     /* a thread of its own has the request, and ends it */
};

/* A request and its answer, from the request line to the end. */
struct exchange {
    struct request request;
    struct response response;
    struct http_server *server;
    struct link *link;
    struct watched *watched;
    int fd;
    char *raw_target;
    bool sound_head;
    bool begun;               /* the headers were looked at */
    bool has_body;            /* the client announced one */
    bool chunked;             /* and not how long it is */
    bool routed;              /* the route's own functions were called: so must be its close */
    bool body_refused;        /* the route wants no more of it */
    bool must_close;          /* what follows on this connection cannot be trusted */
    uint64_t body_bytes;      /* received */
    uint64_t discarded_bytes; /* of these, what nobody wanted */
    uint64_t sent_bytes;      /* handed out for sending */
    struct piece piece;       /* of a streamed answer: what is left of the present one */
    struct file_reader reader;
    bool stream_begun; /* a piece was made */
    bool stream_failed;
    struct error stream_error; /* why, when the source said so */
    bool stream_ended;
    int64_t started_us;
};

static void end_exchange(struct exchange *exchange, bool complete);

/* --- answers --- */

static bool next_piece(struct exchange *exchange)
{
    struct error err = { 0 };
    struct body_source *source = &exchange->response.source;
    memset(&exchange->piece, 0, sizeof(exchange->piece));
    bool ok = source->next(source->state, &exchange->piece, &err);
    /* A range that ends before its size is found out while there may still be a status for it. */
    if (ok && exchange->piece.kind == PIECE_FILE && exchange->piece.file.size)
        ok = file_reader_take(&exchange->reader, &exchange->piece.file, &err);
    if (!ok) {
        if (exchange->stream_begun || http_status_of(err.code) >= 500)
            log_warn("http: an answer broke off pattern=%s error=%s",
                     exchange->request.match.pattern, err.message);
        exchange->stream_failed = true;
        exchange->stream_error = err;
        return false;
    }
    exchange->stream_begun = true;
    exchange->stream_ended = exchange->piece.kind == PIECE_END;
    return !exchange->stream_ended;
}

/* Copies from the present piece; 0 when it is used up, -1 when the file failed. */
static ssize_t take_from_piece(struct piece *piece, char *out, size_t room)
{
    if (piece->kind == PIECE_BYTES) {
        size_t size = piece->bytes.size < room ? piece->bytes.size : room;
        if (size)
            memcpy(out, piece->bytes.data, size);
        piece->bytes = slice_skip(piece->bytes, size);
        return (ssize_t)size;
    }
    if (piece->kind == PIECE_END || !piece->file.size)
        return 0;
    size_t wanted = piece->file.size < room ? (size_t)piece->file.size : room;
    ssize_t size;
    do
        size = pread(piece->file.fd, out, wanted, (off_t)piece->file.offset);
    while (size < 0 && errno == EINTR);
    if (size <= 0)
        return -1; /* a range that ends before its size is as bad as a failing disk */
    piece->file.offset += (uint64_t)size;
    piece->file.size -= (uint64_t)size;
    return size;
}

/* Ends the connection with a reset, so that even a client that takes the end of the connection for
 * the end of the body (HTTP/1.0) sees a failure. */
static void reset_on_close(int fd)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static ssize_t read_stream(void *context, uint64_t position, char *out, size_t room)
{
    (void)position;
    struct exchange *exchange = context;
    size_t filled = 0;
    while (filled < room && !exchange->stream_failed && !exchange->stream_ended) {
        ssize_t size = take_from_piece(&exchange->piece, out + filled, room - filled);
        if (size < 0) {
            log_warn("http: a stored file could not be read to its end pattern=%s",
                     exchange->request.match.pattern);
            exchange->stream_failed = true;
        } else if (size == 0) {
            if (filled && exchange->piece.flush)
                break;
            watch_busy(exchange->watched, true);
            next_piece(exchange);
            watch_busy(exchange->watched, false);
        } else {
            filled += (size_t)size;
        }
    }
    exchange->sent_bytes += filled;
    if (filled)
        return (ssize_t)filled;
    bool too_short = exchange->response.source_size != UINT64_MAX &&
                     exchange->sent_bytes < exchange->response.source_size;
    if (!exchange->stream_failed && !too_short)
        return MHD_CONTENT_READER_END_OF_STREAM;
    reset_on_close(exchange->fd);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* Files are read and copied, not handed to sendfile: pages of the file would lie in the socket's
 * queue (and, on this host, in the reader's) after the answer has ended here, and when the instance
 * is deleted then and its space given back, the client reads zeros. */
static struct MHD_Response *stream_response(struct exchange *exchange)
{
    uint64_t size = exchange->response.source_size;
    bool is_head = strcmp(exchange->request.method, "HEAD") == 0;
    if (!is_head && !next_piece(exchange) && exchange->stream_failed)
        return NULL;
    /* All of it lies there until the source is closed: it goes out with the head, without a copy.
     */
    struct slice bytes = exchange->piece.bytes;
    if (exchange->piece.kind == PIECE_BYTES && bytes.size == size) {
        exchange->sent_bytes = size;
        return MHD_create_response_from_buffer(bytes.size, (void *)(uintptr_t)bytes.data,
                                               MHD_RESPMEM_PERSISTENT);
    }
    return MHD_create_response_from_callback(size == UINT64_MAX ? MHD_SIZE_UNKNOWN : size,
                                             STREAM_BLOCK, read_stream, exchange, NULL);
}

static struct MHD_Response *buffer_response(struct exchange *exchange)
{
    struct buffer *body = &exchange->response.body;
    exchange->sent_bytes = body->size;
    struct MHD_Response *response = MHD_create_response_from_buffer(body->size, body->data,
                                                                    MHD_RESPMEM_MUST_FREE);
    if (response)
        *body = buffer_up_to(0);
    return response;
}

static void fail(struct exchange *exchange, int status, const char *message)
{
    response_release(&exchange->response);
    response_error(&exchange->response, &exchange->request, status, message);
}

static struct MHD_Response *build_response(struct exchange *exchange)
{
    struct response *response = &exchange->response;
    range_apply(&exchange->request, response);
    if (response->status != 206) /* its range is one of the bytes as they are */
        compress_response(&exchange->request, response);
    struct MHD_Response *built = response->source.next ? stream_response(exchange)
                                                       : buffer_response(exchange);
    if (!built && response->source.next) {
        /* Nothing was sent yet, so what failed at its very beginning still has a status. */
        int status = http_status_of(exchange->stream_error.code);
        if (status < 400 || status >= 500)
            fail(exchange, status < 500 ? 500 : status, "the answer could not be made");
        else
            fail(exchange, status, exchange->stream_error.message);
        built = buffer_response(exchange);
    }
    if (!built)
        return NULL;
    gate_finish(exchange->server->gate, &exchange->request, response);
    for (size_t i = 0; i < response->header_count; i++)
        MHD_add_response_header(built, response->headers[i].name, response->headers[i].value);
    MHD_add_response_header(built, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(built, "X-Request-Id", exchange->request.id);
    if (exchange->must_close || atomic_load(&exchange->server->stopping))
        MHD_add_response_header(built, "Connection", "close");
    return built;
}

/* --- WebSockets --- */

/* The one who serves it may block, and over TLS the connection's own thread carries the bytes. */
struct upgraded {
    struct exchange *exchange;
    struct MHD_UpgradeResponseHandle *handle;
    struct channel *channel;
};

static void *run_channel(void *context)
{
    struct upgraded *upgraded = context;
    struct exchange *exchange = upgraded->exchange;
    struct http_server *server = exchange->server;
    log_set_request(exchange->request.id);
    exchange->response.serve(&exchange->request, upgraded->channel);
    channel_free(upgraded->channel);
    /* What it borrows from the library is gone behind the close. */
    end_exchange(exchange, true);
    MHD_upgrade_action(upgraded->handle, MHD_UPGRADE_ACTION_CLOSE);
    free(upgraded);
    atomic_fetch_sub(&server->channels, 1);
    return NULL;
}

static void on_upgrade(void *context, struct MHD_Connection *connection, void *request_context_slot,
                       const char *early, size_t early_size, MHD_socket fd,
                       struct MHD_UpgradeResponseHandle *handle)
{
    struct exchange *exchange = context;
    pthread_t thread;
    (void)connection;
    (void)request_context_slot;
    exchange->link->upgraded = true;
    struct upgraded *upgraded = mem_alloc(sizeof(*upgraded));
    upgraded->exchange = exchange;
    upgraded->handle = handle;
    upgraded->channel = channel_new(fd, slice_of(early, early_size));
    atomic_fetch_add(&exchange->server->channels, 1);
    if (pthread_create(&thread, NULL, run_channel, upgraded) == 0) {
        pthread_detach(thread);
        return;
    }
    log_warn("http: no thread for a WebSocket");
    atomic_fetch_sub(&exchange->server->channels, 1);
    channel_free(upgraded->channel);
    free(upgraded);
    end_exchange(exchange, false);
    MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}

static enum MHD_Result queue_upgrade(struct exchange *exchange, struct MHD_Connection *connection)
{
    struct response *response = &exchange->response;
    struct MHD_Response *built = MHD_create_response_for_upgrade(on_upgrade, exchange);
    if (!built)
        return MHD_NO;
    for (size_t i = 0; i < response->header_count; i++)
        MHD_add_response_header(built, response->headers[i].name, response->headers[i].value);
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_SWITCHING_PROTOCOLS, built);
    MHD_destroy_response(built);
    return result;
}

bool response_channel(struct response *response, struct request *request,
                      void (*serve)(struct request *request, struct channel *channel))
{
    struct exchange *exchange = (struct exchange *)request; /* its first member */
    char accept[WEBSOCKET_ACCEPT_SIZE];
    const char *version = request_header(request, "Sec-WebSocket-Version");
    if (!websocket_has_token(request_header(request, "Upgrade"), "websocket") ||
        !websocket_has_token(request_header(request, "Connection"), "upgrade") || !version ||
        strcmp(version, "13") != 0) {
        response_error(response, request, 426, "this is a WebSocket, of version 13");
        response_header(response, "Upgrade", "websocket");
        response_header(response, "Sec-WebSocket-Version", "13");
        return false;
    }
    if (exchange->has_body ||
        !websocket_accept(request_header(request, "Sec-WebSocket-Key"), accept)) {
        response_error(response, request, 400, "Sec-WebSocket-Key is missing or no key");
        return false;
    }
    if (!gate_allows_origin(exchange->server->gate, request)) {
        response_error(response, request, 403, "pages of this origin are not let in");
        return false;
    }
    response_status(response, 101);
    response_header(response, "Upgrade", "websocket");
    response_header(response, "Sec-WebSocket-Accept", accept);
    response->serve = serve;
    return true;
}

static enum MHD_Result queue(struct exchange *exchange, struct MHD_Connection *connection)
{
    if (exchange->response.serve)
        return queue_upgrade(exchange, connection);
    struct MHD_Response *response = build_response(exchange);
    if (!response)
        return MHD_NO;
    watch_set(exchange->watched, WATCH_ANSWER);
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)exchange->response.status,
                                                response);
    MHD_destroy_response(response);
    return result;
}

/* The library sends no answer while a body is still coming, so this one goes out by hand. The
 * connection ends after it; it lingers, as closing over unread bytes would reset it and take the
 * answer from the client (RFC 9112 9.6). */
static enum MHD_Result answer_and_cut(struct exchange *exchange)
{
    struct response *response = &exchange->response;
    struct buffer text = buffer_up_to(64 << 10);
    gate_finish(exchange->server->gate, &exchange->request, response);
    buffer_append_format(&text, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n",
                         response->status, http_reason(response->status), response->body.size);
    buffer_append_format(&text, "X-Content-Type-Options: nosniff\r\nX-Request-Id: %s\r\n",
                         exchange->request.id);
    for (size_t i = 0; i < response->header_count; i++)
        buffer_append_format(&text, "%s: %s\r\n", response->headers[i].name,
                             response->headers[i].value);
    buffer_append_text(&text, "\r\n");
    if (strcmp(exchange->request.method, "HEAD") != 0)
        buffer_append(&text, buffer_slice(&response->body));
    if (!text.overflowed && !response->source.next && exchange->link->session)
        tls_session_end(exchange->link->session, buffer_slice(&text));
    else if (!text.overflowed && !response->source.next)
        (void)!send(exchange->fd, text.data, text.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    exchange->sent_bytes = response->body.size;
    buffer_release(&text);
    linger_and_shut(exchange->fd, LINGER_MS);
    return MHD_NO;
}

/* --- requests --- */

static enum MHD_Result collect_header(void *context, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    (void)kind;
    struct exchange *exchange = context;
    struct request *request = &exchange->request;
    if (request->header_count == MAX_HEADERS) {
        exchange->must_close = true;
        return MHD_NO;
    }
    request->headers[request->header_count].name = name;
    request->headers[request->header_count++].value = value ? value : "";
    return MHD_YES;
}

static void check_request(struct exchange *exchange, const char *version)
{
    const struct link *link = exchange->link;
    bool stopping = atomic_load(&exchange->server->stopping);
    const struct arrival arrival = {
        .peer = &link->peer,
        .version = version,
        .target = exchange->raw_target,
        .secure = link->session,
        .sound_head = exchange->sound_head,
        .has_too_many_fields = exchange->must_close,
        .turned_away = link->above_limits ? "there are too many connections"
                       : stopping         ? "the server is shutting down"
                                          : NULL,
    };
    struct framing framing;
    exchange->must_close = !gate_check(exchange->server->gate, &arrival, &exchange->request,
                                       &exchange->response, &framing);
    exchange->has_body = framing.has_body;
    exchange->chunked = framing.has_body && !framing.has_length;
}

static bool expects_continue(const struct exchange *exchange)
{
    const char *expect = request_header(&exchange->request, "Expect");
    return expect && strcasecmp(expect, "100-continue") == 0;
}

#if MHD_VERSION < 0x00097701
static bool has_sound_head(struct exchange *exchange, struct MHD_Connection *connection,
                           const char *method, const char *version)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return exchange->must_close || !info ||
           head_is_sound(method, version, info->header_size, &exchange->request);
}
#else /* which refuses such heads at the discipline that front.c asks for */
static bool has_sound_head(struct exchange *exchange, struct MHD_Connection *connection,
                           const char *method, const char *version)
{
    (void)exchange;
    (void)connection;
    (void)method;
    (void)version;
    return true;
}
#endif

static enum MHD_Result begin(struct exchange *exchange, struct MHD_Connection *connection,
                             const char *method, const char *version)
{
    struct request *request = &exchange->request;
    exchange->begun = true;
    exchange->started_us = clock_monotonic_us();
    atomic_fetch_add(&exchange->server->in_work, 1);
    watch_set(exchange->watched, WATCH_WORK);
    request->method = method;
    MHD_get_connection_values(connection, MHD_HEADER_KIND, collect_header, exchange);
    exchange->sound_head = has_sound_head(exchange, connection, method, version);
    check_request(exchange, version);

    const struct route *route = request->match.route;
    if (!exchange->response.status && route->open) {
        exchange->routed = true;
        if (!route->open(request, &exchange->response) && !exchange->response.status)
            exchange->body_refused = true;
    }
    if (exchange->response.status && exchange->must_close)
        return answer_and_cut(exchange);
#if MHD_VERSION < 0x00097701
    /* It takes a line feed alone for the end of a line in chunks, too, and does not tell: what
     * follows such a body may be part of it to others, so it is never read as a request. */
    exchange->must_close = exchange->must_close || exchange->chunked;
#endif
    /* The library closes the connection after an answer that it gets now: right when the client
     * waits with its body. Else the answer waits for the end of the request. */
    if (exchange->response.status && exchange->has_body && expects_continue(exchange))
        return queue(exchange, connection);
    if (exchange->has_body)
        watch_set(exchange->watched, WATCH_BODY);
    return MHD_YES;
}

static enum MHD_Result receive(struct exchange *exchange, struct slice piece)
{
    const struct route *route = exchange->request.match.route;
    exchange->body_bytes += piece.size;
    if (exchange->body_bytes > exchange->server->body_limit) {
        fail(exchange, 413, "the body is larger than this server takes");
        return answer_and_cut(exchange);
    }
    bool wanted = !exchange->response.status && route->body && !exchange->body_refused;
    if (!wanted) {
        exchange->discarded_bytes += piece.size;
        if (exchange->discarded_bytes <= DISCARD_LIMIT)
            return MHD_YES;
        if (!exchange->response.status && exchange->routed)
            route->respond(&exchange->request, &exchange->response);
        if (!exchange->response.status)
            fail(exchange, 413, "this request takes no such body");
        return answer_and_cut(exchange);
    }
    watch_busy(exchange->watched, true);
    exchange->body_refused = !route->body(&exchange->request, piece);
    watch_busy(exchange->watched, false);
    return MHD_YES;
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

bool request_is_wanted(const struct request *request)
{
    const struct exchange *exchange = (const struct exchange *)request; /* its first member */
    struct pollfd poll_fd = { .fd = exchange->fd, .events = POLLRDHUP };
    return !atomic_load(&exchange->server->stopping) &&
           gate_lets_stay(exchange->server->gate, request) &&
           (poll(&poll_fd, 1, 0) <= 0 || !(poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR)));
}

static enum MHD_Result answer(struct exchange *exchange, struct MHD_Connection *connection)
{
    /* Its time-out is of silence, be it ours; the watchdog knows the difference. */
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    watch_set(exchange->watched, WATCH_WORK);
    if (!exchange->response.status) {
        exchange->routed = true;
        exchange->request.match.route->respond(&exchange->request, &exchange->response);
        if (!exchange->response.status)
            fail(exchange, 500, "the request was not answered");
    }
    return queue(exchange, connection);
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_size, void **request_context_slot)
{
    (void)context;
    (void)url;
    struct exchange *exchange = *request_context_slot;
    if (!exchange)
        return MHD_NO;
    if (!exchange->begun)
        return begin(exchange, connection, method, version);
    if (!*data_size)
        return answer(exchange, connection);
    struct slice piece = slice_of(data, *data_size);
    *data_size = 0;
    return receive(exchange, piece);
}

/* --- the library's notices --- */

static struct link *link_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info->socket_context;
}

static int fd_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/* The path as its pattern, and of what stands in it only the UIDs: all else may name a patient. */
static void append_place(const struct request *request, struct buffer *line)
{
    const struct route_match *match = &request->match;
    buffer_append_text(line, match->pattern ? match->pattern : "-");
    for (size_t i = 0; i < match->parameter_count; i++) {
        const char *value = match->values[i];
        size_t size = strspn(value, "0123456789.");
        if (size && size <= 64 && !value[size] && strchr(value, '.'))
            buffer_append_format(line, " %s=%s", match->names[i], value);
    }
}

static void log_exchange(const struct exchange *exchange, bool complete)
{
    const struct request *request = &exchange->request;
    char client[ADDRESS_TEXT_SIZE] = "-";
    metric_add(METRIC_HTTP_REQUESTS, 1);
    if (exchange->response.status >= 500)
        metric_add(METRIC_HTTP_ERRORS, 1);
    if (!exchange->server->access_log)
        return;
    struct buffer place = buffer_up_to(1024);
    append_place(request, &place);
    address_format(&request->origin.client, client);
    log_info("http: client=%s user=\"%s\" method=%.16s path=%s status=%d received=%llu sent=%llu "
             "ms=%lld%s",
             client, request->user, request->method, buffer_text(&place), exchange->response.status,
             (unsigned long long)exchange->body_bytes, (unsigned long long)exchange->sent_bytes,
             (long long)(clock_monotonic_us() - exchange->started_us) / 1000,
             complete ? "" : " incomplete");
    buffer_release(&place);
}

static void end_exchange(struct exchange *exchange, bool complete)
{
    if (!exchange)
        return;
    if (exchange->begun)
        log_exchange(exchange, complete);
    /* The stream may work on the route's state, so it goes first. */
    response_release(&exchange->response);
    file_reader_release(&exchange->reader);
    if (exchange->routed && exchange->request.match.route->close)
        exchange->request.match.route->close(&exchange->request, complete);
    request_release(&exchange->request);
    free(exchange->raw_target);
    watch_set(exchange->watched, WATCH_IDLE);
    log_set_request(NULL);
    if (exchange->begun)
        atomic_fetch_sub(&exchange->server->in_work, 1);
    exchange->link->exchange = NULL;
    free(exchange);
}

static void on_completed(void *context, struct MHD_Connection *connection,
                         void **request_context_slot, enum MHD_RequestTerminationCode code)
{
    struct http_server *server = context;
    struct exchange *exchange = *request_context_slot;
    /* To the library an upgraded request is over at once, or, over TLS, behind its thread. */
    if (link_of(connection)->upgraded) {
        *request_context_slot = NULL;
        return;
    }
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, server->idle_timeout_s);
    /* Else the kernel goes on for minutes to send what the client would not take. */
    if (exchange && code == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED)
        reset_on_close(exchange->fd);
    end_exchange(exchange, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    *request_context_slot = NULL;
}

/* We read the query ourselves. The library would take memory for every parameter, and its 0.9.75
 * crashes when that runs out, so the query is cut off before it looks: the text is a NUL-terminated
 * one in the connection's own read buffer, const only in the prototype of the callback. */
static void hide_query(const char *uri)
{
    char *question = strchr((char *)(uintptr_t)uri, '?');
    if (question && question[1])
        question[1] = '\0';
}

/* The request line has come: the one moment at which the target is there as it was sent. */
static void *on_request_line(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct link *link = link_of(connection);
    struct exchange *exchange = mem_alloc(sizeof(*exchange));
    exchange->server = context;
    exchange->link = link;
    exchange->watched = link->watched;
    exchange->fd = fd_of(connection);
    exchange->raw_target = mem_copy_text(uri ? uri : "");
    end_exchange(link->exchange, false);
    link->exchange = exchange;
    watch_request_line(exchange->watched);
    if (uri)
        hide_query(uri);
    return exchange;
}

static struct address peer_of(struct MHD_Connection *connection)
{
    const struct address unknown = { { 0 } };
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info && info->client_addr ? address_of(info->client_addr) : unknown;
}

/* Proxies have many clients, so the limit of an address is not theirs. */
static enum MHD_Result on_accept(void *context, const struct sockaddr *socket_address,
                                 socklen_t size)
{
    (void)size;
    struct http_server *server = context;
    struct address peer = address_of(socket_address);
    bool exempt = gate_is_proxy(server->gate, &peer);
    return admission_has_room(server->admission, &peer, exempt) ? MHD_YES : MHD_NO;
}

static struct link *link_new(struct http_server *server, struct MHD_Connection *connection)
{
    struct link *link = mem_alloc(sizeof(*link));
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    link->session = info ? info->tls_session : NULL;
    link->peer = peer_of(connection);
    link->above_limits = !admission_enter(server->admission, &link->peer,
                                          gate_is_proxy(server->gate, &link->peer));
    link->watched = watchdog_add(server->watchdog, fd_of(connection));
    return link;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = context;
    struct link *link = *socket_context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = link_new(server, connection);
    } else if (link) {
        /* A request whose head failed in the library has no other end than this. */
        end_exchange(link->exchange, false);
        watchdog_remove(server->watchdog, link->watched);
        admission_leave(server->admission, &link->peer, !link->above_limits);
        free(link);
        *socket_context = NULL;
    }
}

/* --- life --- */

static unsigned or_default(unsigned value, unsigned otherwise)
{
    return value ? value : otherwise;
}

static bool open_front(struct http_server *server, const struct http_options *options, bool secure,
                       struct error *err)
{
    struct certificate certificate = { 0 };
    struct listener listener;
    if (secure && !certificate_load(&options->tls_files, &certificate, err))
        return false;
    bool ok = listener_open(options->address, secure ? options->secure_port : options->port, secure,
                            &listener, err);
    if (ok) {
        struct front_options front = {
            .fd = listener.fd,
            .is_ipv6 = listener.is_ipv6,
            /* above the limits of `admission`, which is for all ports together */
            .connection_limit = 2 * or_default(options->connection_limit, CONNECTION_LIMIT) + 64,
            .idle_timeout_s = or_default(options->idle_timeout_s, IDLE_TIMEOUT_S),
            .context = server,
            .admit = on_accept,
            .handle = handle,
            .connection = on_connection,
            .completed = on_completed,
            .request_line = on_request_line,
        };
        *(secure ? &server->secure_port : &server->port) = listener.port;
        gate_set_bound_url(server->gate, secure, listener.url);
        ok = front_open(&front, secure ? &certificate : NULL,
                        secure ? &server->secure_front : &server->front, err);
    }
    certificate_release(&certificate);
    return ok;
}

bool http_server_open(const struct http_options *options, const struct route_table *tables,
                      size_t table_count, struct http_server **out, struct error *err)
{
    struct http_server *server = mem_alloc(sizeof(*server));
    struct watchdog_options limits = {
        .header_ms = 1000 * (int64_t)or_default(options->header_timeout_s, HEADER_TIMEOUT_S),
        .idle_ms = 1000 * (int64_t)or_default(options->idle_timeout_s, IDLE_TIMEOUT_S),
        .minimum_rate = options->minimum_rate ? options->minimum_rate : 1024,
    };
    struct http_options gated = *options;
    gated.body_limit = server->body_limit = options->body_limit ? options->body_limit
                                                                : (uint64_t)64 << 30;
    server->gate = gate_new(&gated, tables, table_count);
    server->access_log = options->access_log;
    server->idle_timeout_s = or_default(options->idle_timeout_s, IDLE_TIMEOUT_S);
    server->admission = admission_new(
        or_default(options->connection_limit, CONNECTION_LIMIT),
        or_default(options->connection_limit_per_address, CONNECTION_LIMIT_PER_ADDRESS));
    server->watchdog = watchdog_open(&limits);
    if (!server->watchdog)
        error_set(err, ERROR_NO_SPACE, "no thread for the HTTP service");
    if (!server->watchdog || !open_front(server, options, false, err) ||
        (options->secure && !open_front(server, options, true, err))) {
        http_server_close(server, 0);
        return false;
    }
    *out = server;
    return true;
}

bool http_server_reload(struct http_server *server, const struct http_options *options,
                        struct error *err)
{
    struct certificate certificate = { 0 };
    bool ok = !server->secure_front || (certificate_load(&options->tls_files, &certificate, err) &&
                                        front_renew(server->secure_front, &certificate, err));
    certificate_release(&certificate);
    if (!ok)
        return false;
    gate_reload(server->gate, options);
    return true;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

uint16_t http_server_secure_port(const struct http_server *server)
{
    return server->secure_port;
}

static void sleep_ms(long ms)
{
    struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&pause, NULL);
}

void http_server_close(struct http_server *server, int64_t grace_ms)
{
    if (!server)
        return;
    atomic_store(&server->stopping, true);
    if (server->front)
        front_quiesce(server->front);
    if (server->secure_front)
        front_quiesce(server->secure_front);
    int64_t deadline = clock_monotonic_ms() + grace_ms;
    while (atomic_load(&server->in_work) && clock_monotonic_ms() < deadline)
        sleep_ms(5);
    if (server->watchdog)
        watchdog_cut_all(server->watchdog);
    /* The library must not end while one of its sockets is out of its hands. */
    while (atomic_load(&server->channels))
        sleep_ms(5);
    front_close(server->front);
    front_close(server->secure_front);
    watchdog_close(server->watchdog);
    admission_free(server->admission);
    gate_free(server->gate);
    free(server);
}
