/* SPDX-License-Identifier: MIT */
#include "hl7/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/audit.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"

enum {
    CHUNK = 64 << 10,
    STRAY_LIMIT = 4096,      /* bytes outside of blocks in a row: this is no HL7 */
    KEPT_CONTENT = 64 << 10, /* memory of a message that stays for the next one of the same chunk */
    OUT_LIMIT = 4 << 20,
    FREE_HOLD = 1 << 20, /* what a connection may hold whatever the others do */
    BUDGET = 256 << 20,
    KEEP_IDLE_S = 60, /* keep-alive: a peer that is gone is noticed after about three minutes */
    KEEP_INTERVAL_S = 30,
    KEEP_COUNT = 4,
};

static void set_option(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof(value));
}

static void prepare(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT);
}

static uint16_t port_of(const struct sockaddr *address)
{
    return ntohs(address->sa_family == AF_INET
                     ? ((const struct sockaddr_in *)(const void *)address)->sin_port
                     : ((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
}

struct hl7_connection *hl7_connection_new_take(int fd, const struct sockaddr *address,
                                               struct hl7_configuration *configuration, bool secure)
{
    struct hl7_connection *connection = mem_alloc(sizeof(*connection));
    char host[ADDRESS_TEXT_SIZE];
    pthread_mutex_init(&connection->turn, NULL);
    connection->fd = fd;
    connection->address = address_of(address);
    address_format(&connection->address, host);
    snprintf(connection->peer, sizeof(connection->peer), "%s:%u", host, port_of(address));
    connection->is_shaken = !secure;
    connection->why = "closed";
    connection->out = buffer_up_to(OUT_LIMIT);
    mllp_init(&connection->mllp, configuration->options.message_limit);
    prepare(fd);
    /* A reload puts other credentials in their place; the session keeps these. */
    connection->credentials = secure ? hl7_configuration_hold(configuration) : NULL;
    if (secure && !tls_new_server(configuration->tls, fd, &connection->tls, NULL)) {
        hl7_connection_free(connection);
        return NULL;
    }
    return connection;
}

void hl7_connection_free(struct hl7_connection *connection)
{
    if (!connection)
        return;
    tls_free(connection->tls);
    hl7_configuration_release(connection->credentials);
    close(connection->fd);
    pthread_mutex_destroy(&connection->turn);
    mllp_release(&connection->mllp);
    buffer_release(&connection->out);
    free(connection);
}

static enum hl7_turn end(struct hl7_connection *connection, const char *why)
{
    connection->why = why;
    return HL7_TURN_END;
}

static void set_deadline(struct hl7_connection *connection, unsigned timeout_ms)
{
    atomic_store(&connection->deadline_ms, timeout_ms ? clock_monotonic_ms() + timeout_ms : 0);
}

/* The handshake, a step at a time. */
static enum hl7_turn shake_hands(struct hl7_connection *connection)
{
    struct error err = { .code = ERROR_NONE };
    int step = tls_handshake(connection->tls, &err);
    if (step < 0) {
        audit_note(AUDIT_SECURITY_ALERT, AUDIT_NODE_AUTHENTICATION, AUDIT_SERIOUS_FAILURE,
                   &(struct audit_peer){ .address = connection->peer }, err.message);
        log_warn("hl7: handshake failed peer=%s why=\"%s\"", connection->peer, err.message);
        return end(connection, "no handshake");
    }
    connection->is_shaken = step > 0;
    return tls_wants_write(connection->tls) && !step ? HL7_TURN_WRITE : HL7_TURN_READ;
}

/* Counts the message that is being received. False when there are too many large ones. */
static bool hold(struct hl7_connection *connection, struct hl7_budget *budget)
{
    size_t needed = connection->mllp.content.capacity;
    if (needed > connection->held) {
        size_t before = atomic_fetch_add(&budget->held, needed - connection->held);
        connection->held = needed;
        return needed <= FREE_HOLD || before < BUDGET;
    }
    atomic_fetch_sub(&budget->held, connection->held - needed);
    connection->held = needed;
    return true;
}

static void let_go(struct hl7_connection *connection, struct hl7_budget *budget, size_t keep)
{
    if (connection->mllp.content.capacity > keep)
        mllp_release(&connection->mllp);
    hold(connection, budget);
}

/* Sends what waits. */
static enum hl7_turn flush(struct hl7_connection *connection)
{
    while (connection->sent < connection->out.size) {
        const uint8_t *data = connection->out.data + connection->sent;
        size_t size = connection->out.size - connection->sent;
        ssize_t sent = connection->tls
                           ? tls_send(connection->tls, data, size)
                           : send(connection->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0)
            connection->sent += (size_t)sent;
        else if (errno == EAGAIN)
            return HL7_TURN_WRITE;
        else if (errno != EINTR)
            return end(connection, "lost");
    }
    while (connection->tls && tls_flush(connection->tls) < 0) {
        if (errno == EAGAIN)
            return HL7_TURN_WRITE;
        if (errno != EINTR)
            return end(connection, "lost");
    }
    buffer_release(&connection->out);
    connection->sent = 0;
    return HL7_TURN_READ;
}

/* A block, or the beginning of one that was cut. False: nothing more is to be read. */
static bool receive(struct hl7_connection *connection, struct hl7_configuration *configuration,
                    struct hl7_budget *budget, enum mllp_event event)
{
    bool is_large = connection->mllp.content.size > FREE_HOLD;
    struct hl7_delivery delivery = {
        .bytes = buffer_slice(&connection->mllp.content),
        .damage = event == MLLP_CUT        ? "the message was cut: another one began before its end"
                  : event == MLLP_TOO_LONG ? "the message is longer than what is taken here"
                                           : NULL,
        .address = &connection->address,
        .peer = connection->peer,
        .tls = connection->tls,
    };
    if (is_large)
        pthread_mutex_lock(&budget->large);
    enum hl7_received received = hl7_receive(&connection->receiver, configuration, &delivery,
                                             &connection->out);
    if (is_large)
        pthread_mutex_unlock(&budget->large);
    connection->accepted += received == HL7_RECEIVED;
    connection->refused += received == HL7_REFUSED;
    return received != HL7_UNREADABLE || event == MLLP_CUT;
}

static enum hl7_turn take(struct hl7_connection *connection,
                          struct hl7_configuration *configuration, struct hl7_budget *budget,
                          struct slice bytes)
{
    while (bytes.size) {
        bool was_begun = mllp_is_begun(&connection->mllp);
        size_t used;
        enum mllp_event event = mllp_feed(&connection->mllp, bytes, &used);
        bytes = slice_skip(bytes, used);
        if (!hold(connection, budget))
            return end(connection, "too many large messages at once");
        if (!was_begun) /* the time is that of a whole message */
            set_deadline(connection, configuration->options.message_timeout_ms);
        if (connection->mllp.stray > STRAY_LIMIT)
            return end(connection, "no HL7");
        if (event == MLLP_NOTHING)
            continue;
        atomic_store(&connection->deadline_ms, 0); /* ours is not theirs */
        bool goes_on = receive(connection, configuration, budget, event);
        if (mllp_is_begun(&connection->mllp)) /* the rest of a long one */
            set_deadline(connection, configuration->options.message_timeout_ms);
        let_go(connection, budget, KEPT_CONTENT);
        if (connection->out.overflowed)
            return end(connection, "answers are not read");
        if (!goes_on) {
            flush(connection);
            return end(connection, "unreadable message");
        }
        /* The answer goes before the next message is looked at. */
        enum hl7_turn turn = flush(connection);
        if (turn == HL7_TURN_END)
            return turn;
        if (atomic_load(&budget->is_stopping))
            return end(connection, "stopping");
    }
    return HL7_TURN_READ;
}

static ssize_t read_some(struct hl7_connection *connection, uint8_t *data, size_t size)
{
    if (connection->tls)
        return tls_receive(connection->tls, data, size);
    return recv(connection->fd, data, size, MSG_DONTWAIT);
}

static enum hl7_turn read_and_take(struct hl7_connection *connection,
                                   struct hl7_configuration *configuration,
                                   struct hl7_budget *budget)
{
    uint8_t chunk[CHUNK];
    enum hl7_turn turn = HL7_TURN_READ;
    do {
        ssize_t size = read_some(connection, chunk, sizeof(chunk));
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN)
            return connection->tls && tls_wants_write(connection->tls) ? HL7_TURN_WRITE
                                                                       : HL7_TURN_READ;
        if (size <= 0)
            return end(connection, size == 0 && !mllp_is_begun(&connection->mllp)
                                       ? "closed"
                                       : "closed within a message");
        turn = take(connection, configuration, budget, slice_of(chunk, (size_t)size));
        if (turn != HL7_TURN_END && connection->out.size)
            turn = flush(connection);
    } while (turn == HL7_TURN_READ && connection->tls && tls_has_pending(connection->tls));
    return turn;
}

static enum hl7_turn step(struct hl7_connection *connection,
                          struct hl7_configuration *configuration, struct hl7_budget *budget)
{
    enum hl7_turn turn = HL7_TURN_READ;
    if (!connection->is_shaken)
        turn = shake_hands(connection);
    if (turn == HL7_TURN_READ && connection->is_shaken && connection->out.size)
        turn = flush(connection);
    if (turn == HL7_TURN_READ && connection->is_shaken)
        turn = read_and_take(connection, configuration, budget);
    return turn;
}

enum hl7_turn hl7_connection_turn(struct hl7_connection *connection,
                                  struct hl7_configuration *configuration,
                                  struct hl7_budget *budget)
{
    enum hl7_turn turn = step(connection, configuration, budget);
    bool is_begun = mllp_is_begun(&connection->mllp);
    if (!is_begun || turn == HL7_TURN_END)
        let_go(connection, budget, 0);
    if (turn == HL7_TURN_READ && !is_begun && connection->is_shaken)
        set_deadline(connection, configuration->options.idle_timeout_ms);
    else if (turn == HL7_TURN_WRITE && connection->is_shaken && !is_begun)
        set_deadline(connection, configuration->options.message_timeout_ms);
    /* The kernel forgets it: an ordinary sender with Nagle on would wait for our delayed
     * acknowledgements. */
    if (turn == HL7_TURN_READ)
        set_option(connection->fd, IPPROTO_TCP, TCP_QUICKACK, 1);
    return turn;
}
