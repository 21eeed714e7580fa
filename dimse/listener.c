/* SPDX-License-Identifier: MIT */
#include "dimse/listener.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dimse/admission.h"
#include "dimse/transport.h"

enum {
    NEWCOMERS = 4096,         /* at most; a quarter of the descriptors if that is less */
    REQUEST_BYTES = 64 << 20, /* of all requests that are being read */
    EVENTS = 64,
    ACCEPTS = 64, /* in a row, before others have their turn */
    ACCEPT_PAUSE_US = 10000,
};

/* Somebody without an association. The list is in the order of the deadlines, because each is set
 * to the same time from now when it is put at the end. */
struct newcomer {
    struct newcomer *previous;
    struct newcomer *next;
    int fd;
    int64_t deadline_ms;
    bool lingers; /* has had our last PDU */
    bool tls;
    struct sockaddr_storage address;
    struct buffer request;
};

struct listener {
    int listen_fd;
    int tls_fd; /* -1: none */
    int epoll_fd;
    int stop_fd;
    pthread_t thread;
    struct configuration_place *place;
    struct workers *workers;
    unsigned artim_timeout_ms; /* the same for all, or the list would be in no order */
    struct newcomer *oldest;
    struct newcomer *newest;
    size_t count;
    size_t limit;
    size_t request_bytes;
};

static void append(struct listener *listener, struct newcomer *newcomer)
{
    newcomer->deadline_ms = clock_monotonic_ms() + listener->artim_timeout_ms;
    newcomer->previous = listener->newest;
    newcomer->next = NULL;
    *(listener->newest ? &listener->newest->next : &listener->oldest) = newcomer;
    listener->newest = newcomer;
}

static void unlink_newcomer(struct listener *listener, struct newcomer *newcomer)
{
    *(newcomer->previous ? &newcomer->previous->next : &listener->oldest) = newcomer->next;
    *(newcomer->next ? &newcomer->next->previous : &listener->newest) = newcomer->previous;
}

static void release_request(struct listener *listener, struct newcomer *newcomer)
{
    listener->request_bytes -= newcomer->request.size;
    buffer_release(&newcomer->request);
    newcomer->request = buffer_up_to(PDU_HEADER_SIZE + PDU_REQUEST_LIMIT);
}

/* Forgets the newcomer; its socket is somebody else's or closed. */
static void forget(struct listener *listener, struct newcomer *newcomer)
{
    release_request(listener, newcomer);
    unlink_newcomer(listener, newcomer);
    listener->count--;
    free(newcomer);
}

static void drop(struct listener *listener, struct newcomer *newcomer)
{
    close(newcomer->fd);
    forget(listener, newcomer);
}

/* When all places are taken somebody makes room: of those that have had our answer the oldest, else
 * the oldest of all, which has had the most time. */
static void make_room(struct listener *listener)
{
    if (listener->count < listener->limit)
        return;
    struct newcomer *newcomer = listener->oldest;
    while (newcomer && !newcomer->lingers)
        newcomer = newcomer->next;
    if (!newcomer)
        newcomer = listener->oldest;
    if (newcomer)
        drop(listener, newcomer);
}

static void add(struct listener *listener, int fd, const struct sockaddr_storage *address, bool tls)
{
    make_room(listener);
    struct newcomer *newcomer = mem_alloc(sizeof(*newcomer));
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = newcomer };
    newcomer->fd = fd;
    newcomer->lingers = !address;
    newcomer->tls = tls;
    newcomer->request = buffer_up_to(PDU_HEADER_SIZE + PDU_REQUEST_LIMIT);
    if (address)
        newcomer->address = *address;
    listener->count++;
    append(listener, newcomer);
    if (epoll_ctl(listener->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        drop(listener, newcomer);
}

/* Sends our last PDU; the peer has to close (AA-7, AE-8). */
static void answer(struct listener *listener, struct newcomer *newcomer,
                   const uint8_t pdu[PDU_SHORT_SIZE])
{
    if (send(newcomer->fd, pdu, PDU_SHORT_SIZE, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        drop(listener, newcomer);
        return;
    }
    release_request(listener, newcomer);
    newcomer->lingers = true;
    unlink_newcomer(listener, newcomer);
    append(listener, newcomer);
}

static void abort_newcomer(struct listener *listener, struct newcomer *newcomer,
                           enum abort_reason reason, const char *what)
{
    char address[TRANSPORT_ADDRESS_SIZE];
    uint8_t pdu[PDU_SHORT_SIZE];
    transport_format_address(&newcomer->address, address);
    log_warn("dimse: newcomer aborted peer=%s why=\"%s\"", address, what);
    abort_encode(ABORT_BY_PROVIDER, reason, pdu);
    answer(listener, newcomer, pdu);
}

static void reject(struct listener *listener, struct newcomer *newcomer, struct rejection rejection,
                   const char *called_ae, const char *calling_ae)
{
    uint8_t pdu[PDU_SHORT_SIZE];
    admission_note(rejection, &newcomer->address, called_ae, calling_ae);
    reject_encode(rejection, pdu);
    answer(listener, newcomer, pdu);
}

/* Hands a newcomer over. False with what it is to be answered. */
static bool admit(struct listener *listener, struct newcomer *newcomer,
                  const struct associate *associate, struct rejection *rejection)
{
    const struct configuration *configuration = configuration_current(listener->place);
    struct call call = { .fd = newcomer->fd, .address = newcomer->address };
    size_t size = newcomer->request.size;
    *rejection = admission_check(configuration, associate, &newcomer->address, NULL,
                                 &call.to_resolve);
    if (rejection->result == 0) {
        associate_calling_ae(associate, call.calling_ae);
        epoll_ctl(listener->epoll_fd, EPOLL_CTL_DEL, newcomer->fd, NULL);
        *rejection = workers_admit_take(listener->workers, &call, configuration,
                                        &newcomer->request);
        if (rejection->result) {
            struct epoll_event event = { .events = EPOLLIN, .data.ptr = newcomer };
            epoll_ctl(listener->epoll_fd, EPOLL_CTL_ADD, newcomer->fd, &event);
        }
    }
    configuration_release(configuration);
    if (rejection->result)
        return false;
    listener->request_bytes -= size;
    forget(listener, newcomer);
    return true;
}

/* The A-ASSOCIATE-RQ is complete (AE-6). */
static void judge(struct listener *listener, struct newcomer *newcomer)
{
    struct associate associate;
    struct error err;
    struct rejection rejection;
    char called[AE_TITLE_SIZE];
    char calling[AE_TITLE_SIZE];
    struct slice body = slice_skip(buffer_slice(&newcomer->request), PDU_HEADER_SIZE);
    if (!admission_decode(body, &associate, &err)) {
        abort_newcomer(listener, newcomer, ABORT_INVALID_PARAMETER, err.message);
        return;
    }
    associate_called_ae(&associate, called);
    associate_calling_ae(&associate, calling);
    if (!admit(listener, newcomer, &associate, &rejection))
        reject(listener, newcomer, rejection, called, calling);
}

/* A PDU header that can open no association (AA-1, AA-2). */
static bool check_header(struct listener *listener, struct newcomer *newcomer)
{
    enum abort_reason reason;
    if (newcomer->request.data[0] == PDU_ABORT) {
        drop(listener, newcomer);
        return false;
    }
    if (admission_check_header(newcomer->request.data, &reason))
        return true;
    abort_newcomer(listener, newcomer, reason, "not an association request");
    return false;
}

/* Bytes of the request that are still to come. Not one more is read: what follows is the
 * association's. */
static size_t missing(const struct newcomer *newcomer)
{
    size_t held = newcomer->request.size;
    if (held < PDU_HEADER_SIZE)
        return PDU_HEADER_SIZE - held;
    return PDU_HEADER_SIZE + (size_t)get_u32be(newcomer->request.data + 2) - held;
}

static void read_request(struct listener *listener, struct newcomer *newcomer)
{
    struct rejection congestion = { 2, 3, 1 };
    for (;;) {
        struct space space = buffer_reserve(&newcomer->request, missing(newcomer));
        ssize_t size = recv(newcomer->fd, space.data, space.size, MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (size <= 0) {
            drop(listener, newcomer);
            return;
        }
        buffer_advance(&newcomer->request, (size_t)size);
        listener->request_bytes += (size_t)size;
        if (newcomer->request.size == PDU_HEADER_SIZE && !check_header(listener, newcomer))
            return;
        if (missing(newcomer) == 0) {
            judge(listener, newcomer);
            return;
        }
        if (listener->request_bytes > REQUEST_BYTES) {
            reject(listener, newcomer, congestion, "", "");
            return;
        }
    }
}

/* Whatever still comes is thrown away, so that our last PDU is not lost in a reset. */
static void drain(struct listener *listener, struct newcomer *newcomer)
{
    uint8_t scratch[16 << 10];
    ssize_t size = recv(newcomer->fd, scratch, sizeof(scratch), MSG_DONTWAIT);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
        drop(listener, newcomer);
}

/* The first byte of a handshake. A worker does it, and it has as long as we had to wait. */
static void hand_to_tls(struct listener *listener, struct newcomer *newcomer)
{
    const struct configuration *configuration = configuration_current(listener->place);
    struct call call = { .fd = newcomer->fd, .address = newcomer->address };
    epoll_ctl(listener->epoll_fd, EPOLL_CTL_DEL, newcomer->fd, NULL);
    if (workers_greet_take(listener->workers, &call, configuration))
        forget(listener, newcomer);
    else
        drop(listener, newcomer);
    configuration_release(configuration);
}

static void accept_newcomers(struct listener *listener, int listen_fd)
{
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);
        int fd = accept4(listen_fd, (struct sockaddr *)&address, &size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && transport_prepare(fd, NULL)) {
            add(listener, fd, &address, listen_fd == listener->tls_fd);
        } else if (fd >= 0) {
            close(fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            if (listener->oldest)
                drop(listener, listener->oldest);
            else
                usleep(ACCEPT_PAUSE_US);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void take_leftovers(struct listener *listener)
{
    int fd;
    while (workers_reap(listener->workers, &fd))
        if (fd >= 0)
            add(listener, fd, NULL, false);
}

static int next_timeout(struct listener *listener)
{
    int64_t now_ms = clock_monotonic_ms();
    while (listener->oldest && listener->oldest->deadline_ms <= now_ms)
        drop(listener, listener->oldest);
    return listener->oldest ? (int)(listener->oldest->deadline_ms - now_ms) : -1;
}

/* A newcomer that goes makes the pointers of later events in the same batch dangle only when it is
 * not the event's own; therefore new ones are accepted, and old ones dropped for them, last. */
static bool handle(struct listener *listener, const struct epoll_event *events, int count)
{
    bool accepts = false;
    bool accepts_tls = false;
    bool leftovers = false;
    for (int i = 0; i < count; i++) {
        void *who = events[i].data.ptr;
        if (who == &listener->stop_fd)
            return false;
        if (who == &listener->listen_fd)
            accepts = true;
        else if (who == &listener->tls_fd)
            accepts_tls = true;
        else if (who == listener->workers)
            leftovers = true;
        else if (((struct newcomer *)who)->lingers)
            drain(listener, who);
        else if (((struct newcomer *)who)->tls)
            hand_to_tls(listener, who);
        else
            read_request(listener, who);
    }
    if (leftovers)
        take_leftovers(listener);
    if (accepts)
        accept_newcomers(listener, listener->listen_fd);
    if (accepts_tls)
        accept_newcomers(listener, listener->tls_fd);
    return true;
}

static void *run(void *argument)
{
    struct listener *listener = argument;
    struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(listener->epoll_fd, events, EVENTS, next_timeout(listener));
        if (count < 0 && errno != EINTR) {
            log_error("dimse: epoll: errno=%d", errno);
            return NULL;
        }
        if (count > 0 && !handle(listener, events, count))
            return NULL;
    }
}

static bool watch(struct listener *listener, int fd, void *who, struct error *err)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = who };
    if (epoll_ctl(listener->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return error_set_errno(err, errno, "epoll");
    return true;
}

static size_t newcomer_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 4 < NEWCOMERS)
        return limit.rlim_cur / 4 + 1;
    return NEWCOMERS;
}

static void release(struct listener *listener)
{
    while (listener->oldest)
        drop(listener, listener->oldest);
    close(listener->listen_fd);
    if (listener->tls_fd >= 0)
        close(listener->tls_fd);
    if (listener->epoll_fd >= 0)
        close(listener->epoll_fd);
    if (listener->stop_fd >= 0)
        close(listener->stop_fd);
    free(listener);
}

bool listener_open_take(int listen_fd, int tls_fd, struct configuration_place *place,
                        struct workers *workers, struct listener **out, struct error *err)
{
    struct listener *listener = mem_alloc(sizeof(*listener));
    const struct configuration *configuration = configuration_current(place);
    listener->listen_fd = listen_fd;
    listener->tls_fd = tls_fd;
    listener->place = place;
    listener->workers = workers;
    listener->artim_timeout_ms = configuration->options.artim_timeout_ms;
    configuration_release(configuration);
    listener->limit = newcomer_limit();
    listener->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    listener->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    *out = NULL;
    if (listener->epoll_fd < 0 || listener->stop_fd < 0) {
        error_set_errno(err, errno, "epoll");
        goto fail;
    }
    if (!watch(listener, listener->listen_fd, &listener->listen_fd, err) ||
        (tls_fd >= 0 && !watch(listener, tls_fd, &listener->tls_fd, err)) ||
        !watch(listener, listener->stop_fd, &listener->stop_fd, err) ||
        !watch(listener, workers_wake_fd(workers), workers, err))
        goto fail;
    int failure = pthread_create(&listener->thread, NULL, run, listener);
    if (failure) {
        error_set_errno(err, failure, "thread");
        goto fail;
    }
    *out = listener;
    return true;
fail:
    release(listener);
    return false;
}

void listener_close(struct listener *listener)
{
    uint64_t one = 1;
    if (!listener)
        return;
    while (write(listener->stop_fd, &one, sizeof(one)) < 0)
        continue;
    pthread_join(listener->thread, NULL);
    release(listener);
}
