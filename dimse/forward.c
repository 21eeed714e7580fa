/* SPDX-License-Identifier: MIT */
#include "dimse/forward.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "archive/changes.h"
#include "base/log.h"
#include "base/memory.h"
#include "dimse/forward_parts.h"

/* With the lock held. */
static bool start(struct forward *forward, const char *to, struct error *err)
{
    for (struct destination_thread *thread = forward->threads; thread; thread = thread->next)
        if (strcmp(thread->to, to) == 0)
            return true;
    struct destination_thread *thread = mem_alloc(sizeof(*thread));
    thread->forward = forward;
    thread->lane.kill_fd = forward->kill_fd;
    thread->generation = forward->generation;
    thread->parked_due = true;
    thread->retry_from = 1;
    thread->tried = forward->generation;
    memcpy(thread->to, to, strnlen(to, AE_TITLE_SIZE - 1));
    snprintf(thread->follower, sizeof(thread->follower), "forward.%s", thread->to);
    bool ok = forward_load(thread, err);
    int failure = ok ? pthread_create(&thread->thread, NULL, forward_run, thread) : 0;
    if (failure)
        ok = error_set_errno(err, failure, "thread");
    if (!ok) {
        free(thread);
        return error_add_context(err, "forward to %s", to);
    }
    log_info("dimse: forward begins to=\"%s\" position=%llu", thread->to,
             (unsigned long long)thread->saved);
    thread->next = forward->threads;
    forward->threads = thread;
    return true;
}

static bool start_all(struct forward *forward, struct error *err)
{
    const struct configuration *configuration = configuration_current(forward->place);
    const struct dimse_options *options = &configuration->options;
    bool ok = true;
    pthread_mutex_lock(&forward->lock);
    forward->generation++;
    for (size_t i = 0; ok && i < options->forward_rule_count; i++)
        ok = start(forward, options->forward_rules[i].to, err);
    pthread_cond_broadcast(&forward->changed);
    pthread_mutex_unlock(&forward->lock);
    configuration_release(configuration);
    return ok;
}

void forward_reload(struct forward *forward)
{
    struct error err;
    if (!start_all(forward, &err))
        log_error("dimse: %s", err.message);
}

bool forward_open(struct archive *archive, struct configuration_place *place, struct forward **out,
                  struct error *err)
{
    struct forward *forward = mem_alloc(sizeof(*forward));
    forward->archive = archive;
    forward->place = place;
    forward->kill_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&forward->lock, NULL);
    pthread_cond_init(&forward->changed, NULL);
    bool ok = forward->kill_fd >= 0 || error_set(err, ERROR_IO, "eventfd");
    ok = ok && start_all(forward, err);
    if (!ok) {
        forward_close(forward);
        forward = NULL;
    }
    *out = forward;
    return ok;
}

void forward_close(struct forward *forward)
{
    uint64_t one = 1;
    if (!forward)
        return;
    pthread_mutex_lock(&forward->lock);
    forward->stopping = true;
    pthread_cond_broadcast(&forward->changed);
    pthread_mutex_unlock(&forward->lock);
    if (forward->kill_fd >= 0 && write(forward->kill_fd, &one, sizeof(one)) < 0)
        log_error("dimse: forward: eventfd");
    changes_wake(forward->archive);
    while (forward->threads) {
        struct destination_thread *thread = forward->threads;
        forward->threads = thread->next;
        pthread_join(thread->thread, NULL);
        free(thread);
    }
    if (forward->kill_fd >= 0)
        close(forward->kill_fd);
    pthread_cond_destroy(&forward->changed);
    pthread_mutex_destroy(&forward->lock);
    free(forward);
}
