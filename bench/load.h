/* SPDX-License-Identifier: MIT */
#pragma once
/* What the load programs share: a clock, latencies, sockets, and the result as one line of JSON. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { LOAD_MAX_CONNECTIONS = 64, LOAD_MAX_SAMPLES = 1 << 20 };

/* One thread's part of a load. */
struct load_worker {
    pthread_t thread;
    size_t number;
    uint64_t done;
    uint64_t failed;
    uint64_t bytes;
    float *samples_ms; /* of the first LOAD_MAX_SAMPLES operations */
    size_t sample_count;
};

static inline void load_fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static inline double load_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline void *load_memory(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        load_fail("memory");
    return memory;
}

static inline void load_sample(struct load_worker *worker, double begun)
{
    if (!worker->samples_ms)
        worker->samples_ms = load_memory(LOAD_MAX_SAMPLES * sizeof(float));
    if (worker->sample_count < LOAD_MAX_SAMPLES)
        worker->samples_ms[worker->sample_count++] = (float)((load_now() - begun) * 1e3);
}

static inline int load_compare(const void *a, const void *b)
{
    float first = *(const float *)a, second = *(const float *)b;
    return (first > second) - (first < second);
}

/* Prints what all workers did, and frees their samples. */
static inline void load_report(struct load_worker *workers, size_t count, double seconds)
{
    uint64_t done = 0, failed = 0, bytes = 0;
    size_t samples = 0;
    struct rusage usage;
    for (size_t i = 0; i < count; i++)
        samples += workers[i].sample_count;
    float *all = load_memory((samples + 1) * sizeof(float));
    samples = 0;
    for (size_t i = 0; i < count; i++) {
        done += workers[i].done;
        failed += workers[i].failed;
        bytes += workers[i].bytes;
        if (workers[i].sample_count)
            memcpy(all + samples, workers[i].samples_ms, workers[i].sample_count * sizeof(float));
        samples += workers[i].sample_count;
        free(workers[i].samples_ms);
    }
    qsort(all, samples, sizeof(float), load_compare);
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"done\": %llu, \"failed\": %llu, \"bytes\": %llu, \"seconds\": %.4f, "
           "\"rate\": %.2f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"client_cpu_s\": %.3f}\n",
           (unsigned long long)done, (unsigned long long)failed, (unsigned long long)bytes, seconds,
           seconds > 0 ? (double)done / seconds : 0, samples ? all[samples / 2] : 0.0f,
           samples ? all[samples * 99 / 100] : 0.0f,
           (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
    free(all);
}

/* Starts all workers, which meet at the barrier when they are connected, and reports what they did.
 * The exit status. */
static inline int load_run(struct load_worker *workers, size_t count, pthread_barrier_t *ready,
                           void *(*work)(void *context))
{
    if (!count || count > LOAD_MAX_CONNECTIONS) {
        fprintf(stderr, "from 1 to %d connections\n", LOAD_MAX_CONNECTIONS);
        return 2;
    }
    pthread_barrier_init(ready, NULL, (unsigned)count + 1);
    for (size_t i = 0; i < count; i++) {
        workers[i].number = i;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            load_fail("thread");
    }
    pthread_barrier_wait(ready);
    double begun = load_now();
    for (size_t i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    load_report(workers, count, load_now() - begun);
    return 0;
}

static inline unsigned load_number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

/* "127.0.0.1:4242", IPv4 only. */
static inline struct sockaddr_in load_address(const char *text)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    char host[64];
    int port = 0;
    if (sscanf(text, "%63[^:]:%d", host, &port) != 2 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        fprintf(stderr, "%s is no host:port\n", text);
        exit(2);
    }
    address.sin_port = htons((uint16_t)port);
    return address;
}

static inline void load_no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static inline int load_connect(const char *to)
{
    struct sockaddr_in address = load_address(to);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
        load_fail(to);
    load_no_delay(fd);
    return fd;
}

static inline int load_listen(const char *at)
{
    struct sockaddr_in address = load_address(at);
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 64))
        load_fail(at);
    return fd;
}

/* All of it; false when the peer is gone. Changes the parts. */
static inline bool load_write(int fd, struct iovec *parts, int count)
{
    while (count) {
        ssize_t size = writev(fd, parts, count);
        if (size <= 0)
            return false;
        for (; count && (size_t)size >= parts->iov_len; count--)
            size -= (ssize_t)(parts++)->iov_len;
        if (count) {
            parts->iov_base = (char *)parts->iov_base + size;
            parts->iov_len -= (size_t)size;
        }
    }
    return true;
}

static inline bool load_read(int fd, void *to, size_t size)
{
    while (size) {
        ssize_t got = recv(fd, to, size, 0);
        if (got <= 0)
            return false;
        to = (char *)to + got;
        size -= (size_t)got;
    }
    return true;
}
