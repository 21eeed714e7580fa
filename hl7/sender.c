/* SPDX-License-Identifier: MIT */
#include "hl7/sender.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

enum { ANSWER_LIMIT = 256 << 10 };

struct hl7_sender {
    const struct hl7_sender_options *options;
    int fd; /* -1: none */
    struct tls *tls;
    struct mllp mllp;
};

struct hl7_sender *hl7_sender_new(const struct hl7_sender_options *options)
{
    struct hl7_sender *sender = mem_alloc(sizeof(*sender));
    sender->options = options;
    sender->fd = -1;
    mllp_init(&sender->mllp, ANSWER_LIMIT);
    return sender;
}

static void hang_up(struct hl7_sender *sender)
{
    tls_free(sender->tls);
    sender->tls = NULL;
    if (sender->fd >= 0)
        close(sender->fd);
    sender->fd = -1;
    mllp_release(&sender->mllp);
    mllp_init(&sender->mllp, ANSWER_LIMIT);
}

void hl7_sender_free(struct hl7_sender *sender)
{
    if (!sender)
        return;
    hang_up(sender);
    mllp_release(&sender->mllp);
    free(sender);
}

static bool wait_for(const struct hl7_sender *sender, short events, int64_t deadline_ms,
                     struct error *err)
{
    struct pollfd fds[] = { { sender->fd, events, 0 }, { sender->options->stop_fd, POLLIN, 0 } };
    for (;;) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            return error_set(err, ERROR_TIMEOUT, "no answer in time");
        int ready = poll(fds, 2, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
        if (ready < 0 && errno != EINTR)
            return error_set_errno(err, errno, "poll");
        if (ready > 0 && fds[1].revents)
            return error_set(err, ERROR_STOPPED, "the server stops");
        if (ready > 0)
            return true;
    }
}

static short direction(const struct hl7_sender *sender, short otherwise)
{
    if (!sender->tls)
        return otherwise;
    return tls_wants_write(sender->tls) ? POLLOUT : POLLIN;
}

static bool secure(struct hl7_sender *sender, int64_t deadline_ms, struct error *err)
{
    const struct hl7_sender_options *options = sender->options;
    const char *host = options->certificate ? NULL : options->host;
    int step = 0;
    if (!options->tls)
        return true;
    if (!tls_new_client(options->tls, sender->fd, host, &sender->tls, err))
        return false;
    while ((step = tls_handshake(sender->tls, err)) == 0)
        if (!wait_for(sender, direction(sender, POLLIN), deadline_ms, err))
            return false;
    return step > 0 &&
           (!options->certificate || tls_peer_is(sender->tls, options->certificate) ||
            error_set(err, ERROR_MISMATCH, "TLS: not the certificate that it must show"));
}

static bool dial(struct hl7_sender *sender, int64_t deadline_ms, struct error *err)
{
    const struct hl7_sender_options *options = sender->options;
    struct sockaddr_storage address = { 0 };
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    socklen_t size = sizeof(*v4);
    int failure = 0;
    socklen_t failure_size = sizeof(failure);
    int on = 1;
    if (inet_pton(AF_INET, options->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(options->port);
    } else if (inet_pton(AF_INET6, options->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(options->port);
        size = sizeof(*v6);
    } else {
        return error_set(err, ERROR_INVALID, "not an IP address: %.60s", options->host);
    }
    sender->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sender->fd < 0)
        return error_set_errno(err, errno, "socket");
    setsockopt(sender->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(sender->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (connect(sender->fd, (struct sockaddr *)&address, size) < 0) {
        if (errno != EINPROGRESS)
            return error_set_errno(err, errno, "connect");
        if (!wait_for(sender, POLLOUT, deadline_ms, err))
            return false;
        if (getsockopt(sender->fd, SOL_SOCKET, SO_ERROR, &failure, &failure_size) < 0 || failure)
            return error_set_errno(err, failure, "connect");
    }
    return secure(sender, deadline_ms, err);
}

static bool write_all(struct hl7_sender *sender, struct slice bytes, int64_t deadline_ms,
                      struct error *err)
{
    while (bytes.size || (sender->tls && tls_flush(sender->tls) < 0)) {
        ssize_t sent = 0;
        if (bytes.size && sender->tls)
            sent = tls_send(sender->tls, bytes.data, bytes.size);
        else if (bytes.size)
            sent = send(sender->fd, bytes.data, bytes.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        else
            sent = -1; /* what TLS has gathered does not go out yet */
        if (sent >= 0)
            bytes = slice_skip(bytes, (size_t)sent);
        else if (errno == EAGAIN && !wait_for(sender, direction(sender, POLLOUT), deadline_ms, err))
            return false;
        else if (errno != EAGAIN && errno != EINTR)
            return error_set(err, ERROR_CLOSED, "the connection was lost");
    }
    return true;
}

/* The answer of an acknowledgement that is of this message. */
static bool read_answer(struct slice block, struct slice control_id, enum hl7_answer *answer)
{
    struct hl7_message message;
    struct hl7_fault fault;
    bool found = false;
    if (!hl7_message_parse(block, NULL, &message, &fault))
        return false;
    const struct hl7_segment *msa = hl7_find(&message, "MSA", NULL);
    struct slice code = hl7_value(&message, msa, 1, 1);
    if (slice_equal(hl7_value(&message, msa, 2, 1), control_id))
        for (int i = HL7_APPLICATION_ACCEPT; i <= HL7_COMMIT_REJECT && !found; i++)
            if (slice_equals_text(code, hl7_answer_name((enum hl7_answer)i))) {
                *answer = (enum hl7_answer)i;
                found = true;
            }
    hl7_message_release(&message);
    return found;
}

static bool await_answer(struct hl7_sender *sender, struct slice control_id, int64_t deadline_ms,
                         enum hl7_answer *answer, struct error *err)
{
    uint8_t chunk[4096];
    for (;;) {
        ssize_t size = sender->tls ? tls_receive(sender->tls, chunk, sizeof(chunk))
                                   : recv(sender->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN) {
            if (!wait_for(sender, direction(sender, POLLIN), deadline_ms, err))
                return false;
            continue;
        }
        if (size <= 0)
            return error_set(err, ERROR_CLOSED, "the connection was closed without an answer");
        for (struct slice bytes = slice_of(chunk, (size_t)size); bytes.size;) {
            size_t used;
            enum mllp_event event = mllp_feed(&sender->mllp, bytes, &used);
            bytes = slice_skip(bytes, used);
            if (event == MLLP_BLOCK &&
                read_answer(buffer_slice(&sender->mllp.content), control_id, answer))
                return true;
        }
        if (sender->mllp.stray > ANSWER_LIMIT || clock_monotonic_ms() > deadline_ms)
            return error_set(err, ERROR_TIMEOUT, "no answer in time");
    }
}

/* Nothing is asked, so what can be read is the end, or answers to what we do not wait for any more.
 */
static bool is_stale(const struct hl7_sender *sender)
{
    struct pollfd now = { sender->fd, POLLIN, 0 };
    return poll(&now, 1, 0) != 0;
}

bool hl7_sender_send(struct hl7_sender *sender, struct slice message, struct slice control_id,
                     bool *is_out, enum hl7_answer *answer, struct error *err)
{
    struct buffer block = buffer_up_to(message.size + 3);
    mllp_append_block(&block, message);
    int64_t deadline_ms = clock_monotonic_ms() + sender->options->timeout_ms;
    if (sender->fd >= 0 && is_stale(sender))
        hang_up(sender);
    *is_out = (sender->fd >= 0 || dial(sender, deadline_ms, err)) &&
              write_all(sender, buffer_slice(&block), deadline_ms, err);
    bool ok = *is_out && await_answer(sender, control_id, deadline_ms, answer, err);
    if (!ok)
        hang_up(sender);
    buffer_release(&block);
    return ok;
}
