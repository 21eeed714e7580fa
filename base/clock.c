/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <stdio.h>

static int64_t microseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_monotonic_us(void)
{
    return microseconds(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_ms(void)
{
    return microseconds(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_unix_us(void)
{
    return microseconds(CLOCK_REALTIME);
}

int64_t clock_unix_ms(void)
{
    return microseconds(CLOCK_REALTIME) / 1000;
}

struct timespec clock_deadline(int64_t ms)
{
    int64_t at_us = microseconds(CLOCK_MONOTONIC) + ms * 1000;
    struct timespec deadline = { .tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000 };
    return deadline;
}

void clock_format_utc(int64_t unix_ms, char text[CLOCK_TEXT_SIZE])
{
    time_t seconds = unix_ms / 1000;
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t size = strftime(text, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + size, CLOCK_TEXT_SIZE - size, ".%03dZ", (int)(unix_ms % 1000));
}
