/* SPDX-License-Identifier: MIT */
#include "dicom/fold.h"

#include "dicom/utf8.h"
#include "tests/test.h"

TEST(folding_twice_changes_nothing)
{
    for (uint32_t code = 1; code <= 0x10FFFF; code++) {
        struct buffer text = buffer_up_to(16), once = buffer_up_to(16), twice = buffer_up_to(16);
        utf8_append(&text, code);
        fold_text(buffer_slice(&text), &once);
        fold_text(buffer_slice(&once), &twice);
        CHECK(utf8_is_valid(buffer_slice(&once)));
        CHECK(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
        buffer_release(&text);
        buffer_release(&once);
        buffer_release(&twice);
    }
}

static const char *fold_group(const char *text)
{
    static struct buffer folded;
    buffer_release(&folded);
    folded = buffer_up_to(1000);
    buffer_append_text(&folded, "before ");
    fold_name_group(slice_text(text), &folded);
    return buffer_text(&folded) + strlen("before ");
}

TEST(name_groups_lose_spaces_and_empty_components)
{
    CHECK_TEXT(fold_group(" Doe ^ Jane  Ann ^^"), "doe^jane  ann");
    CHECK_TEXT(fold_group("^^Dr."), "^^dr.");
    CHECK_TEXT(fold_group(" ^ ^ "), "");
    CHECK_TEXT(fold_group("山田\xE3\x80\x80"), "山田");
    CHECK_TEXT(fold_group("ＹＡＭＡＤＡ^İ"), "yamada^i");
}

static const char *number(const char *text)
{
    static struct buffer folded;
    buffer_release(&folded);
    folded = buffer_up_to(1000);
    if (!fold_number(slice_text(text), &folded)) {
        CHECK_INT(folded.size, 0);
        return "none";
    }
    return buffer_text(&folded);
}

TEST(numbers_have_one_spelling)
{
    CHECK_TEXT(number("0070"), "70");
    CHECK_TEXT(number("+7.0e1"), "70");
    CHECK_TEXT(number("700e-1"), "70");
    CHECK_TEXT(number(".5"), "5e-1");
    CHECK_TEXT(number("5."), "5");
    CHECK_TEXT(number("-0e5"), "0");
    CHECK_TEXT(number("1e30"), "1e30");
    CHECK_TEXT(number("18446744073709551615"), "18446744073709551615");
}

TEST(what_is_no_number_is_not_folded)
{
    static const char *const bad[] = { "",      "-",   ".",    "e5",  "1e",           "1e+",
                                       "1.2.3", "1 2", "0x10", "nan", "1e9999999999", "--1" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_TEXT(number(bad[i]), "none");
}
