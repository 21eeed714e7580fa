/* SPDX-License-Identifier: MIT */
#include "dicom/date_time.h"

#include "tests/test.h"

TEST(every_day_of_every_year_comes_back_as_it_went)
{
    char text[DATE_TEXT_SIZE];
    struct time_span first, span;
    CHECK(date_parse(slice_text("00010101"), &first));
    int64_t us = first.first_us;
    long days = 0;
    for (; us < INT64_C(253402300800000000); us += DAY_US, days++) {
        date_format(us, text);
        CHECK(date_parse(slice_text(text), &span));
        CHECK(span.first_us == us && span.last_us == us + DAY_US - 1);
    }
    CHECK_INT(days, 3652059);
    CHECK_TEXT(text, "99991231");
}

TEST(date_times_before_1970_and_beyond_the_years_keep_their_order)
{
    char text[DATE_TIME_TEXT_SIZE];
    date_time_format(-1, text);
    CHECK_TEXT(text, "19691231235959999999");
    struct time_span span;
    CHECK(date_time_parse(slice_text("00010101+1400"), &span));
    date_time_format(span.first_us, text);
    CHECK_TEXT(text, "00001231100000000000");
    CHECK(date_time_parse(slice_text("99991231235959-1200"), &span));
    date_time_format(span.first_us, text);
    CHECK(memcmp(text, "99991231", 8) == 0);
}

TEST(a_shortened_date_time_spans_its_period)
{
    struct time_span span;
    char text[DATE_TIME_TEXT_SIZE];
    CHECK(date_time_parse(slice_text("200002"), &span));
    date_time_format(span.last_us, text);
    CHECK_TEXT(text, "20000229235959999999");
    CHECK(date_time_parse(slice_text("2000022910"), &span));
    date_time_format(span.last_us, text);
    CHECK_TEXT(text, "20000229105959999999");
    CHECK(date_time_parse(slice_text("20000229101112.12"), &span));
    CHECK_INT(span.last_us - span.first_us, 9999);
}
