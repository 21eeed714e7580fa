/* SPDX-License-Identifier: MIT */
#include "dicom/icc.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "dicom/icc_profile.h"
#include "tests/test.h"

static struct buffer profile_of(enum icc_space space, bool grey)
{
    struct buffer profile = buffer_up_to(1 << 20);
    struct error err;
    CHECK_OK(icc_write(space, grey, &profile, &err), err);
    return profile;
}

static bool passes(struct slice bytes, unsigned samples)
{
    struct slice profile;
    return icc_profile_check(bytes, samples, &profile);
}

/* One pixel of `samples`, turned into the space; as R * 65536 + G * 256 + B. */
static uint32_t converted(uint32_t colour, unsigned samples, struct slice profile,
                          enum icc_space space)
{
    struct raster raster;
    struct error err;
    CHECK_OK(raster_init(&raster, 1, 1, samples, &err), err);
    for (unsigned i = 0; i < samples; i++)
        raster.bytes.data[i] = (uint8_t)(colour >> 8 * (2 - i));
    CHECK_OK(icc_convert(&raster, profile, space, &err), err);
    CHECK_INT(raster.samples, 3);
    const uint8_t *pixel = raster.bytes.data;
    uint32_t result = (uint32_t)pixel[0] << 16 | (uint32_t)pixel[1] << 8 | pixel[2];
    raster_release(&raster);
    return result;
}

static bool is_near(uint32_t a, uint32_t b)
{
    for (int shift = 0; shift < 24; shift += 8)
        if (abs((int)(a >> shift & 255) - (int)(b >> shift & 255)) > 2)
            return false;
    return true;
}

TEST(REN_07_the_profile_of_a_space_is_a_profile_and_always_the_same)
{
    for (int space = ICC_SRGB; space <= ICC_ROMM_RGB; space++)
        for (int grey = 0; grey < 2; grey++) {
            struct buffer first = profile_of((enum icc_space)space, grey);
            struct buffer second = profile_of((enum icc_space)space, grey);
            CHECK(passes(buffer_slice(&first), grey ? 1 : 3));
            CHECK(!passes(buffer_slice(&first), grey ? 3 : 1));
            CHECK(slice_equal(buffer_slice(&first), buffer_slice(&second)));
            buffer_release(&first);
            buffer_release(&second);
        }
}

TEST(REN_07_colours_of_srgb_are_found_again_in_other_spaces)
{
    const struct slice none = slice_of(NULL, 0);
    CHECK(is_near(converted(0xFF0000, 3, none, ICC_ADOBE_RGB), 0xDB0000));
    CHECK(is_near(converted(0x00FF00, 3, none, ICC_ADOBE_RGB), 0x90FF3C));
    CHECK(is_near(converted(0xFF0000, 3, none, ICC_ROMM_RGB), 0xB3461B));
    for (int space = ICC_SRGB; space <= ICC_ROMM_RGB; space++) {
        CHECK(is_near(converted(0xFFFFFF, 3, none, (enum icc_space)space), 0xFFFFFF));
        CHECK_INT(converted(0x000000, 3, none, (enum icc_space)space), 0);
    }
    CHECK_INT(converted(0x123456, 3, none, ICC_SRGB), 0x123456);
}

TEST(REN_07_a_profile_says_what_the_colours_are)
{
    struct buffer adobe = profile_of(ICC_ADOBE_RGB, false);
    struct buffer romm = profile_of(ICC_ROMM_RGB, false);
    CHECK(is_near(converted(0xDB0000, 3, buffer_slice(&adobe), ICC_SRGB), 0xFF0000));
    uint32_t in_romm = converted(0xB09070, 3, slice_of(NULL, 0), ICC_ROMM_RGB);
    CHECK(!is_near(in_romm, 0xB09070));
    CHECK(is_near(converted(in_romm, 3, buffer_slice(&romm), ICC_SRGB), 0xB09070));
    CHECK(is_near(converted(0x804020, 3, buffer_slice(&adobe), ICC_ADOBE_RGB), 0x804020));
    buffer_release(&adobe);
    buffer_release(&romm);
}

TEST(REN_07_greys_stay_grey_in_three_samples)
{
    const struct slice none = slice_of(NULL, 0);
    CHECK_INT(converted(0x800000, 1, none, ICC_SRGB), 0x808080);
    uint32_t adobe = converted(0x800000, 1, none, ICC_ADOBE_RGB);
    CHECK(is_near(adobe, (adobe & 255) * 0x010101) && is_near(adobe, 0x7F7F7F));
}

/* A profile with one tag of these bytes. */
static struct buffer with_lut(struct slice tag)
{
    struct buffer srgb = profile_of(ICC_SRGB, false);
    struct buffer profile = buffer_up_to(1 << 20);
    buffer_append(&profile, slice_take(buffer_slice(&srgb), 128));
    buffer_append_u32be(&profile, 1);
    buffer_append_text(&profile, "A2B0");
    buffer_append_u32be(&profile, 144);
    buffer_append_u32be(&profile, (uint32_t)tag.size);
    buffer_append(&profile, tag);
    while (profile.size % 4)
        buffer_append_byte(&profile, 0);
    put_u32be(profile.data, (uint32_t)profile.size);
    memcpy(profile.data + 20, "Lab ", 4);
    buffer_release(&srgb);
    return profile;
}

/* lut8Type with a table of `side` in each direction, of which `given` bytes are there. */
static struct buffer lut_8(uint8_t side, size_t given)
{
    struct buffer tag = buffer_up_to(1 << 20);
    const uint8_t head[] = { 'm', 'f', 't', '1', 0, 0, 0, 0, 3, 3, side, 0 };
    buffer_append(&tag, slice_of(head, sizeof(head)));
    for (int i = 0; i < 9; i++)
        buffer_append_u32be(&tag, i % 4 ? 0 : 0x10000); /* the identity */
    for (int i = 0; i < 3 * 256; i++)
        buffer_append_byte(&tag, (uint8_t)i);
    for (size_t i = 0; i < given; i++) /* L is 40 everywhere, a and b are 0 */
        buffer_append_byte(&tag, i % 3 ? 128 : 102);
    for (int i = 0; i < 3 * 256; i++)
        buffer_append_byte(&tag, (uint8_t)i);
    return tag;
}

static bool can_be_reduced(uint8_t side, size_t given)
{
    struct buffer tag = lut_8(side, given);
    struct buffer profile = with_lut(buffer_slice(&tag));
    struct buffer reduced = buffer_up_to(1 << 20);
    CHECK(passes(buffer_slice(&profile), 3));
    bool ok = icc_profile_reduce(buffer_slice(&profile), &reduced);
    CHECK(!ok || passes(buffer_slice(&reduced), 3));
    buffer_release(&reduced);
    buffer_release(&profile);
    buffer_release(&tag);
    return ok;
}

TEST(REN_07_a_table_that_is_not_whole_is_not_looked_into)
{
    CHECK(can_be_reduced(2, 24));
    CHECK(can_be_reduced(3, 81));
    CHECK(!can_be_reduced(9, 24));
    CHECK(!can_be_reduced(255, 24));
    CHECK(!can_be_reduced(1, 24));
    CHECK(!can_be_reduced(0, 24));
}

TEST(REN_07_a_table_turns_into_colours)
{
    struct buffer tag = lut_8(2, 24);
    struct buffer profile = with_lut(buffer_slice(&tag));
    CHECK(is_near(converted(0x3366CC, 3, buffer_slice(&profile), ICC_SRGB), 0x5E5E5E));
    buffer_release(&profile);
    buffer_release(&tag);
}

TEST(REN_07_what_makes_no_sense_is_taken_for_srgb)
{
    struct buffer tag = lut_8(9, 24);
    struct buffer profile = with_lut(buffer_slice(&tag));
    CHECK_INT(converted(0x3366CC, 3, buffer_slice(&profile), ICC_SRGB), 0x3366CC);
    CHECK(is_near(converted(0xFF0000, 3, buffer_slice(&profile), ICC_ADOBE_RGB), 0xDB0000));
    buffer_release(&profile);
    buffer_release(&tag);
}

TEST(REN_07_a_profile_of_another_kind_or_with_other_lengths_is_none)
{
    static const struct {
        size_t at;
        const char *bytes;
    } changes[] = {
        { 0, "\x7F\xFF\xFF\xF0" },
        { 0, "\0\0\0\x80" },
        { 12, "link" },
        { 12, "nmcl" },
        { 16, "CMYK" },
        { 20, "RGB " },
        { 36, "abcd" },
        { 64, "\0\0\0\x04" },
        { 128, "\xFF\xFF\xFF\xFF" },
        { 136, "\xFF\xFF\xFF\xF0" },
        { 140, "\xFF\xFF\xFF\xF0" },
    };
    struct buffer good = profile_of(ICC_SRGB, false);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct buffer bad = buffer_up_to(1 << 20);
        buffer_append(&bad, buffer_slice(&good));
        memcpy(bad.data + changes[i].at, changes[i].bytes, 4);
        CHECK(!passes(buffer_slice(&bad), 3));
        buffer_release(&bad);
    }
    for (size_t size = 0; size < good.size; size++)
        CHECK(!passes(slice_take(buffer_slice(&good), size), 3));
    buffer_append_byte(&good, 0); /* values have an even length */
    CHECK(passes(buffer_slice(&good), 3));
    buffer_release(&good);
}
