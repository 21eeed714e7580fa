/* SPDX-License-Identifier: MIT */
#include "dimse/workers.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dimse/admission.h"
#include "dimse/peers.h"
#include "dimse/session.h"
#include "dimse/transport.h"

enum {
    STACK_SIZE = 256 << 10,
    /* Kept for our own peers (those in the settings) when strangers have taken all. */
    RESERVED = 8,
};

struct worker {
    struct worker *next;
    struct workers *workers;
    pthread_t thread;
    const struct configuration *configuration;
    struct call call;
    struct buffer request;
    int fd;       /* the socket; at the end what is still to be drained, or -1 */
    bool is_done; /* guarded by workers->lock */
};

struct workers {
    struct archive *archive;
    struct commitment *commitment;
    int wake_fd;
    int stop_fd; /* never read: once written, readable for all */
    int kill_fd;
    pthread_mutex_t lock;
    pthread_cond_t done;
    struct worker *list; /* guarded by lock */
    unsigned running;    /* guarded by lock */
};

static int new_event(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        abort(); /* as out of memory */
    return fd;
}

static void raise_event(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof(one)) < 0)
        break; /* only when it is raised already */
}

struct workers *workers_new(struct archive *archive, struct commitment *commitment)
{
    struct workers *workers = mem_alloc(sizeof(*workers));
    workers->archive = archive;
    workers->commitment = commitment;
    workers->wake_fd = new_event();
    workers->stop_fd = new_event();
    workers->kill_fd = new_event();
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->done, NULL);
    return workers;
}

int workers_wake_fd(const struct workers *workers)
{
    return workers->wake_fd;
}

static void log_end(const struct worker *worker, const struct session *session, const char *how,
                    const struct error *err, int64_t began_ms)
{
    char address[TRANSPORT_ADDRESS_SIZE];
    transport_format_address(&worker->call.address, address);
    log_info("dimse: association ended peer=%s calling_ae=%s called_ae=%s stored=%llu failed=%llu "
             "queries=%llu moved=%llu ms=%lld how=%s why=\"%s\"",
             address, association_calling_ae(session->association),
             association_called_ae(session->association), (unsigned long long)session->stored,
             (unsigned long long)session->failed, (unsigned long long)session->queries,
             (unsigned long long)session->moved, (long long)(clock_monotonic_ms() - began_ms), how,
             err->message);
}

static struct association *accept_call(struct worker *worker, struct error *err)
{
    const struct configuration *configuration = worker->configuration;
    struct association_settings settings = {
        .max_pdu = configuration->options.max_pdu,
        .idle_timeout_ms = configuration->options.idle_timeout_ms,
        .message_timeout_ms = configuration->options.message_timeout_ms,
        .stop_fd = worker->workers->stop_fd,
        .kill_fd = worker->workers->kill_fd,
    };
    struct slice body = slice_skip(buffer_slice(&worker->request), PDU_HEADER_SIZE);
    int fd = worker->fd;
    worker->fd = -1;
    return association_accept_take(fd, body, &configuration->policy, &settings, err);
}

/* The host of the peer is a name, and it is none of this address. */
static bool is_stranger(const struct worker *worker)
{
    const struct peer *peer = peers_find(&worker->configuration->options, worker->call.calling_ae);
    return worker->call.to_resolve && !peers_resolve(peer->host, &worker->call.address);
}

/* Sends our last PDU; the listener drains what comes after it. */
static void turn_away(struct worker *worker, struct rejection rejection)
{
    uint8_t pdu[PDU_SHORT_SIZE];
    admission_note(rejection, &worker->call.address, "", worker->call.calling_ae);
    reject_encode(rejection, pdu);
    if (send(worker->fd, pdu, sizeof(pdu), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        close(worker->fd);
        worker->fd = -1;
    }
}

static void serve(struct worker *worker)
{
    struct workers *workers = worker->workers;
    struct session session = {
        .archive = workers->archive,
        .options = &worker->configuration->options,
        .peer = peers_find(&worker->configuration->options, worker->call.calling_ae),
        .commitment = workers->commitment,
        .stop_fd = workers->stop_fd,
        .kill_fd = workers->kill_fd,
    };
    struct error err = { .code = ERROR_NONE };
    int64_t began_ms = clock_monotonic_ms();
    if (is_stranger(worker)) {
        turn_away(worker, admission_stranger);
        return;
    }
    session.association = accept_call(worker, &err);
    if (!session.association) {
        log_info("dimse: association not answered how=%s", error_name(err.code));
        return;
    }
    metric_add(METRIC_ASSOCIATIONS_ACCEPTED, 1);
    metric_add(METRIC_ASSOCIATIONS_OPEN, 1);
    const char *how = session_run(&session, &err);
    log_end(worker, &session, how, &err, began_ms);
    commitment_line_close(session.line);
    worker->fd = association_close(session.association);
    metric_add(METRIC_ASSOCIATIONS_OPEN, -1);
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    struct workers *workers = worker->workers;
    serve(worker);
    buffer_release(&worker->request);
    configuration_release(worker->configuration);
    pthread_mutex_lock(&workers->lock);
    worker->is_done = true;
    workers->running--;
    pthread_cond_signal(&workers->done);
    pthread_mutex_unlock(&workers->lock);
    raise_event(workers->wake_fd);
    return NULL;
}

/* Called with the lock held. */
static struct rejection check_limits(const struct workers *workers, const struct call *call,
                                     const struct dimse_options *options)
{
    static const struct rejection none = { 0, 0, 0 };
    static const struct rejection congestion = { 2, 3, 1 };
    static const struct rejection local_limit = { 2, 3, 2 };
    const struct peer *peer = peers_find(options, call->calling_ae);
    unsigned limit = options->association_limit + (peer ? RESERVED : 0);
    unsigned of_host = 0;
    unsigned of_title = 0;
    for (const struct worker *worker = workers->list; worker; worker = worker->next) {
        if (worker->is_done)
            continue;
        of_host += peers_same_host(&worker->call.address, &call->address);
        of_title += strcmp(worker->call.calling_ae, call->calling_ae) == 0;
    }
    if (workers->running >= limit)
        return congestion;
    if (peer && peer->association_limit)
        return of_title >= peer->association_limit ? local_limit : none;
    return of_host >= options->association_limit_per_peer ? local_limit : none;
}

static bool start(struct worker *worker)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    int failure = pthread_create(&worker->thread, &attributes, run, worker);
    pthread_attr_destroy(&attributes);
    return failure == 0;
}

struct rejection workers_admit_take(struct workers *workers, const struct call *call,
                                    const struct configuration *configuration,
                                    struct buffer *request)
{
    static const struct rejection congestion = { 2, 3, 1 };
    pthread_mutex_lock(&workers->lock);
    struct rejection rejection = check_limits(workers, call, &configuration->options);
    if (rejection.result == 0) {
        struct worker *worker = mem_alloc(sizeof(*worker));
        worker->workers = workers;
        worker->call = *call;
        worker->fd = call->fd;
        worker->request = *request;
        worker->configuration = configuration_hold(configuration);
        if (start(worker)) {
            worker->next = workers->list;
            workers->list = worker;
            workers->running++;
            *request = buffer_up_to(0);
        } else {
            configuration_release(configuration);
            free(worker);
            rejection = congestion;
        }
    }
    pthread_mutex_unlock(&workers->lock);
    return rejection;
}

bool workers_reap(struct workers *workers, int *fd)
{
    uint64_t count;
    *fd = -1;
    while (read(workers->wake_fd, &count, sizeof(count)) > 0)
        continue;
    pthread_mutex_lock(&workers->lock);
    struct worker **link = &workers->list;
    while (*link && !(*link)->is_done)
        link = &(*link)->next;
    struct worker *worker = *link;
    if (worker)
        *link = worker->next;
    pthread_mutex_unlock(&workers->lock);
    if (!worker)
        return false;
    pthread_join(worker->thread, NULL);
    *fd = worker->fd;
    free(worker);
    return true;
}

/* Until no worker runs, or the deadline. */
static void await_end(struct workers *workers, int64_t timeout_ms)
{
    struct timespec deadline = clock_deadline(timeout_ms);
    pthread_mutex_lock(&workers->lock);
    while (workers->running &&
           pthread_cond_clockwait(&workers->done, &workers->lock, CLOCK_MONOTONIC, &deadline) == 0)
        continue;
    pthread_mutex_unlock(&workers->lock);
}

void workers_close(struct workers *workers, int64_t grace_ms)
{
    int fd;
    if (!workers)
        return;
    raise_event(workers->stop_fd);
    await_end(workers, grace_ms);
    raise_event(workers->kill_fd);
    /* Every wait of a worker heeds the kill; what it does between them ends by itself. */
    await_end(workers, INT32_MAX);
    while (workers_reap(workers, &fd))
        if (fd >= 0)
            close(fd);
    close(workers->wake_fd);
    close(workers->stop_fd);
    close(workers->kill_fd);
    pthread_cond_destroy(&workers->done);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}
