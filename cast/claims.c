/* SPDX-License-Identifier: MIT */
#include "cast/claims.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct claim {
    struct claim *next;
    char *name;
};

struct claims {
    pthread_mutex_t lock;
    pthread_cond_t left;
    bool stopping;       /* guarded by lock */
    struct claim *first; /* guarded by lock; as few as there are writers */
};

struct claims *claims_new(void)
{
    struct claims *claims = mem_alloc(sizeof *claims);
    pthread_mutex_init(&claims->lock, NULL);
    pthread_cond_init(&claims->left, NULL);
    return claims;
}

static void claim_free(struct claim *claim)
{
    free(claim->name);
    free(claim);
}

void claims_free(struct claims *claims)
{
    if (!claims)
        return;
    while (claims->first) {
        struct claim *next = claims->first->next;
        claim_free(claims->first);
        claims->first = next;
    }
    pthread_cond_destroy(&claims->left);
    pthread_mutex_destroy(&claims->lock);
    free(claims);
}

static struct claim **find(struct claims *claims, const char *name)
{
    struct claim **at = &claims->first;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

bool claims_enter(struct claims *claims, const char *name)
{
    pthread_mutex_lock(&claims->lock);
    while (!claims->stopping && *find(claims, name))
        pthread_cond_wait(&claims->left, &claims->lock);
    bool entered = !claims->stopping;
    if (entered) {
        struct claim *claim = mem_alloc(sizeof *claim);
        claim->name = mem_copy_text(name);
        claim->next = claims->first;
        claims->first = claim;
    }
    pthread_mutex_unlock(&claims->lock);
    return entered;
}

void claims_leave(struct claims *claims, const char *name)
{
    pthread_mutex_lock(&claims->lock);
    struct claim **at = find(claims, name);
    struct claim *claim = *at;
    if (claim) {
        *at = claim->next;
        claim_free(claim);
    }
    pthread_cond_broadcast(&claims->left);
    pthread_mutex_unlock(&claims->lock);
}

void claims_stop(struct claims *claims)
{
    pthread_mutex_lock(&claims->lock);
    claims->stopping = true;
    pthread_cond_broadcast(&claims->left);
    pthread_mutex_unlock(&claims->lock);
}
