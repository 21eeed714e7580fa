/* SPDX-License-Identifier: MIT */
#include "dicomweb/commitment_work.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

enum {
    MAX_WAITING = 512, /* that are not checked yet, of all requesters */
    MAX_WAITING_OF_ONE = 64,
    MAX_KNOWN = 4096, /* with those that are remembered */
    RETRY_MS = 10 * 1000,
    REMEMBERED_MS = 24 * 60 * 60 * 1000,
};

struct job {
    struct job *next; /* those that came later */
    struct commitment_entry entry;
    bool is_checked;
    bool is_worked_on;
    int64_t due_ms;
    uint16_t *reasons; /* of the references, when it is checked */
    size_t failed;
};

struct commitment_work {
    struct archive *archive;
    pthread_mutex_t lock; /* also over writes: two requests for one transaction must not mix */
    pthread_cond_t changed;
    pthread_t thread;
    bool has_begun; /* guarded by lock, as all that follows */
    bool stopping;
    struct job *jobs; /* in the order they came */
};

struct commitment_work *commitment_work_new(struct archive *archive)
{
    struct commitment_work *work = mem_alloc(sizeof(*work));
    work->archive = archive;
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->changed, NULL);
    return work;
}

static bool is_stopping(void *context)
{
    struct commitment_work *work = context;
    pthread_mutex_lock(&work->lock);
    bool stopping = work->stopping;
    pthread_mutex_unlock(&work->lock);
    return stopping;
}

static struct job *find_job(const struct commitment_work *work, const char *transaction)
{
    for (struct job *job = work->jobs; job; job = job->next)
        if (strcmp(job->entry.transaction, transaction) == 0)
            return job;
    return NULL;
}

static struct job *append_job(struct commitment_work *work, const struct commitment_entry *entry)
{
    struct job **end = &work->jobs;
    struct job *job = mem_alloc(sizeof(*job));
    job->entry = *entry;
    while (*end && (*end)->entry.received_ms <= entry->received_ms)
        end = &(*end)->next;
    job->next = *end;
    *end = job;
    return job;
}

/* With the lock held, over the write too. */
static void drop(struct commitment_work *work, struct job *job)
{
    struct error err;
    struct job **link = &work->jobs;
    if (!commitment_queue_remove(work->archive, &job->entry, &err))
        log_error("commitment: not removed transaction=%s why=\"%s\"", job->entry.transaction,
                  err.message);
    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    free(job->reasons);
    free(job);
}

/* --- the thread ---------------------------------------------------------------------------- */

/* With the lock held, which is given up for what takes long. */
static void check(struct commitment_work *work, struct job *job)
{
    struct commitment_entry entry = job->entry;
    struct commitment_result result;
    struct error err = { .code = ERROR_NONE };
    job->is_worked_on = true;
    pthread_mutex_unlock(&work->lock);
    bool ok = commitment_check(work->archive, &entry, 0, is_stopping, work, &result, &err);
    if (ok)
        log_info("commitment: checked transaction=%s instances=%zu failed=%zu over=HTTP",
                 entry.transaction, result.count, result.failed);
    else if (err.code != ERROR_STOPPED)
        log_warn("commitment: not checked transaction=%s why=\"%s\"", entry.transaction,
                 err.message);
    pthread_mutex_lock(&work->lock);
    job->is_worked_on = false;
    job->is_checked = ok;
    job->due_ms = clock_monotonic_ms() + RETRY_MS;
    if (ok) {
        job->reasons = result.reasons;
        job->failed = result.failed;
        result.reasons = NULL;
    }
    commitment_result_release(&result);
    pthread_cond_broadcast(&work->changed);
}

/* With the lock held: the first that is due; NULL, and when there may be one. */
static struct job *next_job(const struct commitment_work *work, int64_t *wait_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    *wait_ms = 60 * 1000;
    for (struct job *job = work->jobs; job; job = job->next) {
        if (job->is_checked)
            continue;
        if (job->due_ms <= now_ms)
            return job;
        if (job->due_ms - now_ms < *wait_ms)
            *wait_ms = job->due_ms - now_ms;
    }
    return NULL;
}

static void forget_old(struct commitment_work *work)
{
    while (work->jobs && !work->jobs->is_worked_on &&
           clock_unix_ms() - work->jobs->entry.received_ms > REMEMBERED_MS)
        drop(work, work->jobs);
}

static void *run(void *argument)
{
    struct commitment_work *work = argument;
    pthread_mutex_lock(&work->lock);
    while (!work->stopping) {
        int64_t wait_ms;
        forget_old(work);
        struct job *job = next_job(work, &wait_ms);
        if (job) {
            check(work, job);
            continue;
        }
        struct timespec deadline = clock_deadline(wait_ms);
        pthread_cond_clockwait(&work->changed, &work->lock, CLOCK_MONOTONIC, &deadline);
    }
    pthread_mutex_unlock(&work->lock);
    return NULL;
}

/* With the lock held: what is left from before is loaded, and the thread begins. */
static bool begin(struct commitment_work *work, struct error *err)
{
    struct buffer after = buffer_up_to(256);
    struct commitment_entry entry;
    bool found = true, ok = true;
    if (work->has_begun)
        return true;
    while (ok && found) {
        ok = commitment_queue_next(work->archive, COMMITMENT_BY_WEB, &after, &entry, &found, err);
        if (ok && found && !find_job(work, entry.transaction))
            append_job(work, &entry);
    }
    buffer_release(&after);
    if (!ok)
        return error_add_context(err, "storage commitment");
    int failure = pthread_create(&work->thread, NULL, run, work);
    work->has_begun = failure == 0;
    return !failure || error_set_errno(err, failure, "thread");
}

void commitment_work_free(struct commitment_work *work)
{
    if (!work)
        return;
    pthread_mutex_lock(&work->lock);
    work->stopping = true;
    pthread_cond_broadcast(&work->changed);
    pthread_mutex_unlock(&work->lock);
    if (work->has_begun)
        pthread_join(work->thread, NULL);
    while (work->jobs) {
        struct job *job = work->jobs;
        work->jobs = job->next;
        free(job->reasons);
        free(job);
    }
    pthread_cond_destroy(&work->changed);
    pthread_mutex_destroy(&work->lock);
    free(work);
}

/* --- what is asked ------------------------------------------------------------------------- */

/* Room for one more, for which the oldest that is checked may go. */
static bool has_room(struct commitment_work *work, const char *requester)
{
    unsigned known = 0, waiting = 0, of_one = 0;
    struct job *oldest = NULL;
    for (struct job *job = work->jobs; job; job = job->next) {
        known++;
        waiting += !job->is_checked;
        of_one += !job->is_checked && strcmp(job->entry.calling_ae, requester) == 0;
        if (!oldest && job->is_checked)
            oldest = job;
    }
    if (waiting >= MAX_WAITING || of_one >= MAX_WAITING_OF_ONE)
        return false;
    if (known >= MAX_KNOWN && oldest)
        drop(work, oldest);
    return true;
}

static bool add(struct commitment_work *work, struct commitment_entry *entry,
                struct slice references, struct error *err)
{
    if (!begin(work, err))
        return false;
    if (find_job(work, entry->transaction))
        return error_set(err, ERROR_CONFLICT, "the Transaction UID is in use");
    if (work->stopping || !has_room(work, entry->calling_ae))
        return error_set(err, ERROR_BUSY, "too many requests wait");
    if (!commitment_queue_put(work->archive, entry, references, err))
        return false;
    append_job(work, entry)->due_ms = clock_monotonic_ms();
    pthread_cond_broadcast(&work->changed);
    return true;
}

bool commitment_work_add(struct commitment_work *work, uint64_t requester, const char *transaction,
                         struct slice references, size_t count, struct error *err)
{
    struct commitment_entry entry = {
        .queue = COMMITMENT_BY_WEB,
        .count = (uint32_t)count,
        .received_ms = clock_unix_ms(),
    };
    snprintf(entry.calling_ae, sizeof(entry.calling_ae), "%016" PRIx64, requester);
    snprintf(entry.transaction, sizeof(entry.transaction), "%s", transaction);
    pthread_mutex_lock(&work->lock);
    bool ok = add(work, &entry, references, err);
    pthread_mutex_unlock(&work->lock);
    return ok;
}

static bool take_result(struct commitment_work *work, const struct job *job,
                        struct commitment_result *result, struct error *err)
{
    result->count = job->entry.count;
    result->failed = job->failed;
    result->reasons = mem_copy(job->reasons, result->count * sizeof(*result->reasons));
    return commitment_queue_references(work->archive, &job->entry, &result->references, err);
}

bool commitment_work_result(struct commitment_work *work, const char *transaction,
                            int64_t timeout_ms, struct commitment_result *result, bool *done,
                            struct error *err)
{
    struct timespec deadline = clock_deadline(timeout_ms);
    int failure = 0;
    struct job *job = NULL;
    *result = (struct commitment_result){ .references = buffer_up_to(COMMITMENT_REFERENCES_SIZE) };
    pthread_mutex_lock(&work->lock);
    bool ok = begin(work, err);
    while (ok && (job = find_job(work, transaction)) && !job->is_checked && !failure &&
           !work->stopping)
        failure = pthread_cond_clockwait(&work->changed, &work->lock, CLOCK_MONOTONIC, &deadline);
    if (ok && !job)
        ok = error_set(err, ERROR_NOT_FOUND, "no such commitment request");
    *done = ok && job->is_checked;
    if (*done)
        ok = take_result(work, job, result, err);
    pthread_mutex_unlock(&work->lock);
    return ok;
}
