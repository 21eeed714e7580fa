/* SPDX-License-Identifier: MIT */
#include "cast/search_date.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, DAY_S = 24 * 60 * 60 };

/* `count` digits as a number from `least` to `most`; *at goes behind them. */
static bool read_digits(const char **at, int count, int least, int most, int *number)
{
    *number = 0;
    for (int i = 0; i < count; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9')
            return false;
        *number = *number * 10 + (c - '0');
    }
    *at += count;
    return *number >= least && *number <= most;
}

static bool skip(const char **at, char c)
{
    if (**at != c)
        return false;
    ++*at;
    return true;
}

static int days_of_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970 in the Gregorian calendar, by eras of 400 years. */
static int64_t days_since_1970(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static int64_t ms_of_day(int year, int month, int day)
{
    return days_since_1970(year, month, day) * DAY_S * SECOND_MS;
}

/* .fff...: what is finer than a millisecond is cut. */
static bool read_fraction(const char **at, int64_t *ms, int64_t *width)
{
    int digits = 0;
    *ms = 0;
    for (; **at >= '0' && **at <= '9'; ++*at, digits++)
        if (digits < 3)
            *ms = *ms * 10 + (**at - '0');
    for (int i = digits; i < 3; i++)
        *ms *= 10;
    *width = digits == 1 ? 100 : digits == 2 ? 10 : 1;
    return digits > 0;
}

static bool read_zone(const char **at, int64_t *offset_ms)
{
    int hours, minutes;
    *offset_ms = 0;
    if (!**at || skip(at, 'Z'))
        return true;
    /* A plus sign that was not percent-encoded has become a space. */
    int sign = **at == '-' ? -1 : **at == '+' || **at == ' ' ? 1 : 0;
    if (!sign)
        return false;
    ++*at;
    if (!read_digits(at, 2, 0, 14, &hours) || !skip(at, ':') ||
        !read_digits(at, 2, 0, 59, &minutes))
        return false;
    *offset_ms = (int64_t)sign * (hours * 60 + minutes) * MINUTE_MS;
    return true;
}

static bool read_time(const char **at, int64_t day_ms, struct time_span *span)
{
    int hour, minute, second = 0;
    int64_t fraction_ms = 0, width = MINUTE_MS, offset_ms;
    if (!read_digits(at, 2, 0, 23, &hour) || !skip(at, ':') || !read_digits(at, 2, 0, 59, &minute))
        return false;
    if (skip(at, ':')) {
        width = SECOND_MS;
        if (!read_digits(at, 2, 0, 60, &second) ||
            (skip(at, '.') && !read_fraction(at, &fraction_ms, &width)))
            return false;
    }
    if (!read_zone(at, &offset_ms))
        return false;
    span->from_ms = day_ms + hour * 60 * (int64_t)MINUTE_MS + minute * (int64_t)MINUTE_MS +
                    second * (int64_t)SECOND_MS + fraction_ms - offset_ms;
    span->to_ms = span->from_ms + width;
    return true;
}

bool time_span_read(const char *text, struct time_span *span)
{
    const char *at = text;
    int year, month, day;
    if (!read_digits(&at, 4, 1, 9999, &year))
        return false;
    if (!*at) {
        *span = (struct time_span){ ms_of_day(year, 1, 1), ms_of_day(year + 1, 1, 1) };
        return true;
    }
    if (!skip(&at, '-') || !read_digits(&at, 2, 1, 12, &month))
        return false;
    int days = days_of_month(year, month);
    if (!*at) {
        *span = (struct time_span){ ms_of_day(year, month, 1),
                                    ms_of_day(year, month, days) + DAY_S * (int64_t)SECOND_MS };
        return true;
    }
    if (!skip(&at, '-') || !read_digits(&at, 2, 1, days, &day))
        return false;
    int64_t day_ms = ms_of_day(year, month, day);
    *span = (struct time_span){ day_ms, day_ms + DAY_S * (int64_t)SECOND_MS };
    return !*at || (skip(&at, 'T') && read_time(&at, day_ms, span) && !*at);
}

enum search_prefix search_prefix_read(const char *text, const char **rest)
{
    static const char *const prefixes[] = { "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap" };
    *rest = text;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(text, prefixes[i], 2) == 0) {
            *rest = text + 2;
            return (enum search_prefix)i;
        }
    return PREFIX_EQ;
}

static bool is_within(struct time_span inner, struct time_span outer)
{
    return inner.from_ms >= outer.from_ms && inner.to_ms <= outer.to_ms;
}

static bool overlap(struct time_span a, struct time_span b)
{
    return a.from_ms < b.to_ms && b.from_ms < a.to_ms;
}

bool time_span_fits(enum search_prefix prefix, struct time_span wanted, struct time_span held,
                    int64_t now_ms)
{
    switch (prefix) {
    case PREFIX_EQ:
        return is_within(held, wanted);
    case PREFIX_NE:
        return !is_within(held, wanted);
    case PREFIX_GT:
        return held.to_ms > wanted.to_ms;
    case PREFIX_LT:
        return held.from_ms < wanted.from_ms;
    case PREFIX_GE:
        return held.to_ms > wanted.to_ms || is_within(held, wanted);
    case PREFIX_LE:
        return held.from_ms < wanted.from_ms || is_within(held, wanted);
    case PREFIX_SA:
        return held.from_ms >= wanted.to_ms;
    case PREFIX_EB:
        return held.to_ms <= wanted.from_ms;
    case PREFIX_AP: {
        int64_t slack = llabs(now_ms - wanted.from_ms) / 10;
        struct time_span wide = { wanted.from_ms - slack, wanted.to_ms + slack };
        return overlap(held, wide);
    }
    }
    return false;
}
