/* SPDX-License-Identifier: MIT */
#include "server/keeper.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "worklist/events.h"
#include "worklist/patients.h"

enum { EVERY_MS = 60 * 1000 };

struct keeper {
    struct worklist *worklist;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping; /* guarded by lock */
};

static bool forget(struct keeper *keeper, struct error *err)
{
    const struct worklist_options *options = worklist_options(keeper->worklist);
    size_t count = 0, steps = 0;
    if (!events_tidy(keeper->worklist, err) ||
        !workitem_purge(keeper->worklist, clock_unix_ms(), options->keep_done_ms, &count, err) ||
        !worklist_purge(keeper->worklist, &steps, err))
        return false;
    if (count || steps)
        log_info("worklist: forgotten work_items=%zu steps=%zu", count, steps);
    return true;
}

static void keep(struct keeper *keeper)
{
    struct error err;
    size_t followed = 0;
    if (!patients_settle(keeper->worklist, &followed, &err))
        log_error("worklist: objects do not follow their patients why=\"%s\"", err.message);
    if (followed)
        log_info("worklist: objects follow their patients objects=%zu", followed);
    if (!forget(keeper, &err))
        log_error("worklist: what is old cannot be forgotten why=\"%s\"", err.message);
}

static void *run(void *context)
{
    struct keeper *keeper = context;
    pthread_mutex_lock(&keeper->lock);
    while (!keeper->stopping) {
        struct timespec deadline = clock_deadline(EVERY_MS);
        pthread_mutex_unlock(&keeper->lock);
        keep(keeper);
        pthread_mutex_lock(&keeper->lock);
        if (!keeper->stopping)
            pthread_cond_clockwait(&keeper->changed, &keeper->lock, CLOCK_MONOTONIC, &deadline);
    }
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

static void announce(struct keeper *keeper, const char *status)
{
    struct error err;
    if (!events_announce(keeper->worklist, status, &err))
        log_error("worklist: subscribers are not told status=%s why=\"%s\"", status, err.message);
}

bool keeper_open(struct worklist *worklist, struct keeper **out, struct error *err)
{
    struct keeper *keeper = mem_alloc(sizeof(*keeper));
    keeper->worklist = worklist;
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_cond_init(&keeper->changed, NULL);
    announce(keeper, "RESTARTED");
    int failure = pthread_create(&keeper->thread, NULL, run, keeper);
    if (failure) {
        pthread_cond_destroy(&keeper->changed);
        pthread_mutex_destroy(&keeper->lock);
        free(keeper);
        return error_set_errno(err, failure, "thread");
    }
    *out = keeper;
    return true;
}

void keeper_announce_end(struct keeper *keeper)
{
    if (keeper)
        announce(keeper, "GOING DOWN");
}

void keeper_close(struct keeper *keeper)
{
    if (!keeper)
        return;
    pthread_mutex_lock(&keeper->lock);
    keeper->stopping = true;
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->thread, NULL);
    pthread_cond_destroy(&keeper->changed);
    pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}
