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
#include "dicom/tag.h"
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
    /* One message without an answer, before the next one is tried: with the pauses between, a
     * quarter of an hour. */
    STUCK_TRIES = 8,
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
    uint64_t heard; /* a change that was told before its turn; 0: none */
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

static bool save(struct lane *lane, struct error *err)
{
    if (lane->saved == lane->position)
        return true;
    if (!object_changes_save(lane->notifier->worklist, lane->follower, lane->position, err))
        return false;
    lane->saved = lane->position;
    return true;
}

/* The next change behind a position that others hear of; *status NULL: there is none by now. What
 * is passed over moves the position. Nothing is held open while a destination is waited for. */
static bool find_next(struct lane *lane, uint64_t *position, struct object_change *change,
                      const char **status, struct error *err)
{
    struct object_changes *changes = NULL;
    bool found = true;
    *status = NULL;
    bool ok = object_changes_open(lane->notifier->worklist, *position, &changes, err);
    while (ok && !*status && !is_stopping(lane) &&
           (ok = object_changes_next(changes, change, &found, err)) && found) {
        *status = status_of(change);
        if (!*status)
            *position = change->sequence;
        if (lane->position - lane->saved >= SAVE_EVERY)
            ok = save(lane, err);
    }
    object_changes_close(changes);
    return ok;
}

/* What others are told of one change. */
struct update {
    struct object_change change;
    char control_id[24];
    char study_uid[UID_SIZE];
    struct buffer message;
};

static void update_release(struct update *update)
{
    buffer_release(&update->message);
}

/* *is_there false: the step is gone. What stands in it now may be newer than the change. */
static bool compose(struct lane *lane, const struct object_change *change, const char *status,
                    struct update *update, bool *is_there, struct error *err)
{
    struct object step = object_init();
    struct dataset *dataset = NULL;
    *update = (struct update){ .change = *change, .message = buffer_up_to(MESSAGE_LIMIT) };
    snprintf(update->control_id, sizeof(update->control_id), "U%llu",
             (unsigned long long)change->sequence);
    bool ok = object_get(lane->notifier->worklist, OBJECT_STEP, change->key, &step, is_there,
                         err) &&
              (!*is_there || object_dataset(&step, &dataset, err));
    if (ok && *is_there) {
        const struct hl7_update written = { dataset,       status,      update->control_id,
                                            change->at_ms, lane->title, lane->application,
                                            lane->facility };
        dataset_uid(dataset, TAG_STUDY_INSTANCE_UID, update->study_uid);
        hl7_update_write(&written, &update->message);
        ok = buffer_check(&update->message, "a status update", err);
    }
    dataset_close(dataset);
    object_release(&step);
    return ok;
}

enum delivery {
    DELIVERY_HEARD, /* answered, whatever it says */
    DELIVERY_UNREACHED,
    DELIVERY_UNANSWERED, /* handed over, and then nothing */
    DELIVERY_STOPPED,
};

static enum delivery deliver_once(struct lane *lane, const struct update *update, unsigned pause_ms)
{
    struct error err = { .code = ERROR_NONE };
    enum hl7_answer answer;
    bool is_out;
    if (hl7_sender_send(lane->sender, buffer_slice(&update->message),
                        slice_text(update->control_id), &is_out, &answer, &err)) {
        bool is_accepted = answer == HL7_APPLICATION_ACCEPT || answer == HL7_COMMIT_ACCEPT;
        metric_add(is_accepted ? METRIC_HL7_UPDATES_SENT : METRIC_HL7_UPDATES_REFUSED, 1);
        if (!is_accepted)
            log_warn("hl7: status update refused destination=%s control_id=%s answer=%s",
                     lane->follower, update->control_id, hl7_answer_name(answer));
        return DELIVERY_HEARD;
    }
    if (err.code == ERROR_STOPPED)
        return DELIVERY_STOPPED;
    log_warn("hl7: status update not sent destination=%s control_id=%s again_ms=%u why=\"%s\"",
             lane->follower, update->control_id, pause_ms, err.message);
    return is_out ? DELIVERY_UNANSWERED : DELIVERY_UNREACHED;
}

/* Tells the next change before its turn, to know whether it is this one that gets no answer, or
 * none does. *replaces: it is of the same step, which is not to be told of what it was before. */
static bool is_next_heard(struct lane *lane, const struct update *update, bool *replaces)
{
    uint64_t position = update->change.sequence;
    struct object_change change;
    const char *status;
    bool is_heard = false, is_there = false;
    while (!is_there && !is_stopping(lane) && find_next(lane, &position, &change, &status, NULL) &&
           status) {
        struct update next;
        position = change.sequence;
        if (compose(lane, &change, status, &next, &is_there, NULL) && is_there)
            is_heard = deliver_once(lane, &next, 0) == DELIVERY_HEARD;
        else
            is_there = false;
        update_release(&next);
    }
    *replaces = is_heard && !strcmp(change.key, update->change.key);
    if (is_heard)
        lane->heard = change.sequence;
    return is_heard;
}

static void park(const struct lane *lane, const struct update *update, unsigned tries)
{
    log_error("hl7: status update parked destination=%s control_id=%s study=%s tries=%u "
              "why=\"never answered, and the next one was\"",
              lane->follower, update->control_id, update->study_uid, tries);
    metric_add(METRIC_HL7_UPDATES_PARKED, 1);
}

/* Again and again until it was heard, or is the only one that is not. False: the server stops. */
static bool deliver(struct lane *lane, const struct update *update)
{
    unsigned pause_ms = lane->notifier->retry_ms;
    unsigned unanswered = 0;
    while (!is_stopping(lane)) {
        bool replaces = false;
        bool is_last = unanswered >= STUCK_TRIES && is_next_heard(lane, update, &replaces);
        enum delivery delivery = replaces ? DELIVERY_UNANSWERED
                                          : deliver_once(lane, update, pause_ms);
        if (delivery == DELIVERY_HEARD || delivery == DELIVERY_STOPPED)
            return delivery == DELIVERY_HEARD;
        unanswered += delivery == DELIVERY_UNANSWERED;
        if (is_last && delivery == DELIVERY_UNANSWERED) {
            park(lane, update, unanswered);
            return true;
        }
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

/* One change that others hear of. */
static bool tell(struct lane *lane, const struct object_change *change, const char *status,
                 struct error *err)
{
    struct update update;
    bool is_there;
    if (change->sequence == lane->heard)
        return true;
    bool ok = compose(lane, change, status, &update, &is_there, err);
    if (!ok && is_of_the_step(err)) {
        log_error("hl7: status update left out destination=%s change=%llu why=\"%s\"",
                  lane->follower, (unsigned long long)change->sequence, err->message);
        metric_add(METRIC_HL7_UPDATES_REFUSED, 1);
        ok = true;
    } else if (ok && is_there) {
        ok = deliver(lane, &update) || error_set(err, ERROR_STOPPED, "the server stops");
    }
    update_release(&update);
    return ok;
}

/* All there is by now. */
static bool catch_up(struct lane *lane, struct error *err)
{
    struct object_change change;
    const char *status = NULL;
    do {
        if (!find_next(lane, &lane->position, &change, &status, err))
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
