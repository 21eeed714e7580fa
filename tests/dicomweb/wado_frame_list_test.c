/* SPDX-License-Identifier: MIT */
#include "dicomweb/wado_frame_list.h"

#include <stdio.h>

#include "base/buffer.h"
#include "tests/test.h"

/* What is read, with blanks between, or the error's name. */
static const char *parsed(const char *text, size_t most)
{
    static char shown[128];
    struct frame_list list = { NULL, 0 };
    struct error err;
    struct buffer out = buffer_up_to(sizeof(shown) - 1);
    if (frame_list_parse(&list, text, most, &err))
        for (size_t i = 0; i < list.count; i++)
            buffer_append_format(&out, i ? " %u" : "%u", frame_list_at(&list, i));
    else
        buffer_append_text(&out, error_name(err.code));
    snprintf(shown, sizeof(shown), "%s", buffer_text(&out));
    buffer_release(&out);
    frame_list_release(&list);
    return shown;
}

TEST(WADO_06_frames_are_whole_numbers_in_the_order_of_the_client)
{
    CHECK_TEXT(parsed("1", 3), "1");
    CHECK_TEXT(parsed("3,1,3", 3), "3 1 3");
    CHECK_TEXT(parsed("4294967295,007", 3), "4294967295 7");
}

TEST(HOS_42_what_is_no_list_of_frames_is_refused)
{
    static const char *const wrong[] = { "",     "0",   "1,",         ",1",
                                         "1,,2", "-1",  "+1",         " 1",
                                         "1 ",   "1-3", "4294967296", "18446744073709551617",
                                         "x",    "1.5", "1,2,3,4" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_TEXT(parsed(wrong[i], 3), "invalid");
}

TEST(all_frames_are_a_list_that_takes_no_memory)
{
    struct frame_list all = { NULL, 4294967295u };
    CHECK_INT(frame_list_at(&all, 0), 1);
    CHECK_INT(frame_list_at(&all, 4294967294u), 4294967295u);
    frame_list_release(&all);
    CHECK_INT(all.count, 0);
}
