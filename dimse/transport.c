/* SPDX-License-Identifier: MIT */
#include "dimse/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/tls.h"
#include "dimse/resolver.h"

enum {
    FILE_PIECE = 256 << 10, /* of a file: it stays in the processor's cache on its way */
    TLS_PIECE = 16 << 10,   /* of one that is sent over TLS: a record */
};

/* Bytes that renew a deadline: a peer that takes or gives less per time-out is no peer. */
enum { PROGRESS_BYTES = 4096 };

static void set_option(int fd, int level, int option)
{
    int on = 1;
    setsockopt(fd, level, option, &on, sizeof(on));
}

bool transport_prepare(int fd, struct error *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return error_set_errno(err, errno, "socket");
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE);
    return true;
}

/* Waits for `events`, the end of `deadline_ms`, or the word to give up. */
static bool wait_for(const struct transport *transport, short events, int64_t deadline_ms,
                     struct error *err)
{
    struct pollfd fds[] = { { transport->fd, events, 0 }, { transport->kill_fd, POLLIN, 0 } };
    for (;;) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            return error_set(err, ERROR_TIMEOUT, "the peer did not go on in time");
        int ready = poll(fds, 2, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
        if (ready < 0 && errno != EINTR)
            return error_set_errno(err, errno, "poll");
        if (ready > 0 && fds[1].revents)
            return error_set(err, ERROR_STOPPED, "the server stops");
        if (ready > 0)
            return true;
    }
}

static bool shake_hands(struct transport *transport, int64_t deadline_ms, struct error *err)
{
    for (;;) {
        int step = tls_handshake(transport->tls, err);
        if (step)
            return step > 0;
        set_option(transport->fd, IPPROTO_TCP, TCP_QUICKACK);
        if (!wait_for(transport, tls_wants_write(transport->tls) ? POLLOUT : POLLIN, deadline_ms,
                      err))
            return false;
    }
}

bool transport_secure_server(struct transport *transport, const struct tls_credentials *credentials,
                             int64_t deadline_ms, struct error *err)
{
    return tls_new_server(credentials, transport->fd, &transport->tls, err) &&
           shake_hands(transport, deadline_ms, err);
}

bool transport_secure_client(struct transport *transport, const struct tls_credentials *credentials,
                             const char *host, const char *certificate, int64_t deadline_ms,
                             struct error *err)
{
    return tls_new_client(credentials, transport->fd, certificate ? NULL : host, &transport->tls,
                          err) &&
           shake_hands(transport, deadline_ms, err) &&
           (!certificate || tls_peer_is(transport->tls, certificate) ||
            error_set(err, ERROR_MISMATCH, "TLS: not the certificate that the peer must show"));
}

static bool connect_one(struct transport *transport, const struct addrinfo *address,
                        int64_t deadline_ms, struct error *err)
{
    int failure = 0;
    socklen_t size = sizeof(failure);
    transport->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (transport->fd < 0)
        return error_set_errno(err, errno, "socket");
    if (!transport_prepare(transport->fd, err))
        goto fail;
    if (connect(transport->fd, address->ai_addr, address->ai_addrlen) == 0)
        return true;
    if (errno != EINPROGRESS) {
        error_set_errno(err, errno, "connect");
        goto fail;
    }
    if (!wait_for(transport, POLLOUT, deadline_ms, err))
        goto fail;
    if (getsockopt(transport->fd, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 && failure == 0)
        return true;
    error_set_errno(err, failure, "connect");
fail:
    transport_close(transport);
    return false;
}

bool transport_connect(struct transport *transport, const char *host, uint16_t port,
                       int64_t deadline_ms, struct error *err)
{
    struct addrinfo *addresses = NULL;
    bool ok = false;
    if (!resolver_find(host, port, deadline_ms, &addresses, err))
        return false;
    for (const struct addrinfo *next = addresses; next && !ok; next = next->ai_next)
        ok = connect_one(transport, next, deadline_ms, err);
    freeaddrinfo(addresses);
    return ok;
}

static void release(struct transport *transport)
{
    tls_free(transport->tls);
    free(transport->piece);
    transport->tls = NULL;
    transport->piece = NULL;
}

int transport_take(struct transport *transport)
{
    int fd = transport->fd;
    release(transport);
    transport->fd = -1;
    return fd;
}

void transport_close(struct transport *transport)
{
    const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    release(transport);
    if (transport->fd >= 0 && transport->is_unheard)
        setsockopt(transport->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (transport->fd >= 0)
        close(transport->fd);
    transport->fd = -1;
}

bool transport_readable(const struct transport *transport, int64_t deadline_ms, int stop_fd,
                        int wake_fd, struct readiness *readiness, struct error *err)
{
    struct pollfd fds[] = { { transport->fd, POLLIN, 0 },
                            { stop_fd, POLLIN, 0 },
                            { wake_fd, POLLIN, 0 } };
    memset(readiness, 0, sizeof(*readiness));
    if (transport->tls && tls_has_pending(transport->tls)) {
        readiness->readable = true;
        return true;
    }
    for (;;) {
        int64_t left_ms = deadline_ms ? deadline_ms - clock_monotonic_ms() : 0;
        if (left_ms > 0)
            set_option(transport->fd, IPPROTO_TCP, TCP_QUICKACK);
        int timeout = left_ms < 0 ? 0 : left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
        int ready = poll(fds, 3, timeout);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0)
            return error_set_errno(err, errno, "poll");
        readiness->readable = fds[0].revents != 0;
        readiness->stopped = fds[1].revents != 0;
        readiness->woken = fds[2].revents != 0;
        return true;
    }
}

/* A record is copied out of TLS anyway, so one part at a time is enough. */
static ssize_t receive_some(const struct transport *transport, struct iovec *parts, int count)
{
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = (size_t)count };
    if (transport->tls)
        return tls_receive(transport->tls, parts[0].iov_base, parts[0].iov_len);
    return recvmsg(transport->fd, &message, MSG_DONTWAIT);
}

static short direction(const struct transport *transport, short otherwise)
{
    if (!transport->tls)
        return otherwise;
    return tls_wants_write(transport->tls) ? POLLOUT : POLLIN;
}

bool transport_receive(struct transport *transport, struct iovec *parts, int count,
                       int64_t deadline_ms, size_t *received, struct error *err)
{
    for (;;) {
        ssize_t size = receive_some(transport, parts, count);
        if (size > 0) {
            *received = (size_t)size;
            transport->is_unheard = false;
            return true;
        }
        if (size == 0)
            return error_set(err, ERROR_CLOSED, "the peer closed the connection");
        if (errno == ECONNRESET || errno == EPIPE || errno == ETIMEDOUT)
            return error_set(err, ERROR_CLOSED, "the connection was lost");
        if (errno != EAGAIN && errno != EINTR)
            return error_set_errno(err, errno, "receive");
        set_option(transport->fd, IPPROTO_TCP, TCP_QUICKACK);
        if (!wait_for(transport, direction(transport, POLLIN), deadline_ms, err))
            return false;
    }
}

/* How a peer that is sent to comes forward. */
struct pace {
    int64_t timeout_ms;
    int64_t deadline_ms; /* 0 until it had to be waited for */
    size_t progress;     /* bytes since the deadline was set */
};

/* After a call that sent nothing: waits if waiting helps. */
static bool wait_to_send(const struct transport *transport, int failure, struct pace *pace,
                         struct error *err)
{
    if (failure == EINTR)
        return true;
    if (failure == EPIPE || failure == ECONNRESET || failure == ETIMEDOUT)
        return error_set(err, ERROR_CLOSED, "the connection was lost");
    if (failure != EAGAIN)
        return error_set_errno(err, failure, "send");
    if (!pace->deadline_ms || pace->progress >= PROGRESS_BYTES) {
        pace->deadline_ms = clock_monotonic_ms() + pace->timeout_ms;
        pace->progress = 0;
    }
    return wait_for(transport, direction(transport, POLLOUT), pace->deadline_ms, err);
}

/* Takes `sent` bytes off the front of the parts. */
static void skip_parts(struct msghdr *message, size_t sent)
{
    while (message->msg_iovlen && sent >= message->msg_iov->iov_len) {
        sent -= message->msg_iov->iov_len;
        message->msg_iov++;
        message->msg_iovlen--;
    }
    if (message->msg_iovlen) {
        message->msg_iov->iov_base = (uint8_t *)message->msg_iov->iov_base + sent;
        message->msg_iov->iov_len -= sent;
    }
}

static ssize_t send_some(const struct transport *transport, const struct msghdr *message, int flags)
{
    if (transport->tls)
        return tls_send(transport->tls, message->msg_iov->iov_base, message->msg_iov->iov_len);
    return sendmsg(transport->fd, message, flags);
}

/* What TLS has gathered. */
static bool flush(const struct transport *transport, struct pace *pace, struct error *err)
{
    while (transport->tls && tls_flush(transport->tls) < 0)
        if (!wait_to_send(transport, errno, pace, err))
            return false;
    return true;
}

bool transport_send(const struct transport *transport, struct iovec *parts, int count, bool more,
                    int64_t timeout_ms, struct error *err)
{
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = (size_t)count };
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0);
    struct pace pace = { .timeout_ms = timeout_ms };
    skip_parts(&message, 0);
    while (message.msg_iovlen) {
        ssize_t sent = send_some(transport, &message, flags);
        if (sent >= 0) {
            skip_parts(&message, (size_t)sent);
            pace.progress += (size_t)sent;
            continue;
        }
        if (!wait_to_send(transport, errno, &pace, err))
            return false;
    }
    return more || flush(transport, &pace, err);
}

/* Copied, not handed to sendfile: that takes references to the file's pages 64 KiB at a time, which
 * costs more than two copies in the cache do, and a deleted file's pages could change in the queue
 * of the socket. */
bool transport_send_file(struct transport *transport, const struct file_range *range,
                         int64_t timeout_ms, struct error *err)
{
    size_t most = transport->tls ? TLS_PIECE : FILE_PIECE;
    if (!transport->piece)
        transport->piece = mem_resize(NULL, FILE_PIECE);
    transport->is_unheard = true;
    for (uint64_t done = 0; done < range->size;) {
        uint64_t left = range->size - done;
        ssize_t size = pread(range->fd, transport->piece, left < most ? (size_t)left : most,
                             (off_t)(range->offset + done));
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return error_set(err, ERROR_CORRUPT, "a stored file cannot be read to its end");
        struct iovec part = { transport->piece, (size_t)size };
        done += (uint64_t)size;
        if (!transport_send(transport, &part, 1, done < range->size, timeout_ms, err))
            return false;
    }
    return true;
}

void transport_format_address(const struct sockaddr_storage *address,
                              char text[TRANSPORT_ADDRESS_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        snprintf(text, TRANSPORT_ADDRESS_SIZE, "%s:%u", host, ntohs(v4->sin_port));
        return;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
    snprintf(text, TRANSPORT_ADDRESS_SIZE, "[%s]:%u", host, ntohs(v6->sin6_port));
}
