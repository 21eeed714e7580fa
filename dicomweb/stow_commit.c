/* SPDX-License-Identifier: MIT */
#include "dicomweb/stow_commit.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"

enum {
    MAX_WORKERS = 8, /* commits at a time: each waits for the disk most of its time */
    /* Of all requests together: more share no fewer syncs, and each holds warm memory. */
    MAX_WORKERS_IN_ALL = 16,
    /* Parts in work stand in memory as a rule (archive/ingest.h): no more bytes of them than this,
     * but always one part. */
    MAX_BYTES = 32 << 20,
    MAX_KEPT = 1 << 20, /* of the part that is kept back */
};

struct part {
    struct ingest *ingest; /* NULL: none */
    size_t index;          /* of its result */
    uint64_t size;
};

struct stow_commit {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t workers[MAX_WORKERS];
    size_t worker_count;
    atomic_uint *workers_in_all;
    /* The last complete part is kept back until the next one comes: a request of one part, the
     * common case, needs no thread. */
    struct part last;
    /* All below: guarded by lock. */
    struct stow_report report;
    struct part waiting;    /* for a worker */
    uint64_t bytes_in_work; /* the waiting part's too */
    size_t idle_workers;
    bool ending;
};

struct stow_commit *stow_commit_new(atomic_uint *workers_in_all)
{
    struct stow_commit *commit = mem_alloc(sizeof(*commit));
    commit->workers_in_all = workers_in_all;
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

static void commit_part(struct stow_commit *commit, const struct part *part)
{
    struct ingest *ingest = part->ingest;
    struct error err = { 0 };
    enum ingest_outcome outcome;
    bool ok = ingest_commit(ingest, &outcome, &err);
    enum failure_reason reason = ok ? FAILURE_NONE : failure_reason_of(err.code);
    if (ok && outcome == INGEST_REPLACED)
        log_info("stow: replaced instance=%s", ingest_identity(ingest)->instance);
    else if (ok)
        log_debug("stow: %s instance=%s", outcome == INGEST_STORED ? "stored" : "here already",
                  ingest_identity(ingest)->instance);
    else
        stow_log_failure(ingest_identity(ingest), &err);
    count_result(reason);
    pthread_mutex_lock(&commit->lock);
    commit->report.results[part->index].reason = reason;
    stow_result_identify(&commit->report.results[part->index], ingest_identity(ingest));
    stow_result_coerced(&commit->report.results[part->index], ingest_original_attributes(ingest));
    pthread_mutex_unlock(&commit->lock);
    ingest_close(ingest);
}

static void *work(void *argument)
{
    struct stow_commit *commit = argument;
    pthread_mutex_lock(&commit->lock);
    for (;;) {
        commit->idle_workers++;
        while (!commit->waiting.ingest && !commit->ending)
            pthread_cond_wait(&commit->changed, &commit->lock);
        commit->idle_workers--;
        struct part part = commit->waiting;
        commit->waiting.ingest = NULL;
        if (!part.ingest)
            break;
        pthread_cond_broadcast(&commit->changed);
        pthread_mutex_unlock(&commit->lock);
        commit_part(commit, &part);
        pthread_mutex_lock(&commit->lock);
        commit->bytes_in_work -= part.size;
        pthread_cond_broadcast(&commit->changed);
    }
    pthread_mutex_unlock(&commit->lock);
    return NULL;
}

static bool add_worker(struct stow_commit *commit)
{
    if (atomic_fetch_add(commit->workers_in_all, 1) < MAX_WORKERS_IN_ALL &&
        pthread_create(&commit->workers[commit->worker_count], NULL, work, commit) == 0)
        return true;
    atomic_fetch_sub(commit->workers_in_all, 1);
    return false;
}

/* With the lock held: one more worker when all are busy. False when there is none at all. */
static bool ensure_worker(struct stow_commit *commit)
{
    if (!commit->idle_workers && commit->worker_count < MAX_WORKERS && add_worker(commit))
        commit->worker_count++;
    return commit->worker_count > 0;
}

static bool is_full(const struct stow_commit *commit, uint64_t size)
{
    return commit->waiting.ingest ||
           (commit->bytes_in_work && commit->bytes_in_work + size > MAX_BYTES);
}

static void hand_over(struct stow_commit *commit, const struct part *part)
{
    pthread_mutex_lock(&commit->lock);
    bool ready = ensure_worker(commit);
    while (ready && is_full(commit, part->size))
        pthread_cond_wait(&commit->changed, &commit->lock);
    if (ready) {
        commit->waiting = *part;
        commit->bytes_in_work += part->size;
        pthread_cond_broadcast(&commit->changed);
    }
    pthread_mutex_unlock(&commit->lock);
    if (!ready)
        commit_part(commit, part);
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

void stow_commit_add_take(struct stow_commit *commit, struct ingest *ingest, uint64_t size)
{
    struct part part = { .ingest = ingest, .size = size };
    part.index = add_result(commit, FAILURE_PROCESSING, ingest_identity(ingest));
    if (commit->last.ingest)
        hand_over(commit, &commit->last);
    commit->last.ingest = NULL;
    if (size <= MAX_KEPT)
        commit->last = part;
    else
        hand_over(commit, &part);
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
    if (commit->last.ingest)
        commit_part(commit, &commit->last);
    commit->last.ingest = NULL;
    pthread_mutex_lock(&commit->lock);
    commit->ending = true;
    pthread_cond_broadcast(&commit->changed);
    pthread_mutex_unlock(&commit->lock);
    for (size_t i = 0; i < commit->worker_count; i++)
        pthread_join(commit->workers[i], NULL);
    atomic_fetch_sub(commit->workers_in_all, (unsigned)commit->worker_count);
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
