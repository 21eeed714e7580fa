/* SPDX-License-Identifier: MIT */
#pragma once
/* Between the files of storage commitment. */

#include <pthread.h>

#include "archive/commitment_check.h"
#include "dimse/commitment.h"

enum job_state {
    JOB_WAITS,
    JOB_WORKED_ON, /* by the thread */
    JOB_ON_LINE,   /* its report was handed to the line; due is the deadline of the answer */
    JOB_REPORTED,
    JOB_WRITTEN_DOWN, /* by the thread: that it was reported */
};

struct job {
    struct job *next;
    struct commitment_entry entry;
    enum job_state state;
    int64_t due_ms;               /* monotonic */
    struct commitment_line *line; /* NULL: the association is over */
};

/* A report on its way over a line. */
struct handed {
    struct handed *next;
    struct commitment_report *report;
    struct job *job; /* NULL: it took too long */
    uint16_t message_id;
    bool is_taken;
};

struct commitment_line {
    struct commitment *commitment;
    int fd;
    uint16_t last_id;
    struct handed *handed; /* guarded by the commitment's lock */
};

struct commitment {
    struct archive *archive;
    struct configuration_place *place;
    pthread_t thread;
    bool has_thread;
    int kill_fd; /* never read: once written, readable for all waits */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;    /* guarded by lock */
    struct job *jobs; /* guarded by lock; only the thread takes out what is
                          not reported */
    unsigned waiting; /* guarded by lock */
    unsigned known;   /* guarded by lock */
};

bool commitment_is_stopping(struct commitment *commitment);
void commitment_raise_event(int fd);

/* --- commitment_line.c, all with the lock held. The report goes out over the job's line, and is
 * the line's. */
void commitment_hand_over(struct job *job, struct commitment_report *report, int64_t deadline_ms);
/* No answer came in time, and one that comes later counts for nothing. */
void commitment_forget_line(struct job *job);

/* --- commitment_deliver.c, without the lock. Over an association of our own. */
bool commitment_deliver(struct commitment *commitment, const struct commitment_entry *entry,
                        const struct dimse_options *options, const struct commitment_report *report,
                        struct error *err);
