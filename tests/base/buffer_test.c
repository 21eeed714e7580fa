/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"

#include "tests/test.h"

TEST(buffer_refuses_to_grow_past_its_limit)
{
    struct buffer buffer = buffer_up_to(4);
    CHECK(buffer_append_text(&buffer, "abcd"));
    CHECK(!buffer_append_byte(&buffer, 'e'));
    CHECK(buffer.overflowed);
    CHECK_INT(buffer.size, 4);
    CHECK_TEXT(buffer_text(&buffer), "abcd");
    struct error err;
    CHECK(!buffer_check(&buffer, "test", &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    buffer_release(&buffer);
}

TEST(buffer_formats_texts_longer_than_its_scratch)
{
    struct buffer buffer = buffer_up_to(4096);
    CHECK(buffer_append_format(&buffer, "%0*d", 1000, 7));
    CHECK_INT(buffer.size, 1000);
    CHECK_INT(buffer.data[999], '7');
    buffer_release(&buffer);
}

TEST(error_message_is_cut_at_a_character)
{
    struct error err;
    CHECK(!error_set(&err, ERROR_INVALID, "%0*d%s", 254, 0, "\xc3\xa9\xc3\xa9"));
    CHECK_INT(strlen(err.message), 254);
}
