/* SPDX-License-Identifier: MIT */
#pragma once
/* Two clocks: the monotonic one for every time-out, the calendar for what people read. Thread-safe.
 */

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
int64_t clock_unix_us(void);
int64_t clock_unix_ms(void); /* since 1970-01-01T00:00:00Z */

/* CLOCK_MONOTONIC time `ms` from now, for pthread_cond_clockwait. */
struct timespec clock_deadline(int64_t ms);

enum { CLOCK_TEXT_SIZE = sizeof("2026-01-02T03:04:05.678Z") + 8 };
/* RFC 3339, the zone included: "2026-01-31T08:00:00.125+01:00". False when it is none. */
bool clock_parse(const char *text, int64_t *unix_ms);
void clock_format_utc(int64_t unix_ms, char text[CLOCK_TEXT_SIZE]); /* "2026-01-02T03:04:05.678Z" */
