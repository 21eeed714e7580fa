/* SPDX-License-Identifier: MIT */
/* What of the follower outlives the process: its position, the server that it is of, studies that
 * are parked, the server's pause. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "cast/follower_parts.h"
#include "cast/parked.h"

#define KEY_SERVER "server"
#define KEY_PAUSE  "pause"

void follower_keep_pause(struct follower *follower, const char *text)
{
    struct error err;
    if (!follower_put(follower->archive, CAST_FOLLOWER, KEY_PAUSE, slice_text(text), &err))
        log_error("cast: cannot keep the pause reason=\"%s\"", err.message);
}

bool follower_recall_pause(struct follower *follower, struct error *err)
{
    struct buffer value = buffer_up_to(1024);
    bool found = false;
    bool ok = follower_get(follower->archive, CAST_FOLLOWER, KEY_PAUSE, &value, &found, err);
    if (ok && found) {
        breaker_read(&follower->breaker, buffer_slice(&value), clock_monotonic_ms(),
                     clock_unix_ms());
        follower->pause_is_kept = true;
    }
    buffer_release(&value);
    return ok;
}

void follower_park(struct follower *follower, const char *study, unsigned attempt,
                   const struct round_report *report)
{
    struct parked_reason reason = { report->status, report->error.message, attempt + 1 };
    struct error err;
    cJSON *before = NULL;
    if (!parked_describe(follower->archive, study, &before, &err) ||
        !parked_put(follower->archive, study, &reason, &err))
        log_error("cast: cannot keep why a study is parked study=%s reason=\"%s\"", study,
                  err.message);
    if (!before)
        metric_add(METRIC_CAST_PARKED, 1);
    cJSON_Delete(before);
    log_warn("cast: parked study=%s status=%d reason=\"%s\"", study, report->status,
             report->error.message);
}

void follower_unpark(struct follower *follower, const char *study)
{
    struct error err;
    bool was = false;
    if (!parked_remove(follower->archive, study, &was, &err)) {
        log_error("cast: cannot unpark study=%s reason=\"%s\"", study, err.message);
    } else if (was) {
        metric_add(METRIC_CAST_PARKED, -1);
        log_info("cast: no longer parked study=%s", study);
    }
}

/* They are tried once more: what was refused may have been set right. */
bool follower_recall_parked(struct follower *follower, uint64_t *count, struct error *err)
{
    char study[UID_SIZE] = "";
    bool found = true;
    bool ok;
    *count = 0;
    while ((ok = parked_next(follower->archive, study, &found, err)) && found) {
        pthread_mutex_lock(&follower->lock);
        gather_add_due(follower->gather, study, clock_monotonic_ms());
        pthread_mutex_unlock(&follower->lock);
        ++*count;
    }
    return ok;
}

/* A position says what one server has got. Another one begins at the beginning: what it holds
 * already costs no more than a look. */
bool follower_find_position(struct follower *follower, struct error *err)
{
    struct buffer known = buffer_up_to(64 * 1024);
    const char *url = follower->client.url;
    size_t size = strlen(url);
    uint64_t position = 0;
    bool found = false;
    bool ok = false;

    while (size && url[size - 1] == '/')
        size--;
    struct slice base = slice_of(url, size);
    if (!follower_position(follower->archive, CAST_FOLLOWER, &position, err) ||
        !follower_get(follower->archive, CAST_FOLLOWER, KEY_SERVER, &known, &found, err))
        goto out;
    if (!found || !slice_equal(buffer_slice(&known), base)) {
        if (found)
            log_info("cast: another FHIR server: all studies are cast anew");
        position = 0;
        if (!follower_save(follower->archive, CAST_FOLLOWER, 0, err) ||
            !follower_put(follower->archive, CAST_FOLLOWER, KEY_PAUSE, slice_of(NULL, 0), err) ||
            !follower_put(follower->archive, CAST_FOLLOWER, KEY_SERVER, base, err))
            goto out;
    }
    follower->saved = position;
    ok = true;
out:
    buffer_release(&known);
    return ok;
}
