/* SPDX-License-Identifier: MIT */
#include "dimse/ups_deliver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "dicom/encode.h"
#include "dimse/client.h"
#include "dimse/peers.h"
#include "dimse/status.h"
#include "worklist/changes.h"
#include "worklist/events.h"

enum {
    SUBSCRIBERS_MAX = 256,
    LOOK_MS = 500, /* between two looks for new subscribers, and for events when nothing wakes us */
    IDLE_LOOKS = 10, /* after so many without an event the association ends */
    ATTEMPTS = 5,    /* with an event over which the subscriber hangs up, or that cannot be read */
    CONTEXT_ID = 1,
};

struct receiver {
    struct receiver *next;
    struct ups_delivery *delivery;
    pthread_t thread;
    char subscriber[SUBSCRIBER_SIZE];
    struct event_follower *follower;
    struct association *association;
    uint16_t message_id;
    unsigned idle; /* looks in a row that found nothing */
    unsigned pauses;
    unsigned attempts; /* with the event at hand */
    atomic_bool ended;
};

struct ups_delivery {
    struct worklist *worklist;
    struct configuration_place *place;
    pthread_t thread;
    bool has_thread;
    int kill_fd; /* never read: once written, readable for all waits */
    atomic_bool stopping;
    atomic_bool draining;       /* who has nothing more to tell ends */
    struct receiver *receivers; /* of the managing thread until it has ended */
};

static const char *title_of(const struct receiver *receiver)
{
    return receiver->subscriber + 2; /* behind the door and the backslash */
}

/* --- one event over one association -------------------------------------------------------- */

static void hang_up(struct receiver *receiver)
{
    client_close(receiver->association);
    receiver->association = NULL;
}

/* In the role that the subscriber has not (PS3.4 CC.2.4.3). */
static bool call(struct receiver *receiver, const struct dimse_options *options, struct error *err)
{
    const struct peer *peer = peers_find(options, title_of(receiver));
    const struct proposal proposal = {
        .abstract_syntax = UID_UPS_EVENT,
        .transfer_syntaxes = { UID_EXPLICIT_LITTLE_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN },
        .roles = ROLE_SCP,
    };
    if (receiver->association && !association_has_ended(receiver->association) &&
        !association_has_input(receiver->association, 0))
        return true;
    hang_up(receiver);
    if (!peer || !peer->host || !peer->port)
        return error_set(err, ERROR_NOT_FOUND, "no peer with host and port has this AE title");
    struct client_options client = client_options_of_peer(options, peer,
                                                          receiver->delivery->kill_fd);
    return client_open(&client, &proposal, 1, &receiver->association, err);
}

static bool encode_information(const struct workitem_heard *heard, bool explicit_vr,
                               struct buffer *out, struct error *err)
{
    struct dataset *dataset = NULL;
    struct encoder encoder = { out, explicit_vr };
    struct walk walk;
    struct element element;
    bool ok = dataset_open(buffer_slice(&heard->bytes),
                           transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                           &dataset, err);
    if (!ok)
        return false;
    walk = dataset_walk(dataset);
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (event == WALK_ELEMENT)
            encode_element(&encoder, dataset, &element);
        else
            encode_structure(&encoder, event, element.tag);
    }
    dataset_close(dataset);
    return buffer_check(out, "event information", err);
}

static bool send_event(struct receiver *receiver, const struct workitem_heard *heard,
                       uint16_t *status, struct error *err)
{
    const struct presentation_context *context = association_context(receiver->association,
                                                                     CONTEXT_ID);
    struct command command = { .field = N_EVENT_REPORT_RQ,
                               .message_id = ++receiver->message_id,
                               .has_data_set = true,
                               .sop_class = UID_UPS_PUSH,
                               .type_id = heard->type };
    struct buffer bytes = buffer_up_to(COMMAND_LIMIT);
    struct buffer data = buffer_up_to(2 * OBJECT_DATASET_LIMIT);
    struct message answer;
    bool ok = false;
    memcpy(command.sop_instance, heard->uid, UID_SIZE);
    if (!context) {
        error_set(err, ERROR_UNSUPPORTED, "the subscriber takes no events");
        goto out;
    }
    command_encode_normalized(&command, &bytes);
    ok = encode_information(heard, context->syntax->explicit_vr, &data, err);
    struct slice content = buffer_slice(&data);
    ok = ok &&
         message_send(receiver->association, context->id, buffer_slice(&bytes), &content, err) &&
         client_answer(receiver->association, N_EVENT_REPORT_RQ, command.message_id, &answer,
                       err) &&
         message_drain(&answer, err);
    if (ok)
        *status = answer.command.status;
out:
    buffer_release(&bytes);
    buffer_release(&data);
    return ok;
}

/* --- one subscriber ------------------------------------------------------------------------ */

static void nap(void)
{
    static const struct timespec moment = { 0, 20 * 1000 * 1000 };
    nanosleep(&moment, NULL);
}

static bool is_over(const struct receiver *receiver)
{
    return atomic_load(&receiver->delivery->stopping);
}

static void pause_for(struct receiver *receiver, int64_t ms)
{
    int64_t until_ms = clock_monotonic_ms() + ms;
    while (!is_over(receiver) && !atomic_load(&receiver->delivery->draining) &&
           clock_monotonic_ms() < until_ms)
        nap();
}

/* A refusal is an answer: the subscriber has heard of it. */
static bool conclude(struct receiver *receiver, const struct workitem_heard *heard, uint16_t status,
                     struct error *err)
{
    if (status == STATUS_SUCCESS || status_is_warning(status))
        return event_follower_take(receiver->follower, err);
    log_warn("dimse: event refused subscriber=\"%s\" type=%u instance=%s status=%04X",
             title_of(receiver), heard->type, heard->uid, status);
    return event_follower_pass(receiver->follower, err);
}

/* Tells one event, if there is one. False: it could not be told; *about_it when that is not because
 * the subscriber cannot be reached. */
static bool tell_one(struct receiver *receiver, const struct dimse_options *options,
                     struct workitem_heard *heard, bool *found, bool *about_it, struct error *err)
{
    uint16_t status;
    if (!event_follower_next(receiver->follower, heard, found, err)) {
        *about_it = err->code == ERROR_CORRUPT;
        return false;
    }
    if (!*found)
        return true;
    if (!call(receiver, options, err))
        return false;
    *about_it = true;
    return send_event(receiver, heard, &status, err) && conclude(receiver, heard, status, err);
}

/* The same event comes again, a few times. False: all is to end. */
static bool put_off(struct receiver *receiver, const struct dimse_options *options, bool about_it,
                    const struct error *why)
{
    struct error err;
    hang_up(receiver);
    if (is_over(receiver) || atomic_load(&receiver->delivery->draining))
        return false;
    receiver->attempts += about_it;
    bool for_good = receiver->attempts >= ATTEMPTS;
    log_warn("dimse: event not delivered subscriber=\"%s\" attempts=%u left_out=%d why=\"%s\"",
             title_of(receiver), receiver->pauses + 1, for_good, why->message);
    if (for_good && event_follower_pass(receiver->follower, &err)) {
        receiver->attempts = 0;
        return true;
    }
    pause_for(receiver, client_pause_ms(options, receiver->pauses++));
    return true;
}

static bool is_subscribed(struct receiver *receiver)
{
    struct error err;
    bool exists = true;
    return !subscriber_exists(receiver->delivery->worklist, receiver->subscriber, &exists, &err) ||
           exists;
}

/* False: it is done. */
static bool run_once(struct receiver *receiver, struct workitem_heard *heard)
{
    const struct configuration *configuration = configuration_current(receiver->delivery->place);
    const struct dimse_options *options = &configuration->options;
    struct error err = { .code = ERROR_NONE };
    bool found = false;
    bool about_it = false;
    bool goes_on = true;
    if (!tell_one(receiver, options, heard, &found, &about_it, &err)) {
        goes_on = put_off(receiver, options, about_it, &err);
    } else if (found) {
        receiver->pauses = 0;
        receiver->attempts = 0;
        receiver->idle = 0;
    } else if (atomic_load(&receiver->delivery->draining) ||
               (++receiver->idle > IDLE_LOOKS && !is_subscribed(receiver))) {
        goes_on = false;
    } else {
        if (receiver->idle > IDLE_LOOKS)
            hang_up(receiver);
        event_follower_wait(receiver->follower, LOOK_MS);
    }
    configuration_release(configuration);
    return goes_on;
}

static void *run_receiver(void *context)
{
    struct receiver *receiver = context;
    struct workitem_heard heard = { .bytes = buffer_up_to(0) };
    while (!is_over(receiver) && run_once(receiver, &heard))
        ;
    hang_up(receiver);
    workitem_heard_release(&heard);
    atomic_store(&receiver->ended, true);
    return NULL;
}

/* --- all of them --------------------------------------------------------------------------- */

static void free_receiver(struct receiver *receiver)
{
    pthread_join(receiver->thread, NULL);
    event_follower_close(receiver->follower);
    free(receiver);
}

static void reap(struct ups_delivery *delivery)
{
    for (struct receiver **link = &delivery->receivers; *link;) {
        struct receiver *receiver = *link;
        if (!atomic_load(&receiver->ended)) {
            link = &receiver->next;
            continue;
        }
        *link = receiver->next;
        free_receiver(receiver);
    }
}

static bool start(struct ups_delivery *delivery, const char *subscriber, struct error *err)
{
    size_t count = 0;
    for (struct receiver *one = delivery->receivers; one; one = one->next, count++)
        if (strcmp(one->subscriber, subscriber) == 0)
            return true;
    if (count == SUBSCRIBERS_MAX)
        return error_set(err, ERROR_LIMIT, "there are too many subscribers");
    struct receiver *receiver = mem_alloc(sizeof(*receiver));
    receiver->delivery = delivery;
    snprintf(receiver->subscriber, sizeof(receiver->subscriber), "%s", subscriber);
    bool ok = event_follower_open(delivery->worklist, subscriber, &receiver->follower, err);
    int failure = ok ? pthread_create(&receiver->thread, NULL, run_receiver, receiver) : 0;
    if (!ok || failure) {
        event_follower_close(receiver->follower);
        free(receiver);
        return ok ? error_set_errno(err, failure, "thread") : false;
    }
    receiver->next = delivery->receivers;
    delivery->receivers = receiver;
    return true;
}

static void *run(void *context)
{
    struct ups_delivery *delivery = context;
    bool failed = false; /* told once */
    while (!atomic_load(&delivery->draining)) {
        char subscriber[SUBSCRIBER_SIZE] = "";
        struct error err = { .code = ERROR_NONE };
        bool found = true;
        reap(delivery);
        while (found) {
            char next[SUBSCRIBER_SIZE] = "";
            bool exists = false;
            found = subscriber_next(delivery->worklist, SUBSCRIBER_DIMSE, subscriber, next, &found,
                                    &err) &&
                    found;
            /* One that cannot be told holds up none behind it. */
            if (found && subscriber_exists(delivery->worklist, next, &exists, &err) && exists)
                start(delivery, next, &err);
            memcpy(subscriber, next, sizeof(subscriber));
        }
        if (err.code != ERROR_NONE && !failed)
            log_error("dimse: events are not delivered why=\"%s\"", err.message);
        failed = err.code != ERROR_NONE;
        object_changes_wait(delivery->worklist, object_changes_latest(delivery->worklist), LOOK_MS);
        nap(); /* changes may come by the thousand */
    }
    return NULL;
}

bool ups_delivery_open(struct worklist *worklist, struct configuration_place *place,
                       struct ups_delivery **out, struct error *err)
{
    struct ups_delivery *delivery = mem_alloc(sizeof(*delivery));
    delivery->worklist = worklist;
    delivery->place = place;
    delivery->kill_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool ok = delivery->kill_fd >= 0 || error_set(err, ERROR_IO, "eventfd");
    int failure = ok ? pthread_create(&delivery->thread, NULL, run, delivery) : 0;
    if (failure)
        ok = error_set_errno(err, failure, "thread");
    delivery->has_thread = ok;
    *out = delivery;
    if (!ok) {
        ups_delivery_close(delivery, 0);
        *out = NULL;
    }
    return ok;
}

/* Behind the end of the managing thread. */
static bool is_drained(const struct ups_delivery *delivery)
{
    for (const struct receiver *one = delivery->receivers; one; one = one->next)
        if (!atomic_load(&one->ended))
            return false;
    return true;
}

void ups_delivery_close(struct ups_delivery *delivery, int64_t grace_ms)
{
    uint64_t one = 1;
    if (!delivery)
        return;
    int64_t until_ms = clock_monotonic_ms() + grace_ms;
    atomic_store(&delivery->draining, true);
    object_changes_wake(delivery->worklist);
    if (delivery->has_thread)
        pthread_join(delivery->thread, NULL);
    while (clock_monotonic_ms() < until_ms && !is_drained(delivery))
        nap();
    atomic_store(&delivery->stopping, true);
    if (delivery->kill_fd >= 0 && write(delivery->kill_fd, &one, sizeof(one)) < 0)
        log_error("dimse: events: eventfd");
    object_changes_wake(delivery->worklist);
    while (delivery->receivers) {
        struct receiver *receiver = delivery->receivers;
        delivery->receivers = receiver->next;
        free_receiver(receiver);
    }
    if (delivery->kill_fd >= 0)
        close(delivery->kill_fd);
    free(delivery);
}
