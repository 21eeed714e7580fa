/* SPDX-License-Identifier: MIT */
#include "dimse/workers.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/audit.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dimse/admission.h"
#include "dimse/peers.h"
#include "dimse/session.h"
#include "dimse/transport.h"

enum {
    RESOLVE_MS = 5000, /* for the name of a caller's host */
    STACK_SIZE = 256 << 10,
    /* Kept for our own peers (those in the settings) when strangers have taken all. */
    RESERVED = 8,
    /* Handshakes at once, as a part of the associations: who is slow at it keeps nobody out. */
    GREETING_SHARE = 4,
};

struct worker {
    struct worker *next;
    struct workers *workers;
    pthread_t thread;
    const struct configuration *configuration;
    struct call call;
    struct buffer request;
    struct transport transport;
    int fd;           /* at the end what is still to be drained, or -1 */
    bool is_greeted;  /* TLS and the request come first */
    bool is_admitted; /* counts as an association; guarded by workers->lock */
    bool is_done;     /* guarded by workers->lock */
};

struct workers {
    struct archive *archive;
    struct worklist *worklist;
    struct commitment *commitment;
    int wake_fd;
    int stop_fd; /* never read: once written, readable for all */
    int kill_fd;
    pthread_mutex_t lock;
    pthread_cond_t done;
    struct worker *list; /* guarded by lock */
    unsigned running;    /* with an association; guarded by lock */
    unsigned greeting;   /* without one yet; guarded by lock */
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

struct workers *workers_new(struct archive *archive, struct worklist *worklist,
                            struct commitment *commitment)
{
    struct workers *workers = mem_alloc(sizeof(*workers));
    workers->archive = archive;
    workers->worklist = worklist;
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
    log_info("dimse: association ended peer=%s calling_ae=\"%s\" called_ae=\"%s\" stored=%llu "
             "failed=%llu "
             "queries=%llu moved=%llu ms=%lld how=%s user=%s why=\"%s\"",
             address, association_calling_ae(session->association),
             association_called_ae(session->association), (unsigned long long)session->stored,
             (unsigned long long)session->failed, (unsigned long long)session->queries,
             (unsigned long long)session->moved, (long long)(clock_monotonic_ms() - began_ms), how,
             association_user(session->association), err->message);
}

static uint8_t rights_of(const struct session *session)
{
    const struct user *user = peers_find_user(session->options,
                                              association_user(session->association));
    return (session->peer ? session->peer->rights : RIGHT_ALL) & (user ? user->rights : RIGHT_ALL);
}

static struct association *accept_call(struct worker *worker, const struct peer *peer,
                                       struct error *err)
{
    const struct configuration *configuration = worker->configuration;
    struct policy policy = configuration->policy;
    if (peer && peer->operations)
        policy.operations = peer->operations;
    struct association_settings settings = {
        .max_pdu = configuration->options.max_pdu,
        .idle_timeout_ms = configuration->options.idle_timeout_ms,
        .message_timeout_ms = configuration->options.message_timeout_ms,
        .stop_fd = worker->workers->stop_fd,
        .kill_fd = worker->workers->kill_fd,
    };
    struct slice body = slice_skip(buffer_slice(&worker->request), PDU_HEADER_SIZE);
    return association_accept_take(&worker->transport, body, &policy, &settings, err);
}

/* The host of the peer is a name, and it is none of this address. */
static bool is_stranger(const struct worker *worker)
{
    const struct peer *peer = peers_find(&worker->configuration->options, worker->call.calling_ae);
    return worker->call.to_resolve &&
           !peers_resolve(peer->host, &worker->call.address, clock_monotonic_ms() + RESOLVE_MS);
}

/* Sends our last PDU; the listener drains what comes after it. */
static void end_with(struct worker *worker, const uint8_t pdu[PDU_SHORT_SIZE])
{
    struct iovec part = { (void *)(uintptr_t)pdu, PDU_SHORT_SIZE };
    if (transport_send(&worker->transport, &part, 1, false, 1, NULL))
        worker->fd = transport_take(&worker->transport);
    transport_close(&worker->transport);
}

static void turn_away(struct worker *worker, struct rejection rejection, const char *called_ae)
{
    uint8_t pdu[PDU_SHORT_SIZE];
    admission_note(rejection, &worker->call.address, called_ae, worker->call.calling_ae);
    reject_encode(rejection, pdu);
    end_with(worker, pdu);
}

static bool read_exactly(struct worker *worker, size_t size, int64_t deadline_ms, struct error *err)
{
    while (size) {
        struct space space = buffer_reserve(&worker->request, size);
        struct iovec part = { space.data, space.size };
        size_t received;
        if (!space.data)
            return error_set(err, ERROR_LIMIT, "the association request is too long");
        if (!transport_receive(&worker->transport, &part, 1, deadline_ms, &received, err))
            return false;
        buffer_advance(&worker->request, received);
        size -= received;
    }
    return true;
}

/* The A-ASSOCIATE-RQ over TLS. False when the connection has had its end. */
static bool read_request(struct worker *worker, int64_t deadline_ms, struct associate *request,
                         struct error *err)
{
    enum abort_reason reason = ABORT_INVALID_PARAMETER;
    uint8_t pdu[PDU_SHORT_SIZE];
    if (!read_exactly(worker, PDU_HEADER_SIZE, deadline_ms, err))
        goto close;
    if (!admission_check_header(worker->request.data, &reason)) {
        error_set(err, ERROR_INVALID, "not an association request");
        goto abort;
    }
    if (!read_exactly(worker, get_u32be(worker->request.data + 2), deadline_ms, err))
        goto close;
    reason = ABORT_INVALID_PARAMETER;
    if (admission_decode(slice_skip(buffer_slice(&worker->request), PDU_HEADER_SIZE), request, err))
        return true;
abort:
    abort_encode(ABORT_BY_PROVIDER, reason, pdu);
    end_with(worker, pdu);
close:
    transport_close(&worker->transport);
    return false;
}

static struct rejection check_limits(const struct workers *workers, const struct call *call,
                                     const struct dimse_options *options);

/* From a greeted caller to one with an association. */
static struct rejection admit(struct worker *worker)
{
    struct workers *workers = worker->workers;
    pthread_mutex_lock(&workers->lock);
    struct rejection rejection = check_limits(workers, &worker->call,
                                              &worker->configuration->options);
    if (rejection.result == 0) {
        worker->is_admitted = true;
        workers->running++;
        workers->greeting--;
    }
    pthread_mutex_unlock(&workers->lock);
    return rejection;
}

/* TLS, and the request over it, within ARTIM. False when the connection has had its end. */
static bool greet(struct worker *worker)
{
    const struct configuration *configuration = worker->configuration;
    int64_t deadline_ms = clock_monotonic_ms() + configuration->options.artim_timeout_ms;
    char address[TRANSPORT_ADDRESS_SIZE];
    char called[AE_TITLE_SIZE];
    char calling[AE_TITLE_SIZE];
    struct associate *request = mem_alloc(sizeof(*request));
    struct error err = { .code = ERROR_NONE };
    struct rejection rejection;
    bool ok = configuration->options.tls &&
              transport_secure_server(&worker->transport, configuration->options.tls, deadline_ms,
                                      &err);
    if (!ok)
        transport_close(&worker->transport);
    if (!ok || !read_request(worker, deadline_ms, request, &err)) {
        transport_format_address(&worker->call.address, address);
        log_warn("dimse: newcomer refused peer=%s over=tls why=\"%s\"", address, err.message);
        audit_note(AUDIT_SECURITY_ALERT, AUDIT_NODE_AUTHENTICATION, AUDIT_SERIOUS_FAILURE,
                   &(struct audit_peer){ .address = address }, err.message);
        metric_add(METRIC_ASSOCIATIONS_REJECTED, 1);
        free(request);
        return false;
    }
    associate_called_ae(request, called);
    associate_calling_ae(request, calling);
    rejection = admission_check(configuration, request, &worker->call.address,
                                worker->transport.tls, &worker->call.to_resolve);
    free(request);
    pthread_mutex_lock(&worker->workers->lock);
    memcpy(worker->call.calling_ae, calling, AE_TITLE_SIZE);
    pthread_mutex_unlock(&worker->workers->lock);
    if (rejection.result == 0)
        rejection = admit(worker);
    if (rejection.result)
        turn_away(worker, rejection, called);
    return rejection.result == 0;
}

static void serve(struct worker *worker)
{
    struct workers *workers = worker->workers;
    if (worker->is_greeted && !greet(worker))
        return;
    char address[TRANSPORT_ADDRESS_SIZE];
    transport_format_address(&worker->call.address, address);
    struct session session = {
        .archive = workers->archive,
        .options = &worker->configuration->options,
        .peer = peers_find(&worker->configuration->options, worker->call.calling_ae),
        .worklist = workers->worklist,
        .commitment = workers->commitment,
        .address = address,
        .stop_fd = workers->stop_fd,
        .kill_fd = workers->kill_fd,
    };
    struct error err = { .code = ERROR_NONE };
    int64_t began_ms = clock_monotonic_ms();
    if (is_stranger(worker)) {
        turn_away(worker, admission_stranger, "");
        return;
    }
    session.association = accept_call(worker, session.peer, &err);
    if (!session.association) {
        log_info("dimse: association not answered how=%s", error_name(err.code));
        return;
    }
    session.rights = rights_of(&session);
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
    *(worker->is_admitted ? &workers->running : &workers->greeting) -= 1;
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
        if (worker->is_done || !worker->is_admitted)
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

/* With the lock held. False when there is no thread for it; nothing is taken then. */
static bool add_worker(struct workers *workers, const struct call *call,
                       const struct configuration *configuration, struct buffer *request)
{
    struct worker *worker = mem_alloc(sizeof(*worker));
    worker->workers = workers;
    worker->call = *call;
    worker->fd = -1;
    worker->transport = (struct transport){ .fd = call->fd, .kill_fd = workers->kill_fd };
    worker->is_greeted = !request;
    worker->is_admitted = request;
    worker->request = request ? *request : buffer_up_to(PDU_HEADER_SIZE + PDU_REQUEST_LIMIT);
    worker->configuration = configuration_hold(configuration);
    if (!start(worker)) {
        configuration_release(configuration);
        free(worker);
        return false;
    }
    worker->next = workers->list;
    workers->list = worker;
    *(worker->is_admitted ? &workers->running : &workers->greeting) += 1;
    if (request)
        *request = buffer_up_to(0);
    return true;
}

struct rejection workers_admit_take(struct workers *workers, const struct call *call,
                                    const struct configuration *configuration,
                                    struct buffer *request)
{
    static const struct rejection congestion = { 2, 3, 1 };
    pthread_mutex_lock(&workers->lock);
    struct rejection rejection = check_limits(workers, call, &configuration->options);
    if (rejection.result == 0 && !add_worker(workers, call, configuration, request))
        rejection = congestion;
    pthread_mutex_unlock(&workers->lock);
    return rejection;
}

bool workers_greet_take(struct workers *workers, const struct call *call,
                        const struct configuration *configuration)
{
    unsigned limit = configuration->options.association_limit / GREETING_SHARE + RESERVED;
    pthread_mutex_lock(&workers->lock);
    bool taken = workers->greeting < limit && add_worker(workers, call, configuration, NULL);
    pthread_mutex_unlock(&workers->lock);
    return taken;
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
    while (workers->running + workers->greeting &&
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
