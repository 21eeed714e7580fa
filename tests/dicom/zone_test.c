/* SPDX-License-Identifier: MIT */
#include "dicom/zone.h"

#include "dicom/encode.h"
#include "tests/test.h"

enum { BYTES_LIMIT = 1 << 20 };

static const struct transfer_syntax *explicit_syntax(void)
{
    return transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
}

/* What study date and time become when they move from one zone to another. */
static void check_moved(const char *date, const char *time, const char *stored, const char *said,
                        const char *date_moved, const char *time_moved)
{
    struct buffer bytes = buffer_up_to(BYTES_LIMIT);
    struct encoder encoder = { &bytes, true };
    struct zone from, to;
    struct zone_copy copy = { .dataset = NULL };
    struct dataset *dataset = NULL;
    struct error err = { .code = ERROR_NONE };
    char text[40] = "";
    encode_text(&encoder, TAG_STUDY_DATE, VR_DA, date);
    encode_text(&encoder, TAG_STUDY_TIME, VR_TM, time);
    CHECK(zone_init(&from, slice_text(stored)) && zone_init(&to, slice_text(said)));
    CHECK_OK(dataset_open(buffer_slice(&bytes), explicit_syntax(), NULL, 0, &dataset, &err), err);
    CHECK_OK(zone_copy_make(&copy, dataset, &from, &to, &err), err);
    dataset_string(copy.dataset, TAG_STUDY_DATE, text, sizeof(text));
    CHECK_TEXT(text, date_moved);
    text[0] = '\0';
    dataset_string(copy.dataset, TAG_STUDY_TIME, text, sizeof(text));
    CHECK_TEXT(text, time_moved);
    zone_copy_release(&copy);
    dataset_close(dataset);
    buffer_release(&bytes);
}

TEST(dates_and_times_move_together_and_keep_their_precision)
{
    check_moved("20240228", "233000.123456", "+0000", "+0100", "20240229", "003000.123456");
    check_moved("20230301", "0015", "+0100", "-0500", "20230228", "1815");
    check_moved("20240101", "00", "+0100", "+0000", "20231231", "23");
    check_moved("20240101", "12", "+0000", "+0530", "20240101", "1730");
    check_moved("20240101", "12:34:56", "+0000", "+0100", "20240101", "133456");
    check_moved("20240101", "235960", "+0000", "-0100", "20240101", "225960");
    check_moved("20240101", "1200", "+1400", "-1200", "20231231", "1000");
}

TEST(what_is_no_whole_moment_stays_or_goes_around_the_clock)
{
    check_moved("20240101", "", "+0100", "-0500", "20240101", "");
    check_moved("", "0030", "+0100", "-0500", "", "1830");
    check_moved("20241301", "0030", "+0100", "-0500", "20241301", "0030");
    check_moved("20240101", "25", "+0100", "-0500", "20240101", "25");
}

TEST(offsets_are_read_as_the_standard_writes_them)
{
    struct zone zone;
    CHECK(zone_init(&zone, slice_text(" +0530 ")) && zone.us == INT64_C(19800000000));
    CHECK_TEXT(zone.text, "+0530");
    CHECK(zone_init(&zone, slice_text("-1200")) && zone_init(&zone, slice_text("+1400")));
    static const char *const wrong[] = {
        "", "0100", "+01", "+01:00", "+1401", "-1201", "+0160", "*"
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK(!zone_init(&zone, slice_text(wrong[i])) && zone.text[0] == '\0');
}
