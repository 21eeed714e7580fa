/* SPDX-License-Identifier: MIT */
#include "cast/follower.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "cast/follower_parts.h"
#include "cast/parked.h"

enum {
    CHANGES_AT_ONCE = 1000,
    LONGEST_WAIT_MS = 1000,
    QUICK_CONFLICTS = 5,
    MOST_CONFLICTS = 20, /* in a row: more of them are no coincidence */
    SAVE_EVERY_MS = 200,
};

/* --- the feed --- */

/* Takes changes in, unless a reset came in between. */
static void gather_changes(struct follower *follower, uint64_t generation, size_t count)
{
    int64_t now_ms = clock_monotonic_ms(), unix_ms = clock_unix_ms();
    pthread_mutex_lock(&follower->lock);
    for (size_t i = 0; i < count && generation == follower->generation; i++) {
        const struct change *change = &follower->changes[i];
        gather_add(follower->gather, change->identity.study, change->sequence, now_ms,
                   unix_ms - change->at_ms);
    }
    pthread_cond_broadcast(&follower->changed);
    pthread_mutex_unlock(&follower->lock);
}

static bool read_changes(struct follower *follower, size_t *count, struct error *err)
{
    struct changes *changes = NULL;
    bool found = true;
    *count = 0;
    pthread_mutex_lock(&follower->lock);
    bool is_full = gather_is_full(follower->gather);
    uint64_t after = gather_read(follower->gather), generation = follower->generation;
    pthread_mutex_unlock(&follower->lock);
    if (is_full)
        return true;
    if (!changes_open(follower->archive, after, &changes, err))
        return false;
    bool ok = true;
    while (ok && found && *count < CHANGES_AT_ONCE) {
        ok = changes_next(changes, &follower->changes[*count], &found, err);
        *count += ok && found;
    }
    changes_close(changes);
    if (*count)
        gather_changes(follower, generation, *count);
    return ok;
}

static void save_position(struct follower *follower, bool now)
{
    struct error err;
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&follower->position_lock);
    pthread_mutex_lock(&follower->lock);
    uint64_t position = gather_position(follower->gather);
    pthread_mutex_unlock(&follower->lock);
    if (position > follower->saved && (now || now_ms - follower->saved_ms >= SAVE_EVERY_MS)) {
        follower->saved_ms = now_ms;
        if (follower_save(follower->archive, CAST_FOLLOWER, position, &err))
            follower->saved = position;
        else
            log_error("cast: cannot save the position reason=\"%s\"", err.message);
    }
    pthread_mutex_unlock(&follower->position_lock);
}

void follower_tell_metrics(struct follower *follower)
{
    int64_t now_ms = clock_monotonic_ms();
    metric_set(METRIC_CAST_LAG, (int64_t)changes_behind(follower->archive, follower->saved));
    pthread_mutex_lock(&follower->lock);
    int64_t oldest_ms = gather_oldest(follower->gather);
    metric_set(METRIC_CAST_WAITING,
               (int64_t)(gather_count(follower->gather) - gather_taken(follower->gather)));
    metric_set(METRIC_CAST_IN_FLIGHT, (int64_t)gather_taken(follower->gather));
    metric_set(METRIC_CAST_OLDEST, oldest_ms < now_ms ? (now_ms - oldest_ms) / 1000 : 0);
    metric_set(METRIC_CAST_BREAKER, (int64_t)breaker_state(&follower->breaker, now_ms));
    pthread_mutex_unlock(&follower->lock);
}

void follower_rest(struct follower *follower, int64_t ms)
{
    struct timespec until = clock_deadline(ms);
    pthread_mutex_lock(&follower->lock);
    while (!atomic_load(&follower->stopping) &&
           pthread_cond_clockwait(&follower->changed, &follower->lock, CLOCK_MONOTONIC, &until) ==
               0)
        continue;
    pthread_mutex_unlock(&follower->lock);
}

static void *follow(void *context)
{
    struct follower *follower = context;
    while (!atomic_load(&follower->stopping)) {
        struct error err;
        size_t count = 0;
        if (!read_changes(follower, &count, &err)) {
            log_error("cast: cannot read the change feed reason=\"%s\"", err.message);
            follower_rest(follower, LONGEST_WAIT_MS);
        }
        save_position(follower, false);
        pthread_mutex_lock(&follower->lock);
        bool is_full = gather_is_full(follower->gather);
        bool is_busy = gather_count(follower->gather) > 0;
        uint64_t after = gather_read(follower->gather);
        pthread_mutex_unlock(&follower->lock);
        if (is_full || (count && count < CHANGES_AT_ONCE))
            follower_rest(follower, REST_MS);
        else if (!count)
            changes_wait(follower->archive, after, is_busy ? SAVE_EVERY_MS : LONGEST_WAIT_MS);
    }
    save_position(follower, true);
    return NULL;
}

/* --- one study --- */

/* With the lock. Returns the text of a pause that is to outlive this run, "" to forget the one that
 * is kept, NULL: nothing to do. */
static const char *heed_server(struct follower *follower, enum round_result result,
                               const struct round_report *report, int64_t *pause_ms,
                               char text[BREAKER_TEXT_SIZE])
{
    int64_t now_ms = clock_monotonic_ms();
    if (result != ROUND_WAIT && result != ROUND_DENIED) {
        bool was_kept = follower->pause_is_kept;
        breaker_succeeded(&follower->breaker);
        follower->pause_is_kept = false;
        return was_kept ? "" : NULL;
    }
    follower->last_failure = report->error;
    follower->last_failure_ms = clock_unix_ms();
    *pause_ms = breaker_failed(&follower->breaker, now_ms, report->retry_after_ms);
    /* Who starts the server again with other credentials does not want to wait. */
    if (result == ROUND_DENIED)
        return NULL;
    follower->pause_is_kept = true;
    breaker_print(&follower->breaker, now_ms, clock_unix_ms(), text);
    return text;
}

static void log_put_off(const char *study, enum round_result result, unsigned attempt,
                        const struct round_report *report, int64_t pause_ms)
{
    if (result == ROUND_CONFLICT)
        log_info("cast: others wrote too, reading again study=%s attempt=%u", study, attempt + 1);
    else
        log_warn("cast: %s study=%s status=%d reason=\"%s\" pause_ms=%lld",
                 result == ROUND_DENIED ? "the FHIR server denies us: check its settings"
                                        : "waiting for the FHIR server",
                 study, report->status, report->error.message, (long long)pause_ms);
}

/* What is given up after so many tries, that others may go on without looking back. */
static enum round_result judge(struct follower *follower, enum round_result result,
                               unsigned attempt, const struct round_report *report)
{
    if (result == ROUND_CONFLICT && attempt + 1 >= MOST_CONFLICTS)
        return ROUND_REFUSED;
    if (result != ROUND_WAIT)
        return result;
    pthread_mutex_lock(&follower->lock);
    bool blamed = breaker_blames_request(&follower->breaker, report->status, attempt + 1);
    pthread_mutex_unlock(&follower->lock);
    return blamed ? ROUND_REFUSED : result;
}

/* With the lock. The next try goes to another study, if there is one: this one may be what the
 * server cannot bear. */
static void put_off(struct follower *follower, const char *study, enum round_result result,
                    unsigned attempt, int64_t pause_ms)
{
    int64_t first = result == ROUND_CONFLICT && attempt < QUICK_CONFLICTS ? CONFLICT_PAUSE_MS
                                                                          : FIRST_PAUSE_MS;
    int64_t own = breaker_pause(&follower->breaker, first, attempt + 1);
    gather_put_off(follower->gather, study,
                   clock_monotonic_ms() + (own > pause_ms ? own : pause_ms));
    metric_add(METRIC_CAST_RETRIES, 1);
}

static void settle(struct follower *follower, const char *study, unsigned attempt,
                   enum round_result result, const struct round_report *report)
{
    char text[BREAKER_TEXT_SIZE];
    int64_t pause_ms = 0;
    result = judge(follower, result, attempt, report);
    /* Before the position may pass it. */
    if (result == ROUND_DONE)
        follower_unpark(follower, study);
    else if (result == ROUND_REFUSED)
        follower_park(follower, study, attempt, report);
    pthread_mutex_lock(&follower->lock);
    const char *pause = result == ROUND_STOPPED
                            ? NULL
                            : heed_server(follower, result, report, &pause_ms, text);
    if (result == ROUND_STOPPED)
        gather_give_back(follower->gather, study);
    else if (result == ROUND_DONE || result == ROUND_REFUSED)
        gather_done(follower->gather, study);
    else
        put_off(follower, study, result, attempt, pause_ms);
    if (result == ROUND_DONE) {
        follower->last_success_ms = clock_unix_ms();
        metric_add(METRIC_CAST_STUDIES, 1);
    }
    pthread_cond_broadcast(&follower->changed);
    pthread_mutex_unlock(&follower->lock);
    if (pause)
        follower_keep_pause(follower, pause);
    if (result == ROUND_CONFLICT || result == ROUND_WAIT || result == ROUND_DENIED)
        log_put_off(study, result, attempt, report, pause_ms);
}

static void send_study(struct worker *worker, const char *study, unsigned attempt,
                       int64_t waited_ms)
{
    struct round_report report;
    int64_t began_ms = clock_monotonic_ms();
    enum round_result result = round_run(&worker->round, study, attempt, &report);
    int64_t ms = clock_monotonic_ms() - began_ms;
    settle(worker->follower, study, attempt, result, &report);
    if (result == ROUND_DONE)
        log_info("cast: in step study=%s written=%zu ms=%lld lag_ms=%lld", study, report.written,
                 (long long)ms, (long long)(waited_ms + ms));
}

/* --- a worker --- */

/* With the lock. */
static void wait_for_work(struct follower *follower)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t next = gather_next_due(follower->gather);
    if (breaker_state(&follower->breaker, now_ms) == BREAKER_OPEN &&
        next < follower->breaker.until_ms)
        next = follower->breaker.until_ms;
    int64_t wait = next == INT64_MAX ? LONGEST_WAIT_MS : next - now_ms;
    if (wait > LONGEST_WAIT_MS || wait <= 0) /* 0: another one asks for all of us */
        wait = LONGEST_WAIT_MS;
    struct timespec until = clock_deadline(wait);
    pthread_cond_clockwait(&follower->changed, &follower->lock, CLOCK_MONOTONIC, &until);
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct follower *follower = worker->follower;
    char study[UID_SIZE];
    pthread_mutex_lock(&follower->lock);
    while (!atomic_load(&follower->stopping)) {
        int64_t now_ms = clock_monotonic_ms();
        const char *due = NULL;
        if (breaker_allows(&follower->breaker, now_ms, gather_taken(follower->gather)))
            due = gather_due(follower->gather, now_ms);
        if (!due) {
            wait_for_work(follower);
            continue;
        }
        snprintf(study, sizeof study, "%s", due);
        int64_t waited_ms = now_ms - gather_began(follower->gather, study);
        gather_take(follower->gather, study, now_ms);
        unsigned attempt = gather_attempts(follower->gather, study);
        pthread_mutex_unlock(&follower->lock);
        send_study(worker, study, attempt, waited_ms);
        pthread_mutex_lock(&follower->lock);
    }
    pthread_mutex_unlock(&follower->lock);
    return NULL;
}

/* --- life --- */

bool follower_round_open(struct follower *follower, struct round *round, struct error *err)
{
    *round = (struct round){ .archive = follower->archive,
                             .mapping = &follower->mapping,
                             .shared = follower->shared,
                             .removal = follower->removal,
                             .strict = follower->strict,
                             .looks_up = follower->looks_up };
    return fhir_client_open(&follower->client, &round->client, err);
}

void follower_round_close(struct round *round)
{
    fhir_client_close(round->client);
    round->client = NULL;
}

static struct follower *follower_new(struct archive *archive,
                                     const struct follower_options *options)
{
    struct follower *follower = mem_alloc(sizeof *follower);
    unsigned workers = options->workers ? options->workers : FOLLOWER_WORKERS;
    if (workers > FOLLOWER_WORKERS_MAX)
        workers = FOLLOWER_WORKERS_MAX;
    follower->archive = archive;
    follower->client = options->client;
    follower->mapping = options->mapping;
    follower->removal = options->removal;
    follower->strict = options->strict;
    follower->looks_up = options->looks_up;
    follower->shared = round_shared_new(options->version);
    follower->changes = mem_alloc_array(CHANGES_AT_ONCE, sizeof *follower->changes);
    follower->workers = mem_alloc_array(workers, sizeof *follower->workers);
    for (unsigned i = 0; i < workers; i++)
        follower->workers[i].follower = follower;
    follower->worker_count = workers;
    breaker_init(&follower->breaker, (uint32_t)clock_monotonic_us());
    pthread_mutex_init(&follower->position_lock, NULL);
    pthread_mutex_init(&follower->lock, NULL);
    pthread_cond_init(&follower->changed, NULL);
    return follower;
}

void follower_stop(struct follower *follower)
{
    pthread_mutex_lock(&follower->lock);
    atomic_store(&follower->stopping, true);
    pthread_cond_broadcast(&follower->changed);
    pthread_mutex_unlock(&follower->lock);
    round_shared_stop(follower->shared);
    for (unsigned i = 0; i < follower->worker_count; i++)
        if (follower->workers[i].round.client)
            fhir_client_stop(follower->workers[i].round.client);
    changes_wake(follower->archive);
}

/* Whatever of it was begun. */
static void follower_end(struct follower *follower)
{
    follower_stop(follower);
    for (unsigned i = 0; i < follower->worker_count; i++) {
        if (follower->workers[i].started)
            pthread_join(follower->workers[i].thread, NULL);
        follower_round_close(&follower->workers[i].round);
    }
    /* The last one: it saves how far the others came. */
    if (follower->started)
        pthread_join(follower->thread, NULL);
    gather_free(follower->gather);
    round_shared_free(follower->shared);
    pthread_cond_destroy(&follower->changed);
    pthread_mutex_destroy(&follower->lock);
    pthread_mutex_destroy(&follower->position_lock);
    free(follower->changes);
    free(follower->workers);
    free(follower);
}

static bool start_threads(struct follower *follower, struct error *err)
{
    for (unsigned i = 0; i < follower->worker_count; i++) {
        struct worker *worker = &follower->workers[i];
        if (!follower_round_open(follower, &worker->round, err))
            return false;
        worker->started = pthread_create(&worker->thread, NULL, work, worker) == 0;
        if (!worker->started)
            return error_set(err, ERROR_NO_SPACE, "no thread for the cast");
    }
    follower->started = pthread_create(&follower->thread, NULL, follow, follower) == 0;
    return follower->started || error_set(err, ERROR_NO_SPACE, "no thread for the cast");
}

bool follower_open(struct archive *archive, const struct follower_options *options,
                   struct follower **out, struct error *err)
{
    struct gather_options gather = { .quiet_ms = options->quiet_ms,
                                     .maximum_age_ms = options->maximum_age_ms };
    struct follower *follower = follower_new(archive, options);
    uint64_t parked = 0;
    *out = NULL;
    if (!fhir_client_check(&options->client, err) || !follower_find_position(follower, err) ||
        !follower_recall_pause(follower, err))
        goto fail;
    follower->gather = gather_new(&gather, follower->saved);
    if (!follower_recall_parked(follower, &parked, err))
        goto fail;
    metric_set(METRIC_CAST_PARKED, (int64_t)parked);
    if (!start_threads(follower, err))
        goto fail;
    log_info("cast: follows position=%llu latest=%llu parked=%llu workers=%u",
             (unsigned long long)follower->saved, (unsigned long long)changes_latest(archive),
             (unsigned long long)parked, follower->worker_count);
    *out = follower;
    return true;
fail:
    follower_end(follower);
    return false;
}

void follower_close(struct follower *follower)
{
    if (follower)
        follower_end(follower);
}
