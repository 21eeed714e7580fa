/* SPDX-License-Identifier: MIT */
#include "storage/group_sync.h"

void group_sync_init(struct group_sync *group, bool (*sync)(void *, struct error *),
                     void (*done)(void *, uint64_t), void *context)
{
    *group = (struct group_sync){ .sync = sync, .done = done, .context = context };
    pthread_mutex_init(&group->lock, NULL);
    pthread_cond_init(&group->changed, NULL);
}

void group_sync_release(struct group_sync *group)
{
    pthread_cond_destroy(&group->changed);
    pthread_mutex_destroy(&group->lock);
}

uint64_t group_sync_written(struct group_sync *group, uint64_t mark)
{
    pthread_mutex_lock(&group->lock);
    uint64_t ticket = ++group->written;
    group->mark = mark;
    pthread_mutex_unlock(&group->lock);
    return ticket;
}

/* With the lock held; lets go of it while the sync runs. */
static bool lead(struct group_sync *group, struct error *err)
{
    uint64_t upto = group->written;
    uint64_t mark = group->mark;
    group->running = true;
    group->syncs++;
    pthread_mutex_unlock(&group->lock);
    bool ok = group->sync(group->context, err);
    if (ok && group->done)
        group->done(group->context, mark);
    pthread_mutex_lock(&group->lock);
    group->running = false;
    if (ok)
        group->synced = upto;
    else
        group->failed = true;
    pthread_cond_broadcast(&group->changed);
    return ok;
}

bool group_sync_wait(struct group_sync *group, uint64_t ticket, struct error *err)
{
    bool ok = true;
    pthread_mutex_lock(&group->lock);
    while (ok && group->synced < ticket) {
        if (group->failed)
            ok = error_set(err, ERROR_IO, "a write could not be made durable");
        else if (group->running)
            pthread_cond_wait(&group->changed, &group->lock);
        else
            ok = lead(group, err);
    }
    pthread_mutex_unlock(&group->lock);
    return ok;
}

bool group_sync_settle(struct group_sync *group, struct error *err)
{
    pthread_mutex_lock(&group->lock);
    uint64_t ticket = group->written;
    pthread_mutex_unlock(&group->lock);
    return group_sync_wait(group, ticket, err);
}

uint64_t group_sync_count(struct group_sync *group)
{
    pthread_mutex_lock(&group->lock);
    uint64_t syncs = group->syncs;
    pthread_mutex_unlock(&group->lock);
    return syncs;
}
