/* SPDX-License-Identifier: MIT */
/* What an operator asks for, and rounds beside the workers. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "cast/follower_parts.h"
#include "cast/parked.h"

enum { RUN_ATTEMPTS = 6, RUN_LONGEST_PAUSE_MS = 30 * 1000 };

static void set_time(cJSON *json, const char *name, int64_t unix_ms)
{
    char text[CLOCK_TEXT_SIZE];
    if (!unix_ms)
        return;
    clock_format_utc(unix_ms, text);
    cJSON_AddStringToObject(json, name, text);
}

void follower_status(struct follower *follower, cJSON *json)
{
    static const char *const states[] = {
        [BREAKER_CLOSED] = "running", [BREAKER_OPEN] = "pausing", [BREAKER_HALF_OPEN] = "probing"
    };
    int64_t now_ms = clock_monotonic_ms();
    uint64_t saved = follower->saved;
    pthread_mutex_lock(&follower->lock);
    int64_t oldest_ms = gather_oldest(follower->gather);
    const struct breaker *breaker = &follower->breaker;
    if (!strchr(follower->client.url, '@'))
        cJSON_AddStringToObject(json, "url", follower->client.url);
    cJSON_AddStringToObject(json, "state", states[breaker_state(breaker, now_ms)]);
    cJSON_AddNumberToObject(json, "position", (double)saved);
    cJSON_AddNumberToObject(json, "latest", (double)changes_latest(follower->archive));
    cJSON_AddNumberToObject(json, "lag", (double)changes_behind(follower->archive, saved));
    cJSON_AddNumberToObject(
        json, "waiting", (double)(gather_count(follower->gather) - gather_taken(follower->gather)));
    cJSON_AddNumberToObject(json, "inFlight", (double)gather_taken(follower->gather));
    cJSON_AddNumberToObject(json, "workers", follower->worker_count);
    cJSON_AddNumberToObject(json, "oldestSeconds",
                            oldest_ms < now_ms ? (double)((now_ms - oldest_ms) / 1000) : 0);
    cJSON_AddNumberToObject(json, "parked", (double)metric_get(METRIC_CAST_PARKED));
    cJSON_AddNumberToObject(json, "failures", breaker->failures);
    cJSON_AddNumberToObject(
        json, "pauseMilliseconds",
        breaker->failures && breaker->until_ms > now_ms ? (double)(breaker->until_ms - now_ms) : 0);
    set_time(json, "lastSuccess", follower->last_success_ms);
    set_time(json, "lastFailure", follower->last_failure_ms);
    if (follower->last_failure_ms)
        cJSON_AddStringToObject(json, "lastFailureReason", follower->last_failure.message);
    pthread_mutex_unlock(&follower->lock);
}

bool follower_replay(struct follower *follower, const char *study, uint64_t *count,
                     struct error *err)
{
    bool ok = true;
    *count = 1;
    if (!study)
        ok = follower_recall_parked(follower, count, err);
    pthread_mutex_lock(&follower->lock);
    if (study)
        gather_add_due(follower->gather, study, clock_monotonic_ms());
    gather_hurry(follower->gather, study, clock_monotonic_ms());
    breaker_hurry(&follower->breaker);
    pthread_cond_broadcast(&follower->changed);
    pthread_mutex_unlock(&follower->lock);
    return ok;
}

bool follower_reset(struct follower *follower, uint64_t position, struct error *err)
{
    if (position > changes_latest(follower->archive))
        return error_set(err, ERROR_INVALID, "the feed does not reach to this position");
    pthread_mutex_lock(&follower->position_lock);
    bool ok = follower_save(follower->archive, CAST_FOLLOWER, position, err);
    if (ok) {
        follower->saved = position;
        pthread_mutex_lock(&follower->lock);
        gather_reset(follower->gather, position);
        follower->generation++;
        pthread_cond_broadcast(&follower->changed);
        pthread_mutex_unlock(&follower->lock);
        log_info("cast: position reset position=%llu", (unsigned long long)position);
    }
    pthread_mutex_unlock(&follower->position_lock);
    changes_wake(follower->archive);
    return ok;
}

static bool is_cancelled(const struct follower *follower, const struct job *job)
{
    return atomic_load(&follower->stopping) || (job->cancelled && job->cancelled(job->context));
}

/* *awaited: it stays in the queue afterwards. */
static bool take(struct follower *follower, const char *study, bool *awaited, struct job *job,
                 struct error *err)
{
    for (;;) {
        pthread_mutex_lock(&follower->lock);
        *awaited = gather_awaits(follower->gather, study);
        bool taken = gather_take(follower->gather, study, clock_monotonic_ms());
        pthread_mutex_unlock(&follower->lock);
        if (taken)
            return true;
        if (is_cancelled(follower, job))
            return error_set(err, ERROR_STOPPED, "cancelled");
        follower_rest(follower, REST_MS);
    }
}

bool follower_pause(struct follower *follower, int64_t pause_ms, struct job *job, struct error *err)
{
    int64_t until_ms = clock_monotonic_ms() + pause_ms;
    while (clock_monotonic_ms() < until_ms) {
        if (is_cancelled(follower, job))
            return error_set(err, ERROR_STOPPED, "cancelled");
        follower_rest(follower, REST_MS);
    }
    return true;
}

bool follower_run(struct follower *follower, struct round *round, const char *study,
                  enum round_result *result, struct round_report *report, struct job *job,
                  struct error *err)
{
    bool awaited;
    if (!take(follower, study, &awaited, job, err))
        return false;
    bool ok = true;
    for (unsigned attempt = 0; ok; attempt++) {
        *result = round_run(round, study, attempt, report);
        bool again = *result == ROUND_CONFLICT || *result == ROUND_WAIT;
        if (!again || attempt + 1 == RUN_ATTEMPTS)
            break;
        int64_t pause_ms = *result == ROUND_CONFLICT ? CONFLICT_PAUSE_MS
                                                     : (int64_t)FIRST_PAUSE_MS << attempt;
        if (report->retry_after_ms > pause_ms)
            pause_ms = report->retry_after_ms;
        ok = follower_pause(
            follower, pause_ms < RUN_LONGEST_PAUSE_MS ? pause_ms : RUN_LONGEST_PAUSE_MS, job, err);
    }
    if (ok && (*result == ROUND_WAIT || *result == ROUND_DENIED))
        ok = error_set(err, ERROR_CLOSED, "the FHIR server: %s", report->error.message);
    if (ok && *result == ROUND_STOPPED)
        ok = error_set(err, ERROR_STOPPED, "cancelled");
    /* What waits for the workers is theirs yet: this was one look more. */
    if (ok && !round->dry && *result == ROUND_DONE)
        follower_unpark(follower, study);
    pthread_mutex_lock(&follower->lock);
    if (awaited)
        gather_give_back(follower->gather, study);
    else
        gather_done(follower->gather, study);
    pthread_cond_broadcast(&follower->changed);
    pthread_mutex_unlock(&follower->lock);
    return ok;
}

bool follower_awaits(struct follower *follower, const char *study)
{
    pthread_mutex_lock(&follower->lock);
    bool awaits = gather_awaits(follower->gather, study);
    pthread_mutex_unlock(&follower->lock);
    return awaits;
}
