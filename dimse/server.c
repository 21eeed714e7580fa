/* SPDX-License-Identifier: MIT */
#include "dimse/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "dimse/availability.h"
#include "dimse/commitment.h"
#include "dimse/configuration.h"
#include "dimse/forward.h"
#include "dimse/listener.h"
#include "dimse/notify.h"
#include "dimse/ups_deliver.h"

enum { EVENTS_GRACE_MS = 1500 /* to tell subscribers that we are going down */ };
enum { BACKLOG = 4096 }; /* the kernel's own limit is less; thousands may come at once */

struct dimse_server {
    const struct archive *archive;
    struct worklist *worklist;
    struct configuration_place *place;
    struct commitment *commitment;
    struct forward *forward;
    struct availability *availability;
    struct ups_delivery *ups;
    struct notify *notify;
    struct workers *workers;
    struct listener *listener;
    uint16_t port;
};

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

static bool open_listener(struct dimse_server *server, const struct dimse_options *options,
                          struct error *err)
{
    int fd = -1;
    int tls_fd = -1;
    if (!listen_on(options->address, options->port, &fd, err))
        return false;
    server->port = bound_port(fd);
    if (options->tls_port && !listen_on(options->address, options->tls_port, &tls_fd, err)) {
        close(fd);
        return false;
    }
    return listener_open_take(fd, tls_fd, server->place, server->workers, &server->listener, err);
}

bool dimse_server_open(struct archive *archive, const struct dimse_options *options,
                       struct dimse_server **out, struct error *err)
{
    struct dimse_server *server = mem_alloc(sizeof(*server));
    const struct configuration *configuration = NULL;
    struct dimse_options own = *options;
    own.archive = archive;
    *out = NULL;
    if (!configuration_new(&own, &configuration, err))
        goto fail;
    server->archive = archive;
    server->worklist = options->worklist;
    server->place = configuration_place_new_take(configuration);
    if (!commitment_open(archive, server->place, &server->commitment, err))
        goto fail;
    server->workers = workers_new(archive, options->worklist, server->commitment);
    if (!open_listener(server, options, err) ||
        !forward_open(archive, server->place, &server->forward, err) ||
        !availability_open(archive, server->place, &server->availability, err) ||
        (options->worklist &&
         (!notify_open(archive, options->worklist, server->place, &server->notify, err) ||
          !ups_delivery_open(options->worklist, server->place, &server->ups, err))))
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

bool dimse_server_reload(struct dimse_server *server, const struct dimse_options *options,
                         struct error *err)
{
    const struct configuration *next;
    struct dimse_options own = *options;
    own.archive = server->archive;
    own.worklist = server->worklist;
    if (!configuration_new(&own, &next, err))
        return false;
    configuration_replace_take(server->place, next);
    forward_reload(server->forward);
    availability_reload(server->availability);
    return true;
}

void dimse_server_close(struct dimse_server *server, int64_t grace_ms)
{
    if (!server)
        return;
    listener_close(server->listener);
    forward_close(server->forward);
    availability_close(server->availability);
    notify_close(server->notify);
    ups_delivery_close(server->ups, grace_ms < EVENTS_GRACE_MS ? grace_ms : EVENTS_GRACE_MS);
    workers_close(server->workers, grace_ms);
    commitment_close(server->commitment);
    configuration_place_free(server->place);
    free(server);
}
