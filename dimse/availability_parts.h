/* SPDX-License-Identifier: MIT */
#pragma once
/* Between the files of availability.c: one receiver, on a thread of its own, and the studies that
 * it is to be told of. */

#include <pthread.h>

#include "dimse/availability.h"
#include "dimse/availability_notice.h"

enum {
    AVAILABILITY_ATTEMPTS = 5,
    AVAILABILITY_RETRIES = 16,   /* of what is parked, that wait at once: behind all others */
    AVAILABILITY_DOUBTS = 10000, /* more are not told from what was parked before them */
    AVAILABILITY_FOLLOWER_SIZE = 24 + AE_TITLE_SIZE,
};

/* What is followed, each from a saved position of its own. */
enum availability_feed { FEED_INSTANCES, FEED_STEPS, AVAILABILITY_FEEDS };
struct availability_position {
    char follower[AVAILABILITY_FOLLOWER_SIZE];
    uint64_t read;
    uint64_t saved;
};

/* A study that has changed, and is not told of yet. Times are monotonic. */
struct waiting {
    struct waiting *next;
    char study[UID_SIZE];
    uint64_t first[AVAILABILITY_FEEDS]; /* its first change that was not told; 0: none */
    int64_t changed_ms;                 /* the last one */
    int64_t deleted_ms;                 /* the first deletion; 0: none */
    char step[UID_SIZE];                /* the last performed step of it that ended; or "" */
    bool may_be_whole;                  /* all that the step made may be here by now */
    bool is_whole;
    bool is_parked; /* it was refused for good before */
    unsigned attempts;
    int64_t not_before_ms; /* the next one */
    struct deletions deletions;
};

/* Studies in the order in which they were parked. */
struct doubts {
    char (*studies)[UID_SIZE];
    size_t next;  /* from here to `due` they are to be tried again, */
    size_t due;   /* since another was told; */
    size_t count; /* those behind when the next one is */
    size_t capacity;
    bool are_all; /* there was no room: then all that ever were parked are */
};

struct receiver {
    struct receiver *next;
    struct availability *availability;
    pthread_t thread;
    char to[AE_TITLE_SIZE];
    struct availability_position positions[AVAILABILITY_FEEDS];
    struct waiting *waiting;
    size_t waiting_count;
    struct doubts doubts;
    bool parked_due;          /* all that are parked are to be tried: */
    char parked_at[UID_SIZE]; /* behind this one */
    uint64_t parked;          /* what of the metric is ours */
    unsigned generation;      /* of the settings that were seen last */
    unsigned pauses;          /* since it could be talked to */
    int64_t not_before_ms;    /* of the next attempt to */
};

struct availability {
    struct archive *archive;
    struct configuration_place *place;
    int kill_fd; /* never read: once written, readable for all waits */
    pthread_mutex_t lock;
    bool stopping;              /* guarded by lock */
    unsigned generation;        /* of the settings, guarded by lock */
    struct receiver *receivers; /* guarded by lock; they stay until the end */
};

/* It is tried once more, and nothing else is due of it. */
static inline bool waiting_is_retry(const struct waiting *waiting)
{
    return waiting->is_parked && !waiting->changed_ms;
}

/* Where it stopped; one that is new begins at the end of the feeds. */
bool availability_load(struct receiver *receiver, struct worklist *worklist, struct error *err);
/* What has changed since, as far as there is room, and some of what is parked when it is due. */
bool availability_read(struct receiver *receiver, struct worklist *worklist, struct error *err);
/* Before the first change of all that waits: what comes behind is told again after a restart, and
 * tells the same. */
bool availability_save(struct receiver *receiver, struct error *err);

/* All that is parked is to be tried, from the first on. */
void availability_retry_all(struct receiver *receiver);
/* Done with this one. `told` takes it out of what is parked, else it goes there. When one is told
 * that was not parked, what was parked since the last such one is due: whatever kept it from being
 * taken may be over. */
bool availability_conclude(struct receiver *receiver, struct waiting *waiting, bool told,
                           struct error *err);
/* All that waits, and what is known of what is parked. */
void availability_forget(struct receiver *receiver);
