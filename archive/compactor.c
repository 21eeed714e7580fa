/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "archive/compact.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

enum {
    INTERVAL_MS = 60000,
    BYTES_PER_SECOND = 32 << 20, /* read and written: those who store and read come first */
};

struct compactor {
    struct archive *archive;
    double dead_share;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping; /* guarded by lock */
};

static bool is_stopping(void *context)
{
    struct compactor *compactor = context;
    pthread_mutex_lock(&compactor->lock);
    bool stopping = compactor->stopping;
    pthread_mutex_unlock(&compactor->lock);
    return stopping;
}

static void compact(struct compactor *compactor)
{
    const struct compact_options options = { .dead_share = compactor->dead_share };
    struct job job = { .cancelled = is_stopping,
                       .context = compactor,
                       .bytes_per_second = BYTES_PER_SECOND };
    struct compact_report report;
    struct error err = { 0 };
    bool ok = archive_compact(compactor->archive, &options, &job, &report, &err);
    if (report.moved || report.removed)
        log_info("compact: segments=%" PRIu64 " moved=%" PRIu64 " bytes=%" PRIu64
                 " removed=%" PRIu64 " kept=%" PRIu64 " freed_bytes=%" PRIu64 " ms=%" PRId64,
                 report.segments, report.moved, report.moved_bytes, report.removed, report.kept,
                 report.freed_bytes, report.milliseconds);
    if (!ok && err.code != ERROR_STOPPED && err.code != ERROR_BUSY)
        log_warn("compact: not all dead space was given back: %s", err.message);
}

/* False when it is to stop. */
static bool wait_a_while(struct compactor *compactor)
{
    struct timespec deadline = clock_deadline(INTERVAL_MS);
    int code = 0;
    pthread_mutex_lock(&compactor->lock);
    while (!compactor->stopping && code != ETIMEDOUT)
        code = pthread_cond_timedwait(&compactor->changed, &compactor->lock, &deadline);
    bool go_on = !compactor->stopping;
    pthread_mutex_unlock(&compactor->lock);
    return go_on;
}

static void *run(void *argument)
{
    do
        compact(argument);
    while (wait_a_while(argument));
    return NULL;
}

bool compactor_open(struct archive *archive, double dead_share, struct compactor **out,
                    struct error *err)
{
    struct compactor *compactor = mem_alloc(sizeof(*compactor));
    pthread_condattr_t attributes;
    compactor->archive = archive;
    compactor->dead_share = dead_share;
    pthread_mutex_init(&compactor->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&compactor->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int code = pthread_create(&compactor->thread, NULL, run, compactor);
    if (code) {
        pthread_cond_destroy(&compactor->changed);
        pthread_mutex_destroy(&compactor->lock);
        free(compactor);
        return error_set_errno(err, code, "no thread for compaction");
    }
    *out = compactor;
    return true;
}

void compactor_close(struct compactor *compactor)
{
    if (!compactor)
        return;
    pthread_mutex_lock(&compactor->lock);
    compactor->stopping = true;
    pthread_cond_signal(&compactor->changed);
    pthread_mutex_unlock(&compactor->lock);
    pthread_join(compactor->thread, NULL);
    pthread_cond_destroy(&compactor->changed);
    pthread_mutex_destroy(&compactor->lock);
    free(compactor);
}
