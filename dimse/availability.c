/* SPDX-License-Identifier: MIT */
#include "dimse/availability.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dimse/availability_notice.h"
#include "dimse/client.h"
#include "dimse/peers.h"
#include "dimse/status.h"

enum {
    FOLLOWER_SIZE = 16 + AE_TITLE_SIZE,
    STUDIES_MAX = 1000, /* that wait to be quiet; the feed is read on when one is told */
    LOOK_MS = 500,
    MAX_PAUSE_MS = 5 * 60 * 1000,
    ATTEMPTS = 3, /* with a notification that is refused */
    NOTICE_SIZE = 256 << 20,
    CONTEXT_ID = 1,
    MESSAGE_ID = 1,
};

/* A study that has changed, and is not told of yet. */
struct waiting {
    struct waiting *next;
    char study[UID_SIZE];
    uint64_t first;   /* its first change that was not told */
    int64_t quiet_ms; /* monotonic time of its last one */
    unsigned attempts;
    struct deletions deletions;
};

struct receiver {
    struct receiver *next;
    struct availability *availability;
    pthread_t thread;
    char to[AE_TITLE_SIZE];
    char follower[FOLLOWER_SIZE];
    uint64_t read;  /* of the feed */
    uint64_t saved; /* position */
    struct waiting *waiting;
    size_t waiting_count;
    unsigned pauses;
    int64_t not_before_ms; /* of the next attempt */
};

struct availability {
    struct archive *archive;
    struct configuration_place *place;
    int kill_fd; /* never read: once written, readable for all waits */
    pthread_mutex_t lock;
    bool stopping;              /* guarded by lock */
    struct receiver *receivers; /* guarded by lock; they stay until the end */
};

static bool is_stopping(struct availability *availability)
{
    pthread_mutex_lock(&availability->lock);
    bool stopping = availability->stopping;
    pthread_mutex_unlock(&availability->lock);
    return stopping;
}

/* --- what has changed ---------------------------------------------------------------------- */

static void note(struct receiver *receiver, const struct change *change)
{
    struct waiting **link = &receiver->waiting;
    while (*link && strcmp((*link)->study, change->identity.study) != 0)
        link = &(*link)->next;
    if (!*link) {
        *link = mem_alloc(sizeof(**link));
        memcpy((*link)->study, change->identity.study, UID_SIZE);
        (*link)->first = change->sequence;
        receiver->waiting_count++;
    }
    (*link)->quiet_ms = clock_monotonic_ms();
    if (change->action == CHANGE_DELETE)
        deletions_add(&(*link)->deletions, change);
}

static void drop(struct receiver *receiver, struct waiting *waiting)
{
    struct waiting **link = &receiver->waiting;
    while (*link != waiting)
        link = &(*link)->next;
    *link = waiting->next;
    receiver->waiting_count--;
    deletions_release(&waiting->deletions);
    free(waiting);
}

static bool read_feed(struct receiver *receiver, struct error *err)
{
    struct changes *changes = NULL;
    struct change change;
    bool found = true;
    bool ok = changes_open(receiver->availability->archive, receiver->read, &changes, err);
    while (ok && receiver->waiting_count < STUDIES_MAX) {
        ok = changes_next(changes, &change, &found, err);
        if (!ok || !found)
            break;
        note(receiver, &change);
        receiver->read = change.sequence;
    }
    changes_close(changes);
    return ok;
}

/* Before the first change of all that waits: what comes behind is told again after a restart, and
 * tells the same. */
static bool save(struct receiver *receiver, struct error *err)
{
    uint64_t position = receiver->read;
    for (const struct waiting *one = receiver->waiting; one; one = one->next)
        if (one->first <= position)
            position = one->first - 1;
    if (position == receiver->saved)
        return true;
    if (!follower_save(receiver->availability->archive, receiver->follower, position, err))
        return false;
    receiver->saved = position;
    return true;
}

/* --- what is told -------------------------------------------------------------------------- */

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

/* *status is the receiver's. False: it could not be told at all. */
static bool tell(struct receiver *receiver, const struct dimse_options *options,
                 const struct waiting *waiting, uint16_t *status, size_t *count, struct error *err)
{
    const struct peer *peer = peers_find(options, receiver->to);
    const struct proposal proposal = {
        .abstract_syntax = UID_INSTANCE_AVAILABILITY,
        .transfer_syntaxes = { UID_EXPLICIT_LITTLE_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN },
    };
    struct buffer data = buffer_up_to(NOTICE_SIZE);
    struct association *association = NULL;
    if (!peer || !peer->host || !peer->port)
        return error_set(err, ERROR_NOT_FOUND, "no peer with host and port has this AE title");
    struct client_options client = client_options_of_peer(options, peer,
                                                          receiver->availability->kill_fd);
    bool ok = client_open(&client, &proposal, 1, &association, err);
    const struct presentation_context *context = ok ? association_context(association, CONTEXT_ID)
                                                    : NULL;
    ok = ok && (context || error_set(err, ERROR_UNSUPPORTED, "it takes no notifications")) &&
         availability_notice(receiver->availability->archive, waiting->study, &waiting->deletions,
                             options->ae_title, context->syntax->explicit_vr, &data, count, err);
    *status = STATUS_SUCCESS;
    if (ok && *count)
        ok = send_notice(association, buffer_slice(&data), status, err);
    client_close(association);
    buffer_release(&data);
    return ok;
}

/* True: done with this study, one way or the other. */
static bool conclude(struct receiver *receiver, struct waiting *waiting, uint16_t status,
                     size_t count)
{
    bool is_taken = status == STATUS_SUCCESS || status_is_warning(status) ||
                    status == STATUS_DUPLICATE_INSTANCE;
    if (is_taken) {
        metric_add(METRIC_AVAILABILITY_SENT, count > 0);
        log_info("dimse: availability told to=\"%s\" study=%s instances=%zu", receiver->to,
                 waiting->study, count);
        return true;
    }
    log_warn("dimse: availability refused to=\"%s\" study=%s status=%04X attempts=%u", receiver->to,
             waiting->study, status, waiting->attempts + 1);
    return ++waiting->attempts >= ATTEMPTS;
}

static void back_off(struct receiver *receiver, const struct dimse_options *options)
{
    int64_t pause_ms = options->forward_retry_ms;
    for (unsigned i = 0; i < receiver->pauses && pause_ms < MAX_PAUSE_MS; i++)
        pause_ms *= 2;
    receiver->pauses++;
    receiver->not_before_ms = clock_monotonic_ms() +
                              (pause_ms < MAX_PAUSE_MS ? pause_ms : MAX_PAUSE_MS);
}

static bool is_named(const struct receiver *receiver, const struct dimse_options *options)
{
    for (const char *const *one = options->availability_to; one && *one; one++)
        if (strcmp(*one, receiver->to) == 0)
            return true;
    return false;
}

/* One study that has been quiet, if there is one. */
static void work(struct receiver *receiver, const struct dimse_options *options)
{
    int64_t now_ms = clock_monotonic_ms();
    struct waiting *waiting = receiver->waiting;
    struct error err = { .code = ERROR_NONE };
    uint16_t status = 0; /* a release build does not see that it is told */
    size_t count = 0;
    while (waiting && now_ms - waiting->quiet_ms < options->availability_quiet_ms)
        waiting = waiting->next;
    if (!waiting || now_ms < receiver->not_before_ms)
        return;
    if (!tell(receiver, options, waiting, &status, &count, &err)) {
        if (!is_stopping(receiver->availability))
            log_warn("dimse: availability waits to=\"%s\" studies=%zu why=\"%s\"", receiver->to,
                     receiver->waiting_count, err.message);
        back_off(receiver, options);
        return;
    }
    if (conclude(receiver, waiting, status, count)) {
        drop(receiver, waiting);
        receiver->pauses = 0;
    } else {
        back_off(receiver, options);
    }
}

static void *run(void *context)
{
    struct receiver *receiver = context;
    struct availability *availability = receiver->availability;
    while (!is_stopping(availability)) {
        const struct configuration *configuration = configuration_current(availability->place);
        struct error err = { .code = ERROR_NONE };
        if (is_named(receiver, &configuration->options)) {
            if (read_feed(receiver, &err))
                work(receiver, &configuration->options);
            if (err.code != ERROR_NONE || !save(receiver, &err))
                log_error("dimse: availability to=\"%s\" why=\"%s\"", receiver->to, err.message);
        }
        configuration_release(configuration);
        changes_wait(availability->archive, receiver->read, LOOK_MS);
        /* The feed may grow all the time, and nothing is due at once. */
        struct timespec moment = { 0, 50 * 1000 * 1000 };
        nanosleep(&moment, NULL);
    }
    return NULL;
}

/* --- life ---------------------------------------------------------------------------------- */

/* Where it stopped; one that is new begins at the end of the feed. */
static bool load(struct receiver *receiver, struct error *err)
{
    struct archive *archive = receiver->availability->archive;
    struct buffer begun = buffer_up_to(16);
    bool found = false;
    bool ok = follower_position(archive, receiver->follower, &receiver->saved, err) &&
              follower_get(archive, receiver->follower, "begun", &begun, &found, err);
    buffer_release(&begun);
    receiver->read = receiver->saved;
    if (!ok || found)
        return ok;
    receiver->read = changes_latest(archive);
    return save(receiver, err) &&
           follower_put(archive, receiver->follower, "begun", slice_text("1"), err);
}

/* With the lock held. */
static bool start(struct availability *availability, const char *to, struct error *err)
{
    for (struct receiver *one = availability->receivers; one; one = one->next)
        if (strcmp(one->to, to) == 0)
            return true;
    struct receiver *receiver = mem_alloc(sizeof(*receiver));
    receiver->availability = availability;
    snprintf(receiver->to, sizeof(receiver->to), "%s", to);
    snprintf(receiver->follower, sizeof(receiver->follower), "availability.%s", receiver->to);
    bool ok = load(receiver, err);
    int failure = ok ? pthread_create(&receiver->thread, NULL, run, receiver) : 0;
    if (failure)
        ok = error_set_errno(err, failure, "thread");
    if (!ok) {
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
    bool ok = true;
    pthread_mutex_lock(&availability->lock);
    for (const char *const *to = configuration->options.availability_to; ok && to && *to; to++)
        ok = start(availability, *to, err);
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
        while (receiver->waiting)
            drop(receiver, receiver->waiting);
        free(receiver);
    }
    if (availability->kill_fd >= 0)
        close(availability->kill_fd);
    pthread_mutex_destroy(&availability->lock);
    free(availability);
}
