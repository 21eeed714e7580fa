/* SPDX-License-Identifier: MIT */
/* WebSockets (RFC 6455 4.2): the handshake, and who has the connection behind it. */
#include <string.h>

#include "base/log.h"
#include "http/channel.h"
#include "http/server_parts.h"

/* The connection's own thread serves it, and hands it back before it returns: 0.9.75 of the library
 * may free a connection while another thread hands it back. TLS is spoken here, too: the library
 * would carry the bytes only behind this. */
static void on_upgrade(void *context, struct MHD_Connection *connection, void *request_context_slot,
                       const char *early, size_t early_size, MHD_socket fd,
                       struct MHD_UpgradeResponseHandle *handle)
{
    struct exchange *exchange = context;
    struct http_server *server = exchange->server;
    (void)connection;
    (void)request_context_slot;
    (void)fd;
    exchange->link->upgraded = true;
    exchange->is_channel = false; /* it is counted until the library has it back */
    struct channel *channel = channel_new(exchange->fd, exchange->link->session,
                                          slice_of(early, early_size));
    log_set_request(exchange->request.id);
    exchange->response.serve(&exchange->request, channel);
    channel_free(channel);
    exchange_end(exchange, true);
    MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
    atomic_fetch_sub(&server->channels, 1);
}

enum MHD_Result exchange_upgrade(struct exchange *exchange, struct MHD_Connection *connection)
{
    struct response *response = &exchange->response;
    /* Counted before it is looked whether the server stops, as that looks at the count behind. */
    atomic_fetch_add(&exchange->server->channels, 1);
    exchange->is_channel = true;
    if (atomic_load(&exchange->server->stopping)) {
        response->serve = NULL;
        exchange_fail(exchange, 503, "the server is shutting down");
        return exchange_answer(exchange, connection);
    }
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
        strcmp(version, "13") != 0 || strcmp(request->method, "GET") != 0 ||
        !exchange->is_http_1_1) {
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
