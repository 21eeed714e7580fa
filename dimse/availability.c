/* SPDX-License-Identifier: MIT */
#include "dimse/availability.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "archive/changes.h"
#include "archive/retrieve.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dimse/availability_parts.h"
#include "dimse/client.h"
#include "dimse/peers.h"
#include "dimse/status.h"

enum {
    LOOK_MS = 500,
    AT_ONCE = 64,      /* studies that are told before the feeds are read again */
    DELETED_MS = 2000, /* of a study that goes on changing, too, a deletion is told after so long */
    NOTICE_SIZE = 256 << 20,
    CONTEXT_ID = 1,
    MESSAGE_ID = 1,
};

/* *generation is of the settings. */
static bool is_stopping(struct availability *availability, unsigned *generation)
{
    pthread_mutex_lock(&availability->lock);
    bool stopping = availability->stopping;
    *generation = availability->generation;
    pthread_mutex_unlock(&availability->lock);
    return stopping;
}

/* --- what is told -------------------------------------------------------------------------- */

/* What came of an attempt. */
struct attempt {
    bool reached; /* the receiver: then it is about this study */
    uint16_t status;
    size_t count; /* of instances */
};

static bool send_notice(struct association *association, struct slice data, uint16_t *status,
                        struct error *err)
{
    struct command command = { .field = N_CREATE_RQ,
                               .message_id = MESSAGE_ID,
                               .has_data_set = true,
                               .sop_class = UID_INSTANCE_AVAILABILITY };
    struct buffer bytes = buffer_up_to(COMMAND_LIMIT);
    struct message answer;
    uid_make(command.sop_instance);
    command_encode_normalized(&command, &bytes);
    bool ok = message_send(association, CONTEXT_ID, buffer_slice(&bytes), &data, err) &&
              client_answer(association, N_CREATE_RQ, MESSAGE_ID, &answer, err) &&
              message_drain(&answer, err);
    if (ok)
        *status = answer.command.status;
    buffer_release(&bytes);
    return ok;
}

/* False: it was not told. */
static bool tell(struct receiver *receiver, const struct dimse_options *options,
                 const struct waiting *waiting, struct attempt *attempt, struct error *err)
{
    const struct peer *peer = peers_find(options, receiver->to);
    const struct proposal proposal = {
        .abstract_syntax = UID_INSTANCE_AVAILABILITY,
        .transfer_syntaxes = { UID_EXPLICIT_LITTLE_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN },
    };
    struct buffer data = buffer_up_to(NOTICE_SIZE);
    struct association *association = NULL;
    *attempt = (struct attempt){ .status = STATUS_SUCCESS };
    if (!peer || !peer->host || !peer->port)
        return error_set(err, ERROR_NOT_FOUND, "no peer with host and port has this AE title");
    struct client_options client = client_options_of_peer(options, peer,
                                                          receiver->availability->kill_fd);
    bool ok = client_open(&client, &proposal, 1, &association, err);
    const struct presentation_context *context = ok ? association_context(association, CONTEXT_ID)
                                                    : NULL;
    ok = ok && (context || error_set(err, ERROR_UNSUPPORTED, "it takes no notifications"));
    attempt->reached = ok;
    ok = ok && availability_notice(receiver->availability->archive, options->worklist,
                                   waiting->study, &waiting->deletions, options->ae_title,
                                   context->syntax->explicit_vr, &data, &attempt->count, err);
    if (ok && attempt->count)
        ok = send_notice(association, buffer_slice(&data), &attempt->status, err);
    if (ok && attempt->status != STATUS_SUCCESS && !status_is_warning(attempt->status) &&
        attempt->status != STATUS_DUPLICATE_INSTANCE)
        ok = error_set(err, ERROR_MISMATCH, "status %04X", attempt->status);
    client_close(association);
    buffer_release(&data);
    return ok;
}

static void note_told(struct receiver *receiver, struct waiting *waiting, size_t count)
{
    struct error err;
    metric_add(METRIC_AVAILABILITY_SENT, count > 0);
    log_info("dimse: availability told to=\"%s\" study=%s instances=%zu", receiver->to,
             waiting->study, count);
    receiver->pauses = 0;
    if (!availability_conclude(receiver, waiting, true, &err))
        log_error("dimse: availability to=\"%s\" why=\"%s\"", receiver->to, err.message);
}

/* The study waits, and others are told meanwhile; in the end it is parked. */
static void note_refused(struct receiver *receiver, const struct dimse_options *options,
                         struct waiting *waiting, const struct error *why)
{
    struct error err;
    bool for_good = ++waiting->attempts >= AVAILABILITY_ATTEMPTS;
    log_warn("dimse: availability refused to=\"%s\" study=%s attempts=%u parked=%d why=\"%s\"",
             receiver->to, waiting->study, waiting->attempts, for_good, why->message);
    waiting->not_before_ms = clock_monotonic_ms() + client_pause_ms(options, waiting->attempts - 1);
    /* One that hangs up on everything is not called all the time. */
    if (why->code != ERROR_MISMATCH)
        receiver->not_before_ms = clock_monotonic_ms() +
                                  (receiver->pauses ? client_pause_ms(options, receiver->pauses)
                                                    : 0);
    receiver->pauses += why->code != ERROR_MISMATCH;
    if (!for_good)
        return;
    metric_add(METRIC_AVAILABILITY_FAILED, !waiting->is_parked);
    if (!availability_conclude(receiver, waiting, false, &err))
        log_error("dimse: availability to=\"%s\" why=\"%s\"", receiver->to, err.message);
}

/* --- when ---------------------------------------------------------------------------------- */

/* It has been quiet, or is whole as the modality says (PS3.4 R.3.2), or something of it is gone. */
static bool is_due(struct receiver *receiver, const struct dimse_options *options,
                   struct waiting *waiting)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t quiet_ms = options->availability_quiet_ms;
    struct error err;
    if (now_ms < waiting->not_before_ms)
        return false;
    if (waiting->step[0] && waiting->may_be_whole && !waiting->is_whole && options->worklist)
        waiting->may_be_whole = !availability_step_is_here(receiver->availability->archive,
                                                           options->worklist, waiting->step,
                                                           &waiting->is_whole, &err);
    return waiting->is_whole || now_ms - waiting->changed_ms >= quiet_ms ||
           (waiting->deleted_ms && now_ms - waiting->deleted_ms >= DELETED_MS);
}

static bool is_named(const struct receiver *receiver, const struct dimse_options *options)
{
    for (const char *const *one = options->availability_to; one && *one; one++)
        if (strcmp(*one, receiver->to) == 0)
            return true;
    return false;
}

/* One study that is due. False: there is none, or it could not be told. */
static bool work(struct receiver *receiver, const struct dimse_options *options)
{
    struct waiting *waiting = receiver->waiting;
    struct error err = { .code = ERROR_NONE };
    struct attempt attempt;
    unsigned generation;
    if (clock_monotonic_ms() < receiver->not_before_ms)
        return false;
    while (waiting && !is_due(receiver, options, waiting))
        waiting = waiting->next;
    if (!waiting)
        return false;
    if (tell(receiver, options, waiting, &attempt, &err)) {
        note_told(receiver, waiting, attempt.count);
        return true;
    }
    if (is_stopping(receiver->availability, &generation))
        return false;
    if (attempt.reached) {
        note_refused(receiver, options, waiting, &err);
    } else {
        log_warn("dimse: availability waits to=\"%s\" studies=%zu why=\"%s\"", receiver->to,
                 receiver->waiting_count, err.message);
        receiver->not_before_ms = clock_monotonic_ms() +
                                  client_pause_ms(options, receiver->pauses++);
    }
    return false;
}

static void *run(void *context)
{
    struct receiver *receiver = context;
    struct availability *availability = receiver->availability;
    unsigned generation;
    while (!is_stopping(availability, &generation)) {
        const struct configuration *configuration = configuration_current(availability->place);
        const struct dimse_options *options = &configuration->options;
        struct error err = { .code = ERROR_NONE };
        if (receiver->generation != generation)
            availability_retry_all(receiver);
        receiver->generation = generation;
        if (is_named(receiver, options)) {
            bool ok = availability_read(receiver, options->worklist, &err);
            for (int i = 0; i < AT_ONCE && work(receiver, options); i++)
                ;
            if (!ok || !availability_save(receiver, &err))
                log_error("dimse: availability to=\"%s\" why=\"%s\"", receiver->to, err.message);
        }
        configuration_release(configuration);
        changes_wait(availability->archive, receiver->positions[FEED_INSTANCES].read, LOOK_MS);
        /* The feed may grow all the time, and nothing is due at once. */
        struct timespec moment = { 0, 50 * 1000 * 1000 };
        nanosleep(&moment, NULL);
    }
    return NULL;
}

/* --- life ---------------------------------------------------------------------------------- */

/* With the lock held. */
static bool start(struct availability *availability, struct worklist *worklist, const char *to,
                  struct error *err)
{
    static const char *const names[] = { "availability", "availability-steps" };
    for (struct receiver *one = availability->receivers; one; one = one->next)
        if (strcmp(one->to, to) == 0)
            return true;
    struct receiver *receiver = mem_alloc(sizeof(*receiver));
    receiver->availability = availability;
    receiver->parked_due = true;
    receiver->generation = availability->generation;
    snprintf(receiver->to, sizeof(receiver->to), "%s", to);
    for (size_t i = 0; i < AVAILABILITY_FEEDS; i++)
        snprintf(receiver->positions[i].follower, sizeof(receiver->positions[i].follower), "%s.%s",
                 names[i], receiver->to);
    bool ok = availability_load(receiver, worklist, err);
    int failure = ok ? pthread_create(&receiver->thread, NULL, run, receiver) : 0;
    if (failure)
        ok = error_set_errno(err, failure, "thread");
    if (!ok) {
        availability_forget(receiver);
        free(receiver);
        return error_add_context(err, "availability to %s", to);
    }
    receiver->next = availability->receivers;
    availability->receivers = receiver;
    return true;
}

static bool start_all(struct availability *availability, struct error *err)
{
    const struct configuration *configuration = configuration_current(availability->place);
    const struct dimse_options *options = &configuration->options;
    bool ok = true;
    pthread_mutex_lock(&availability->lock);
    availability->generation++;
    for (const char *const *to = options->availability_to; ok && to && *to; to++)
        ok = start(availability, options->worklist, *to, err);
    pthread_mutex_unlock(&availability->lock);
    configuration_release(configuration);
    return ok;
}

bool availability_open(struct archive *archive, struct configuration_place *place,
                       struct availability **out, struct error *err)
{
    struct availability *availability = mem_alloc(sizeof(*availability));
    availability->archive = archive;
    availability->place = place;
    availability->kill_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&availability->lock, NULL);
    bool ok = availability->kill_fd >= 0 || error_set(err, ERROR_IO, "eventfd");
    ok = ok && start_all(availability, err);
    *out = availability;
    if (!ok) {
        availability_close(availability);
        *out = NULL;
    }
    return ok;
}

void availability_reload(struct availability *availability)
{
    struct error err;
    if (!start_all(availability, &err))
        log_error("dimse: %s", err.message);
}

void availability_close(struct availability *availability)
{
    uint64_t one = 1;
    if (!availability)
        return;
    pthread_mutex_lock(&availability->lock);
    availability->stopping = true;
    pthread_mutex_unlock(&availability->lock);
    if (availability->kill_fd >= 0 && write(availability->kill_fd, &one, sizeof(one)) < 0)
        log_error("dimse: availability: eventfd");
    changes_wake(availability->archive);
    while (availability->receivers) {
        struct receiver *receiver = availability->receivers;
        availability->receivers = receiver->next;
        pthread_join(receiver->thread, NULL);
        availability_forget(receiver);
        free(receiver);
    }
    if (availability->kill_fd >= 0)
        close(availability->kill_fd);
    pthread_mutex_destroy(&availability->lock);
    free(availability);
}
