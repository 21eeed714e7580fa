/* SPDX-License-Identifier: MIT */
#include "dimse/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "dimse/listener.h"

enum {
    DEFAULT_ASSOCIATIONS = 256,
    DEFAULT_ASSOCIATIONS_PER_PEER = 64,
    DEFAULT_MAX_PDU = 256 << 10,
    MIN_MAX_PDU = 4 << 10,
    DEFAULT_ARTIM_MS = 10 * 1000,
    DEFAULT_IDLE_MS = 10 * 60 * 1000,
    DEFAULT_MESSAGE_MS = 60 * 1000,
    DEFAULT_CONNECT_MS = 10 * 1000,
    BACKLOG = 4096, /* the kernel's own limit is less; thousands may come at once */
};

struct dimse_server {
    struct dimse_options options; /* complete, all that it points to is ours */
    struct peer *peers;
    char **calling_ae_titles;
    char *ae_title;
    struct workers *workers;
    struct listener *listener;
    uint16_t port;
};

static void set_default(unsigned *value, unsigned otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void complete_options(struct dimse_options *options)
{
    set_default(&options->association_limit, DEFAULT_ASSOCIATIONS);
    set_default(&options->association_limit_per_peer, DEFAULT_ASSOCIATIONS_PER_PEER);
    set_default(&options->max_pdu, DEFAULT_MAX_PDU);
    set_default(&options->artim_timeout_ms, DEFAULT_ARTIM_MS);
    set_default(&options->idle_timeout_ms, DEFAULT_IDLE_MS);
    set_default(&options->message_timeout_ms, DEFAULT_MESSAGE_MS);
    set_default(&options->connect_timeout_ms, DEFAULT_CONNECT_MS);
    if (options->max_pdu < MIN_MAX_PDU)
        options->max_pdu = MIN_MAX_PDU;
}

static void copy_options(struct dimse_server *server, const struct dimse_options *options)
{
    server->options = *options;
    complete_options(&server->options);
    server->ae_title = mem_copy_text(options->ae_title);
    server->options.ae_title = server->ae_title;
    server->options.address = NULL; /* only needed to listen */
    server->peers = mem_alloc_array(options->peer_count, sizeof(*server->peers));
    for (size_t i = 0; i < options->peer_count; i++) {
        server->peers[i].ae_title = mem_copy_text(options->peers[i].ae_title);
        server->peers[i].host = mem_copy_text(options->peers[i].host);
        server->peers[i].port = options->peers[i].port;
    }
    server->options.peers = server->peers;
    if (!options->calling_ae_titles)
        return;
    size_t count = 0;
    while (options->calling_ae_titles[count])
        count++;
    server->calling_ae_titles = mem_alloc_array(count + 1, sizeof(*server->calling_ae_titles));
    for (size_t i = 0; i < count; i++)
        server->calling_ae_titles[i] = mem_copy_text(options->calling_ae_titles[i]);
    server->options.calling_ae_titles = (const char *const *)server->calling_ae_titles;
}

static bool parse_address(const char *text, uint16_t port, struct sockaddr_storage *address,
                          socklen_t *size, struct error *err)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *size = sizeof(*v4);
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        *size = sizeof(*v6);
    } else {
        return error_set(err, ERROR_INVALID, "not an IP address: %s", text);
    }
    return true;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return 0;
    return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                              : ((struct sockaddr_in6 *)&address)->sin6_port);
}

static bool listen_on(const char *text, uint16_t port, int *out, struct error *err)
{
    struct sockaddr_storage address;
    socklen_t size = 0;
    int on = 1;
    int off = 0;
    if (!parse_address(text, port, &address, &size, err))
        return false;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address.ss_family == AF_INET6) /* "::" means IPv4 as well */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, BACKLOG) < 0) {
        error_set_errno(err, errno, "DICOM on %s port %u", text, port);
        close(fd);
        return false;
    }
    *out = fd;
    return true;
}

bool dimse_server_open(struct archive *archive, const struct dimse_options *options,
                       struct dimse_server **out, struct error *err)
{
    struct dimse_server *server = mem_alloc(sizeof(*server));
    int fd = -1;
    *out = NULL;
    copy_options(server, options);
    if (!listen_on(options->address, options->port, &fd, err))
        goto fail;
    server->port = bound_port(fd);
    server->workers = workers_new(archive, &server->options);
    if (!listener_open_take(fd, &server->options, server->workers, &server->listener, err))
        goto fail;
    *out = server;
    return true;
fail:
    dimse_server_close(server, 0);
    return false;
}

uint16_t dimse_server_port(const struct dimse_server *server)
{
    return server->port;
}

void dimse_server_close(struct dimse_server *server, int64_t grace_ms)
{
    if (!server)
        return;
    listener_close(server->listener);
    workers_close(server->workers, grace_ms);
    for (size_t i = 0; i < server->options.peer_count; i++) {
        free((void *)(uintptr_t)server->peers[i].ae_title);
        free((void *)(uintptr_t)server->peers[i].host);
    }
    free(server->peers);
    for (char **title = server->calling_ae_titles; title && *title; title++)
        free(*title);
    free(server->calling_ae_titles);
    free(server->ae_title);
    free(server);
}
