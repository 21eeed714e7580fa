/* SPDX-License-Identifier: MIT */
#include "http/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/tls.h"

enum {
    READ_SIZE = 4096,
    SEND_TIMEOUT_MS = 30 * 1000,
    CLOSE_TIMEOUT_MS = 1000,
    PINGS_MAX = 50, /* in a second */
    PING_EVERY_MS = 30 * 1000,
    PONG_TIMEOUT_MS = 90 * 1000, /* nothing has come for so long: nobody is there */
};

struct channel {
    int fd;
    struct tls *tls; /* NULL: there is none */
    struct websocket_reader reader;
    struct buffer early;
    bool ended;
    int64_t second_ms; /* in which pings are counted */
    unsigned pings;
    int64_t heard_ms; /* when something came last */
    int64_t pinged_ms;
};

struct channel *channel_new(int fd, void *session, struct slice early)
{
    struct channel *channel = mem_alloc(sizeof(*channel));
    channel->fd = fd;
    channel->tls = session ? tls_of_session(session) : NULL;
    channel->early = buffer_up_to(early.size + 1);
    buffer_append(&channel->early, early);
    channel->heard_ms = channel->pinged_ms = clock_monotonic_ms();
    return channel;
}

void channel_free(struct channel *channel)
{
    if (!channel)
        return;
    buffer_release(&channel->early);
    tls_free(channel->tls);
    free(channel);
}

static bool end(struct channel *channel, enum error_code code, const char *why, struct error *err)
{
    channel->ended = true;
    return error_set(err, code, "%s", why);
}

static bool wait_for(int fd, short events, int64_t timeout_ms)
{
    struct pollfd one = { .fd = fd, .events = events };
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    for (;;) {
        int64_t left_ms = until_ms - clock_monotonic_ms();
        int ready = poll(&one, 1, left_ms > 0 ? (int)left_ms : 0);
        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

/* Both as with a non-blocking socket: -1 and errno. */
static ssize_t receive_some(struct channel *channel, uint8_t *bytes, size_t size)
{
    return channel->tls ? tls_receive(channel->tls, bytes, size)
                        : recv(channel->fd, bytes, size, MSG_DONTWAIT);
}

static ssize_t send_some(struct channel *channel, struct slice bytes)
{
    return channel->tls ? tls_send(channel->tls, bytes.data, bytes.size)
                        : send(channel->fd, bytes.data, bytes.size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool wait_to_receive(struct channel *channel, int64_t timeout_ms)
{
    return (channel->tls && tls_has_pending(channel->tls)) ||
           wait_for(channel->fd, POLLIN, timeout_ms);
}

static bool wait_to_send(struct channel *channel, int64_t timeout_ms)
{
    short events = channel->tls && !tls_wants_write(channel->tls) ? POLLIN : POLLOUT;
    return timeout_ms > 0 && wait_for(channel->fd, events, timeout_ms);
}

static bool send_all(struct channel *channel, struct slice bytes, int64_t timeout_ms,
                     struct error *err)
{
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    bool is_out = false; /* TLS gathers */
    while (!is_out) {
        ssize_t size = bytes.size     ? send_some(channel, bytes)
                       : channel->tls ? tls_flush(channel->tls)
                                      : 0;
        is_out = size == 0 && !bytes.size;
        if (size >= 0)
            bytes = slice_skip(bytes, (size_t)size);
        else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
            return end(channel, ERROR_CLOSED, "the client is gone", err);
        else if (errno != EINTR && !wait_to_send(channel, until_ms - clock_monotonic_ms()))
            return end(channel, ERROR_TIMEOUT, "the client takes nothing", err);
    }
    return true;
}

static bool send_frame(struct channel *channel, enum websocket_opcode opcode, struct slice payload,
                       int64_t timeout_ms, struct error *err)
{
    struct buffer frame = buffer_up_to(payload.size + 16);
    websocket_frame(opcode, payload, &frame);
    bool ok = send_all(channel, buffer_slice(&frame), timeout_ms, err);
    buffer_release(&frame);
    return ok;
}

bool channel_send(struct channel *channel, struct slice text, struct error *err)
{
    if (channel->ended)
        return error_set(err, ERROR_CLOSED, "the channel is closed");
    return send_frame(channel, WEBSOCKET_TEXT, text, SEND_TIMEOUT_MS, err);
}

static void tell_end(struct channel *channel, uint16_t code, const char *reason)
{
    struct buffer frame = buffer_up_to(WEBSOCKET_CONTROL_SIZE + 16);
    struct error err;
    websocket_close_frame(code, reason, &frame);
    send_all(channel, buffer_slice(&frame), CLOSE_TIMEOUT_MS, &err);
    buffer_release(&frame);
    channel->ended = true;
}

static bool count_ping(struct channel *channel)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - channel->second_ms >= 1000) {
        channel->second_ms = now_ms;
        channel->pings = 0;
    }
    return ++channel->pings <= PINGS_MAX;
}

static bool handle(struct channel *channel, enum websocket_event event, uint16_t code,
                   struct error *err)
{
    switch (event) {
    case WEBSOCKET_PINGED:
        if (count_ping(channel))
            return send_frame(channel, WEBSOCKET_PONG,
                              slice_of(channel->reader.control, channel->reader.control_size),
                              SEND_TIMEOUT_MS, err);
        tell_end(channel, WEBSOCKET_POLICY, "too many pings");
        return error_set(err, ERROR_LIMIT, "the client sends too many pings");
    case WEBSOCKET_CLOSED:
        tell_end(channel, code, "");
        return error_set(err, ERROR_CLOSED, "the client has closed");
    case WEBSOCKET_BROKEN:
        tell_end(channel, code,
                 code == WEBSOCKET_TOO_BIG ? "the message is too long" : "protocol error");
        return error_set(err, ERROR_INVALID, "the client breaks the rules of frames");
    default:
        return true;
    }
}

static bool take(struct channel *channel, struct slice bytes, struct error *err)
{
    while (bytes.size) {
        uint16_t code = 0;
        enum websocket_event event = websocket_read(&channel->reader, &bytes, &code);
        if (!handle(channel, event, code, err))
            return false;
    }
    return true;
}

/* Is somebody still there? */
static bool look_after(struct channel *channel, struct error *err)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - channel->heard_ms > PONG_TIMEOUT_MS)
        return end(channel, ERROR_TIMEOUT, "the client does not answer", err);
    if (now_ms - channel->heard_ms < PING_EVERY_MS || now_ms - channel->pinged_ms < PING_EVERY_MS)
        return true;
    channel->pinged_ms = now_ms;
    return send_frame(channel, WEBSOCKET_PING, slice_of(NULL, 0), SEND_TIMEOUT_MS, err);
}

bool channel_poll(struct channel *channel, int64_t timeout_ms, struct error *err)
{
    uint8_t bytes[READ_SIZE];
    if (channel->ended)
        return error_set(err, ERROR_CLOSED, "the channel is closed");
    if (channel->early.size) {
        bool ok = take(channel, buffer_slice(&channel->early), err);
        buffer_clear(&channel->early);
        return ok;
    }
    if (!wait_to_receive(channel, timeout_ms))
        return look_after(channel, err);
    ssize_t size = receive_some(channel, bytes, sizeof(bytes));
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return true;
    if (size <= 0)
        return end(channel, ERROR_CLOSED, "the client is gone", err);
    channel->heard_ms = clock_monotonic_ms();
    return take(channel, slice_of(bytes, (size_t)size), err);
}

void channel_close(struct channel *channel, uint16_t code, const char *reason)
{
    uint8_t bytes[READ_SIZE];
    if (channel->ended)
        return;
    tell_end(channel, code, reason);
    /* Until the client's own close, or for a moment: closing over what it still sends would reset
     * the connection before it has heard. */
    int64_t until_ms = clock_monotonic_ms() + CLOSE_TIMEOUT_MS;
    while (wait_to_receive(channel, until_ms - clock_monotonic_ms()) &&
           clock_monotonic_ms() < until_ms) {
        ssize_t size = receive_some(channel, bytes, sizeof(bytes));
        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
            break;
        struct slice rest = slice_of(bytes, size > 0 ? (size_t)size : 0);
        uint16_t code_back;
        bool is_over = false;
        while (rest.size && !is_over) {
            enum websocket_event event = websocket_read(&channel->reader, &rest, &code_back);
            is_over = event == WEBSOCKET_CLOSED || event == WEBSOCKET_BROKEN;
        }
        if (is_over)
            break;
    }
}
