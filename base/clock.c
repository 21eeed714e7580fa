/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

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

static bool parse_two(const char *text, int *number)
{
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
        return false;
    *number = (text[0] - '0') * 10 + text[1] - '0';
    return true;
}

/* "Z", "+01:00", "-0500". */
static bool parse_zone(const char *text, int *minutes)
{
    int hours;
    int rest;
    *minutes = 0;
    if (strcasecmp(text, "Z") == 0)
        return true;
    if ((text[0] != '+' && text[0] != '-') || !parse_two(text + 1, &hours))
        return false;
    const char *at = text + 3;
    at += *at == ':';
    if (!parse_two(at, &rest) || at[2] || hours > 14 || rest > 59)
        return false;
    *minutes = (hours * 60 + rest) * (text[0] == '-' ? -1 : 1);
    return true;
}

bool clock_parse(const char *text, int64_t *unix_ms)
{
    struct tm tm = { 0 };
    int ms = 0;
    int zone;
    if (strspn(text, "0123456789") != 4)
        return false;
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!at)
        return false;
    if (*at == '.') {
        size_t digits = strspn(++at, "0123456789");
        if (!digits)
            return false;
        for (size_t i = 0; i < 3; i++)
            ms = ms * 10 + (i < digits ? at[i] - '0' : 0);
        at += digits;
    }
    if (!parse_zone(at, &zone))
        return false;
    *unix_ms = ((int64_t)timegm(&tm) - (int64_t)zone * 60) * 1000 + ms;
    return true;
}
