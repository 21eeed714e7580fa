/* SPDX-License-Identifier: MIT */
#pragma once
/* A TCP connection as the upper layer needs it: non-blocking underneath, every wait with a deadline
 * on CLOCK_MONOTONIC. The one place that names sockets' options: TCP_NODELAY always (our small
 * answers must not wait), and TCP_QUICKACK armed anew before every wait for bytes, because the
 * kernel forgets it: an ordinary peer with Nagle on would stall 40 ms per message.
 * One thread at a time. */

#include <sys/socket.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/file_range.h"

enum { TRANSPORT_ADDRESS_SIZE = 64 };

struct tls;
struct tls_credentials;

struct transport {
    int fd;          /* -1: none */
    struct tls *tls; /* NULL: plain */
    int kill_fd;     /* borrowed; readable: give up at once; -1: none */
    bool is_unheard; /* bytes of a file were sent, and nothing was heard since */
    uint8_t *piece;  /* of a file on its way; NULL until one is sent */
};

/* Sets a socket up: non-blocking, TCP_NODELAY, keep-alive. */
bool transport_prepare(int fd, struct error *err);

/* The handshake over a connection that stands; the errors tell what is wrong with the other side.
 */
bool transport_secure_server(struct transport *transport, const struct tls_credentials *credentials,
                             int64_t deadline_ms, struct error *err);
/* The peer must show a certificate that is valid for the host, or the one described: see
 * tls_peer_is. */
bool transport_secure_client(struct transport *transport, const struct tls_credentials *credentials,
                             const char *host, const char *certificate, int64_t deadline_ms,
                             struct error *err);

/* Connects to any address of the host. */
bool transport_connect(struct transport *transport, const char *host, uint16_t port,
                       int64_t deadline_ms, struct error *err);
/* Where pages of a file may still wait to be sent, the kernel forgets them: once nobody holds the
 * blob, its space can be given back, and the peer would get zeros for them. */
void transport_close(struct transport *transport);
/* Ends TLS and gives the bare socket away, to be drained. */
int transport_take(struct transport *transport);

/* Is there something to read, or the end? Waits until the deadline (0: not at all), or until one of
 * two others is readable: stop_fd, wake_fd (-1: none). */
struct readiness {
    bool readable;
    bool stopped;
    bool woken;
};
bool transport_readable(const struct transport *transport, int64_t deadline_ms, int stop_fd,
                        int wake_fd, struct readiness *readiness, struct error *err);

/* What is there, at least one byte. ERROR_CLOSED at the end, ERROR_TIMEOUT, ERROR_STOPPED. */
bool transport_receive(struct transport *transport, struct iovec *parts, int count,
                       int64_t deadline_ms, size_t *received, struct error *err);

/* Everything, or an error. `parts` are used up. `more`: further bytes follow at once. The peer must
 * take some KiB in each stretch of `timeout_ms`. */
bool transport_send(const struct transport *transport, struct iovec *parts, int count, bool more,
                    int64_t timeout_ms, struct error *err);
bool transport_send_file(struct transport *transport, const struct file_range *range,
                         int64_t timeout_ms, struct error *err);

/* "192.0.2.7:104", "[2001:db8::7]:104": for logs. */
void transport_format_address(const struct sockaddr_storage *address,
                              char text[TRANSPORT_ADDRESS_SIZE]);
