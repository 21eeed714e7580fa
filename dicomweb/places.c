/* SPDX-License-Identifier: MIT */
#include "dicomweb/places.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/memory.h"

struct places {
    unsigned limit;
    pthread_mutex_t lock;
    uint64_t *holders; /* guarded by lock */
    unsigned count;    /* guarded by lock */
};

struct places *places_new(unsigned limit)
{
    struct places *places = mem_alloc(sizeof(*places));
    places->limit = limit;
    places->holders = mem_alloc_array(limit ? limit : 1, sizeof(places->holders[0]));
    pthread_mutex_init(&places->lock, NULL);
    return places;
}

void places_free(struct places *places)
{
    if (!places)
        return;
    pthread_mutex_destroy(&places->lock);
    free(places->holders);
    free(places);
}

unsigned places_of_one(unsigned limit)
{
    return limit - limit / 4;
}

bool places_take(struct places *places, uint64_t requester)
{
    unsigned own = 0;
    pthread_mutex_lock(&places->lock);
    for (unsigned i = 0; i < places->count; i++)
        own += places->holders[i] == requester;
    bool ok = places->count < places->limit && own < places_of_one(places->limit);
    if (ok)
        places->holders[places->count++] = requester;
    pthread_mutex_unlock(&places->lock);
    return ok;
}

void places_give_back(struct places *places, uint64_t requester)
{
    pthread_mutex_lock(&places->lock);
    unsigned at = 0;
    while (places->holders[at] != requester)
        at++;
    places->holders[at] = places->holders[--places->count];
    pthread_mutex_unlock(&places->lock);
}
