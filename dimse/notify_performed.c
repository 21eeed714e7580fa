/* SPDX-License-Identifier: MIT */
/* The Modality Performed Procedure Step Notification as SCP (PS3.4 F.9). */
#include <stdio.h>

#include "base/log.h"
#include "base/metrics.h"
#include "dimse/notify_parts.h"
#include "dimse/status.h"
#include "worklist/performed.h"

enum { ATTEMPTS = 5 /* with one at which the peer hangs up */ };
enum { EVENT_IN_PROGRESS = 1, EVENT_COMPLETED, EVENT_DISCONTINUED, EVENT_UPDATED, EVENT_DELETED };

static uint16_t event_of(const struct object_change *change)
{
    if (change->action == OBJECT_DELETED || change->state == PERFORMED_GONE)
        return EVENT_DELETED;
    if (change->action == OBJECT_CREATED)
        return EVENT_IN_PROGRESS;
    if (change->state != change->state_before)
        return change->state == PERFORMED_COMPLETED ? EVENT_COMPLETED : EVENT_DISCONTINUED;
    return EVENT_UPDATED;
}

/* That a UID is free again, long after its step was deleted, is no event of a step. */
static bool is_event(const struct object_change *change)
{
    return change->kind == OBJECT_PERFORMED && change->action != OBJECT_TOLD &&
           change->state_before != PERFORMED_GONE;
}

static bool tell(struct notifier *notifier, const struct object_change *change, struct error *err)
{
    struct command command = { .field = N_EVENT_REPORT_RQ,
                               .sop_class = UID_MPPS_NOTIFICATION,
                               .type_id = event_of(change) };
    uint16_t status = STATUS_SUCCESS;
    bool reached;
    snprintf(command.sop_instance, sizeof(command.sop_instance), "%.64s", change->key);
    bool ok = notifier_send(notifier, &command, &reached, &status, err);
    /* One at which the peer always hangs up does not hold up what comes behind it. */
    if (!ok && (!reached || notifier_is_over(notifier) || ++notifier->attempts < ATTEMPTS))
        return false;
    notifier->attempts = 0;
    if (ok && (status == STATUS_SUCCESS || status_is_warning(status)))
        return true;
    metric_add(METRIC_PERFORMED_EVENTS_FAILED, 1);
    if (ok)
        log_warn("dimse: event refused called_ae=\"%s\" type=%u instance=%s status=%04X",
                 notifier->title, command.type_id, command.sop_instance, status);
    else
        log_warn("dimse: event left out called_ae=\"%s\" type=%u instance=%s why=\"%s\"",
                 notifier->title, command.type_id, command.sop_instance, err->message);
    return true;
}

static void save(struct notifier *notifier)
{
    struct error err;
    if (notifier->position == notifier->saved)
        return;
    if (follower_save(notifier->notify->archive, notifier->follower, notifier->position, &err))
        notifier->saved = notifier->position;
    else
        log_error("dimse: the position of notifications is not saved why=\"%s\"", err.message);
}

/* All that there is to tell. What is told after the position was saved is told again after a crash.
 */
static bool tell_all(struct notifier *notifier, struct error *err)
{
    struct object_changes *changes = NULL;
    struct object_change change;
    bool found = true;
    bool ok = object_changes_open(notifier->notify->worklist, notifier->position, &changes, err);
    while (ok && !notifier_is_over(notifier) &&
           (ok = object_changes_next(changes, &change, &found, err)) && found) {
        bool is_told = is_event(&change);
        ok = !is_told || tell(notifier, &change, err);
        if (ok)
            notifier->position = change.sequence;
        if (ok && is_told)
            save(notifier);
    }
    object_changes_close(changes);
    save(notifier);
    return ok;
}

void *notify_performed(void *context)
{
    struct notifier *notifier = context;
    struct worklist *worklist = notifier->notify->worklist;
    while (!notifier_is_over(notifier) && notifier_is_wanted(notifier)) {
        struct error err = { .code = ERROR_NONE };
        if (!tell_all(notifier, &err)) {
            notifier_back_off(notifier, &err);
            continue;
        }
        notifier->failures = 0;
        if (!object_changes_wait(worklist, notifier->position, NOTIFY_LOOK_MS))
            notifier_hang_up(notifier);
    }
    notifier_hang_up(notifier);
    atomic_store(&notifier->ended, true);
    return NULL;
}
