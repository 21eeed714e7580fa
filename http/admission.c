/* SPDX-License-Identifier: MIT */
#include "http/admission.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/memory.h"

enum { BUCKETS = 1024, TOLD_MAX = 16 /* above the limits at a time */ };

struct visitor {
    struct address address;
    unsigned connections;
    struct visitor *next;
};

struct admission {
    unsigned limit;
    unsigned limit_per_address;
    pthread_mutex_t lock;
    unsigned within;                   /* the limits; guarded by lock */
    unsigned told;                     /* above them; guarded by lock */
    struct visitor *visitors[BUCKETS]; /* with connections within the limits; guarded by lock */
};

struct admission *admission_new(unsigned limit, unsigned limit_per_address)
{
    struct admission *admission = mem_alloc(sizeof(*admission));
    admission->limit = limit;
    admission->limit_per_address = limit_per_address;
    pthread_mutex_init(&admission->lock, NULL);
    return admission;
}

void admission_free(struct admission *admission)
{
    if (!admission)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (admission->visitors[i]) {
            struct visitor *visitor = admission->visitors[i];
            admission->visitors[i] = visitor->next;
            free(visitor);
        }
    pthread_mutex_destroy(&admission->lock);
    free(admission);
}

static struct visitor **find(struct admission *admission, const struct address *address)
{
    uint32_t hash = 0x811c9dc5; /* FNV-1a */
    for (size_t i = 0; i < sizeof(address->bytes); i++)
        hash = (hash ^ address->bytes[i]) * 0x01000193;
    struct visitor **place = &admission->visitors[hash % BUCKETS];
    while (*place && !address_equal(&(*place)->address, address))
        place = &(*place)->next;
    return place;
}

static bool fits(struct admission *admission, const struct visitor *visitor, bool exempt)
{
    return admission->within < admission->limit &&
           (exempt || !visitor || visitor->connections < admission->limit_per_address);
}

bool admission_has_room(struct admission *admission, const struct address *address, bool exempt)
{
    pthread_mutex_lock(&admission->lock);
    bool room = admission->told < TOLD_MAX || fits(admission, *find(admission, address), exempt);
    pthread_mutex_unlock(&admission->lock);
    return room;
}

bool admission_enter(struct admission *admission, const struct address *address, bool exempt)
{
    pthread_mutex_lock(&admission->lock);
    struct visitor **place = find(admission, address);
    bool within = fits(admission, *place, exempt);
    if (!within) {
        admission->told++;
    } else {
        if (!*place) {
            *place = mem_alloc(sizeof(**place));
            (*place)->address = *address;
        }
        (*place)->connections++;
        admission->within++;
    }
    pthread_mutex_unlock(&admission->lock);
    return within;
}

void admission_leave(struct admission *admission, const struct address *address, bool within)
{
    pthread_mutex_lock(&admission->lock);
    if (!within) {
        admission->told--;
    } else {
        struct visitor **place = find(admission, address);
        struct visitor *visitor = *place;
        admission->within--;
        if (--visitor->connections == 0) {
            *place = visitor->next;
            free(visitor);
        }
    }
    pthread_mutex_unlock(&admission->lock);
}
