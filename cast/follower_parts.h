/* SPDX-License-Identifier: MIT */
#pragma once
/* What the parts of the follower share. Only for follower*.c. */

#include <pthread.h>
#include <stdatomic.h>

#include "archive/changes.h"
#include "cast/breaker.h"
#include "cast/follower.h"
#include "cast/gather.h"

enum {
    REST_MS = 100, /* between two looks at a feed that is busy */
    FIRST_PAUSE_MS = 1000,
    CONFLICT_PAUSE_MS = 100,
};

struct worker {
    struct follower *follower;
    struct round round;
    pthread_t thread;
    bool started;
};

struct follower {
    struct archive *archive;
    struct fhir_client_options client;
    struct mapping_options mapping;
    struct round_shared *shared;
    enum removal removal;
    bool strict;
    bool looks_up;
    atomic_bool stopping;

    /* The order of the two locks: position_lock, lock. The first is held while a position is
     * written, which must not cross with another one. */
    pthread_mutex_t position_lock;
    _Atomic uint64_t saved; /* written with position_lock; who tells of it waits for no disk */
    int64_t saved_ms;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* with lock: there may be something to do, or to stop */
    struct gather *gather;  /* this and all below are guarded by lock */
    struct breaker breaker;
    bool pause_is_kept;      /* durably */
    uint64_t generation;     /* grows with each reset */
    int64_t last_success_ms; /* Unix time; 0: none */
    int64_t last_failure_ms;
    struct error last_failure;

    struct change *changes; /* the feed thread's */
    pthread_t thread;
    bool started;
    struct worker *workers;
    unsigned worker_count; /* that run */
};

/* follower_kept.c. Where the pause that outlives a run is "", none is kept. */
void follower_keep_pause(struct follower *follower, const char *text);
bool follower_recall_pause(struct follower *follower, struct error *err);
/* Reads the saved position. A position says what one server has got: another one begins at 0. */
bool follower_find_position(struct follower *follower, struct error *err);
void follower_park(struct follower *follower, const char *study, unsigned attempt,
                   const struct round_report *report);
void follower_unpark(struct follower *follower, const char *study);
/* Takes in all that are parked: they are tried once more, as what was refused may have been set
 * right. */
bool follower_recall_parked(struct follower *follower, uint64_t *count, struct error *err);

/* Waits, until it is to stop. */
void follower_rest(struct follower *follower, int64_t ms);
