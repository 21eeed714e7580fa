/* SPDX-License-Identifier: MIT */
#include "dicom/date_time.h"

#include <stdio.h>
#include <string.h>

#include "dicom/fold.h"

enum { FIRST_YEAR_DAYS = -719528, LAST_YEAR_DAYS = 2932896 }; /* 0000-01-01, 9999-12-31 */

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days since 1970-01-01. Years are counted from March, so that the leap day is the last one. */
static int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void civil_from_days(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t m = (5 * day_of_year + 2) / 153;
    *day = (int)(day_of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

/* Takes exactly `count` digits off the front. */
static bool take_digits(struct slice *text, size_t count, int *value)
{
    if (text->size < count)
        return false;
    *value = 0;
    for (size_t i = 0; i < count; i++) {
        if (text->data[i] < '0' || text->data[i] > '9')
            return false;
        *value = *value * 10 + (text->data[i] - '0');
    }
    *text = slice_skip(*text, count);
    return true;
}

static bool take_byte(struct slice *text, char byte)
{
    if (!text->size || text->data[0] != byte)
        return false;
    *text = slice_skip(*text, 1);
    return true;
}

static bool starts_with_digit(struct slice text)
{
    return text.size && text.data[0] >= '0' && text.data[0] <= '9';
}

static bool is_date(int year, int month, int day)
{
    return year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= days_in_month(year, month);
}

/* YYYYMMDD, or YYYY.MM.DD as it once was. */
static bool take_date(struct slice text, int *year, int *month, int *day)
{
    text = fold_trim(text);
    if (!take_digits(&text, 4, year))
        return false;
    bool dots = take_byte(&text, '.');
    return take_digits(&text, 2, month) && (!dots || take_byte(&text, '.')) &&
           take_digits(&text, 2, day) && !text.size;
}

static void set_day(int year, int month, int day, struct time_span *span)
{
    span->first_us = days_from_civil(year, month, day) * DAY_US;
    span->last_us = span->first_us + DAY_US - 1;
}

bool date_parse(struct slice text, struct time_span *span)
{
    int year, month, day;
    if (!take_date(text, &year, &month, &day) || !is_date(year, month, day))
        return false;
    set_day(year, month, day, span);
    return true;
}

bool date_parse_end(struct slice text, struct time_span *span)
{
    int year, month, day;
    if (!take_date(text, &year, &month, &day) || !is_date(year, month, 1) || day < 1 || day > 31)
        return false;
    int last = days_in_month(year, month);
    set_day(year, month, day < last ? day : last, span);
    return true;
}

/* ".F" to ".FFFFFF"; more digits are met in the field and are beyond what we tell apart. */
static bool take_fraction(struct slice *text, int64_t *us, int64_t *unit)
{
    if (!starts_with_digit(*text))
        return false;
    for (; starts_with_digit(*text); *text = slice_skip(*text, 1)) {
        if (*unit > 1) {
            *unit /= 10;
            *us += *unit * (text->data[0] - '0');
        }
    }
    return true;
}

/* HH[MM[SS[.F]]] off the front. The unit is what the last component counts, in microseconds. */
static bool take_time(struct slice *text, bool colons, int64_t *us, int64_t *unit)
{
    static const int64_t units[] = { INT64_C(3600000000), 60000000, 1000000 };
    static const int highest[] = { 23, 59, 60 };
    *us = 0;
    for (int i = 0; i < 3; i++) {
        int value;
        if (i && colons && !take_byte(text, ':'))
            return true;
        if (i && !colons && !starts_with_digit(*text))
            return true;
        if (!take_digits(text, 2, &value) || value > highest[i])
            return false;
        *us += value * units[i];
        *unit = units[i];
        /* A leap second has no place of its own: it is the last microsecond before. */
        if (value == 60) {
            *us -= 1;
            *unit = 1;
        }
    }
    return !take_byte(text, '.') || take_fraction(text, us, unit);
}

bool time_parse(struct slice text, struct time_span *span)
{
    text = fold_trim(text);
    bool colons = text.size > 2 && text.data[2] == ':';
    int64_t us, unit;
    if (!take_time(&text, colons, &us, &unit) || text.size)
        return false;
    span->first_us = us;
    span->last_us = us + unit - 1;
    return true;
}

/* &ZZXX: -1200 to +1400. */
static bool take_offset(struct slice *text, int64_t *us)
{
    int sign = text->data[0] == '-' ? -1 : 1;
    int hours, minutes;
    *text = slice_skip(*text, 1);
    if (!take_digits(text, 2, &hours) || !take_digits(text, 2, &minutes) || minutes > 59)
        return false;
    int total = sign * (hours * 60 + minutes);
    if (total < -12 * 60 || total > 14 * 60)
        return false;
    *us = total * INT64_C(60000000);
    return true;
}

/* YYYY[MM[DD]] off the front, as first and last day. */
static bool take_days(struct slice *text, int64_t *first, int64_t *last)
{
    int year, month = 1, day = 1;
    if (!take_digits(text, 4, &year) || year < 1)
        return false;
    *first = days_from_civil(year, 1, 1);
    *last = days_from_civil(year, 12, 31);
    if (!starts_with_digit(*text))
        return true;
    if (!take_digits(text, 2, &month) || !is_date(year, month, 1))
        return false;
    *first = days_from_civil(year, month, 1);
    *last = *first + days_in_month(year, month) - 1;
    if (!starts_with_digit(*text))
        return true;
    if (!take_digits(text, 2, &day) || !is_date(year, month, day))
        return false;
    *first = *last = days_from_civil(year, month, day);
    return true;
}

bool zone_offset_parse(struct slice text, int64_t *offset_us)
{
    text = fold_trim(text);
    return text.size && (text.data[0] == '+' || text.data[0] == '-') &&
           take_offset(&text, offset_us) && !text.size;
}

bool date_time_has_offset(struct slice text)
{
    return text.size && (memchr(text.data, '+', text.size) || memchr(text.data, '-', text.size));
}

bool date_time_parse(struct slice text, struct time_span *span)
{
    return date_time_parse_in(text, 0, span);
}

bool date_time_parse_in(struct slice text, int64_t zone_us, struct time_span *span)
{
    int64_t offset = zone_us;
    text = fold_trim(text);
    size_t size = text.size;
    int64_t first, last;
    if (!take_days(&text, &first, &last))
        return false;
    span->first_us = first * DAY_US;
    span->last_us = last * DAY_US + DAY_US - 1;
    if (size - text.size == 8 && starts_with_digit(text)) {
        int64_t us, unit;
        if (!take_time(&text, false, &us, &unit))
            return false;
        span->first_us += us;
        span->last_us = span->first_us + unit - 1;
    }
    if (text.size && (text.data[0] == '+' || text.data[0] == '-') && !take_offset(&text, &offset))
        return false;
    span->first_us -= offset;
    span->last_us -= offset;
    return text.size == 0;
}

/* Division that rounds down. */
static int64_t whole_days(int64_t us)
{
    return us >= 0 ? us / DAY_US : -((-us + DAY_US - 1) / DAY_US);
}

void date_format(int64_t us, char text[DATE_TEXT_SIZE])
{
    int64_t days = whole_days(us);
    if (days < FIRST_YEAR_DAYS)
        days = FIRST_YEAR_DAYS;
    if (days > LAST_YEAR_DAYS)
        days = LAST_YEAR_DAYS;
    int year, month, day;
    civil_from_days(days, &year, &month, &day);
    snprintf(text, DATE_TEXT_SIZE, "%04u%02u%02u", (unsigned)year % 10000, (unsigned)month % 100,
             (unsigned)day % 100);
}

void time_format(int64_t us, char text[TIME_TEXT_SIZE])
{
    uint64_t seconds = (uint64_t)us / 1000000;
    snprintf(text, TIME_TEXT_SIZE, "%02u%02u%02u%06u", (unsigned)(seconds / 3600 % 24),
             (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60),
             (unsigned)((uint64_t)us % 1000000));
}

void date_time_format(int64_t us, char text[DATE_TIME_TEXT_SIZE])
{
    date_format(us, text);
    time_format(us - whole_days(us) * DAY_US, text + DATE_TEXT_SIZE - 1);
}
