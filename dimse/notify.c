/* SPDX-License-Identifier: MIT */
#include "dimse/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "dimse/notify_parts.h"
#include "dimse/peers.h"

enum { CONTEXT_ID = 1 };

static void nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 20 * 1000 * 1000 }, NULL);
}

static bool is_named(const struct dimse_options *options, const char *title)
{
    for (const char *const *to = options->performed_to; to && *to; to++)
        if (strcmp(*to, title) == 0)
            return true;
    return false;
}

bool notifier_is_wanted(const struct notifier *notifier)
{
    const struct configuration *configuration = configuration_current(notifier->notify->place);
    bool wanted = is_named(&configuration->options, notifier->title);
    configuration_release(configuration);
    return wanted;
}

void notifier_hang_up(struct notifier *notifier)
{
    client_close(notifier->association);
    notifier->association = NULL;
}

static bool call(struct notifier *notifier, struct error *err)
{
    const struct proposal proposal = {
        .abstract_syntax = UID_MPPS_NOTIFICATION,
        .transfer_syntaxes = { UID_EXPLICIT_LITTLE_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN },
        .roles = ROLE_SCP, /* that the receiver of events has not (PS3.4 F.9.2) */
    };
    if (notifier->association && !association_has_ended(notifier->association) &&
        !association_has_input(notifier->association, 0))
        return true;
    notifier_hang_up(notifier);
    const struct configuration *configuration = configuration_current(notifier->notify->place);
    const struct dimse_options *options = &configuration->options;
    const struct peer *peer = peers_find(options, notifier->title);
    bool ok = peer && peer->host && peer->port;
    if (ok) {
        struct client_options client = client_options_of_peer(options, peer,
                                                              notifier->notify->kill_fd);
        ok = client_open(&client, &proposal, 1, &notifier->association, err);
    } else {
        error_set(err, ERROR_NOT_FOUND, "no peer with host and port has this AE title");
    }
    configuration_release(configuration);
    return ok;
}

bool notifier_send(struct notifier *notifier, const struct command *command, bool *reached,
                   uint16_t *status, struct error *err)
{
    struct command request = *command;
    struct buffer bytes = buffer_up_to(COMMAND_LIMIT);
    struct message answer;
    *reached = call(notifier, err);
    if (!*reached)
        return false;
    request.message_id = ++notifier->message_id;
    command_encode_normalized(&request, &bytes);
    /* The only context, which was accepted. */
    bool ok = message_send(notifier->association, CONTEXT_ID, buffer_slice(&bytes), NULL, err) &&
              client_answer(notifier->association, request.field, request.message_id, &answer,
                            err) &&
              message_drain(&answer, err);
    if (ok)
        *status = answer.command.status;
    else
        notifier_hang_up(notifier);
    buffer_release(&bytes);
    return ok;
}

void notifier_back_off(struct notifier *notifier, const struct error *why)
{
    const struct configuration *configuration = configuration_current(notifier->notify->place);
    int64_t pause_ms = client_pause_ms(&configuration->options, notifier->failures);
    configuration_release(configuration);
    if (notifier_is_over(notifier))
        return;
    notifier->failures++;
    log_warn("dimse: not notified of performed steps called_ae=\"%s\" attempts=%u why=\"%s\"",
             notifier->title, notifier->failures, why->message);
    int64_t until_ms = clock_monotonic_ms() + pause_ms;
    while (!notifier_is_over(notifier) && clock_monotonic_ms() < until_ms)
        nap();
}

static void free_notifier(struct notifier *notifier)
{
    pthread_join(notifier->thread, NULL);
    notifier_hang_up(notifier);
    free(notifier);
}

static void reap(struct notify *notify)
{
    for (struct notifier **link = &notify->notifiers; *link;) {
        struct notifier *notifier = *link;
        if (!atomic_load(&notifier->ended)) {
            link = &notifier->next;
            continue;
        }
        *link = notifier->next;
        free_notifier(notifier);
    }
}

/* Whoever is new hears of what is new. */
static bool begin(struct notifier *notifier, struct error *err)
{
    struct archive *archive = notifier->notify->archive;
    struct buffer begun = buffer_up_to(8);
    bool found = false;
    bool ok = follower_position(archive, notifier->follower, &notifier->position, err) &&
              follower_get(archive, notifier->follower, "begun", &begun, &found, err);
    buffer_release(&begun);
    notifier->saved = notifier->position;
    if (!ok || found)
        return ok;
    notifier->position = notifier->saved = object_changes_latest(notifier->notify->worklist);
    return follower_save(archive, notifier->follower, notifier->position, err) &&
           follower_put(archive, notifier->follower, "begun", slice_text("1"), err);
}

static bool start(struct notify *notify, const char *title, struct error *err)
{
    for (struct notifier *one = notify->notifiers; one; one = one->next)
        if (strcmp(one->title, title) == 0)
            return true;
    struct notifier *notifier = mem_alloc(sizeof(*notifier));
    notifier->notify = notify;
    snprintf(notifier->title, sizeof(notifier->title), "%s", title);
    snprintf(notifier->follower, sizeof(notifier->follower), "performed.%s", title);
    bool ok = begin(notifier, err);
    int failure = ok ? pthread_create(&notifier->thread, NULL, notify_performed, notifier) : 0;
    if (!ok || failure) {
        free(notifier);
        return ok ? error_set_errno(err, failure, "thread") : false;
    }
    notifier->next = notify->notifiers;
    notify->notifiers = notifier;
    return true;
}

static bool start_all(struct notify *notify, struct error *err)
{
    const struct configuration *configuration = configuration_current(notify->place);
    bool ok = true;
    for (const char *const *to = configuration->options.performed_to; ok && to && *to; to++)
        ok = start(notify, *to, err);
    configuration_release(configuration);
    return ok;
}

/* The table of peers may be another one after a reload. */
static void *run(void *context)
{
    struct notify *notify = context;
    bool failed = false;
    while (!atomic_load(&notify->stopping)) {
        struct error err = { .code = ERROR_NONE };
        reap(notify);
        bool ok = start_all(notify, &err);
        if (!ok && !failed)
            log_error("dimse: peers are not notified why=\"%s\"", err.message);
        failed = !ok;
        for (int i = 0; i < 25 && !atomic_load(&notify->stopping); i++)
            nap();
    }
    return NULL;
}

bool notify_open(struct archive *archive, struct worklist *worklist,
                 struct configuration_place *place, struct notify **out, struct error *err)
{
    struct notify *notify = mem_alloc(sizeof(*notify));
    notify->archive = archive;
    notify->worklist = worklist;
    notify->place = place;
    notify->kill_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Before the first instance can come in. */
    bool ok = (notify->kill_fd >= 0 || error_set(err, ERROR_IO, "eventfd")) &&
              start_all(notify, err);
    int failure = ok ? pthread_create(&notify->thread, NULL, run, notify) : 0;
    if (failure)
        ok = error_set_errno(err, failure, "thread");
    notify->has_thread = ok;
    *out = notify;
    if (!ok) {
        notify_close(notify);
        *out = NULL;
    }
    return ok;
}

void notify_close(struct notify *notify)
{
    uint64_t one = 1;
    if (!notify)
        return;
    atomic_store(&notify->stopping, true);
    if (notify->kill_fd >= 0 && write(notify->kill_fd, &one, sizeof(one)) < 0)
        log_error("dimse: notifications: eventfd");
    changes_wake(notify->archive);
    if (notify->has_thread)
        pthread_join(notify->thread, NULL);
    while (notify->notifiers) {
        struct notifier *notifier = notify->notifiers;
        notify->notifiers = notifier->next;
        free_notifier(notifier);
    }
    if (notify->kill_fd >= 0)
        close(notify->kill_fd);
    free(notify);
}
