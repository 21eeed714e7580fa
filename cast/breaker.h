/* SPDX-License-Identifier: MIT */
#pragma once
/* When the FHIR server may be asked: a circuit breaker. Closed, everybody may. A failure opens it
 * for a pause that doubles with each failure in a row, half of it by chance, and is no shorter than
 * the server asks for; then one request at a time may try until one is answered. One thread at a
 * time. */

#include "base/slice.h"

#include <stdbool.h>

enum { BREAKER_LONGEST_PAUSE_MS = 60 * 1000, BREAKER_LONGEST_RETRY_AFTER_MS = 3600 * 1000 };

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    unsigned failures; /* in a row */
    int64_t until_ms;  /* monotonic: nobody asks before */
    uint32_t random;
};

void breaker_init(struct breaker *breaker, uint32_t seed);
enum breaker_state breaker_state(const struct breaker *breaker, int64_t now_ms);
/* May one more ask, beside those that do? */
bool breaker_allows(const struct breaker *breaker, int64_t now_ms, size_t asking);
/* Returns the pause. `retry_after_ms` -1: the server says nothing. */
int64_t breaker_failed(struct breaker *breaker, int64_t now_ms, int64_t retry_after_ms);
void breaker_succeeded(struct breaker *breaker);
/* An error of the server's own (500), the `failures`-th in a row of one request: is it that request
 * which the server cannot bear? Then others were answered since it failed last. To be asked before
 * breaker_failed. */
enum { BREAKER_MOST_ERRORS = 20 };
bool breaker_blames_request(const struct breaker *breaker, int status, unsigned failures);
/* The pause is over: the next one may try. */
void breaker_hurry(struct breaker *breaker);

/* Doubles with each failure from the first on, up to the longest; half of it by chance. */
int64_t breaker_pause(struct breaker *breaker, int64_t first_ms, unsigned failures);

/* As text, for another run of the program: monotonic times end with this one. */
enum { BREAKER_TEXT_SIZE = 64 };
void breaker_print(const struct breaker *breaker, int64_t now_ms, int64_t unix_ms,
                   char text[BREAKER_TEXT_SIZE]);
/* Anything that is none leaves it closed. */
void breaker_read(struct breaker *breaker, struct slice text, int64_t now_ms, int64_t unix_ms);
