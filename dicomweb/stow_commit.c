/* SPDX-License-Identifier: MIT */
#include "dicomweb/stow_commit.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"

/* Commits at a time. Each waits for the disk most of its time, and holds its instance in memory (at
 * most what the archive keeps there before it streams to the segment). */
enum { MAX_WORKERS = 8 };

struct stow_commit {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t workers[MAX_WORKERS];
    size_t worker_count;
    /* The last complete part is kept back until the next one comes: a request of one part, the
     * common case, needs no thread. */
    struct ingest *last;
    size_t last_index;
    /* All below: guarded by lock. */
    struct stow_report report;
    struct ingest *waiting; /* for a worker; NULL none */
    size_t waiting_index;
    size_t idle_workers;
    bool ending;
};

struct stow_commit *stow_commit_new(void)
{
    struct stow_commit *commit = mem_alloc(sizeof(*commit));
    pthread_mutex_init(&commit->lock, NULL);
    pthread_cond_init(&commit->changed, NULL);
    return commit;
}

void stow_log_failure(const struct identity *identity, const struct error *err)
{
    log_warn("stow: instance refused instance=%s error=%s reason=%s",
             identity->instance[0] ? identity->instance : "-", error_name(err->code), err->message);
}

static void count_result(enum failure_reason reason)
{
    metric_add(reason == FAILURE_NONE ? METRIC_STOW_STORED : METRIC_STOW_FAILED, 1);
}

static void commit_part(struct stow_commit *commit, struct ingest *ingest, size_t index)
{
    struct error err = { 0 };
    enum ingest_outcome outcome;
    bool ok = ingest_commit(ingest, &outcome, &err);
    enum failure_reason reason = ok ? FAILURE_NONE : failure_reason_of(err.code);
    if (!ok)
        stow_log_failure(ingest_identity(ingest), &err);
    count_result(reason);
    pthread_mutex_lock(&commit->lock);
    commit->report.results[index].reason = reason;
    stow_result_identify(&commit->report.results[index], ingest_identity(ingest));
    pthread_mutex_unlock(&commit->lock);
    ingest_close(ingest);
}

static void *work(void *argument)
{
    struct stow_commit *commit = argument;
    pthread_mutex_lock(&commit->lock);
    for (;;) {
        commit->idle_workers++;
        while (!commit->waiting && !commit->ending)
            pthread_cond_wait(&commit->changed, &commit->lock);
        commit->idle_workers--;
        struct ingest *ingest = commit->waiting;
        size_t index = commit->waiting_index;
        commit->waiting = NULL;
        if (!ingest)
            break;
        pthread_cond_broadcast(&commit->changed);
        pthread_mutex_unlock(&commit->lock);
        commit_part(commit, ingest, index);
        pthread_mutex_lock(&commit->lock);
    }
    pthread_mutex_unlock(&commit->lock);
    return NULL;
}

/* With the lock held: one more worker when all are busy. False when there is none at all. */
static bool ensure_worker(struct stow_commit *commit)
{
    if (!commit->idle_workers && commit->worker_count < MAX_WORKERS &&
        pthread_create(&commit->workers[commit->worker_count], NULL, work, commit) == 0)
        commit->worker_count++;
    return commit->worker_count > 0;
}

static void hand_over(struct stow_commit *commit, struct ingest *ingest, size_t index)
{
    pthread_mutex_lock(&commit->lock);
    bool ready = ensure_worker(commit);
    while (ready && commit->waiting)
        pthread_cond_wait(&commit->changed, &commit->lock);
    if (ready) {
        commit->waiting = ingest;
        commit->waiting_index = index;
        pthread_cond_broadcast(&commit->changed);
    }
    pthread_mutex_unlock(&commit->lock);
    if (!ready)
        commit_part(commit, ingest, index);
}

static size_t add_result(struct stow_commit *commit, enum failure_reason reason,
                         const struct identity *identity)
{
    pthread_mutex_lock(&commit->lock);
    struct stow_result *result = stow_report_add(&commit->report);
    result->reason = reason;
    stow_result_identify(result, identity);
    size_t index = commit->report.count - 1;
    pthread_mutex_unlock(&commit->lock);
    return index;
}

void stow_commit_add_take(struct stow_commit *commit, struct ingest *ingest)
{
    struct ingest *previous = commit->last;
    size_t previous_index = commit->last_index;
    commit->last_index = add_result(commit, FAILURE_PROCESSING, ingest_identity(ingest));
    commit->last = ingest;
    if (previous)
        hand_over(commit, previous, previous_index);
}

void stow_commit_add_failure(struct stow_commit *commit, enum failure_reason reason,
                             const struct identity *identity)
{
    add_result(commit, reason, identity);
    count_result(reason);
}

size_t stow_commit_count(const struct stow_commit *commit)
{
    return commit->report.count; /* grows by this thread's calls alone */
}

const struct stow_report *stow_commit_finish(struct stow_commit *commit)
{
    if (commit->last)
        commit_part(commit, commit->last, commit->last_index);
    commit->last = NULL;
    pthread_mutex_lock(&commit->lock);
    commit->ending = true;
    pthread_cond_broadcast(&commit->changed);
    pthread_mutex_unlock(&commit->lock);
    for (size_t i = 0; i < commit->worker_count; i++)
        pthread_join(commit->workers[i], NULL);
    commit->worker_count = 0;
    return &commit->report;
}

void stow_commit_free(struct stow_commit *commit)
{
    if (!commit)
        return;
    stow_commit_finish(commit);
    stow_report_release(&commit->report);
    pthread_cond_destroy(&commit->changed);
    pthread_mutex_destroy(&commit->lock);
    free(commit);
}
