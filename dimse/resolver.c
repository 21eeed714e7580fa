/* SPDX-License-Identifier: MIT */
#include "dimse/resolver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"

enum { MAX_QUESTIONS = 16, HOST_SIZE = 256, SERVICE_SIZE = 8 };

/* Belongs to both threads; the one that leaves last frees it. */
struct question {
    char host[HOST_SIZE];
    char service[SERVICE_SIZE];
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool is_answered;  /* guarded by lock, as what follows */
    bool is_abandoned; /* nobody waits any more */
    int failure;
    struct addrinfo *addresses;
};

static atomic_int questions; /* threads that ask */

static void question_free(struct question *question)
{
    if (question->addresses)
        freeaddrinfo(question->addresses);
    pthread_cond_destroy(&question->answered);
    pthread_mutex_destroy(&question->lock);
    free(question);
}

static void *ask(void *context)
{
    struct question *question = context;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *addresses = NULL;
    int failure = getaddrinfo(question->host, question->service, &hints, &addresses);
    pthread_mutex_lock(&question->lock);
    question->is_answered = true;
    question->failure = failure;
    question->addresses = failure ? NULL : addresses;
    bool is_mine = question->is_abandoned;
    pthread_cond_signal(&question->answered);
    pthread_mutex_unlock(&question->lock);
    if (is_mine)
        question_free(question);
    atomic_fetch_sub(&questions, 1);
    return NULL;
}

static struct question *question_new(const char *host, const char *service)
{
    struct question *question = mem_alloc(sizeof(*question));
    pthread_condattr_t attributes;
    snprintf(question->host, sizeof(question->host), "%s", host);
    snprintf(question->service, sizeof(question->service), "%s", service);
    pthread_mutex_init(&question->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&question->answered, &attributes);
    pthread_condattr_destroy(&attributes);
    return question;
}

static bool start(struct question *question)
{
    pthread_attr_t attributes;
    pthread_t thread;
    if (atomic_fetch_add(&questions, 1) >= MAX_QUESTIONS) {
        atomic_fetch_sub(&questions, 1);
        return false;
    }
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool ok = pthread_create(&thread, &attributes, ask, question) == 0;
    pthread_attr_destroy(&attributes);
    if (!ok)
        atomic_fetch_sub(&questions, 1);
    return ok;
}

/* False when the deadline came first; the question is then the thread's. */
static bool await(struct question *question, int64_t deadline_ms)
{
    struct timespec deadline = { .tv_sec = deadline_ms / 1000,
                                 .tv_nsec = deadline_ms % 1000 * 1000000 };
    int failure = 0;
    pthread_mutex_lock(&question->lock);
    while (!question->is_answered && !failure)
        failure = pthread_cond_timedwait(&question->answered, &question->lock, &deadline);
    bool is_answered = question->is_answered;
    question->is_abandoned = !is_answered;
    pthread_mutex_unlock(&question->lock);
    return is_answered;
}

bool resolver_find(const char *host, uint16_t port, int64_t deadline_ms, struct addrinfo **out,
                   struct error *err)
{
    char service[SERVICE_SIZE];
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST };
    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(host, service, &hints, out) == 0)
        return true;
    if (strlen(host) >= HOST_SIZE)
        return error_set(err, ERROR_INVALID, "a host name of %zu characters", strlen(host));
    struct question *question = question_new(host, service);
    if (!start(question)) {
        question_free(question);
        return error_set(err, ERROR_BUSY, "too many host names are being resolved");
    }
    if (!await(question, deadline_ms))
        return error_set(err, ERROR_TIMEOUT, "%s: the resolver did not answer in time", host);
    int failure = question->failure;
    *out = question->addresses;
    question->addresses = NULL;
    question_free(question);
    return !failure || error_set(err, ERROR_IO, "%s: %s", host, gai_strerror(failure));
}
