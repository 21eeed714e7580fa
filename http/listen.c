/* SPDX-License-Identifier: MIT */
#include "http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

static bool bind_and_listen(int fd, const struct addrinfo *info)
{
    int on = 1;
    int off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    return bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0;
}

static bool describe(const char *address, bool secure, struct listener *listener, struct error *err)
{
    struct sockaddr_storage bound = { 0 };
    socklen_t size = sizeof(bound);
    if (getsockname(listener->fd, (struct sockaddr *)&bound, &size) != 0)
        return error_set_errno(err, errno, "HTTP on %s", address);
    listener->is_ipv6 = bound.ss_family == AF_INET6;
    listener->port = ntohs(listener->is_ipv6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                             : ((struct sockaddr_in *)&bound)->sin_port);
    const char *name = address;
    if (strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0)
        name = "localhost";
    bool brackets = strchr(name, ':');
    snprintf(listener->url, sizeof(listener->url), "http%s://%s%s%s:%u", secure ? "s" : "",
             brackets ? "[" : "", name, brackets ? "]" : "", listener->port);
    return true;
}

bool listener_open(const char *address, uint16_t port, bool secure, struct listener *listener,
                   struct error *err)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                              .ai_socktype = SOCK_STREAM };
    struct addrinfo *info = NULL;
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(address, service, &hints, &info) != 0)
        return error_set(err, ERROR_INVALID, "HTTP address %.64s is no IPv4 or IPv6 address",
                         address);
    bool ok = false;
    listener->fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0 || !bind_and_listen(listener->fd, info))
        error_set_errno(err, errno, "HTTP on %s port %u", address, port);
    else
        ok = describe(address, secure, listener, err);
    if (!ok && listener->fd >= 0)
        close(listener->fd);
    freeaddrinfo(info);
    return ok;
}

void linger_and_shut(int fd, int64_t ms)
{
    char waste[16 << 10];
    int64_t deadline = clock_monotonic_ms() + ms;
    shutdown(fd, SHUT_WR);
    for (;;) {
        int64_t left = deadline - clock_monotonic_ms();
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        if (left <= 0 || poll(&poll_fd, 1, (int)left) <= 0)
            return;
        ssize_t size = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
            return;
    }
}
