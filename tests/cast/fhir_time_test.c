/* SPDX-License-Identifier: MIT */
#include "cast/fhir_time.h"

#include "tests/test.h"

static const char *date(const char *da)
{
    static char text[FHIR_TIME_SIZE];
    return fhir_date(da, text) ? text : NULL;
}

static const char *zone(const char *offset)
{
    static char text[FHIR_TIME_SIZE];
    return fhir_zone(offset, text) ? text : NULL;
}

static const char *both(const char *da, const char *tm, const char *offset)
{
    static char text[FHIR_TIME_SIZE];
    return fhir_date_time(da, tm, offset, text) ? text : NULL;
}

static const char *of_dt(const char *dt, const char *offset)
{
    static char text[FHIR_TIME_SIZE];
    return fhir_date_time_of_dt(dt, offset, text) ? text : NULL;
}

TEST(a_date_keeps_what_is_known_of_it)
{
    CHECK_TEXT(date("19700131"), "1970-01-31");
    CHECK_TEXT(date("19700100"), "1970-01");
    CHECK_TEXT(date("19700000"), "1970");
    CHECK_TEXT(date("197001"), "1970-01");
    CHECK_TEXT(date("1970"), "1970");
    CHECK_TEXT(date("1970.01.02"), "1970-01-02");
    CHECK_TEXT(date("20240229 "), "2024-02-29");
}

TEST(what_is_no_date_of_the_calendar_is_none)
{
    static const char *const dates[] = { "",          "00000000",  "20230230",  "20230229",
                                         "19000229",  "20231301",  "19700031",  "1970010",
                                         "yesterday", "197001011", "2023-01-01" };
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++)
        CHECK_TEXT(date(dates[i]), NULL);
}

TEST(a_zone_is_within_the_bounds_of_dicom)
{
    CHECK_TEXT(zone("+0100"), "+01:00");
    CHECK_TEXT(zone("-1200"), "-12:00");
    CHECK_TEXT(zone("+1400"), "+14:00");
    CHECK_TEXT(zone("+05:45"), "+05:45");
    CHECK_TEXT(zone("Z"), "Z");
    CHECK_TEXT(zone("-0000"), NULL);
    CHECK_TEXT(zone("+1401"), NULL);
    CHECK_TEXT(zone("-1230"), NULL);
    CHECK_TEXT(zone("+0060"), NULL);
    CHECK_TEXT(zone("0100"), NULL);
    CHECK_TEXT(zone("+1"), NULL);
}

TEST(a_time_needs_a_zone_and_a_whole_date)
{
    CHECK_TEXT(both("20260131", "080507", "+01:00"), "2026-01-31T08:05:07+01:00");
    CHECK_TEXT(both("20260131", "080507", NULL), "2026-01-31");
    CHECK_TEXT(both("20260100", "080507", "Z"), "2026-01");
    CHECK_TEXT(both("20260131", NULL, "Z"), "2026-01-31");
    CHECK_TEXT(both("", "080507", "Z"), NULL);
}

TEST(a_time_is_filled_up_and_put_right)
{
    CHECK_TEXT(both("20260131", "08", "Z"), "2026-01-31T08:00:00Z");
    CHECK_TEXT(both("20260131", "0805", "Z"), "2026-01-31T08:05:00Z");
    CHECK_TEXT(both("20260131", "08:05:07", "Z"), "2026-01-31T08:05:07Z");
    CHECK_TEXT(both("20260131", "080507.5", "Z"), "2026-01-31T08:05:07.500Z");
    CHECK_TEXT(both("20260131", "080507.123456", "Z"), "2026-01-31T08:05:07.123Z");
    CHECK_TEXT(both("20260131", "080507.000000", "Z"), "2026-01-31T08:05:07Z");
    CHECK_TEXT(both("20260131", "235960", "Z"), "2026-01-31T23:59:59Z");
}

TEST(a_time_that_is_none_leaves_the_date)
{
    CHECK_TEXT(both("20260131", "2400", "Z"), "2026-01-31");
    CHECK_TEXT(both("20260131", "0860", "Z"), "2026-01-31");
    CHECK_TEXT(both("20260131", "080507.", "Z"), "2026-01-31");
    CHECK_TEXT(both("20260131", "noon", "Z"), "2026-01-31");
}

TEST(a_dt_may_bring_its_own_zone)
{
    CHECK_TEXT(of_dt("20260131080507.25+0200", "Z"), "2026-01-31T08:05:07.250+02:00");
    CHECK_TEXT(of_dt("20260131080507", "-05:00"), "2026-01-31T08:05:07-05:00");
    CHECK_TEXT(of_dt("20260131080507", NULL), "2026-01-31");
    CHECK_TEXT(of_dt("202601", "Z"), "2026-01");
    CHECK_TEXT(of_dt("2026-0500", "Z"), "2026");
    CHECK_TEXT(of_dt("20260131080507junk", "Z"), NULL);
}
