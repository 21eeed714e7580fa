/* SPDX-License-Identifier: MIT */
#pragma once
/* How far a job is, on standard error: on a terminal one line that is drawn again and again,
 * elsewhere a line at each new phase and every ten seconds. One thread at a time. */

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool quiet;
    bool terminal;
    char phase[64];
    int64_t phase_began_ms;
    uint64_t phase_began_at; /* what was done already when the phase was seen first */
    int64_t shown_ms;
    bool drawn; /* a line stands there and is not ended */
};

void progress_init(struct progress *progress, bool quiet);
void progress_show(struct progress *progress, const char *phase, const char *unit, uint64_t done,
                   uint64_t total);
void progress_end(struct progress *progress); /* before anything else is printed */
