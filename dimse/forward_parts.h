/* SPDX-License-Identifier: MIT */
#pragma once
/* Between the files of forwarding. */

#include <pthread.h>

#include "dimse/forward.h"
#include "dimse/forward_lane.h"

enum { FOLLOWER_SIZE = 8 + AE_TITLE_SIZE };

struct destination_thread {
    struct destination_thread *next;
    struct forward *forward;
    pthread_t thread;
    char to[AE_TITLE_SIZE];
    char follower[FOLLOWER_SIZE];
    uint64_t position;
    uint64_t saved; /* position */
    int64_t saved_ms;
    uint64_t lag;         /* what of the metric is ours */
    unsigned attempts;    /* with the instance at hand */
    uint64_t sequence;    /* of its change */
    bool was_parked;      /* it was refused before */
    bool was_refused;     /* it was now */
    bool refused_before;  /* so was the one before it, and nothing was sent since */
    bool parked_in_doubt; /* among the parked are some that the destination may well take */
    uint64_t parked;      /* what of the metric is ours */
    uint64_t doubt_from;  /* the first that was parked since another was sent; 0: none was */
    bool parked_due;      /* those that were refused before are to be tried: */
    uint64_t retry_from;  /* this change and those behind it */
    unsigned pauses;      /* since it went well */
    unsigned generation;  /* of the rules that were seen last */
    unsigned tried;       /* generation in which the refused ones were tried */
    struct forward_lane lane;
};

struct forward {
    struct archive *archive;
    struct configuration_place *place;
    int kill_fd; /* never read: once written, readable for all waits */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;                      /* guarded by lock */
    unsigned generation;                /* of the rules and peers, guarded by lock */
    struct destination_thread *threads; /* guarded by lock; they stay until the end */
};

/* --- forward_rules.c */
bool forward_has_rules(const struct dimse_options *options, const char *to);

/* --- forward_destination.c: what one destination's thread does. */

/* Where it stopped, or, when it is named for the first time, at the end of the feed. */
bool forward_load(struct destination_thread *thread, struct error *err);
void *forward_run(void *thread);
