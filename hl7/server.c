/* SPDX-License-Identifier: MIT */
#include "hl7/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/audit.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "hl7/connection.h"

enum {
    BACKLOG = 512,
    SWEEP_MS = 250, /* between two looks at the deadlines */
    STACK_SIZE = 512 << 10,
    ACCEPTS = 64, /* in a row */
    LISTENERS = 2,
};

struct hl7_server {
    struct archive *archive;
    struct worklist *worklist;
    int listen_fds[LISTENERS]; /* plain and TLS; -1: none */
    int keeper_fd;             /* epoll of the thread that accepts */
    int epoll_fd;              /* of the connections */
    int stop_fd;
    pthread_t keeper;
    bool has_keeper;
    pthread_t *workers;
    unsigned worker_count;
    struct hl7_budget budget;
    pthread_mutex_t lock;
    struct hl7_configuration *configuration; /* guarded by lock */
    struct hl7_connection *connections;      /* guarded by lock */
    unsigned count;                          /* guarded by lock */
};

static struct hl7_configuration *current(struct hl7_server *server)
{
    pthread_mutex_lock(&server->lock);
    struct hl7_configuration *configuration = hl7_configuration_hold(server->configuration);
    pthread_mutex_unlock(&server->lock);
    return configuration;
}

/* Connections. */

static void link_connection(struct hl7_server *server, struct hl7_connection *connection)
{
    pthread_mutex_lock(&server->lock);
    connection->next = server->connections;
    if (connection->next)
        connection->next->previous = connection;
    server->connections = connection;
    server->count++;
    pthread_mutex_unlock(&server->lock);
    metric_add(METRIC_HL7_CONNECTIONS, 1);
}

/* The one way out. The descriptor is closed when the keeper cannot see it any more. */
static void drop(struct hl7_server *server, struct hl7_connection *connection)
{
    pthread_mutex_lock(&server->lock);
    *(connection->previous ? &connection->previous->next : &server->connections) = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    server->count--;
    pthread_mutex_unlock(&server->lock);
    metric_add(METRIC_HL7_CONNECTIONS, -1);
    log_info("hl7: connection ended peer=%s accepted=%llu refused=%llu how=\"%s\"",
             connection->peer, (unsigned long long)connection->accepted,
             (unsigned long long)connection->refused, connection->why);
    hl7_connection_free(connection);
}

/* Waits for what the next turn needs; at most one thread is then woken by it. */
static bool arm(const struct hl7_server *server, struct hl7_connection *connection, int operation,
                enum hl7_turn turn)
{
    struct epoll_event event = { .events = EPOLLONESHOT |
                                           (turn == HL7_TURN_WRITE ? EPOLLOUT : EPOLLIN),
                                 .data.ptr = connection };
    return epoll_ctl(server->epoll_fd, operation, connection->fd, &event) == 0;
}

static void *work(void *argument)
{
    struct hl7_server *server = argument;
    for (;;) {
        struct epoll_event event;
        int count = epoll_wait(server->epoll_fd, &event, 1, -1);
        if (count < 0 && errno != EINTR) {
            log_error("hl7: epoll: errno=%d", errno);
            return NULL;
        }
        if (count <= 0)
            continue;
        if (event.data.ptr == server)
            return NULL;
        struct hl7_connection *connection = event.data.ptr;
        struct hl7_configuration *configuration = current(server);
        /* Armed, it may be another thread's before this one has returned from arming it. */
        pthread_mutex_lock(&connection->turn);
        enum hl7_turn turn = hl7_connection_turn(connection, configuration, &server->budget);
        bool ends = turn == HL7_TURN_END || !arm(server, connection, EPOLL_CTL_MOD, turn);
        pthread_mutex_unlock(&connection->turn);
        hl7_configuration_release(configuration);
        if (ends)
            drop(server, connection);
    }
}

/* The keeper: accepts, and ends what takes too long. */

static const char *refusal(struct hl7_server *server, const struct hl7_configuration *configuration,
                           const struct address *address)
{
    const struct hl7_options *options = &configuration->options;
    unsigned of_address = 0;
    if (!hl7_admits_address(configuration, address))
        return "nobody from there may send";
    pthread_mutex_lock(&server->lock);
    unsigned count = server->count;
    for (const struct hl7_connection *other = server->connections; other; other = other->next)
        of_address += address_equal(&other->address, address);
    pthread_mutex_unlock(&server->lock);
    if (count >= options->connection_limit)
        return "too many connections";
    return of_address >= options->connection_limit_per_address ? "too many connections from there"
                                                               : NULL;
}

static void refuse(const struct address *address, const char *why)
{
    char text[ADDRESS_TEXT_SIZE];
    address_format(address, text);
    log_warn("hl7: connection refused peer=%s why=\"%s\"", text, why);
    audit_note(AUDIT_NETWORK_ENTRY, AUDIT_ATTACH, AUDIT_MINOR_FAILURE,
               &(struct audit_peer){ .address = text }, why);
    metric_add(METRIC_HL7_CONNECTIONS_REFUSED, 1);
}

static void admit_take(struct hl7_server *server, int fd, const struct sockaddr *peer, bool secure)
{
    struct hl7_configuration *configuration = current(server);
    struct address address = address_of(peer);
    const char *why = refusal(server, configuration, &address);
    struct hl7_connection *connection = NULL;
    if (!why) {
        connection = hl7_connection_new_take(fd, peer, configuration, secure);
        why = connection ? NULL : "no TLS session";
    } else {
        close(fd);
    }
    if (why) {
        refuse(&address, why);
    } else {
        connection->receiver = (struct hl7_receiver){ server->archive, server->worklist };
        unsigned timeout_ms = secure ? configuration->options.message_timeout_ms
                                     : configuration->options.idle_timeout_ms;
        atomic_store(&connection->deadline_ms, timeout_ms ? clock_monotonic_ms() + timeout_ms : 0);
        link_connection(server, connection);
        if (!arm(server, connection, EPOLL_CTL_ADD, HL7_TURN_READ))
            drop(server, connection);
    }
    hl7_configuration_release(configuration);
}

static void accept_some(struct hl7_server *server, int listen_fd, bool secure)
{
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);
        int fd = accept4(listen_fd, (struct sockaddr *)&address, &size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit_take(server, fd, (struct sockaddr *)&address, secure);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            usleep(10000); /* until somebody closes one */
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

/* Shut down, a connection is readable: who has its turn then finds the end. */
static void sweep(struct hl7_server *server)
{
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&server->lock);
    for (struct hl7_connection *one = server->connections; one; one = one->next) {
        int64_t deadline_ms = atomic_load(&one->deadline_ms);
        if (deadline_ms && deadline_ms <= now_ms)
            shutdown(one->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&server->lock);
}

static void *keep(void *argument)
{
    struct hl7_server *server = argument;
    struct epoll_event events[LISTENERS + 1];
    int64_t swept_ms = clock_monotonic_ms();
    for (;;) {
        int count = epoll_wait(server->keeper_fd, events, LISTENERS + 1, SWEEP_MS);
        if (count < 0 && errno != EINTR) {
            log_error("hl7: epoll: errno=%d", errno);
            return NULL;
        }
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == server)
                return NULL;
            int *listen_fd = events[i].data.ptr;
            accept_some(server, *listen_fd, listen_fd == &server->listen_fds[1]);
        }
        if (clock_monotonic_ms() - swept_ms >= SWEEP_MS) {
            sweep(server);
            swept_ms = clock_monotonic_ms();
        }
    }
}

/* Opening and closing. */

static bool listen_on(const char *text, uint16_t port, int *out, struct error *err)
{
    struct sockaddr_storage address = { 0 };
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    socklen_t size = sizeof(*v4);
    int on = 1;
    int off = 0;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
    } else if (memset(&address, 0, sizeof(address)),
               inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        size = sizeof(*v6);
    } else {
        return error_set(err, ERROR_INVALID, "not an IP address: %.60s", text);
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set_errno(err, errno, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address.ss_family == AF_INET6) /* "::" means IPv4 as well */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, BACKLOG) < 0) {
        error_set_errno(err, errno, "HL7 on %.60s port %u", text, port);
        close(fd);
        return false;
    }
    *out = fd;
    return true;
}

static bool watch(int epoll_fd, int fd, void *who, struct error *err)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = who };
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ||
           error_set_errno(err, errno, "epoll");
}

static bool open_listeners(struct hl7_server *server, const struct hl7_options *options,
                           struct error *err)
{
    const uint16_t ports[LISTENERS] = { options->port, options->tls_port };
    for (int i = 0; i < LISTENERS; i++)
        if (ports[i] &&
            (!listen_on(options->address, ports[i], &server->listen_fds[i], err) ||
             !watch(server->keeper_fd, server->listen_fds[i], &server->listen_fds[i], err)))
            return false;
    return true;
}

static bool start_threads(struct hl7_server *server, unsigned count, struct error *err)
{
    pthread_attr_t attributes;
    int failure = 0;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    server->workers = mem_alloc_array(count, sizeof(*server->workers));
    while (!failure && server->worker_count < count) {
        failure = pthread_create(&server->workers[server->worker_count], &attributes, work, server);
        server->worker_count += failure == 0;
    }
    if (!failure)
        failure = pthread_create(&server->keeper, &attributes, keep, server);
    server->has_keeper = failure == 0;
    pthread_attr_destroy(&attributes);
    return !failure || error_set_errno(err, failure, "thread");
}

bool hl7_server_open(struct archive *archive, struct worklist *worklist,
                     const struct hl7_options *options, struct hl7_server **out, struct error *err)
{
    *out = NULL;
    if (!options->port && !options->tls_port)
        return true;
    tzset(); /* before there are threads that ask for the zone */
    struct hl7_server *server = mem_alloc(sizeof(*server));
    server->archive = archive;
    server->worklist = worklist;
    server->listen_fds[0] = server->listen_fds[1] = -1;
    pthread_mutex_init(&server->lock, NULL);
    pthread_mutex_init(&server->budget.large, NULL);
    server->keeper_fd = epoll_create1(EPOLL_CLOEXEC);
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->keeper_fd < 0 || server->epoll_fd < 0 || server->stop_fd < 0) {
        error_set_errno(err, errno, "epoll");
        goto fail;
    }
    if (!hl7_configuration_new(options, &server->configuration, err) ||
        !watch(server->keeper_fd, server->stop_fd, server, err) ||
        !watch(server->epoll_fd, server->stop_fd, server, err) ||
        !open_listeners(server, options, err) ||
        !start_threads(server, server->configuration->options.workers, err))
        goto fail;
    *out = server;
    return true;
fail:
    hl7_server_close(server);
    return false;
}

bool hl7_server_reload(struct hl7_server *server, const struct hl7_options *options,
                       struct error *err)
{
    struct hl7_configuration *next;
    if (!server)
        return true;
    if (!hl7_configuration_new(options, &next, err))
        return false;
    pthread_mutex_lock(&server->lock);
    struct hl7_configuration *before = server->configuration;
    server->configuration = next;
    pthread_mutex_unlock(&server->lock);
    hl7_configuration_release(before);
    return true;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void hl7_server_close(struct hl7_server *server)
{
    uint64_t one = 1;
    if (!server)
        return;
    atomic_store(&server->budget.is_stopping, true);
    if (server->stop_fd >= 0 && write(server->stop_fd, &one, sizeof(one)) < 0)
        log_error("hl7: stop: errno=%d", errno);
    if (server->has_keeper)
        pthread_join(server->keeper, NULL);
    for (unsigned i = 0; i < server->worker_count; i++)
        pthread_join(server->workers[i], NULL);
    while (server->connections) {
        server->connections->why = "stopping";
        drop(server, server->connections);
    }
    for (int i = 0; i < LISTENERS; i++)
        close_fd(server->listen_fds[i]);
    close_fd(server->keeper_fd);
    close_fd(server->epoll_fd);
    close_fd(server->stop_fd);
    hl7_configuration_release(server->configuration);
    pthread_mutex_destroy(&server->lock);
    pthread_mutex_destroy(&server->budget.large);
    free(server->workers);
    free(server);
}
