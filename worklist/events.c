/* SPDX-License-Identifier: MIT */
#include "worklist/events.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "worklist/changes.h"

enum {
    FOLLOWER_NAME = 8 + SUBSCRIBER_SIZE,
    /* Entries that are none for us, after which the position is saved, so that they are not read
     * again. */
    SAVE_EVERY = 1024,
};

struct event_follower {
    struct worklist *worklist;
    char subscriber[SUBSCRIBER_SIZE];
    char name[FOLLOWER_NAME];
    uint64_t position; /* heard up to here */
    uint64_t saved;
    uint64_t seen; /* looked at up to here */
};

static void name_of(const char *subscriber, char name[FOLLOWER_NAME])
{
    snprintf(name, FOLLOWER_NAME, "ups.%s", subscriber);
}

void workitem_heard_release(struct workitem_heard *heard)
{
    buffer_release(&heard->bytes);
}

void events_begin(struct turn *turn, const char *subscriber)
{
    char name[FOLLOWER_NAME];
    name_of(subscriber, name);
    object_changes_put(turn, name, object_changes_latest(turn_worklist(turn)));
}

void events_end(struct turn *turn, const char *subscriber)
{
    char name[FOLLOWER_NAME];
    name_of(subscriber, name);
    object_changes_forget(turn, name);
}

bool event_follower_open(struct worklist *worklist, const char *subscriber,
                         struct event_follower **out, struct error *err)
{
    bool exists = false;
    struct event_follower *follower = mem_alloc(sizeof(*follower));
    follower->worklist = worklist;
    snprintf(follower->subscriber, sizeof(follower->subscriber), "%s", subscriber);
    name_of(subscriber, follower->name);
    if (!object_changes_position(worklist, follower->name, &follower->position, err) ||
        !subscriber_exists(worklist, subscriber, &exists, err)) {
        free(follower);
        return false;
    }
    /* Nothing that has been is for who has not subscribed yet. */
    if (!exists)
        follower->position = object_changes_latest(worklist);
    follower->saved = follower->seen = follower->position;
    *out = follower;
    return true;
}

void event_follower_close(struct event_follower *follower)
{
    free(follower);
}

/* Is the subscriber one of those that it is for? */
static bool is_meant(struct event_follower *follower, const struct notice *notice,
                     uint64_t sequence, bool *meant, struct error *err)
{
    struct object item = object_init();
    struct dataset *dataset = NULL;
    bool found = false;
    bool locked = false;
    uint64_t since = UINT64_MAX;
    *meant = false;
    bool ok = true;
    if (notice->to[0]) {
        *meant = strcmp(notice->to, follower->subscriber) == 0;
    } else if (notice->type == WORKITEM_EVENT_SCP_STATUS) {
        ok = subscriber_exists(follower->worklist, follower->subscriber, meant, err);
    } else {
        ok = object_get(follower->worklist, OBJECT_WORKITEM, notice->uid, &item, &found, err);
        if (ok && found && item.dataset.size)
            ok = object_dataset(&item, &dataset, err) &&
                 subscription_covers(follower->worklist, follower->subscriber, &item, dataset,
                                     meant, &since, &locked, err);
        *meant = *meant && since < sequence;
    }
    dataset_close(dataset);
    object_release(&item);
    return ok;
}

/* Reads the notice of an entry of the feed; *found false when it is none, gone, or for others. */
static bool hear(struct event_follower *follower, const struct object_change *change,
                 struct workitem_heard *heard, bool *found, struct error *err)
{
    struct object object = object_init();
    struct notice notice = { .type = 0 };
    *found = false;
    bool ok = true;
    if (change->kind != OBJECT_NOTICE || change->action != OBJECT_CREATED)
        goto out;
    ok = object_get(follower->worklist, OBJECT_NOTICE, change->key, &object, found, err);
    if (!ok || !*found)
        goto out;
    ok = notice_read(&object, &notice, err) &&
         is_meant(follower, &notice, change->sequence, found, err);
    if (!ok || !*found)
        goto out;
    heard->type = notice.type;
    memcpy(heard->uid, notice.uid, sizeof(heard->uid));
    buffer_release(&heard->bytes);
    heard->bytes = object.dataset;
    object.dataset = buffer_up_to(0);
out:
    object_release(&object);
    return ok;
}

/* What is known of it may be damaged: then it is known. */
static bool is_known(struct turn *turn, const char *subscriber, bool *known, struct error *err)
{
    struct object object = object_init();
    bool ok = turn_get(turn, OBJECT_SUBSCRIPTION, subscriber, &object, known, err);
    if (!ok && err->code == ERROR_CORRUPT)
        ok = *known = true;
    object_release(&object);
    return ok;
}

/* Who was forgotten meanwhile has no position, and one that began anew has one further on. */
static bool save(struct event_follower *follower, struct error *err)
{
    struct turn *turn = NULL;
    uint64_t there = 0;
    bool known = false;
    if (follower->position == follower->saved)
        return true;
    bool ok = turn_open(follower->worklist, &turn, err) &&
              is_known(turn, follower->subscriber, &known, err) &&
              object_changes_position(follower->worklist, follower->name, &there, err);
    if (ok && known && there < follower->position) {
        object_changes_put(turn, follower->name, follower->position);
        ok = turn_commit(turn, err);
    }
    turn_close(turn);
    if (ok)
        follower->saved = follower->position;
    return ok;
}

bool event_follower_next(struct event_follower *follower, struct workitem_heard *heard, bool *found,
                         struct error *err)
{
    struct object_changes *changes = NULL;
    struct object_change change;
    bool more = true;
    *found = false;
    bool ok = object_changes_open(follower->worklist, follower->position, &changes, err);
    while (ok && !*found) {
        ok = object_changes_next(changes, &change, &more, err);
        if (!ok || !more)
            break;
        ok = hear(follower, &change, heard, found, err);
        follower->seen = change.sequence;
        if (ok && !*found)
            follower->position = change.sequence;
        if (ok && follower->position - follower->saved > SAVE_EVERY)
            ok = save(follower, err);
    }
    object_changes_close(changes);
    return ok;
}

bool event_follower_take(struct event_follower *follower, struct error *err)
{
    follower->position = follower->seen;
    metric_add(METRIC_WORKITEM_EVENTS, 1);
    return save(follower, err);
}

bool event_follower_pass(struct event_follower *follower, struct error *err)
{
    follower->position = follower->seen;
    metric_add(METRIC_WORKITEM_EVENTS_FAILED, 1);
    return save(follower, err);
}

void event_follower_wait(struct event_follower *follower, int64_t timeout_ms)
{
    object_changes_wait(follower->worklist, follower->position, timeout_ms);
}

bool events_announce(struct worklist *worklist, const char *status, struct error *err)
{
    struct turn *turn = NULL;
    bool wanted = false;
    bool ok = notices_are_wanted(worklist, &wanted, err);
    if (ok && wanted)
        ok = turn_open(worklist, &turn, err) && notice_write_status(turn, status, err) &&
             turn_commit(turn, err);
    turn_close(turn);
    return ok;
}

/* The least position of all subscribers of a door. */
static bool lower(struct worklist *worklist, enum subscriber_door door, uint64_t *least,
                  struct error *err)
{
    char subscriber[SUBSCRIBER_SIZE] = "";
    char next[SUBSCRIBER_SIZE] = "";
    char name[FOLLOWER_NAME];
    bool found = true;
    for (;;) {
        uint64_t position = 0;
        if (!subscriber_next(worklist, door, subscriber, next, &found, err))
            return false;
        if (!found)
            return true;
        name_of(next, name);
        if (!subscriber_exists(worklist, next, &found, err) ||
            !object_changes_position(worklist, name, &position, err))
            return false;
        if (!found && !subscriber_forget(worklist, next, err))
            return false;
        if (found && position < *least)
            *least = position;
        memcpy(subscriber, next, sizeof(subscriber));
    }
}

/* Up to where notices are too old to be kept for anybody. */
static bool find_old(struct worklist *worklist, uint64_t *up_to, struct error *err)
{
    const struct object_range range = { .kind = OBJECT_NOTICE, .shelf = OBJECT_LIVE };
    struct object_walk *walk = NULL;
    struct object object = object_init();
    int64_t limit_ms = clock_unix_ms() - EVENTS_KEPT_MS;
    bool found = true;
    bool ok = object_walk_open(worklist, &range, &walk, err);
    while (ok && found) {
        ok = object_walk_next(walk, &object, &found, err);
        if (!ok || !found || object.created_ms > limit_ms)
            break;
        *up_to = object.revision > *up_to ? object.revision : *up_to;
    }
    object_walk_close(walk);
    object_release(&object);
    return ok;
}

bool events_tidy(struct worklist *worklist, struct error *err)
{
    uint64_t least = object_changes_latest(worklist);
    return lower(worklist, SUBSCRIBER_DIMSE, &least, err) &&
           lower(worklist, SUBSCRIBER_WEB, &least, err) && find_old(worklist, &least, err) &&
           notices_forget(worklist, least, err);
}
