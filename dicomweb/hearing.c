/* SPDX-License-Identifier: MIT */
#include "dicomweb/hearing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "dicomweb/places.h"

enum { NAME_SIZE = 32, HEARINGS_MAX = 256, LET_GO_MS = 5000 };

struct hearing {
    struct hearing *next;
    struct hearings *hearings;
    uint64_t requester;
    char subscriber[NAME_SIZE];
    atomic_bool replaced;
};

struct hearings {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct hearing *list; /* guarded by lock; the newest first, who waits among them */
    struct places *places;
};

struct hearings *hearings_new(void)
{
    struct hearings *hearings = mem_alloc(sizeof(*hearings));
    hearings->places = places_new(HEARINGS_MAX);
    pthread_mutex_init(&hearings->lock, NULL);
    pthread_cond_init(&hearings->changed, NULL);
    return hearings;
}

void hearings_free(struct hearings *hearings)
{
    if (!hearings)
        return;
    places_free(hearings->places);
    pthread_cond_destroy(&hearings->changed);
    pthread_mutex_destroy(&hearings->lock);
    free(hearings);
}

/* With the lock held: is an older one of this subscriber still there? */
static bool is_taken(const struct hearing *hearing)
{
    for (struct hearing *older = hearing->next; older; older = older->next)
        if (strcmp(older->subscriber, hearing->subscriber) == 0)
            return true;
    return false;
}

bool hearing_open(struct hearings *hearings, uint64_t requester, const char *subscriber,
                  struct hearing **out, struct error *err)
{
    if (!places_take(hearings->places, requester))
        return error_set(err, ERROR_BUSY, "too many hear events now");
    struct hearing *hearing = mem_alloc(sizeof(*hearing));
    hearing->hearings = hearings;
    hearing->requester = requester;
    pthread_mutex_lock(&hearings->lock);
    snprintf(hearing->subscriber, sizeof(hearing->subscriber), "%s", subscriber);
    for (struct hearing *older = hearings->list; older; older = older->next)
        if (strcmp(older->subscriber, subscriber) == 0)
            atomic_store(&older->replaced, true);
    hearing->next = hearings->list;
    hearings->list = hearing;
    pthread_mutex_unlock(&hearings->lock);
    *out = hearing;
    return true;
}

bool hearing_wait(struct hearing *hearing, struct error *err)
{
    struct hearings *hearings = hearing->hearings;
    struct timespec deadline = clock_deadline(LET_GO_MS);
    bool ok = true;
    pthread_mutex_lock(&hearings->lock);
    while (ok && is_taken(hearing))
        ok = pthread_cond_clockwait(&hearings->changed, &hearings->lock, CLOCK_MONOTONIC,
                                    &deadline) == 0;
    pthread_mutex_unlock(&hearings->lock);
    return ok || error_set(err, ERROR_TIMEOUT, "who hears these events does not let go");
}

bool hearing_is_replaced(const struct hearing *hearing)
{
    return atomic_load(&hearing->replaced);
}

void hearing_close(struct hearing *hearing)
{
    if (!hearing)
        return;
    struct hearings *hearings = hearing->hearings;
    struct hearing **link = &hearings->list;
    pthread_mutex_lock(&hearings->lock);
    while (*link != hearing)
        link = &(*link)->next;
    *link = hearing->next;
    pthread_cond_broadcast(&hearings->changed);
    pthread_mutex_unlock(&hearings->lock);
    places_give_back(hearings->places, hearing->requester);
    free(hearing);
}
