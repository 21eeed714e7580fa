/* SPDX-License-Identifier: MIT */
#include "hl7/notifier.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "hl7/sender.h"
#include "hl7/status_update.h"
#include "worklist/changes.h"
#include "worklist/steps.h"

enum {
    WAIT_MS = 1000, /* for a change: a wake for a stop may come before the wait */
    TIMEOUT_MS = 30 * 1000,
    DEFAULT_RETRY_MS = 5 * 1000,
    MAX_RETRY_MS = 5 * 60 * 1000,
    SAVE_EVERY = 64, /* changes that are of no matter to it, before the position is saved */
    MESSAGE_LIMIT = 512 << 10,
};

struct hl7_notifier;

struct lane {
    struct hl7_notifier *notifier;
    pthread_t thread;
    bool is_started;
    char *host;
    char *application;
    char *facility;
    char *certificate;
    char *title;
    char follower[96];
    struct hl7_sender_options sender_options;
    struct hl7_sender *sender;
    uint64_t position;
    uint64_t saved;
};

struct hl7_notifier {
    struct worklist *worklist;
    struct tls_credentials *tls;
    int stop_fd;
    atomic_bool is_stopping;
    unsigned retry_ms;
    struct lane *lanes;
    size_t count;
};

/* ORC-5 (table 0038) of a state; NULL: nobody is told. */
static const char *status_of(const struct object_change *change)
{
    if (change->kind != OBJECT_STEP || change->action == OBJECT_DELETED ||
        change->state == change->state_before)
        return NULL;
    switch (change->state) {
    case STEP_STARTED:
        return "IP";
    case STEP_COMPLETED:
        return "CM";
    case STEP_DISCONTINUED:
        return "DC";
    case STEP_CANCELLED:
        return "CA";
    default:
        return NULL;
    }
}

static bool is_stopping(const struct lane *lane)
{
    return atomic_load(&lane->notifier->is_stopping);
}

/* Until the time is over or the server stops. */
static void pause_for(const struct lane *lane, unsigned ms)
{
    struct pollfd stop = { lane->notifier->stop_fd, POLLIN, 0 };
    while (poll(&stop, 1, (int)ms) < 0 && errno == EINTR)
        continue;
}

/* Again and again until it was heard. False: the server stops. */
static bool deliver(struct lane *lane, struct slice message, const char *control_id)
{
    unsigned pause_ms = lane->notifier->retry_ms;
    while (!is_stopping(lane)) {
        struct error err = { .code = ERROR_NONE };
        enum hl7_answer answer;
        if (hl7_sender_send(lane->sender, message, slice_text(control_id), &answer, &err)) {
            bool is_heard = answer == HL7_APPLICATION_ACCEPT || answer == HL7_COMMIT_ACCEPT;
            metric_add(is_heard ? METRIC_HL7_UPDATES_SENT : METRIC_HL7_UPDATES_REFUSED, 1);
            if (!is_heard)
                log_warn("hl7: status update refused destination=%s control_id=%s answer=%s",
                         lane->follower, control_id, hl7_answer_name(answer));
            return true;
        }
        if (err.code == ERROR_STOPPED)
            return false;
        log_warn("hl7: status update not sent destination=%s control_id=%s again_ms=%u why=\"%s\"",
                 lane->follower, control_id, pause_ms, err.message);
        pause_for(lane, pause_ms);
        pause_ms = pause_ms * 2 < MAX_RETRY_MS ? pause_ms * 2 : MAX_RETRY_MS;
    }
    return false;
}

/* What is wrong with this one step, and would be with the next try: others are told of theirs. */
static bool is_of_the_step(const struct error *err)
{
    return err->code == ERROR_LIMIT || err->code == ERROR_CORRUPT || err->code == ERROR_INVALID;
}

/* One change that others hear of. What stands in the step now may be newer than the change. */
static bool tell(struct lane *lane, const struct object_change *change, const char *status,
                 struct error *err)
{
    struct object step = object_init();
    struct dataset *dataset = NULL;
    struct buffer message = buffer_up_to(MESSAGE_LIMIT);
    char control_id[24];
    bool found = false;
    bool ok = object_get(lane->notifier->worklist, OBJECT_STEP, change->key, &step, &found, err) &&
              (!found || object_dataset(&step, &dataset, err));
    if (ok && found) {
        snprintf(control_id, sizeof(control_id), "U%llu", (unsigned long long)change->sequence);
        const struct hl7_update update = { dataset,       status,      control_id,
                                           change->at_ms, lane->title, lane->application,
                                           lane->facility };
        hl7_update_write(&update, &message);
        ok = buffer_check(&message, "a status update", err);
        if (ok && !deliver(lane, buffer_slice(&message), control_id))
            ok = error_set(err, ERROR_STOPPED, "the server stops");
    }
    if (!ok && is_of_the_step(err)) {
        log_error("hl7: status update left out destination=%s change=%llu why=\"%s\"",
                  lane->follower, (unsigned long long)change->sequence, err->message);
        metric_add(METRIC_HL7_UPDATES_REFUSED, 1);
        ok = true;
    }
    dataset_close(dataset);
    object_release(&step);
    buffer_release(&message);
    return ok;
}

static bool save(struct lane *lane, struct error *err)
{
    if (lane->saved == lane->position)
        return true;
    if (!object_changes_save(lane->notifier->worklist, lane->follower, lane->position, err))
        return false;
    lane->saved = lane->position;
    return true;
}

/* The next change that others hear of; *status NULL: there is none by now. Nothing is held open
 * while a destination is waited for. */
static bool find_next(struct lane *lane, struct object_change *change, const char **status,
                      struct error *err)
{
    struct object_changes *changes = NULL;
    bool found = true;
    *status = NULL;
    bool ok = object_changes_open(lane->notifier->worklist, lane->position, &changes, err);
    while (ok && !*status && !is_stopping(lane) &&
           (ok = object_changes_next(changes, change, &found, err)) && found) {
        *status = status_of(change);
        if (!*status)
            lane->position = change->sequence;
        if (lane->position - lane->saved >= SAVE_EVERY)
            ok = save(lane, err);
    }
    object_changes_close(changes);
    return ok;
}

/* All there is by now. */
static bool catch_up(struct lane *lane, struct error *err)
{
    struct object_change change;
    const char *status = NULL;
    do {
        if (!find_next(lane, &change, &status, err))
            return false;
        if (!status)
            break;
        /* What it has passed is saved first: one without a position begins at the end. */
        if (!save(lane, err) || !tell(lane, &change, status, err))
            return false;
        lane->position = change.sequence;
        if (!save(lane, err))
            return false;
    } while (!is_stopping(lane));
    return true;
}

static void *run(void *argument)
{
    struct lane *lane = argument;
    while (!is_stopping(lane)) {
        struct error err = { .code = ERROR_NONE };
        if (!catch_up(lane, &err)) {
            if (err.code == ERROR_STOPPED)
                break;
            log_error("hl7: status updates destination=%s why=\"%s\"", lane->follower, err.message);
            pause_for(lane, lane->notifier->retry_ms);
            continue;
        }
        if (!is_stopping(lane))
            object_changes_wait(lane->notifier->worklist, lane->position, WAIT_MS);
    }
    save(lane, NULL);
    return NULL;
}

/* Where a destination stands: at what was saved, else at the end of what there is. */
static bool find_position(struct lane *lane, struct error *err)
{
    struct worklist *worklist = lane->notifier->worklist;
    if (!object_changes_position(worklist, lane->follower, &lane->position, err))
        return false;
    lane->saved = lane->position;
    if (lane->position)
        return true;
    lane->position = object_changes_latest(worklist);
    return save(lane, err);
}

static bool open_lane(struct lane *lane, struct hl7_notifier *notifier,
                      const struct hl7_destination *destination, const char *title,
                      struct error *err)
{
    lane->notifier = notifier;
    lane->host = mem_copy_text(destination->host);
    lane->application = mem_copy_text(destination->application ? destination->application : "");
    lane->facility = mem_copy_text(destination->facility ? destination->facility : "");
    lane->certificate = destination->certificate && *destination->certificate
                            ? mem_copy_text(destination->certificate)
                            : NULL;
    lane->title = mem_copy_text(title ? title : "");
    snprintf(lane->follower, sizeof(lane->follower), "hl7:%s:%u", lane->host, destination->port);
    lane->sender_options = (struct hl7_sender_options){
        lane->host,        destination->port, destination->tls ? notifier->tls : NULL,
        lane->certificate, TIMEOUT_MS,        notifier->stop_fd
    };
    lane->sender = hl7_sender_new(&lane->sender_options);
    if (!find_position(lane, err))
        return false;
    int failure = pthread_create(&lane->thread, NULL, run, lane);
    lane->is_started = failure == 0;
    return !failure || error_set_errno(err, failure, "thread");
}

bool hl7_notifier_open(struct worklist *worklist, const struct hl7_options *options,
                       struct hl7_notifier **out, struct error *err)
{
    *out = NULL;
    if (!options->destination_count)
        return true;
    tzset(); /* before there are threads that ask for the zone */
    struct hl7_notifier *notifier = mem_alloc(sizeof(*notifier));
    bool needs_tls = false;
    bool ok = true;
    notifier->worklist = worklist;
    notifier->retry_ms = options->retry_ms ? options->retry_ms : DEFAULT_RETRY_MS;
    notifier->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    notifier->lanes = mem_alloc_array(options->destination_count, sizeof(*notifier->lanes));
    if (notifier->stop_fd < 0)
        ok = error_set_errno(err, errno, "eventfd");
    for (size_t i = 0; i < options->destination_count; i++)
        needs_tls |= options->destinations[i].tls;
    if (ok && needs_tls && !options->tls_files.ca)
        ok = error_set(err, ERROR_INVALID, "hl7.destinations: over TLS needs dimse.tlsCa");
    ok = ok && (!needs_tls || tls_credentials_load(&options->tls_files, &notifier->tls, err));
    for (size_t i = 0; ok && i < options->destination_count; i++) {
        notifier->count++;
        ok = open_lane(&notifier->lanes[i], notifier, &options->destinations[i], options->our_title,
                       err);
    }
    if (!ok) {
        hl7_notifier_close(notifier);
        notifier = NULL;
    }
    *out = notifier;
    return ok;
}

void hl7_notifier_close(struct hl7_notifier *notifier)
{
    uint64_t one = 1;
    if (!notifier)
        return;
    atomic_store(&notifier->is_stopping, true);
    if (notifier->stop_fd >= 0 && write(notifier->stop_fd, &one, sizeof(one)) < 0)
        log_error("hl7: stop: errno=%d", errno);
    object_changes_wake(notifier->worklist);
    for (size_t i = 0; i < notifier->count; i++) {
        struct lane *lane = &notifier->lanes[i];
        if (lane->is_started)
            pthread_join(lane->thread, NULL);
        hl7_sender_free(lane->sender);
        free(lane->host);
        free(lane->application);
        free(lane->facility);
        free(lane->certificate);
        free(lane->title);
    }
    if (notifier->stop_fd >= 0)
        close(notifier->stop_fd);
    tls_credentials_free(notifier->tls);
    free(notifier->lanes);
    free(notifier);
}
