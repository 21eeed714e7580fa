/* SPDX-License-Identifier: MIT */
#include "http/multipart_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "http/multipart_writer.h"
#include "tests/test.h"

/* Writes down what a reader tells: "[Content-Type|content]" for each part, "." for the end, "!" for
 * an error. The body is fed in pieces of `step` bytes. */
static const char *read_all(const char *boundary, const struct multipart_limits *limits,
                            struct slice body, size_t step, struct buffer *out)
{
    struct multipart_reader *reader = multipart_reader_new(boundary, limits);
    struct multipart_event event;
    struct error err = { 0 };
    bool ended = false;
    buffer_clear(out);
    for (;;) {
        if (!multipart_next(reader, &event, &err)) {
            buffer_append_text(out, "!");
            break;
        }
        if (event.kind == MULTIPART_MORE && ended)
            break;
        if (event.kind == MULTIPART_MORE && !body.size) {
            multipart_finish(reader);
            ended = true;
        } else if (event.kind == MULTIPART_MORE) {
            size_t size = step < body.size ? step : body.size;
            /* A copy of exact size, which is gone when the next comes. */
            static uint8_t *piece;
            free(piece);
            piece = mem_copy(body.data, size);
            multipart_feed(reader, slice_of(piece, size));
            body = slice_skip(body, size);
        } else if (event.kind == MULTIPART_PART) {
            const char *type = multipart_part_header(reader, "content-type");
            buffer_append_format(out, "[%s|", type ? type : "");
        } else if (event.kind == MULTIPART_CONTENT) {
            buffer_append(out, event.content);
        } else if (event.kind == MULTIPART_PART_END) {
            buffer_append_text(out, "]");
        } else {
            buffer_append_text(out, ".");
        }
    }
    multipart_reader_free(reader);
    return buffer_text(out);
}

/* The same whatever the cuts. */
static void check_body(const char *body, const char *expected)
{
    struct buffer out = buffer_up_to(1 << 20);
    for (size_t step = 1; step <= strlen(body) + 1; step++)
        CHECK_TEXT(read_all("b", NULL, slice_text(body), step, &out), expected);
    buffer_release(&out);
}

TEST(parts_are_told_with_their_type_and_content)
{
    check_body("--b\r\nContent-Type: application/dicom\r\n\r\nfirst\r\n--b\r\n"
               "Content-Type: x/y\r\n\r\nsecond\r\n--b--\r\n",
               "[application/dicom|first][x/y|second].");
}

TEST(preamble_epilogue_and_padding_are_ignored)
{
    check_body("preamble\r\nmore\r\n--b \t\r\nContent-Type: x/y\r\n\r\none\r\n--b-- \r\n"
               "epilogue\r\n--b\r\nno: part\r\n\r\n",
               "[x/y|one].");
    check_body("\r\n--b\r\nContent-Type: x/y\r\n\r\none\r\n--b--", "[x/y|one].");
}

TEST(header_lines_may_end_in_line_feeds_alone_and_have_any_case_and_extra_fields)
{
    check_body("--b\r\nX-Extra: 1\nCONTENT-type:x/y  \nAnother:\n folded\n\none\r\n--b--\r\n",
               "[x/y|one].");
}

TEST(a_message_that_uses_line_feeds_throughout_is_read)
{
    check_body("--b\nContent-Type: x/y\n\none\n--b\nContent-Type: x/z\n\ntwo\n--b--\n",
               "[x/y|one][x/z|two].");
}

TEST(a_boundary_in_the_content_is_content_unless_it_is_a_whole_line)
{
    check_body("--b\r\nContent-Type: x/y\r\n\r\na--b\r\n--bc\r\n--b-\r\n\n--b\r\n\r\r\n--b--x\r\n"
               "\r\n--b\r\rz\r\n--b--\r\n",
               "[x/y|a--b\r\n--bc\r\n--b-\r\n\n--b\r\n\r\r\n--b--x\r\n\r\n--b\r\rz].");
    check_body("--b\r\nContent-Type: x/y\r\n\r\n\r\r\r\r\r\r\n\r\n--b--", "[x/y|\r\r\r\r\r\r\n].");
}

TEST(a_part_may_be_empty)
{
    check_body("--b\r\nContent-Type: x/y\r\n\r\n\r\n--b\r\nContent-Type: x/z\r\n\r\n--b--\r\n",
               "[x/y|][x/z|].");
    check_body("--b\r\n\r\n\r\n--b--\r\n", "[|].");
    check_body("--b--\r\n", ".");
}

TEST(a_body_without_its_closing_delimiter_is_an_error_behind_its_complete_parts)
{
    check_body("--b\r\nA: b\r\n\r\none\r\n--b\r\nA: b\r\n\r\ntwo", "[|one][|two!");
    check_body("--b\r\nA: b\r\n\r\none\r\n--b\r\nA: b", "[|one]!");
    check_body("--b\r\nA: b\r\n\r\none\r\n--b", "[|one\r\n--b!");
    check_body("no delimiter at all", "!");
    check_body("", "!");
}

TEST(a_header_line_without_a_colon_is_an_error)
{
    check_body("--b\r\nDICM\r\n\r\none\r\n--b--\r\n", "!");
}

TEST(header_bytes_and_parts_have_limits)
{
    struct multipart_limits limits = { .header_bytes = 32, .parts = 2 };
    struct buffer out = buffer_up_to(1 << 20);
    const char *longer = "--b\r\nContent-Type: x/y; with=a-very-long-parameter\r\n\r\na\r\n--b--";
    const char *more = "--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b\r\n\r\n3\r\n--b--";
    CHECK_TEXT(read_all("b", &limits, slice_text(longer), 7, &out), "!");
    CHECK_TEXT(read_all("b", &limits, slice_text(more), 7, &out), "[|1][|2]!");
    buffer_release(&out);
}

TEST(boundaries_are_1_to_70_legal_characters)
{
    CHECK(multipart_boundary_is_valid("a"));
    CHECK(multipart_boundary_is_valid("----=_Part_1 (x)'+,./:?"));
    CHECK(!multipart_boundary_is_valid(""));
    CHECK(!multipart_boundary_is_valid("a "));
    CHECK(!multipart_boundary_is_valid("a\"b"));
    char longest[72];
    memset(longest, 'x', 71);
    longest[71] = '\0';
    CHECK(!multipart_boundary_is_valid(longest));
    longest[70] = '\0';
    CHECK(multipart_boundary_is_valid(longest));
}

TEST(random_content_comes_out_as_it_went_in_whatever_the_cuts)
{
    static const char alphabet[] = "\r\n-b x";
    struct buffer out = buffer_up_to(1 << 20);
    struct buffer body = buffer_up_to(1 << 20);
    unsigned seed = 7;
    for (int round = 0; round < 3000; round++) {
        char content[64];
        size_t size = (size_t)(rand_r(&seed) % 60);
        for (size_t i = 0; i < size; i++)
            content[i] = alphabet[rand_r(&seed) % 6];
        content[size] = '\0';
        buffer_clear(&body);
        buffer_append_format(&body, "--b_%s\r\nA: b\r\n\r\n%s\r\n--b_%s--\r\n", "Z", content, "Z");
        char expected[80];
        snprintf(expected, sizeof(expected), "[|%s].", content);
        size_t step = 1 + (size_t)(rand_r(&seed) % 40);
        CHECK_TEXT(read_all("b_Z", NULL, buffer_slice(&body), step, &out), expected);
    }
    buffer_release(&out);
    buffer_release(&body);
}

TEST(delimiters_are_found_behind_any_number_of_line_feeds)
{
    struct buffer out = buffer_up_to(1 << 20);
    struct buffer body = buffer_up_to(1 << 20);
    static const char *const fillers[] = { "\n", "\r\n", "\n-", "x\n", "\n--b", "\r\n--bc", "\r" };
    for (size_t i = 0; i < sizeof(fillers) / sizeof(fillers[0]); i++) {
        buffer_clear(&body);
        buffer_append_text(&body, "--b\r\nA: b\r\n\r\nx");
        size_t start = body.size;
        for (int j = 0; j < 3000; j++)
            buffer_append_text(&body, fillers[i]);
        struct slice content = slice_skip(buffer_slice(&body), start - 1);
        struct buffer expected = buffer_up_to(1 << 20);
        buffer_append_text(&expected, "[|");
        buffer_append(&expected, content);
        buffer_append_text(&expected, "].");
        buffer_append_text(&body, "\r\n--b--\r\n");
        CHECK_TEXT(read_all("b", NULL, buffer_slice(&body), body.size, &out),
                   buffer_text(&expected));
        CHECK_TEXT(read_all("b", NULL, buffer_slice(&body), 1000, &out), buffer_text(&expected));
        buffer_release(&expected);
    }
    buffer_release(&body);
    buffer_release(&out);
}

TEST(the_reader_understands_the_writer)
{
    struct multipart_writer writer = multipart_writer_for("application/dicom");
    struct multipart_writer other = multipart_writer_for("application/dicom");
    CHECK(strcmp(writer.boundary, other.boundary) != 0);
    struct buffer body = buffer_up_to(1 << 20);
    struct buffer out = buffer_up_to(1 << 20);
    multipart_begin_part(&writer, "application/dicom", "http://host/a", &body);
    buffer_append_text(&body, "one");
    multipart_begin_part(&writer, "application/dicom", NULL, &body);
    buffer_append_text(&body, "two");
    multipart_end(&writer, &body);
    CHECK_TEXT(read_all(writer.boundary, NULL, buffer_slice(&body), 5, &out),
               "[application/dicom|one][application/dicom|two].");
    buffer_release(&body);
    buffer_release(&out);
}
