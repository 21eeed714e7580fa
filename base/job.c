/* SPDX-License-Identifier: MIT */
#include "base/job.h"

#include <time.h>

#include "base/clock.h"

enum { PAUSE_MAX_MS = 200 }; /* so that a cancelled job ends soon, however slow it is to be */

static void pause_ms(int64_t ms)
{
    struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
    nanosleep(&pause, NULL);
}

static bool is_cancelled(const struct job *job)
{
    return job->cancelled && job->cancelled(job->context);
}

/* How long the work is ahead of its rate. */
static int64_t ahead_ms(const struct job *job)
{
    double allowed_ms = (double)job->bytes * 1000 / (double)job->bytes_per_second;
    return (int64_t)allowed_ms - (clock_monotonic_ms() - job->began_ms);
}

bool job_step(struct job *job, const char *phase, const char *unit, uint64_t done, uint64_t total,
              uint64_t bytes, struct error *err)
{
    if (!job)
        return true;
    if (!job->began_ms)
        job->began_ms = clock_monotonic_ms();
    job->bytes += bytes;
    if (job->progress)
        job->progress(job->context, phase, unit, done, total);
    while (!is_cancelled(job)) {
        int64_t ahead = job->bytes_per_second ? ahead_ms(job) : 0;
        if (ahead <= 0)
            return true;
        pause_ms(ahead < PAUSE_MAX_MS ? ahead : PAUSE_MAX_MS);
    }
    return error_set(err, ERROR_STOPPED, "cancelled while %s", phase);
}
