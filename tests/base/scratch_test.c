/* SPDX-License-Identifier: MIT */
#include "base/scratch.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/test.h"

static void check_content(struct scratch *scratch, bool file_expected, const char *expected)
{
    bool is_file;
    struct slice bytes;
    struct file_range file;
    struct error err;
    char text[64] = { 0 };
    CHECK_OK(scratch_give(scratch, &is_file, &bytes, &file, &err), err);
    CHECK(is_file == file_expected);
    if (is_file)
        CHECK(file.size < sizeof(text) &&
              pread(file.fd, text, file.size, (off_t)file.offset) == (ssize_t)file.size);
    else
        memcpy(text, bytes.data, bytes.size);
    CHECK_TEXT(text, expected);
    CHECK_INT(scratch_size(scratch), strlen(expected));
}

TEST(scratch_bytes_are_in_memory_while_they_are_few_and_then_in_a_file)
{
    struct scratch *scratch = scratch_new(8, -1);
    struct error err;
    CHECK_OK(scratch_append(scratch, slice_text("12345678"), &err), err);
    check_content(scratch, false, "12345678");
    CHECK_OK(scratch_append(scratch, slice_text("9"), &err), err);
    check_content(scratch, true, "123456789");
    CHECK_OK(scratch_append(scratch, slice_text("0"), &err), err);
    check_content(scratch, true, "1234567890");
    scratch_free(scratch);
}

TEST(scratch_bytes_go_to_the_file_that_is_given)
{
    FILE *file = tmpfile();
    struct scratch *scratch = scratch_new(2, dup(fileno(file)));
    struct error err;
    char text[4] = { 0 };
    CHECK_OK(scratch_append(scratch, slice_text("123"), &err), err);
    check_content(scratch, true, "123");
    CHECK(pread(fileno(file), text, 3, 0) == 3);
    CHECK_TEXT(text, "123");
    scratch_free(scratch);
    scratch = scratch_new(2, dup(fileno(file)));
    scratch_free(scratch); /* was never needed, and is closed all the same */
    fclose(file);
}

TEST(scratch_bytes_are_changed_in_their_place_in_memory_and_in_a_file)
{
    struct scratch *scratch = scratch_new(8, -1);
    struct error err;
    CHECK_OK(scratch_append(scratch, slice_text("12345"), &err), err);
    CHECK_OK(scratch_patch(scratch, 1, slice_text("xy"), &err), err);
    check_content(scratch, false, "1xy45");
    CHECK(!scratch_patch(scratch, 4, slice_text("xy"), &err) && err.code == ERROR_INVALID);
    CHECK_OK(scratch_append(scratch, slice_text("67890"), &err), err);
    CHECK_OK(scratch_patch(scratch, 8, slice_text("ab"), &err), err);
    CHECK_OK(scratch_append(scratch, slice_text("c"), &err), err);
    check_content(scratch, true, "1xy45678abc");
    scratch_free(scratch);
}
