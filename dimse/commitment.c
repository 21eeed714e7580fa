/* SPDX-License-Identifier: MIT */
#include "dimse/commitment.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dimse/commitment_parts.h"

enum {
    MAX_WAITING = 4096, /* transactions that are not reported yet, of all requesters */
    MAX_KNOWN = 16384,  /* with those that were reported and are remembered */
    MAX_WAITING_OF_ONE = 512,
    /* A requester that releases at once after its request gets the report over another
     * association; one that waits gets it over its own. */
    FIRST_PAUSE_MS = 100,
    MISSING_PAUSE_MS = 1000, /* between two looks for what has not arrived */
    MAX_PAUSE_MS = 60 * 60 * 1000,
    REMEMBERED_MS = 24 * 60 * 60 * 1000,
    GIVEN_UP_MS = 7 * 24 * 60 * 60 * 1000,
};

/* --- what is asked ------------------------------------------------------------------------- */

static struct job *find_job(const struct commitment *commitment, const char *calling_ae,
                            const char *transaction)
{
    for (struct job *job = commitment->jobs; job; job = job->next)
        if (strcmp(job->entry.transaction, transaction) == 0 &&
            strcmp(job->entry.calling_ae, calling_ae) == 0)
            return job;
    return NULL;
}

static void count_jobs(struct commitment *commitment)
{
    commitment->waiting = 0;
    commitment->known = 0;
    for (const struct job *job = commitment->jobs; job; job = job->next) {
        commitment->waiting += !job->entry.is_reported;
        commitment->known++;
    }
    metric_set(METRIC_COMMITMENTS_WAITING, commitment->waiting);
}

/* Others must get in beside a requester that asks and asks. */
static bool has_its_share(const struct commitment *commitment, const char *calling_ae)
{
    unsigned waiting = 0;
    for (const struct job *job = commitment->jobs; job; job = job->next)
        waiting += !job->entry.is_reported && strcmp(job->entry.calling_ae, calling_ae) == 0;
    return waiting >= MAX_WAITING_OF_ONE;
}

/* With the lock held, over the write too, so that nobody asks for it anew meanwhile. Old enough:
 * reported long ago, or never taken in all the time there was. */
static void drop(struct commitment *commitment, struct job *job)
{
    struct error err;
    struct job **link = &commitment->jobs;
    if (!job->entry.is_reported)
        log_error("dimse: commitment given up transaction=%s requester=\"%s\" attempts=%u",
                  job->entry.transaction, job->entry.calling_ae, job->entry.attempts);
    if (!commitment_queue_remove(commitment->archive, &job->entry, &err))
        log_error("dimse: commitment not removed transaction=%s why=\"%s\"", job->entry.transaction,
                  err.message);
    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    free(job);
    count_jobs(commitment);
}

/* With the lock held: the one that was reported longest ago is not remembered any more. */
static bool make_room(struct commitment *commitment)
{
    struct job *oldest = NULL;
    for (struct job *job = commitment->jobs; job; job = job->next)
        if (job->state == JOB_REPORTED && job->entry.is_reported &&
            (!oldest || job->entry.changed_ms < oldest->entry.changed_ms))
            oldest = job;
    if (oldest)
        drop(commitment, oldest);
    return oldest != NULL;
}

static void copy_text(char *to, const char *from, size_t size)
{
    memcpy(to, from, strnlen(from, size - 1));
}

static struct commitment_entry make_entry(const struct commitment_request *request)
{
    struct commitment_entry entry = {
        .count = (uint32_t)request->count,
        .checksum = commitment_checksum(request->references),
        .received_ms = clock_unix_ms(),
    };
    copy_text(entry.calling_ae, request->calling_ae, sizeof(entry.calling_ae));
    copy_text(entry.called_ae, request->called_ae, sizeof(entry.called_ae));
    copy_text(entry.transaction, request->transaction, sizeof(entry.transaction));
    return entry;
}

/* With the lock held, over the write too: two requests for one transaction must not mix, and there
 * are few of them. */
static bool add(struct commitment *commitment, const struct commitment_request *request,
                struct error *err)
{
    struct commitment_entry entry = make_entry(request);
    struct job *job;
    while ((job = find_job(commitment, entry.calling_ae, entry.transaction)) &&
           (job->state == JOB_WRITTEN_DOWN ||
            (job->state == JOB_REPORTED && !job->entry.is_reported)) &&
           !commitment->stopping)
        pthread_cond_wait(&commitment->changed, &commitment->lock);
    if (job && (job->entry.checksum != entry.checksum || job->entry.count != entry.count))
        return error_set(err, ERROR_CONFLICT, "transaction is known with other references");
    if (job &&
        !job->entry
             .is_reported) { /* its report is still to come, and may come over this line now */
        if (!job->line)
            job->line = request->line;
        return true;
    }
    if (commitment->stopping || commitment->waiting >= MAX_WAITING ||
        has_its_share(commitment, entry.calling_ae) ||
        (!job && commitment->known >= MAX_KNOWN && !make_room(commitment)))
        return error_set(err, ERROR_LIMIT, "too many transactions wait");
    if (!commitment_queue_put(commitment->archive, &entry, request->references, err))
        return false;
    if (!job) {
        job = mem_alloc(sizeof(*job));
        job->next = commitment->jobs;
        commitment->jobs = job;
    }
    job->entry = entry;
    job->state = JOB_WAITS;
    job->due_ms = clock_monotonic_ms() + FIRST_PAUSE_MS;
    job->line = request->line;
    return true;
}

bool commitment_add(struct commitment *commitment, const struct commitment_request *request,
                    struct error *err)
{
    pthread_mutex_lock(&commitment->lock);
    bool ok = add(commitment, request, err);
    count_jobs(commitment);
    pthread_cond_broadcast(&commitment->changed);
    pthread_mutex_unlock(&commitment->lock);
    return ok;
}

/* --- the thread ---------------------------------------------------------------------------- */

bool commitment_is_stopping(struct commitment *commitment)
{
    pthread_mutex_lock(&commitment->lock);
    bool stopping = commitment->stopping;
    pthread_mutex_unlock(&commitment->lock);
    return stopping;
}

static int64_t pause_ms(const struct dimse_options *options, uint32_t attempts)
{
    int64_t pause = options->commitment_retry_ms;
    for (uint32_t i = 0; i < attempts && pause < MAX_PAUSE_MS; i++)
        pause *= 2;
    return pause < MAX_PAUSE_MS ? pause : MAX_PAUSE_MS;
}

static void write_down(struct commitment *commitment, struct commitment_entry *entry)
{
    struct error err;
    if (!commitment_queue_update(commitment->archive, entry, &err))
        log_error("dimse: commitment not written down transaction=%s why=\"%s\"",
                  entry->transaction, err.message);
}

/* It was not taken: again after a pause, and the others of this requester not before. */
static void postpone(struct commitment *commitment, struct job *job,
                     const struct dimse_options *options, const struct error *reason)
{
    struct commitment_entry entry = job->entry;
    int64_t due_ms = clock_monotonic_ms() + pause_ms(options, entry.attempts);
    entry.attempts++;
    log_warn(
        "dimse: commitment not reported transaction=%s requester=\"%s\" attempts=%u why=\"%s\"",
        entry.transaction, entry.calling_ae, entry.attempts, reason->message);
    write_down(commitment, &entry);
    pthread_mutex_lock(&commitment->lock);
    job->entry = entry;
    job->state = JOB_WAITS;
    job->due_ms = due_ms;
    for (struct job *other = commitment->jobs; other; other = other->next)
        if (other->state == JOB_WAITS && !other->line && other->due_ms < due_ms &&
            strcmp(other->entry.calling_ae, entry.calling_ae) == 0)
            other->due_ms = due_ms;
    pthread_mutex_unlock(&commitment->lock);
}

static bool is_stopping(void *context)
{
    return commitment_is_stopping(context);
}

/* NULL without an error: something has not arrived yet. */
static struct commitment_report *make_report(struct commitment *commitment,
                                             const struct commitment_entry *entry,
                                             const struct dimse_options *options, struct error *err)
{
    struct commitment_report *report = mem_alloc(sizeof(*report));
    memcpy(report->transaction, entry->transaction, UID_SIZE);
    copy_text(report->retrieve_ae, options->ae_title, sizeof(report->retrieve_ae));
    if (commitment_check(commitment->archive, entry, options->commitment_wait_ms, is_stopping,
                         commitment, &report->result, err))
        return report;
    commitment_report_free(report);
    return NULL;
}

static void note_report(const struct commitment_entry *entry,
                        const struct commitment_report *report, const char *way)
{
    metric_add(METRIC_COMMITMENT_FAILURES, (int64_t)report->result.failed);
    log_info("dimse: commitment reported transaction=%s requester=\"%s\" instances=%zu failed=%zu "
             "over=%s",
             entry->transaction, entry->calling_ae, report->result.count, report->result.failed,
             way);
}

/* Checks and reports one that is due. */
static void work(struct commitment *commitment, struct job *job)
{
    const struct configuration *configuration = configuration_current(commitment->place);
    const struct dimse_options *options = &configuration->options;
    struct commitment_entry entry = job->entry;
    struct error err = { .code = ERROR_NONE };
    struct commitment_report *report = make_report(commitment, &entry, options, &err);
    bool handed = false;
    if (!report && err.code == ERROR_NONE) {
        pthread_mutex_lock(&commitment->lock);
        job->state = JOB_WAITS;
        job->due_ms = clock_monotonic_ms() + MISSING_PAUSE_MS;
        pthread_mutex_unlock(&commitment->lock);
        goto out;
    }
    if (!report) {
        postpone(commitment, job, options, &err);
        goto out;
    }
    pthread_mutex_lock(&commitment->lock);
    handed = job->line != NULL;
    if (handed) {
        note_report(&entry, report, "its association");
        commitment_hand_over(job, report, clock_monotonic_ms() + options->message_timeout_ms);
    }
    pthread_mutex_unlock(&commitment->lock);
    if (handed)
        goto out;
    if (commitment_deliver(commitment, &entry, options, report, &err)) {
        note_report(&entry, report, "an association of ours");
        pthread_mutex_lock(&commitment->lock);
        job->state = JOB_REPORTED;
        job->due_ms = 0;
        job->line = NULL;
        pthread_mutex_unlock(&commitment->lock);
    } else {
        postpone(commitment, job, options, &err);
    }
    commitment_report_free(report);
out:
    configuration_release(configuration);
}

/* Writes down that it was reported. */
static void conclude(struct commitment *commitment, struct job *job)
{
    struct commitment_entry entry = job->entry;
    entry.is_reported = true;
    entry.changed_ms = clock_unix_ms();
    write_down(commitment, &entry);
    metric_add(METRIC_COMMITMENTS_REPORTED, 1);
    pthread_mutex_lock(&commitment->lock);
    job->entry = entry;
    job->state = JOB_REPORTED;
    job->due_ms = clock_monotonic_ms() + REMEMBERED_MS;
    count_jobs(commitment);
    pthread_cond_broadcast(&commitment->changed);
    pthread_mutex_unlock(&commitment->lock);
}

/* With the lock held: the job that is due first. */
static struct job *first_due(struct commitment *commitment)
{
    struct job *first = NULL;
    for (struct job *job = commitment->jobs; job; job = job->next)
        if (!first || job->due_ms < first->due_ms)
            first = job;
    return first;
}

/* With the lock held, which is given up for what takes long. */
static void handle(struct commitment *commitment, struct job *job)
{
    bool is_old = clock_unix_ms() - job->entry.received_ms > GIVEN_UP_MS;
    if (job->state == JOB_ON_LINE) {
        commitment_forget_line(job);
        return;
    }
    if (job->entry.is_reported || (is_old && job->state == JOB_WAITS)) {
        drop(commitment, job);
        return;
    }
    bool is_reported = job->state == JOB_REPORTED;
    job->state = is_reported ? JOB_WRITTEN_DOWN : JOB_WORKED_ON;
    pthread_mutex_unlock(&commitment->lock);
    if (is_reported)
        conclude(commitment, job);
    else
        work(commitment, job);
    pthread_mutex_lock(&commitment->lock);
}

static void *run(void *argument)
{
    struct commitment *commitment = argument;
    pthread_mutex_lock(&commitment->lock);
    while (!commitment->stopping) {
        struct job *job = first_due(commitment);
        int64_t wait_ms = job ? job->due_ms - clock_monotonic_ms() : INT32_MAX;
        if (wait_ms > 0) {
            struct timespec deadline = clock_deadline(wait_ms);
            pthread_cond_clockwait(&commitment->changed, &commitment->lock, CLOCK_MONOTONIC,
                                   &deadline);
            continue;
        }
        handle(commitment, job);
    }
    pthread_mutex_unlock(&commitment->lock);
    return NULL;
}

/* --- life ---------------------------------------------------------------------------------- */

static bool load(struct commitment *commitment, struct error *err)
{
    struct buffer after = buffer_up_to(256);
    struct commitment_entry entry;
    bool found = true;
    bool ok = true;
    while (ok && found) {
        ok = commitment_queue_next(commitment->archive, COMMITMENT_BY_DIMSE, &after, &entry, &found,
                                   err);
        if (!ok || !found)
            break;
        struct job *job = mem_alloc(sizeof(*job));
        int64_t age_ms = clock_unix_ms() - entry.changed_ms;
        job->entry = entry;
        job->state = entry.is_reported ? JOB_REPORTED : JOB_WAITS;
        job->due_ms = clock_monotonic_ms() + FIRST_PAUSE_MS;
        if (entry.is_reported && age_ms < REMEMBERED_MS)
            job->due_ms += REMEMBERED_MS - (age_ms > 0 ? age_ms : 0);
        job->next = commitment->jobs;
        commitment->jobs = job;
    }
    buffer_release(&after);
    count_jobs(commitment);
    return ok || error_add_context(err, "storage commitment");
}

bool commitment_open(struct archive *archive, struct configuration_place *place,
                     struct commitment **out, struct error *err)
{
    struct commitment *commitment = mem_alloc(sizeof(*commitment));
    commitment->archive = archive;
    commitment->place = place;
    commitment->kill_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&commitment->lock, NULL);
    pthread_cond_init(&commitment->changed, NULL);
    bool ok = commitment->kill_fd >= 0 || error_set(err, ERROR_IO, "eventfd");
    ok = ok && load(commitment, err);
    if (ok) {
        int failure = pthread_create(&commitment->thread, NULL, run, commitment);
        commitment->has_thread = failure == 0;
        ok = !failure || error_set_errno(err, failure, "thread");
    }
    if (!ok) {
        commitment_close(commitment);
        commitment = NULL;
    }
    *out = commitment;
    return ok;
}

void commitment_close(struct commitment *commitment)
{
    if (!commitment)
        return;
    pthread_mutex_lock(&commitment->lock);
    commitment->stopping = true;
    pthread_cond_broadcast(&commitment->changed);
    pthread_mutex_unlock(&commitment->lock);
    if (commitment->kill_fd >= 0)
        commitment_raise_event(commitment->kill_fd);
    if (commitment->has_thread)
        pthread_join(commitment->thread, NULL);
    while (commitment->jobs) {
        struct job *job = commitment->jobs;
        commitment->jobs = job->next;
        free(job);
    }
    if (commitment->kill_fd >= 0)
        close(commitment->kill_fd);
    pthread_cond_destroy(&commitment->changed);
    pthread_mutex_destroy(&commitment->lock);
    free(commitment);
}
