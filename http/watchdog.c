/* SPDX-License-Identifier: MIT */
#include "http/watchdog.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

struct watched {
    const struct watchdog_options *options;
    int fd;
    _Atomic int watch;
    _Atomic int64_t deadline; /* of the headers */
    _Atomic bool busy;
    _Atomic uint32_t changes; /* of `watch`, so that a span never reaches over two phases */
    uint32_t span_changes;    /* of the watchdog's thread alone, as is all below */
    uint64_t span_bytes;      /* what had moved when the span began */
    int64_t span_end;
    struct watched *previous; /* guarded by lock */
    struct watched *next;     /* guarded by lock */
};

struct watchdog {
    struct watchdog_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;         /* guarded by lock */
    struct watched *first; /* guarded by lock */
};

void watch_set(struct watched *watched, enum watch watch)
{
    if (watch == WATCH_HEADERS || watch == WATCH_IDLE) {
        int64_t span = watched->options->header_ms;
        if (watch == WATCH_IDLE)
            span += watched->options->idle_ms;
        atomic_store_explicit(&watched->deadline, clock_monotonic_ms() + span,
                              memory_order_relaxed);
    }
    atomic_store_explicit(&watched->watch, watch, memory_order_relaxed);
    atomic_fetch_add_explicit(&watched->changes, 1, memory_order_release);
}

void watch_busy(struct watched *watched, bool busy)
{
    atomic_store_explicit(&watched->busy, busy, memory_order_relaxed);
}

void watch_request_line(struct watched *watched)
{
    if (atomic_load_explicit(&watched->watch, memory_order_relaxed) == WATCH_IDLE)
        watch_set(watched, WATCH_HEADERS);
}

/* Bytes that moved in the direction of interest since the connection began, and whether it is now
 * the client that we wait for. */
static bool measure(const struct watched *watched, int watch, uint64_t *bytes)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);
    int queued = 0;
    if (getsockopt(watched->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return false;
    if (watch == WATCH_BODY) {
        *bytes = info.tcpi_bytes_received;
        return ioctl(watched->fd, SIOCINQ, &queued) == 0 && queued == 0;
    }
    *bytes = info.tcpi_bytes_acked;
    return ioctl(watched->fd, SIOCOUTQ, &queued) == 0 && queued > 0;
}

static bool is_too_slow(struct watched *watched, int64_t now)
{
    uint32_t changes = atomic_load_explicit(&watched->changes, memory_order_acquire);
    int watch = atomic_load_explicit(&watched->watch, memory_order_relaxed);
    if (watch == WATCH_WORK)
        return false;
    if (watch == WATCH_HEADERS || watch == WATCH_IDLE)
        return now >= atomic_load_explicit(&watched->deadline, memory_order_relaxed);

    bool same_span = changes == watched->span_changes &&
                     !atomic_load_explicit(&watched->busy, memory_order_relaxed);
    if (same_span && now < watched->span_end)
        return false;
    uint64_t bytes = 0;
    bool waits_for_client = measure(watched, watch, &bytes);
    uint64_t least = watched->options->minimum_rate * (uint64_t)watched->options->idle_ms / 1000;
    bool slow = same_span && waits_for_client && bytes - watched->span_bytes < least;
    watched->span_changes = changes;
    watched->span_bytes = bytes;
    watched->span_end = now + watched->options->idle_ms;
    return slow;
}

/* With a reset at the close, so that the kernel does not go on for minutes to send what the client
 * would not take. */
static void cut(const struct watched *watched)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(watched->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    shutdown(watched->fd, SHUT_RDWR);
}

static int64_t tick_of(const struct watchdog_options *options)
{
    int64_t shortest = options->header_ms < options->idle_ms ? options->header_ms
                                                             : options->idle_ms;
    int64_t tick = shortest / 4;
    return tick < 50 ? 50 : tick > 1000 ? 1000 : tick;
}

static void *run(void *argument)
{
    struct watchdog *watchdog = argument;
    int64_t tick = tick_of(&watchdog->options);
    pthread_mutex_lock(&watchdog->lock);
    while (!watchdog->stopping) {
        int64_t now = clock_monotonic_ms();
        for (struct watched *watched = watchdog->first; watched; watched = watched->next)
            if (is_too_slow(watched, now))
                cut(watched);
        struct timespec deadline = clock_deadline(tick);
        pthread_cond_clockwait(&watchdog->wake, &watchdog->lock, CLOCK_MONOTONIC, &deadline);
    }
    pthread_mutex_unlock(&watchdog->lock);
    return NULL;
}

struct watchdog *watchdog_open(const struct watchdog_options *options)
{
    struct watchdog *watchdog = mem_alloc(sizeof(*watchdog));
    watchdog->options = *options;
    pthread_mutex_init(&watchdog->lock, NULL);
    pthread_cond_init(&watchdog->wake, NULL);
    if (pthread_create(&watchdog->thread, NULL, run, watchdog) != 0) {
        pthread_cond_destroy(&watchdog->wake);
        pthread_mutex_destroy(&watchdog->lock);
        free(watchdog);
        return NULL;
    }
    return watchdog;
}

void watchdog_close(struct watchdog *watchdog)
{
    if (!watchdog)
        return;
    pthread_mutex_lock(&watchdog->lock);
    watchdog->stopping = true;
    pthread_cond_signal(&watchdog->wake);
    pthread_mutex_unlock(&watchdog->lock);
    pthread_join(watchdog->thread, NULL);
    while (watchdog->first)
        watchdog_remove(watchdog, watchdog->first);
    pthread_cond_destroy(&watchdog->wake);
    pthread_mutex_destroy(&watchdog->lock);
    free(watchdog);
}

struct watched *watchdog_add(struct watchdog *watchdog, int fd)
{
    struct watched *watched = mem_alloc(sizeof(*watched));
    watched->options = &watchdog->options;
    watched->fd = fd;
    watch_set(watched, WATCH_HEADERS);
    pthread_mutex_lock(&watchdog->lock);
    watched->next = watchdog->first;
    if (watchdog->first)
        watchdog->first->previous = watched;
    watchdog->first = watched;
    pthread_mutex_unlock(&watchdog->lock);
    return watched;
}

void watchdog_remove(struct watchdog *watchdog, struct watched *watched)
{
    pthread_mutex_lock(&watchdog->lock);
    if (watched->previous)
        watched->previous->next = watched->next;
    else
        watchdog->first = watched->next;
    if (watched->next)
        watched->next->previous = watched->previous;
    pthread_mutex_unlock(&watchdog->lock);
    free(watched);
}

void watchdog_cut_all(struct watchdog *watchdog)
{
    pthread_mutex_lock(&watchdog->lock);
    for (struct watched *watched = watchdog->first; watched; watched = watched->next)
        shutdown(watched->fd, SHUT_RDWR);
    pthread_mutex_unlock(&watchdog->lock);
}
