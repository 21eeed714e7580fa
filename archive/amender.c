/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "archive/registration_records.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"

enum { RETRY_MS = 10000, TOKEN_MAX = 64, SPREAD_AT_ONCE = 64 };

struct amender {
    struct archive *archive;
    pthread_t thread;
    uint64_t seen; /* of patients.changes */
    bool stopping; /* guarded by patients.lock */
};

static bool is_stopping(void *context)
{
    struct amender *amender = context;
    pthread_mutex_lock(&amender->archive->patients.lock);
    bool stopping = amender->stopping;
    pthread_mutex_unlock(&amender->archive->patients.lock);
    return stopping;
}

/* The next study behind `study`, which becomes it. *found false: there is none, or they cannot be
 * read. */
static bool amend_next(struct amender *amender, char study[UID_SIZE], bool *found,
                       struct error *err)
{
    struct buffer token = buffer_up_to(TOKEN_MAX);
    uint64_t amended = 0, left = 0;
    bool ok = amend_work_next(amender->archive, study, &token, found, err);
    *found = ok && *found;
    if (*found) {
        ok = amend_study(amender->archive, study, amend_work_looks_back(buffer_slice(&token)),
                         is_stopping, amender, &amended, &left, err);
        if (amended || left)
            log_info("patients: study=%s amended=%" PRIu64 " left=%" PRIu64, study, amended, left);
        if (ok)
            FAULT_POINT("amended");
        ok = ok && amend_work_done(amender->archive, study, buffer_slice(&token), err);
    }
    buffer_release(&token);
    return ok;
}

/* Once through all of them: a study that cannot be read keeps no others. *any: there was one. */
static bool work_through(struct amender *amender, bool *any, struct error *err)
{
    char study[UID_SIZE] = "";
    bool ok = true, found = true;
    *any = false;
    while (found && !is_stopping(amender)) {
        struct error why = { .code = ERROR_NONE };
        bool done = amend_next(amender, study, &found, &why);
        *any |= found;
        if (done)
            continue;
        *err = why;
        ok = false;
        if (!amend_may_go_on(amender->archive, &why))
            break;
    }
    return ok;
}

/* More studies of patients that have very many. What got to work waits only so long for them. */
static bool spread(struct amender *amender, bool *any, struct error *err)
{
    bool ok = true;
    *any = true;
    for (int i = 0; ok && *any && i < SPREAD_AT_ONCE && !is_stopping(amender); i++)
        ok = amend_work_spread(amender->archive, any, err);
    return ok;
}

/* False when it is to be tried again. */
static bool work(struct amender *amender, struct error *err)
{
    bool ok = true, any = true;
    while (ok && any && !is_stopping(amender)) {
        struct error why = { .code = ERROR_NONE };
        bool is_left = false;
        bool is_spread = spread(amender, &is_left, &why);
        ok = work_through(amender, &any, err);
        any |= is_left;
        if (ok && !is_spread)
            ok = error_set(err, why.code, "%s", why.message);
    }
    return ok;
}

static void wait_for_work(struct amender *amender, bool soon)
{
    struct patient_work *patients = &amender->archive->patients;
    struct timespec deadline = clock_deadline(RETRY_MS);
    int code = 0;
    pthread_mutex_lock(&patients->lock);
    while (!amender->stopping && patients->changes == amender->seen && code == 0)
        code = soon ? pthread_cond_timedwait(&patients->changed, &patients->lock, &deadline)
                    : pthread_cond_wait(&patients->changed, &patients->lock);
    amender->seen = patients->changes;
    pthread_mutex_unlock(&patients->lock);
}

static void *run(void *argument)
{
    struct amender *amender = argument;
    while (!is_stopping(amender)) {
        struct error err = { 0 };
        bool ok = work(amender, &err);
        if (!ok && err.code != ERROR_STOPPED)
            log_warn("patients: not amended, to be tried again: %s", err.message);
        wait_for_work(amender, !ok);
    }
    return NULL;
}

bool amender_open(struct archive *archive, struct amender **out, struct error *err)
{
    struct amender *amender = mem_alloc(sizeof(*amender));
    amender->archive = archive;
    int code = pthread_create(&amender->thread, NULL, run, amender);
    if (code) {
        free(amender);
        return error_set_errno(err, code, "no thread for amendments");
    }
    *out = amender;
    return true;
}

void amender_close(struct amender *amender)
{
    if (!amender)
        return;
    struct patient_work *patients = &amender->archive->patients;
    pthread_mutex_lock(&patients->lock);
    amender->stopping = true;
    pthread_cond_broadcast(&patients->changed);
    pthread_mutex_unlock(&patients->lock);
    pthread_join(amender->thread, NULL);
    free(amender);
}
