/* SPDX-License-Identifier: MIT */
#include "archive/commitment_list.h"

#include "tests/test.h"

TEST(references_are_kept_in_order_and_once)
{
    struct reference references[] = {
        { "1.2.2", "1.9" }, { "1.2.1", "1.8" }, { "1.2.2", "1.7" },
        { "1.2.2", "1.9" }, { "1.2.1", "1.8" }, { "1.2.1", "1.9" },
    };
    struct buffer text = buffer_up_to(1000);
    struct reference reference = { "", "" };
    references_write(references, 6, &text);
    CHECK_TEXT(buffer_text(&text), "=1.2.1\n1.8\n1.9\n=1.2.2\n1.7\n1.9\n");
    struct slice rest = buffer_slice(&text);
    static const char *const expected[][2] = {
        { "1.2.1", "1.8" }, { "1.2.1", "1.9" }, { "1.2.2", "1.7" }, { "1.2.2", "1.9" }
    };
    for (size_t i = 0; i < 4; i++) {
        CHECK(references_next(&rest, &reference));
        CHECK_TEXT(reference.sop_class, expected[i][0]);
        CHECK_TEXT(reference.sop_instance, expected[i][1]);
    }
    CHECK(!references_next(&rest, &reference));
    buffer_release(&text);
}
