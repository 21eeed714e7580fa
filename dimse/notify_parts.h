/* SPDX-License-Identifier: MIT */
#pragma once
/* Between the files of notify.c: one peer that is told, on a thread of its own. */

#include <pthread.h>
#include <stdatomic.h>

#include "archive/changes.h"
#include "dimse/client.h"
#include "dimse/notify.h"
#include "worklist/changes.h"

enum { NOTIFY_LOOK_MS = 300 };

struct notifier {
    struct notifier *next;
    struct notify *notify;
    char title[AE_TITLE_SIZE];
    char follower[AE_TITLE_SIZE + 16]; /* name of its position */
    pthread_t thread;
    struct association *association;
    uint16_t message_id;
    uint64_t position;
    uint64_t saved;    /* position */
    unsigned failures; /* in a row */
    unsigned attempts; /* with the notification at hand */
    atomic_bool ended;
};

struct notify {
    struct archive *archive;
    struct worklist *worklist;
    struct configuration_place *place;
    pthread_t thread;
    bool has_thread;
    int kill_fd; /* never read: once written, readable for all waits */
    atomic_bool stopping;
    struct notifier *notifiers; /* of the managing thread until it has ended */
};

static inline bool notifier_is_over(const struct notifier *notifier)
{
    return atomic_load(&notifier->notify->stopping);
}

/* Is the peer still to be told of this? */
bool notifier_is_wanted(const struct notifier *notifier);
/* One request without a data set over the association, which is opened when there is none, and its
 * answer's status. *reached: what failed did so over an association that stood. */
struct command;
bool notifier_send(struct notifier *notifier, const struct command *command, bool *reached,
                   uint16_t *status, struct error *err);
void notifier_hang_up(struct notifier *notifier);
/* After a failure: a pause that grows, and a line in the log. */
void notifier_back_off(struct notifier *notifier, const struct error *why);

/* The thread. */
void *notify_performed(void *notifier); /* notify_performed.c */
