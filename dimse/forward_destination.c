/* SPDX-License-Identifier: MIT */
/* One destination of forwarding: its way along the change feed. */
#include <stdlib.h>

#include "archive/changes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "dimse/client.h"
#include "dimse/forward_parked.h"
#include "dimse/forward_parts.h"
#include "dimse/peers.h"

enum {
    ATTEMPTS = 3, /* with an instance that the destination refuses, or over which it hangs up */
    FULL_ATTEMPTS = 8, /* with one for which it says that it has no room: some ten minutes */
    LOOK_MS = 1000,    /* between two looks at the feed when nothing comes */
    SAVE_INSTANCES = 64,
    SAVE_MS = 1000,
    MODALITY_SIZE = 17,
};

static bool is_stopping(struct forward *forward)
{
    pthread_mutex_lock(&forward->lock);
    bool stopping = forward->stopping;
    pthread_mutex_unlock(&forward->lock);
    return stopping;
}

static void set_lag(struct destination_thread *thread, uint64_t lag)
{
    metric_add(METRIC_FORWARD_LAG, (int64_t)lag - (int64_t)thread->lag);
    thread->lag = lag;
}

static void measure(struct destination_thread *thread)
{
    set_lag(thread, changes_behind(thread->forward->archive, thread->position));
}

/* Until the time is over, the rules have changed, or all ends. */
static void pause_for(struct destination_thread *thread, int64_t ms)
{
    struct forward *forward = thread->forward;
    int64_t until_ms = clock_monotonic_ms() + ms;
    pthread_mutex_lock(&forward->lock);
    while (!forward->stopping && thread->generation == forward->generation) {
        int64_t left_ms = until_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            break;
        struct timespec deadline = clock_deadline(left_ms < LOOK_MS ? left_ms : LOOK_MS);
        pthread_cond_clockwait(&forward->changed, &forward->lock, CLOCK_MONOTONIC, &deadline);
        pthread_mutex_unlock(&forward->lock);
        measure(thread);
        pthread_mutex_lock(&forward->lock);
    }
    thread->generation = forward->generation;
    pthread_mutex_unlock(&forward->lock);
}

static void back_off(struct destination_thread *thread)
{
    const struct configuration *configuration = configuration_current(thread->forward->place);
    int64_t pause_ms = client_pause_ms(&configuration->options, thread->pauses++);
    configuration_release(configuration);
    pause_for(thread, pause_ms);
}

static void save(struct destination_thread *thread)
{
    struct error err;
    if (thread->position == thread->saved)
        return;
    if (!follower_save(thread->forward->archive, thread->follower, thread->position, &err)) {
        log_error("dimse: the position of a forward cannot be saved to=\"%s\" why=\"%s\"",
                  thread->to, err.message);
        return;
    }
    thread->saved = thread->position;
    thread->saved_ms = clock_monotonic_ms();
}

static void advance(struct destination_thread *thread, uint64_t position)
{
    thread->position = position;
    thread->attempts = 0;
    if (position - thread->saved < SAVE_INSTANCES &&
        clock_monotonic_ms() - thread->saved_ms < SAVE_MS)
        return;
    save(thread);
    measure(thread);
}

static void note_sent(struct destination_thread *thread)
{
    metric_add(METRIC_FORWARD_SENT, 1);
    if (thread->pauses)
        log_info("dimse: forward goes on to=\"%s\"", thread->to);
    thread->pauses = 0;
    thread->refused_before = false;
    if (thread->was_parked)
        return;
    /* Whatever kept others from being taken may be over. */
    if (thread->parked_in_doubt) {
        thread->parked_due = true;
        if (!thread->retry_from)
            thread->retry_from = thread->doubt_from;
    }
    thread->parked_in_doubt = false;
    thread->doubt_from = 0;
}

static void set_parked(struct destination_thread *thread, uint64_t parked)
{
    metric_add(METRIC_FORWARD_PARKED, (int64_t)parked - (int64_t)thread->parked);
    thread->parked = parked;
}

static void park(struct destination_thread *thread, const struct identity *identity)
{
    const struct change change = { .sequence = thread->sequence, .identity = *identity };
    struct error err;
    if (forward_parked_put(thread->forward->archive, thread->follower, &change, &err))
        set_parked(thread, thread->parked + 1);
    else
        log_error("dimse: a refused forward cannot be kept to=\"%s\" instance=%s why=\"%s\"",
                  thread->to, identity->instance, err.message);
}

/* A destination that refuses one of a study mostly refuses all of it: the others wait no longer. */
static unsigned patience(const struct destination_thread *thread, const struct error *failure)
{
    if (thread->was_parked || failure->code == ERROR_UNSUPPORTED)
        return 1;
    if (failure->code == ERROR_NO_SPACE)
        return FULL_ATTEMPTS;
    return failure->code == ERROR_MISMATCH && thread->refused_before ? 1 : ATTEMPTS;
}

/* Is that the end of it, or is it tried again after a pause? What the destination may only have no
 * room for, and what may be no fault of the instance, is tried once more when another was sent. */
static bool note_refused(struct destination_thread *thread, const struct identity *identity,
                         const struct error *failure)
{
    unsigned attempts = patience(thread, failure);
    bool for_good = ++thread->attempts >= attempts;
    thread->was_refused = for_good;
    if (for_good && !thread->was_parked) {
        park(thread, identity);
        metric_add(METRIC_FORWARD_FAILED, 1);
        log_warn("dimse: not forwarded to=\"%s\" instance=%s study=%s why=\"%s\"", thread->to,
                 identity->instance, identity->study, failure->message);
        if (!thread->doubt_from)
            thread->doubt_from = thread->sequence;
        bool is_told = failure->code == ERROR_MISMATCH;
        thread->parked_in_doubt |= failure->code != ERROR_UNSUPPORTED &&
                                   (!is_told || attempts < ATTEMPTS);
        thread->refused_before |= is_told;
        if (failure->code != ERROR_NO_SPACE)
            thread->pauses = 0;
    }
    return for_good;
}

static bool is_wanted(const struct destination_thread *thread,
                      const struct configuration *configuration, struct instance *instance,
                      bool *wanted, struct error *err)
{
    const struct dataset *header;
    char modality[MODALITY_SIZE] = "";
    if (!instance_header(instance, &header, err))
        return false;
    dataset_string(header, TAG_MODALITY, modality, sizeof(modality));
    *wanted = forward_wants(&configuration->options, thread->to, instance_source_ae(instance),
                            modality);
    return true;
}

/* True: done with this instance, one way or the other. */
static bool forward_instance(struct destination_thread *thread,
                             const struct configuration *configuration, struct instance *instance)
{
    struct error failure = { .code = ERROR_NONE };
    const struct peer *peer = peers_find(&configuration->options, thread->to);
    bool wanted = false;
    bool reached = false;
    if (!is_wanted(thread, configuration, instance, &wanted, &failure))
        return failure.code == ERROR_GONE ||
               note_refused(thread, instance_identity(instance), &failure);
    if (!wanted)
        return true;
    enum forward_outcome outcome = FORWARD_REFUSED;
    if (peer && peer->host && peer->port)
        outcome = forward_lane_send(&thread->lane, configuration, peer, instance, &reached,
                                    &failure);
    else
        error_set(&failure, ERROR_NOT_FOUND, "it is no peer that can be sent to");
    if (outcome == FORWARD_SENT) {
        note_sent(thread);
        return true;
    }
    /* What we were about when the server stopped is tried again by the next one. */
    if (is_stopping(thread->forward))
        return false;
    if (reached &&
        (failure.code == ERROR_GONE || note_refused(thread, instance_identity(instance), &failure)))
        return true;
    log_warn("dimse: forward waits to=\"%s\" behind=%llu why=\"%s\"", thread->to,
             (unsigned long long)thread->lag, failure.message);
    return false;
}

static bool forward_change(struct destination_thread *thread, const struct change *change)
{
    struct instance *instance = NULL;
    struct error err;
    const struct identity *identity = &change->identity;
    thread->sequence = change->sequence;
    thread->was_refused = false;
    if (change->action == CHANGE_DELETE)
        return true;
    if (!instance_open(thread->forward->archive, identity->study, identity->series,
                       identity->instance, &instance, &err)) {
        return err.code == ERROR_NOT_FOUND || err.code == ERROR_GONE ||
               note_refused(thread, identity, &err);
    }
    const struct configuration *configuration = configuration_current(thread->forward->place);
    bool done = forward_instance(thread, configuration, instance);
    configuration_release(configuration);
    instance_close(instance);
    return done;
}

/* What is in the feed by now. False: a pause is due. */
static bool catch_up(struct destination_thread *thread)
{
    struct archive *archive = thread->forward->archive;
    struct changes *changes = NULL;
    struct change change;
    struct error err;
    bool found = true;
    bool ok = changes_open(archive, thread->position, &changes, &err);
    bool done = true;
    while (ok && done && !is_stopping(thread->forward)) {
        ok = changes_next(changes, &change, &found, &err);
        if (!ok || !found)
            break;
        done = forward_change(thread, &change);
        if (done)
            advance(thread, change.sequence);
    }
    if (changes)
        changes_close(changes);
    if (!ok)
        log_error("dimse: forward cannot read the change feed to=\"%s\" why=\"%s\"", thread->to,
                  err.message);
    save(thread);
    measure(thread);
    return ok && done;
}

/* What was refused before, once each: the destination may take it by now. False: a pause is due. */
static bool retry_parked(struct destination_thread *thread)
{
    struct archive *archive = thread->forward->archive;
    struct change change;
    struct error err;
    bool found = true;
    bool done = true;
    uint64_t left = 0, removed = 0;
    for (uint64_t after = thread->retry_from - 1; done && !is_stopping(thread->forward);
         after = change.sequence) {
        bool ok = forward_parked_next(archive, thread->follower, after, &change, &found, &err);
        if (ok && !found)
            break;
        if (!ok && err.code == ERROR_CORRUPT) {
            log_error("dimse: a refused forward is passed over to=\"%s\" change=%llu why=\"%s\"",
                      thread->to, (unsigned long long)change.sequence, err.message);
            left++;
            continue;
        }
        thread->was_parked = true;
        thread->attempts = 0;
        done = ok && forward_change(thread, &change);
        thread->was_parked = false;
        left += thread->was_refused;
        if (done && !thread->was_refused) {
            ok = forward_parked_remove(archive, thread->follower, &change, &err);
            removed += ok;
        }
        if (!ok) {
            log_error("dimse: refused forwards are not tried again to=\"%s\" why=\"%s\"",
                      thread->to, err.message);
            break;
        }
    }
    if (done && thread->retry_from == 1)
        set_parked(thread, left);
    else
        set_parked(thread, thread->parked - (removed < thread->parked ? removed : thread->parked));
    thread->attempts = 0;
    return done;
}

/* At the start, and when rules or peers were read again. */
static bool is_due(struct destination_thread *thread)
{
    pthread_mutex_lock(&thread->forward->lock);
    unsigned generation = thread->forward->generation;
    pthread_mutex_unlock(&thread->forward->lock);
    if (thread->tried != generation) {
        thread->parked_due = true;
        thread->retry_from = 1;
    }
    thread->tried = generation;
    return thread->parked_due;
}

static bool work(struct destination_thread *thread)
{
    if (is_due(thread)) {
        if (!retry_parked(thread))
            return false;
        thread->parked_due = false;
        thread->retry_from = 0;
    }
    return catch_up(thread);
}

static bool is_ruled(struct destination_thread *thread)
{
    const struct configuration *configuration = configuration_current(thread->forward->place);
    bool ruled = forward_has_rules(&configuration->options, thread->to);
    configuration_release(configuration);
    return ruled;
}

void *forward_run(void *context)
{
    struct destination_thread *thread = context;
    struct forward *forward = thread->forward;
    while (!is_stopping(forward)) {
        if (!is_ruled(thread)) {
            forward_lane_hang_up(&thread->lane);
            set_lag(thread, 0);
            pause_for(thread, LOOK_MS);
        } else if (!work(thread)) {
            forward_lane_hang_up(&thread->lane);
            back_off(thread);
        } else if (!changes_wait(forward->archive, thread->position, LOOK_MS)) {
            forward_lane_hang_up(&thread->lane);
        }
    }
    forward_lane_hang_up(&thread->lane);
    set_lag(thread, 0);
    set_parked(thread, 0);
    return NULL;
}

bool forward_load(struct destination_thread *thread, struct error *err)
{
    struct archive *archive = thread->forward->archive;
    struct buffer value = buffer_up_to(16);
    bool begun = false;
    bool ok = follower_get(archive, thread->follower, "begun", &value, &begun, err);
    buffer_release(&value);
    if (ok && begun) {
        ok = follower_position(archive, thread->follower, &thread->position, err);
    } else if (ok) {
        thread->position = changes_latest(archive);
        ok = follower_save(archive, thread->follower, thread->position, err) &&
             follower_put(archive, thread->follower, "begun", slice_text("1"), err);
    }
    thread->saved = thread->position;
    thread->saved_ms = clock_monotonic_ms();
    return ok;
}
