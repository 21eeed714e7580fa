/* SPDX-License-Identifier: MIT */
#include "cast/fhir_time.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool take_number(const char **at, int digits, int *value)
{
    int result = 0;
    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)(*at)[i]))
            return false;
        result = result * 10 + ((*at)[i] - '0');
    }
    *at += digits;
    *value = result;
    return true;
}

/* c 0: there is nothing to skip in this form. */
static void skip(const char **at, char c)
{
    if (c && **at == c)
        ++*at;
}

static bool is_end(const char *at)
{
    while (*at == ' ')
        at++;
    return !*at;
}

static int days_in(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

struct date {
    int year;
    int month; /* 0: not known */
    int day;   /* 0: not known */
};

static bool take_date(const char **at, char dot, struct date *date)
{
    *date = (struct date){ 0, 0, 0 };
    while (**at == ' ')
        ++*at;
    if (!take_number(at, 4, &date->year) || date->year == 0)
        return false;
    skip(at, dot);
    if (isdigit((unsigned char)**at) && !take_number(at, 2, &date->month))
        return false;
    skip(at, dot);
    if (isdigit((unsigned char)**at) && !take_number(at, 2, &date->day))
        return false;
    if (date->month > 12 || (date->month == 0 && date->day))
        return false;
    return !date->day || date->day <= days_in(date->year, date->month);
}

static void write_date(const struct date *date, char out[FHIR_TIME_SIZE])
{
    if (date->day)
        snprintf(out, FHIR_TIME_SIZE, "%04d-%02d-%02d", date->year, date->month, date->day);
    else if (date->month)
        snprintf(out, FHIR_TIME_SIZE, "%04d-%02d", date->year, date->month);
    else
        snprintf(out, FHIR_TIME_SIZE, "%04d", date->year);
}

bool fhir_date(const char *da, char out[FHIR_TIME_SIZE])
{
    struct date date;
    if (!take_date(&da, '.', &date) || !is_end(da))
        return false;
    write_date(&date, out);
    return true;
}

bool fhir_zone(const char *offset, char out[FHIR_TIME_SIZE])
{
    int hours, minutes;
    while (*offset == ' ')
        offset++;
    if (strcmp(offset, "Z") == 0) {
        strcpy(out, "Z");
        return true;
    }
    char sign = *offset++;
    if ((sign != '+' && sign != '-') || !take_number(&offset, 2, &hours))
        return false;
    skip(&offset, ':');
    if (!take_number(&offset, 2, &minutes) || !is_end(offset) || minutes > 59)
        return false;
    int total = hours * 60 + minutes;
    if (total > (sign == '-' ? 12 : 14) * 60 || (sign == '-' && total == 0))
        return false;
    snprintf(out, FHIR_TIME_SIZE, "%c%02d:%02d", sign, hours, minutes);
    return true;
}

struct time_of_day {
    int hour;
    int minute;
    int second;
    int millisecond;
};

/* Thousandths are enough for a point in time, and come back from every server as they were sent. */
static bool take_fraction(const char **at, int *millisecond)
{
    int digits = 0;
    *millisecond = 0;
    for (; isdigit((unsigned char)**at); ++*at, digits++)
        if (digits < 3)
            *millisecond = *millisecond * 10 + (**at - '0');
    for (int i = digits; i < 3; i++)
        *millisecond *= 10;
    return digits > 0;
}

static bool take_time(const char **at, char colon, struct time_of_day *time)
{
    *time = (struct time_of_day){ 0, 0, 0, 0 };
    while (**at == ' ')
        ++*at;
    if (!take_number(at, 2, &time->hour))
        return false;
    skip(at, colon);
    if (isdigit((unsigned char)**at) && !take_number(at, 2, &time->minute))
        return false;
    skip(at, colon);
    if (isdigit((unsigned char)**at) && !take_number(at, 2, &time->second))
        return false;
    if (**at == '.') {
        ++*at;
        if (!take_fraction(at, &time->millisecond))
            return false;
    }
    if (time->second == 60) /* a leap second: TM allows it, FHIR does not */
        time->second = 59;
    return time->hour < 24 && time->minute < 60 && time->second < 60;
}

static void write_both(const struct date *date, const struct time_of_day *time, const char *zone,
                       char out[FHIR_TIME_SIZE])
{
    char fraction[8] = "";
    if (time->millisecond)
        snprintf(fraction, sizeof fraction, ".%03d", time->millisecond % 1000);
    snprintf(out, FHIR_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d%s%.6s", date->year % 10000,
             date->month % 100, date->day % 100, time->hour % 100, time->minute % 100,
             time->second % 100, fraction, zone);
}

bool fhir_date_time(const char *da, const char *tm, const char *zone, char out[FHIR_TIME_SIZE])
{
    struct date date;
    struct time_of_day time;
    if (!take_date(&da, '.', &date) || !is_end(da))
        return false;
    if (date.day && tm && zone && take_time(&tm, ':', &time) && is_end(tm))
        write_both(&date, &time, zone, out);
    else
        write_date(&date, out);
    return true;
}

bool fhir_date_time_of_dt(const char *dt, const char *zone, char out[FHIR_TIME_SIZE])
{
    struct date date;
    struct time_of_day time;
    char own[FHIR_TIME_SIZE];
    bool with_time = false;
    if (!take_date(&dt, 0, &date))
        return false;
    if (isdigit((unsigned char)*dt)) {
        if (!take_time(&dt, 0, &time))
            return false;
        with_time = true;
    }
    if (*dt == '+' || *dt == '-') {
        if (!fhir_zone(dt, own))
            return false;
        zone = own;
    } else if (!is_end(dt)) {
        return false;
    }
    if (with_time && date.day && zone)
        write_both(&date, &time, zone, out);
    else
        write_date(&date, out);
    return true;
}
