/* SPDX-License-Identifier: MIT */
#include "http/server.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "http/front.h"
#include "http/listen.h"
#include "http/server_parts.h"

enum {
    CONNECTION_LIMIT = 512,
    CONNECTION_LIMIT_PER_ADDRESS = 256,
    IDLE_TIMEOUT_S = 60,
    HEADER_TIMEOUT_S = 20,
};

/* --- connections --- */

static int fd_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
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
    link->fd = fd_of(connection);
    link->session = info ? info->tls_session : NULL;
    link->peer = peer_of(connection);
    link->above_limits = !admission_enter(server->admission, &link->peer,
                                          gate_is_proxy(server->gate, &link->peer));
    link->watched = watchdog_add(server->watchdog, link->fd);
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
        exchange_end(link->exchange, false);
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
            .handle = exchange_handle,
            .connection = on_connection,
            .completed = exchange_completed,
            .request_line = exchange_new,
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
