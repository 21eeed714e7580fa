/* SPDX-License-Identifier: MIT */
#include "hl7/mllp.h"

#include "tests/test.h"

enum { LIMIT = 64 };

static char event_letter(enum mllp_event event)
{
    return event == MLLP_BLOCK ? 'B' : event == MLLP_CUT ? 'C' : 'L';
}

/* What comes of these bytes, fed in pieces: each event as a letter and its content, e.g.
 * "B(hello)C(wor)". */
static void run(struct slice bytes, size_t first, struct buffer *told)
{
    struct mllp mllp;
    mllp_init(&mllp, LIMIT);
    for (size_t done = 0; done < bytes.size;) {
        size_t size = done < first ? first - done : bytes.size - done;
        struct slice piece = slice_take(slice_skip(bytes, done), size);
        while (piece.size) {
            size_t used;
            enum mllp_event event = mllp_feed(&mllp, piece, &used);
            if (event != MLLP_NOTHING)
                buffer_append_format(told, "%c(%.*s)", event_letter(event), (int)mllp.content.size,
                                     (const char *)mllp.content.data);
            piece = slice_skip(piece, used);
        }
        done += size;
    }
    mllp_release(&mllp);
}

/* The same at every cut. */
static void check_frames(const char *bytes, size_t size, const char *expected)
{
    for (size_t cut = 0; cut <= size; cut++) {
        struct buffer told = buffer_up_to(4096);
        run(slice_of(bytes, size), cut, &told);
        CHECK_TEXT(buffer_text(&told), expected);
        buffer_release(&told);
    }
}
#define CHECK_FRAMES(bytes, expected) check_frames(bytes, sizeof(bytes) - 1, expected)

TEST(HL7_01_blocks_are_found_at_every_cut_of_the_bytes)
{
    CHECK_FRAMES("\vone\x1c\r\vtwo\x1c\r", "B(one)B(two)");
    CHECK_FRAMES("\v\x1c\r", "B()");
    CHECK_FRAMES("\r\n\vone\x1c\r\r\n\vtwo\x1c\r\n", "B(one)B(two)");
}

TEST(HOS_46_what_stands_outside_of_blocks_is_passed_over_until_the_next_start_byte)
{
    CHECK_FRAMES("GET / HTTP/1.1\r\n\x1c\r\vone\x1c\r", "B(one)");
    CHECK_FRAMES("no start at all\x1c\r", "");
}

TEST(HOS_46_a_second_start_byte_cuts_the_block_before_it)
{
    CHECK_FRAMES("\vone\vtwo\x1c\r", "C(one)B(two)");
    CHECK_FRAMES("\v\v\vone\x1c\r", "C()C()B(one)");
    CHECK_FRAMES("\vone\x1c\vtwo\x1c\r", "C(one\x1c)B(two)");
}

TEST(HOS_46_an_end_byte_without_its_return_is_content)
{
    CHECK_FRAMES("\va\x1c"
                 "b\x1c\x1c\r",
                 "B(a\x1c"
                 "b\x1c)");
}

#define SIXTEEN    "0123456789abcdef"
#define SIXTY_FOUR SIXTEEN SIXTEEN SIXTEEN SIXTEEN

TEST(HOS_46_a_block_that_is_too_long_is_told_with_its_beginning_and_the_next_one_is_read)
{
    CHECK_FRAMES("\v" SIXTY_FOUR "\x1c\r\vtwo\x1c\r", "B(" SIXTY_FOUR ")B(two)");
    CHECK_FRAMES("\v" SIXTY_FOUR "x and more\x1c\r\vtwo\x1c\r", "L(" SIXTY_FOUR ")B(two)");
    CHECK_FRAMES("\v" SIXTY_FOUR "\x1c"
                 "x\x1c\r\vtwo\x1c\r",
                 "L(" SIXTY_FOUR ")B(two)");
    CHECK_FRAMES("\v" SIXTY_FOUR "x and no end\vtwo\x1c\r", "L(" SIXTY_FOUR ")B(two)");
}

TEST(bytes_outside_of_blocks_are_counted_but_line_ends_are_not)
{
    struct mllp mllp;
    size_t used;
    mllp_init(&mllp, LIMIT);
    mllp_feed(&mllp, slice_text("\r\n\r\n"), &used);
    CHECK(!mllp_is_begun(&mllp));
    mllp_feed(&mllp, slice_text("abc\r"), &used);
    CHECK_INT(mllp.stray, 3);
    CHECK(mllp_is_begun(&mllp));
    mllp_feed(&mllp, slice_text("\vx"), &used);
    CHECK_INT(mllp.stray, 0);
    CHECK(mllp_is_begun(&mllp));
    mllp_feed(&mllp, slice_text("\x1c\r"), &used);
    CHECK(!mllp_is_begun(&mllp));
    mllp_release(&mllp);
}
