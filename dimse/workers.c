/* SPDX-License-Identifier: MIT */
#include "dimse/workers.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dimse/session.h"
#include "dimse/transport.h"

enum {
    STACK_SIZE = 256 << 10,
    /* Kept for our own peers (the destinations in the settings) when strangers have taken all. */
    RESERVED = 8,
};

struct worker {
    struct worker *next;
    struct workers *workers;
    pthread_t thread;
    struct sockaddr_storage address;
    struct buffer request;
    int fd;       /* the socket; at the end what is still to be drained, or -1 */
    bool is_done; /* guarded by workers->lock */
};

struct workers {
    struct archive *archive;
    const struct dimse_options *options;
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

struct workers *workers_new(struct archive *archive, const struct dimse_options *options)
{
    struct workers *workers = mem_alloc(sizeof(*workers));
    workers->archive = archive;
    workers->options = options;
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
    transport_format_address(&worker->address, address);
    log_info("dimse: association ended peer=%s calling_ae=%s called_ae=%s stored=%llu failed=%llu "
             "queries=%llu moved=%llu ms=%lld how=%s why=\"%s\"",
             address, association_calling_ae(session->association),
             association_called_ae(session->association), (unsigned long long)session->stored,
             (unsigned long long)session->failed, (unsigned long long)session->queries,
             (unsigned long long)session->moved, (long long)(clock_monotonic_ms() - began_ms), how,
             err->message);
}

static void serve(struct worker *worker)
{
    struct workers *workers = worker->workers;
    const struct dimse_options *options = workers->options;
    struct policy policy = {
        .ae_title = options->ae_title,
        .accept_any_called_ae = options->accept_any_called_ae,
        .calling_ae_titles = options->calling_ae_titles,
        .refuse_unknown_sop_classes = options->refuse_unknown_sop_classes,
        .max_pdu = options->max_pdu,
    };
    struct association_settings settings = {
        .max_pdu = options->max_pdu,
        .idle_timeout_ms = options->idle_timeout_ms,
        .message_timeout_ms = options->message_timeout_ms,
        .stop_fd = workers->stop_fd,
        .kill_fd = workers->kill_fd,
    };
    struct session session = {
        .archive = workers->archive,
        .options = options,
        .stop_fd = workers->stop_fd,
        .kill_fd = workers->kill_fd,
    };
    struct error err = { .code = ERROR_NONE };
    int64_t began_ms = clock_monotonic_ms();
    struct slice body = slice_skip(buffer_slice(&worker->request), PDU_HEADER_SIZE);
    session.association = association_accept_take(worker->fd, body, &policy, &settings, &err);
    buffer_release(&worker->request);
    worker->fd = -1;
    if (!session.association) {
        log_info("dimse: association not answered how=%s", error_name(err.code));
        return;
    }
    metric_add(METRIC_ASSOCIATIONS_ACCEPTED, 1);
    metric_add(METRIC_ASSOCIATIONS_OPEN, 1);
    const char *how = session_run(&session, &err);
    log_end(worker, &session, how, &err, began_ms);
    worker->fd = association_close(session.association);
    metric_add(METRIC_ASSOCIATIONS_OPEN, -1);
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    struct workers *workers = worker->workers;
    serve(worker);
    pthread_mutex_lock(&workers->lock);
    worker->is_done = true;
    workers->running--;
    pthread_cond_signal(&workers->done);
    pthread_mutex_unlock(&workers->lock);
    raise_event(workers->wake_fd);
    return NULL;
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static bool is_own_peer(const struct workers *workers, const char *calling_ae)
{
    for (size_t i = 0; i < workers->options->peer_count; i++)
        if (strcmp(workers->options->peers[i].ae_title, calling_ae) == 0)
            return true;
    return false;
}

/* Called with the lock held. */
static struct rejection check_limits(const struct workers *workers,
                                     const struct sockaddr_storage *address, const char *calling_ae)
{
    static const struct rejection none = { 0, 0, 0 };
    static const struct rejection congestion = { 2, 3, 1 };
    static const struct rejection local_limit = { 2, 3, 2 };
    unsigned limit = workers->options->association_limit;
    unsigned of_peer = 0;
    for (const struct worker *worker = workers->list; worker; worker = worker->next)
        of_peer += !worker->is_done && same_host(&worker->address, address);
    if (is_own_peer(workers, calling_ae))
        limit += RESERVED;
    if (workers->running >= limit)
        return congestion;
    return of_peer >= workers->options->association_limit_per_peer ? local_limit : none;
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

struct rejection workers_admit_take(struct workers *workers, int fd,
                                    const struct sockaddr_storage *address, const char *calling_ae,
                                    struct buffer *request)
{
    static const struct rejection congestion = { 2, 3, 1 };
    pthread_mutex_lock(&workers->lock);
    struct rejection rejection = check_limits(workers, address, calling_ae);
    if (rejection.result == 0) {
        struct worker *worker = mem_alloc(sizeof(*worker));
        worker->workers = workers;
        worker->address = *address;
        worker->fd = fd;
        worker->request = *request;
        if (start(worker)) {
            worker->next = workers->list;
            workers->list = worker;
            workers->running++;
            *request = buffer_up_to(0);
        } else {
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
