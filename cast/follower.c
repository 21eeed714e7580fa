/* SPDX-License-Identifier: MIT */
#include "cast/follower.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/changes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "cast/gather.h"

#define NAME   "cast"
#define PARKED "parked/"
#define SERVER "server"

enum {
    CHANGES_AT_ONCE = 10 * 1000,
    REST_MS = 100, /* between two looks at a feed that is busy */
    LONGEST_WAIT_MS = 1000,
    FIRST_PAUSE_MS = 1000,
    LONGEST_PAUSE_MS = 60 * 1000,
    LONGEST_RETRY_AFTER_MS = 3600 * 1000,
    CONFLICT_PAUSE_MS = 100,
    QUICK_CONFLICTS = 5,
};

struct follower {
    struct archive *archive;
    struct fhir_client *client;
    struct mapping_options mapping;
    struct round round;
    struct gather *gather;
    uint64_t saved;      /* position */
    unsigned failures;   /* of the server, in a row */
    int64_t pause_until; /* monotonic */
    uint32_t random;
    atomic_bool stopping;
    pthread_mutex_t lock;
    pthread_cond_t stopped; /* with lock: only to sleep on */
    pthread_t thread;
};

/* xorshift: to spread pauses, nothing more. */
static uint32_t next_random(struct follower *follower)
{
    uint32_t x = follower->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return follower->random = x ? x : 1;
}

/* Doubles with each failure, up to a minute; half of it by chance. */
static int64_t growing_pause(struct follower *follower, int64_t first_ms, unsigned failures)
{
    int64_t pause = first_ms;
    for (unsigned i = 1; i < failures && pause < LONGEST_PAUSE_MS; i++)
        pause *= 2;
    if (pause > LONGEST_PAUSE_MS)
        pause = LONGEST_PAUSE_MS;
    return pause / 2 + next_random(follower) % (pause / 2 + 1);
}

static void rest(struct follower *follower, int64_t ms)
{
    struct timespec until = clock_deadline(ms);
    pthread_mutex_lock(&follower->lock);
    while (!atomic_load(&follower->stopping) &&
           pthread_cond_clockwait(&follower->stopped, &follower->lock, CLOCK_MONOTONIC, &until) ==
               0)
        continue;
    pthread_mutex_unlock(&follower->lock);
}

/* --- parked studies --- */

static void parked_key(const char *study, char *key, size_t size)
{
    snprintf(key, size, PARKED "%s", study);
}

static void park(struct follower *follower, const char *study, struct round_report *report)
{
    char key[UID_SIZE + 16], at[CLOCK_TEXT_SIZE];
    struct buffer value = buffer_up_to(64 * 1024), ignored = buffer_up_to(64 * 1024);
    struct error err;
    bool found = false;

    clock_format_utc(clock_unix_ms(), at);
    cJSON *reason = json_object();
    json_set_text(reason, "at", at);
    json_set_integer(reason, "status", report->status);
    json_set_text(reason, "reason", report->error.message);
    json_set_text(reason, "outcome", buffer_text(&report->outcome));
    json_print(reason, &value);
    cJSON_Delete(reason);
    parked_key(study, key, sizeof key);
    follower_get(follower->archive, NAME, key, &ignored, &found, NULL);
    if (!follower_put(follower->archive, NAME, key, buffer_slice(&value), &err))
        log_error("cast: cannot keep why a study is parked study=%s reason=\"%s\"", study,
                  err.message);
    if (!found)
        metric_add(METRIC_CAST_PARKED, 1);
    log_warn("cast: parked study=%s status=%d reason=\"%s\"", study, report->status,
             report->error.message);
    buffer_release(&ignored);
    buffer_release(&value);
}

static void unpark(struct follower *follower, const char *study)
{
    char key[UID_SIZE + 16];
    struct buffer value = buffer_up_to(64 * 1024);
    struct error err;
    bool found = false;
    parked_key(study, key, sizeof key);
    if (follower_get(follower->archive, NAME, key, &value, &found, &err) && found &&
        follower_put(follower->archive, NAME, key, slice_of(NULL, 0), &err)) {
        metric_add(METRIC_CAST_PARKED, -1);
        log_info("cast: no longer parked study=%s", study);
    }
    buffer_release(&value);
}

/* A start tries them once more: what was refused may have been set right. */
static bool recall_parked(struct follower *follower, struct error *err)
{
    struct buffer key = buffer_up_to(256);
    char after[256] = PARKED;
    bool found = true;
    bool ok = true;
    int64_t count = 0;
    while ((ok = follower_next_key(follower->archive, NAME, after, &key, &found, err)) && found) {
        const char *text = buffer_text(&key);
        if (strncmp(text, PARKED, strlen(PARKED)) != 0)
            break;
        gather_add_due(follower->gather, text + strlen(PARKED), clock_monotonic_ms());
        snprintf(after, sizeof after, "%s", text);
        buffer_clear(&key);
        count++;
    }
    metric_set(METRIC_CAST_PARKED, count);
    buffer_release(&key);
    return ok;
}

/* A position says what one server has got. Another one begins at the beginning: what it holds
 * already costs no more than a look. */
static bool find_position(struct follower *follower, const char *url, struct error *err)
{
    struct buffer known = buffer_up_to(64 * 1024);
    bool found = false;
    bool ok = false;

    if (!follower_position(follower->archive, NAME, &follower->saved, err) ||
        !follower_get(follower->archive, NAME, SERVER, &known, &found, err))
        goto out;
    if (!found || !slice_equals_text(buffer_slice(&known), url)) {
        if (found)
            log_info("cast: another FHIR server: all studies are cast anew");
        follower->saved = 0;
        if (!follower_save(follower->archive, NAME, 0, err) ||
            !follower_put(follower->archive, NAME, SERVER, slice_text(url), err))
            goto out;
    }
    ok = true;
out:
    buffer_release(&known);
    return ok;
}

/* --- the feed --- */

static bool read_changes(struct follower *follower, size_t *count, struct error *err)
{
    struct changes *changes = NULL;
    struct change change;
    bool found = false;
    bool ok = false;
    *count = 0;
    if (gather_is_full(follower->gather))
        return true;
    if (!changes_open(follower->archive, gather_read(follower->gather), &changes, err))
        return false;
    int64_t now_ms = clock_monotonic_ms(), unix_ms = clock_unix_ms();
    while (*count < CHANGES_AT_ONCE && !gather_is_full(follower->gather)) {
        if (!changes_next(changes, &change, &found, err))
            goto out;
        if (!found)
            break;
        gather_add(follower->gather, change.identity.study, change.sequence, now_ms,
                   unix_ms - change.at_ms);
        ++*count;
    }
    ok = true;
out:
    changes_close(changes);
    return ok;
}

static void save_position(struct follower *follower)
{
    struct error err;
    uint64_t position = gather_position(follower->gather);
    if (position > follower->saved) {
        if (follower_save(follower->archive, NAME, position, &err))
            follower->saved = position;
        else
            log_error("cast: cannot save the position reason=\"%s\"", err.message);
    }
    metric_set(METRIC_CAST_LAG, (int64_t)changes_behind(follower->archive, follower->saved));
}

/* --- one study --- */

static void put_off(struct follower *follower, const char *study, enum round_result result,
                    const struct round_report *report, unsigned attempt)
{
    int64_t now_ms = clock_monotonic_ms();
    metric_add(METRIC_CAST_RETRIES, 1);
    if (result == ROUND_CONFLICT) {
        int64_t first = attempt < QUICK_CONFLICTS ? CONFLICT_PAUSE_MS : FIRST_PAUSE_MS;
        gather_put_off(follower->gather, study,
                       now_ms + growing_pause(follower, first, attempt + 1));
        log_info("cast: others wrote too, reading again study=%s attempt=%u", study, attempt + 1);
        return;
    }
    int64_t pause = growing_pause(follower, FIRST_PAUSE_MS, ++follower->failures);
    if (report->retry_after_ms > pause)
        pause = report->retry_after_ms < LONGEST_RETRY_AFTER_MS ? report->retry_after_ms
                                                                : LONGEST_RETRY_AFTER_MS;
    follower->pause_until = now_ms + pause;
    /* The next try goes to another study, if there is one: this one may be what the server cannot
     * bear. */
    int64_t own = growing_pause(follower, FIRST_PAUSE_MS, attempt + 1);
    gather_put_off(follower->gather, study, now_ms + (own > pause ? own : pause));
    log_warn("cast: %s study=%s status=%d reason=\"%s\" pause_ms=%lld",
             result == ROUND_DENIED ? "the FHIR server denies us: check its settings"
                                    : "waiting for the FHIR server",
             study, report->status, report->error.message, (long long)pause);
}

static void send_study(struct follower *follower, const char *due)
{
    char study[UID_SIZE];
    struct round_report report;
    int64_t began_ms = clock_monotonic_ms();
    snprintf(study, sizeof study, "%s", due);
    unsigned attempt = gather_attempts(follower->gather, study);

    enum round_result result = round_run(&follower->round, study, attempt, &report);
    switch (result) {
    case ROUND_DONE:
        log_info("cast: in step study=%s written=%zu ms=%lld", study, report.written,
                 (long long)(clock_monotonic_ms() - began_ms));
        follower->failures = 0;
        unpark(follower, study);
        gather_done(follower->gather, study);
        break;
    case ROUND_REFUSED:
        follower->failures = 0;
        park(follower, study, &report);
        gather_done(follower->gather, study);
        break;
    case ROUND_CONFLICT:
    case ROUND_WAIT:
    case ROUND_DENIED:
        put_off(follower, study, result, &report, attempt);
        break;
    case ROUND_STOPPED:
        break;
    }
    round_report_release(&report);
}

/* --- the thread --- */

static void wait_for_work(struct follower *follower, bool busy)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t next = gather_next_due(follower->gather);
    if (next < follower->pause_until)
        next = follower->pause_until;
    int64_t wait = next == INT64_MAX ? LONGEST_WAIT_MS : next - now_ms;
    if (wait <= 0)
        return;
    if (wait > LONGEST_WAIT_MS)
        wait = LONGEST_WAIT_MS;
    if (busy || gather_is_full(follower->gather))
        rest(follower, wait < REST_MS ? wait : REST_MS);
    else
        changes_wait(follower->archive, gather_read(follower->gather), wait);
}

static void *follow(void *context)
{
    struct follower *follower = context;
    while (!atomic_load(&follower->stopping)) {
        struct error err;
        size_t count = 0;
        if (!read_changes(follower, &count, &err)) {
            log_error("cast: cannot read the change feed reason=\"%s\"", err.message);
            rest(follower, LONGEST_WAIT_MS);
        }
        int64_t now_ms = clock_monotonic_ms();
        const char *due = now_ms >= follower->pause_until ? gather_due(follower->gather, now_ms)
                                                          : NULL;
        if (due)
            send_study(follower, due);
        save_position(follower);
        if (!due)
            wait_for_work(follower, count > 0);
    }
    return NULL;
}

static struct follower *follower_new(struct archive *archive,
                                     const struct follower_options *options)
{
    struct follower *follower = mem_alloc(sizeof *follower);
    follower->archive = archive;
    follower->mapping = options->mapping;
    follower->random = (uint32_t)clock_monotonic_us() | 1;
    pthread_mutex_init(&follower->lock, NULL);
    pthread_cond_init(&follower->stopped, NULL);
    return follower;
}

static void follower_free(struct follower *follower)
{
    gather_free(follower->gather);
    fhir_client_close(follower->client);
    pthread_cond_destroy(&follower->stopped);
    pthread_mutex_destroy(&follower->lock);
    free(follower);
}

bool follower_open(struct archive *archive, const struct follower_options *options,
                   struct follower **out, struct error *err)
{
    struct gather_options gather = { .quiet_ms = options->quiet_ms,
                                     .maximum_age_ms = options->maximum_age_ms };
    struct follower *follower = follower_new(archive, options);
    *out = NULL;
    if (!fhir_client_open(&options->client, &follower->client, err) ||
        !find_position(follower, fhir_client_base(follower->client), err))
        goto fail;
    follower->round = (struct round){ .archive = archive,
                                      .client = follower->client,
                                      .mapping = &follower->mapping,
                                      .strict = options->strict };
    follower->gather = gather_new(&gather, follower->saved);
    if (!recall_parked(follower, err))
        goto fail;
    if (pthread_create(&follower->thread, NULL, follow, follower) != 0) {
        error_set(err, ERROR_NO_SPACE, "no thread for the cast");
        goto fail;
    }
    log_info("cast: follows position=%llu latest=%llu parked=%lld",
             (unsigned long long)follower->saved, (unsigned long long)changes_latest(archive),
             (long long)metric_get(METRIC_CAST_PARKED));
    *out = follower;
    return true;
fail:
    follower_free(follower);
    return false;
}

void follower_close(struct follower *follower)
{
    if (!follower)
        return;
    pthread_mutex_lock(&follower->lock);
    atomic_store(&follower->stopping, true);
    pthread_cond_broadcast(&follower->stopped);
    pthread_mutex_unlock(&follower->lock);
    fhir_client_stop(follower->client);
    changes_wake(follower->archive);
    pthread_join(follower->thread, NULL);
    follower_free(follower);
}
