/* SPDX-License-Identifier: MIT */
#pragma once
/* Long work that tells how far it is, may be cancelled, and may be told to go slowly. Who starts
 * the work fills the struct; who does it calls job_step as often as it has done something. One
 * thread. */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct job {
    /* NULL: nobody looks. `phase` is a few words in English; `total` 0: not known. Units are those
     * of the phase (`unit`: "instances", "bytes", ...). Called at every step: be quick. */
    void (*progress)(void *context, const char *phase, const char *unit, uint64_t done,
                     uint64_t total);
    bool (*cancelled)(void *context); /* NULL: never */
    void *context;
    uint64_t bytes_per_second; /* of reading and writing; 0: as fast as it goes */

    /* The job's own. */
    int64_t began_ms;
    uint64_t bytes;
};

/* Reports, sleeps when `bytes` more were moved than the rate allows; ERROR_STOPPED when it is to
 * stop. `job` may be NULL. */
bool job_step(struct job *job, const char *phase, const char *unit, uint64_t done, uint64_t total,
              uint64_t bytes, struct error *err);
