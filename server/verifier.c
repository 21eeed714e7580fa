/* SPDX-License-Identifier: MIT */
#include "server/verifier.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "archive/changes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/verification.h"

enum {
    STATE_SIZE = 4096,
    LOGGED_MAX = 100,
    NICE = 10,
    FIRST_DELAY_MS = 10 * 60 * 1000, /* of a server that never verified: not right at its start */
    LOOK_MS = 60000,                 /* at the calendar, which may be set meanwhile */
    RETRY_MS = 3600000,              /* when it could not look at everything */
};

/* Where the state stands: see follower_put. */
static const char follower[] = "verify";
static const char state_key[] = "state";

struct verifier {
    struct storage *storage;
    struct archive *archive;
    double every_days;
    uint64_t bytes_per_second;
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    _Atomic double progress;
    unsigned logged; /* findings of this run; of the thread */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct verifier_status status; /* guarded by lock */
    int64_t began_ms;              /* of the last one that was begun; guarded by lock */
};

/* The state, as JSON: {"began": ms, "finished": ms, "findings": {kind: number}}. */

static int64_t number(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(value) ? (int64_t)value->valuedouble : 0;
}

static bool load(struct verifier *verifier, struct error *err)
{
    struct buffer text = buffer_up_to(STATE_SIZE);
    bool found = false;
    bool ok = follower_get(verifier->archive, follower, state_key, &text, &found, err);
    cJSON *json = ok && found ? cJSON_Parse(buffer_text(&text)) : NULL;
    const cJSON *findings = cJSON_GetObjectItemCaseSensitive(json, "findings");
    struct verify_report report = { 0 };
    for (int kind = 0; kind < VERIFY_KIND_COUNT; kind++)
        report.findings[kind] = (uint64_t)number(findings,
                                                 verify_kind_name((enum verify_kind)kind));
    verifier->began_ms = number(json, "began");
    verifier->status.finished_ms = number(json, "finished");
    memcpy(verifier->status.findings, report.findings, sizeof(report.findings));
    verifier->status.damage = verify_damage(&report);
    cJSON_Delete(json);
    buffer_release(&text);
    return ok;
}

static bool save(struct archive *archive, int64_t began_ms, int64_t finished_ms,
                 const uint64_t findings[VERIFY_KIND_COUNT], struct error *err)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "began", (double)began_ms);
    cJSON_AddNumberToObject(json, "finished", (double)finished_ms);
    cJSON *kinds = cJSON_AddObjectToObject(json, "findings");
    for (int kind = 0; kind < VERIFY_KIND_COUNT; kind++)
        cJSON_AddNumberToObject(kinds, verify_kind_name((enum verify_kind)kind),
                                (double)findings[kind]);
    char *text = cJSON_PrintUnformatted(json);
    bool ok = follower_put(archive, follower, state_key, slice_text(text), err);
    free(text);
    cJSON_Delete(json);
    return ok;
}

void verifier_record(struct archive *archive, struct verifier *verifier,
                     const struct verify_report *report)
{
    struct error err;
    int64_t now = clock_unix_ms();
    int64_t began_ms = now - report->milliseconds;
    if (verifier) {
        pthread_mutex_lock(&verifier->lock);
        verifier->began_ms = began_ms;
        verifier->status.finished_ms = now;
        memcpy(verifier->status.findings, report->findings, sizeof(report->findings));
        verifier->status.damage = verify_damage(report);
        pthread_mutex_unlock(&verifier->lock);
    }
    if (!save(archive, began_ms, now, report->findings, &err))
        log_warn("verify: what was found is not remembered after a restart: %s", err.message);
}

void verifier_status(struct verifier *verifier, struct verifier_status *status)
{
    pthread_mutex_lock(&verifier->lock);
    *status = verifier->status;
    pthread_mutex_unlock(&verifier->lock);
    status->progress = atomic_load(&verifier->progress);
}

/* The thread. */

static void take_progress(void *context, const char *phase, const char *unit, uint64_t done,
                          uint64_t total)
{
    struct verifier *verifier = context;
    (void)unit;
    atomic_store(&verifier->progress, verify_progress(phase, done, total));
}

static bool is_stopping(void *context)
{
    return atomic_load(&((struct verifier *)context)->stopping);
}

static void log_finding(void *context, const struct verify_finding *finding)
{
    struct verifier *verifier = context;
    if (++verifier->logged > LOGGED_MAX)
        return;
    log_warn("verify: found kind=%s study=%s series=%s instance=%s segment=%u offset=%" PRIu64
             ": %s",
             verify_kind_name(finding->kind), finding->identity.study, finding->identity.series,
             finding->identity.instance, finding->segment, finding->offset, finding->message);
}

static void verify_now(struct verifier *verifier)
{
    struct error err = { 0 };
    struct verify_report report;
    struct verifier_status status;
    uint64_t objects;
    const struct verify_options options = { .finding = log_finding, .context = verifier };
    struct job job = { .progress = take_progress,
                       .cancelled = is_stopping,
                       .context = verifier,
                       .bytes_per_second = verifier->bytes_per_second };
    verifier_status(verifier, &status);
    log_info("verify: begins mib_per_second=%" PRIu64, verifier->bytes_per_second >> 20);
    verifier->logged = 0;
    pthread_mutex_lock(&verifier->lock);
    verifier->began_ms = clock_unix_ms();
    pthread_mutex_unlock(&verifier->lock);
    if (!save(verifier->archive, clock_unix_ms(), status.finished_ms, status.findings, &err))
        log_warn("verify: its begin is not remembered: %s", err.message);
    if (verification_run(verifier->storage, verifier->archive, &options, &job, &report, &objects,
                         &err)) {
        uint64_t damage = verify_damage(&report);
        verifier_record(verifier->archive, verifier, &report);
        log_info("verify: ended instances=%" PRIu64 " worklist_objects=%" PRIu64 " records=%" PRIu64
                 " bytes=%" PRIu64 " findings=%" PRIu64 " unknown=%" PRIu64 " leftovers=%" PRIu64
                 " ms=%" PRId64,
                 report.instances, objects, report.records, report.bytes, damage,
                 report.findings[VERIFY_BLOB_UNKNOWN], report.leftovers, report.milliseconds);
        if (verifier->logged > LOGGED_MAX)
            log_warn("verify: %u more findings: hounsfield verify lists them",
                     verifier->logged - LOGGED_MAX);
    } else if (err.code != ERROR_STOPPED) {
        log_error("verify: could not look at everything: %s", err.message);
    }
    atomic_store(&verifier->progress, 0);
}

static int64_t due_ms(struct verifier *verifier, int64_t started_ms)
{
    int64_t interval_ms = (int64_t)(verifier->every_days * 86400e3);
    pthread_mutex_lock(&verifier->lock);
    int64_t finished_ms = verifier->status.finished_ms;
    int64_t began_ms = verifier->began_ms;
    pthread_mutex_unlock(&verifier->lock);
    int64_t delay_ms = interval_ms < FIRST_DELAY_MS ? interval_ms : FIRST_DELAY_MS;
    if (finished_ms && began_ms <= finished_ms)
        return finished_ms + interval_ms;
    /* It was interrupted; by ourselves: it failed and is tried again, but not at once. */
    if (began_ms >= started_ms)
        return began_ms + (interval_ms < RETRY_MS ? interval_ms : RETRY_MS);
    return started_ms + delay_ms;
}

static void *run(void *argument)
{
    struct verifier *verifier = argument;
    int64_t started_ms = clock_unix_ms();
    enum { IOPRIO_WHO_PROCESS = 1, BEST_EFFORT_LOWEST = 2 << 13 | 7 };
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, BEST_EFFORT_LOWEST);
    while (!atomic_load(&verifier->stopping)) {
        int64_t left_ms = due_ms(verifier, started_ms) - clock_unix_ms();
        if (left_ms <= 0) {
            verify_now(verifier);
            continue;
        }
        struct timespec deadline = clock_deadline(left_ms < LOOK_MS ? left_ms : LOOK_MS);
        pthread_mutex_lock(&verifier->lock);
        if (!atomic_load(&verifier->stopping))
            pthread_cond_timedwait(&verifier->changed, &verifier->lock, &deadline);
        pthread_mutex_unlock(&verifier->lock);
    }
    return NULL;
}

bool verifier_open(struct archive *archive, const struct verifier_options *options,
                   struct verifier **out, struct error *err)
{
    pthread_condattr_t attributes;
    struct verifier *verifier = mem_alloc(sizeof(*verifier));
    verifier->storage = options->storage;
    verifier->archive = archive;
    verifier->every_days = options->every_days;
    verifier->bytes_per_second = options->bytes_per_second;
    pthread_mutex_init(&verifier->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&verifier->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    *out = verifier;
    if (!load(verifier, err))
        return false;
    if (verifier->every_days <= 0)
        return true;
    if (verifier->began_ms > verifier->status.finished_ms)
        log_info("verify: the last one was interrupted, it begins anew");
    int code = pthread_create(&verifier->thread, NULL, run, verifier);
    if (code)
        return error_set_errno(err, code, "no thread for the verification");
    verifier->started = true;
    return true;
}

void verifier_close(struct verifier *verifier)
{
    if (!verifier)
        return;
    pthread_mutex_lock(&verifier->lock);
    atomic_store(&verifier->stopping, true);
    pthread_cond_signal(&verifier->changed);
    pthread_mutex_unlock(&verifier->lock);
    if (verifier->started)
        pthread_join(verifier->thread, NULL);
    pthread_cond_destroy(&verifier->changed);
    pthread_mutex_destroy(&verifier->lock);
    free(verifier);
}
