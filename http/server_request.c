/* SPDX-License-Identifier: MIT */
/* A request: its line, its headers, its body, and its end. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "http/head.h"
#include "http/server_parts.h"

enum {
    DISCARD_LIMIT = 64 << 20 /* of a body that nobody wants: more, and the connection is cut */
};

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
    exchange->is_http_1_1 = strcmp(version, "HTTP/1.1") == 0;
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
        return exchange_answer_and_cut(exchange);
#if MHD_VERSION < 0x00097701
    /* It takes a line feed alone for the end of a line in chunks, too, and does not tell: what
     * follows such a body may be part of it to others, so it is never read as a request. */
    exchange->must_close = exchange->must_close || exchange->chunked;
#endif
    /* The library closes the connection after an answer that it gets now: right when the client
     * waits with its body. Else the answer waits for the end of the request. */
    if (exchange->response.status && exchange->has_body && expects_continue(exchange))
        return exchange_answer(exchange, connection);
    if (exchange->has_body)
        watch_set(exchange->watched, WATCH_BODY);
    return MHD_YES;
}

static enum MHD_Result receive(struct exchange *exchange, struct slice piece)
{
    const struct route *route = exchange->request.match.route;
    exchange->body_bytes += piece.size;
    if (exchange->body_bytes > exchange->server->body_limit) {
        exchange_fail(exchange, 413, "the body is larger than this server takes");
        return exchange_answer_and_cut(exchange);
    }
    bool wanted = !exchange->response.status && route->body && !exchange->body_refused;
    if (!wanted) {
        exchange->discarded_bytes += piece.size;
        if (exchange->discarded_bytes <= DISCARD_LIMIT)
            return MHD_YES;
        if (!exchange->response.status && exchange->routed)
            route->respond(&exchange->request, &exchange->response);
        if (!exchange->response.status)
            exchange_fail(exchange, 413, "this request takes no such body");
        return exchange_answer_and_cut(exchange);
    }
    watch_busy(exchange->watched, true);
    exchange->body_refused = !route->body(&exchange->request, piece);
    watch_busy(exchange->watched, false);
    return MHD_YES;
}

bool request_client_is_there(const struct request *request)
{
    const struct exchange *exchange = (const struct exchange *)request; /* its first member */
    struct pollfd poll_fd = { .fd = exchange->fd, .events = POLLRDHUP };
    return poll(&poll_fd, 1, 0) <= 0 || !(poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

bool request_is_wanted(const struct request *request)
{
    const struct exchange *exchange = (const struct exchange *)request; /* its first member */
    return !atomic_load(&exchange->server->stopping) &&
           gate_lets_stay(exchange->server->gate, request) && request_client_is_there(request);
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
            exchange_fail(exchange, 500, "the request was not answered");
    }
    return exchange_answer(exchange, connection);
}

enum MHD_Result exchange_handle(void *context, struct MHD_Connection *connection, const char *url,
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

void exchange_end(struct exchange *exchange, bool complete)
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
    if (exchange->is_channel)
        atomic_fetch_sub(&exchange->server->channels, 1);
    if (exchange->begun)
        atomic_fetch_sub(&exchange->server->in_work, 1);
    exchange->link->exchange = NULL;
    free(exchange);
}

static struct link *link_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info->socket_context;
}

void exchange_completed(void *context, struct MHD_Connection *connection,
                        void **request_context_slot, enum MHD_RequestTerminationCode code)
{
    struct http_server *server = context;
    struct exchange *exchange = *request_context_slot;
    /* Its end was with that of its channel. */
    if (link_of(connection)->upgraded) {
        *request_context_slot = NULL;
        return;
    }
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, server->idle_timeout_s);
    /* Else the kernel goes on for minutes to send what the client would not take. */
    if (exchange && code == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED)
        exchange_reset_on_close(exchange);
    exchange_end(exchange, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
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
void *exchange_new(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct link *link = link_of(connection);
    struct exchange *exchange = mem_alloc(sizeof(*exchange));
    exchange->server = context;
    exchange->link = link;
    exchange->watched = link->watched;
    exchange->fd = link->fd;
    exchange->raw_target = mem_copy_text(uri ? uri : "");
    exchange_end(link->exchange, false);
    link->exchange = exchange;
    watch_request_line(exchange->watched);
    if (uri)
        hide_query(uri);
    return exchange;
}
