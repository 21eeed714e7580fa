/* SPDX-License-Identifier: MIT */
#include "dicom/codec_encode.h"

#include <stdlib.h>

#include "base/memory.h"
#include "tests/test.h"

static const char *const targets[] = {
    UID_RLE_LOSSLESS,   UID_JPEG_LS_LOSSLESS,    UID_JPEG_2000_LOSSLESS,
#ifdef HOUNSFIELD_OPENJPH
    UID_HTJ2K_LOSSLESS, UID_HTJ2K_LOSSLESS_RPCL,
#endif
};
enum { TARGETS = sizeof(targets) / sizeof(targets[0]), MAX_FRAME = 4 << 20 };

enum pattern { FLAT, GRADIENT, NOISE, STEPS, PATTERNS };

/* A sample within the bits that are stored. */
static int32_t sample_at(enum pattern pattern, uint32_t x, uint32_t y, unsigned component,
                         const struct pixel_format *format)
{
    static uint32_t state = 12345;
    uint32_t mask = (1u << format->bits_stored) - 1;
    uint32_t value = 0;
    switch (pattern) {
    case FLAT:
        value = 7;
        break;
    case GRADIENT:
        value = (x * 37 + y * 11 + component * 90) >> 2;
        break;
    case NOISE:
        state = state * 1103515245 + 12345;
        value = state >> 8;
        break;
    default:
        value = (x / 5 + y / 3) % 3 ? mask : component;
        break;
    }
    value &= mask;
    if (format->pixel_representation && value >> (format->bits_stored - 1))
        value |= ~mask;
    return (int32_t)value;
}

static struct buffer make_frame(enum pattern pattern, const struct pixel_format *format)
{
    struct buffer frame = buffer_up_to(MAX_FRAME);
    for (uint32_t y = 0; y < format->rows; y++)
        for (uint32_t x = 0; x < format->columns; x++)
            for (unsigned i = 0; i < format->samples_per_pixel; i++) {
                int32_t value = sample_at(pattern, x, y, i, format);
                if (format->bits_allocated == 8)
                    buffer_append_byte(&frame, (uint8_t)value);
                else
                    buffer_append_u16le(&frame, (uint16_t)value);
            }
    return frame;
}

static bool comes_back(const char *uid, struct pixel_format format, struct slice frame)
{
    const struct transfer_syntax *syntax = transfer_syntax_find(slice_text(uid));
    struct buffer encoded = buffer_up_to(MAX_FRAME);
    struct buffer decoded = buffer_up_to(MAX_FRAME);
    struct pixel_format there = format, back;
    struct error err;
    CHECK_OK(codec_encode_frame(syntax, &there, frame, &encoded, &err), err);
    back = there;
    CHECK_OK(codec_decode_frame(syntax, &back, buffer_slice(&encoded), &decoded, &err), err);
    CHECK_TEXT(back.photometric_interpretation, format.photometric_interpretation);
    bool same = slice_equal(buffer_slice(&decoded), frame);
    buffer_release(&encoded);
    buffer_release(&decoded);
    return same;
}

static const struct pixel_format formats[] = {
    { 33, 47, 1, 8, 8, 0, 0, "MONOCHROME2" },   { 33, 47, 1, 8, 8, 1, 0, "MONOCHROME2" },
    { 33, 47, 1, 8, 7, 0, 0, "MONOCHROME1" },   { 33, 47, 1, 8, 8, 0, 0, "PALETTE COLOR" },
    { 33, 47, 1, 16, 10, 0, 0, "MONOCHROME2" }, { 33, 47, 1, 16, 12, 0, 0, "MONOCHROME2" },
    { 33, 47, 1, 16, 12, 1, 0, "MONOCHROME2" }, { 33, 47, 1, 16, 16, 0, 0, "MONOCHROME2" },
    { 33, 47, 1, 16, 16, 1, 0, "MONOCHROME2" }, { 33, 47, 3, 8, 8, 0, 0, "RGB" },
    { 33, 47, 3, 16, 16, 0, 0, "RGB" },         { 33, 47, 3, 8, 8, 0, 0, "YBR_FULL" },
    { 1, 1, 1, 16, 12, 0, 0, "MONOCHROME2" },   { 1, 300, 1, 8, 8, 0, 0, "MONOCHROME2" },
    { 300, 1, 3, 8, 8, 0, 0, "RGB" },           { 256, 256, 1, 16, 12, 0, 0, "MONOCHROME2" },
};

/* The matrix: every encoder, every kind of pixels, images that compress well, badly and in runs. */
TEST(what_is_encoded_is_decoded_to_the_same_bytes)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        for (int pattern = 0; pattern < PATTERNS; pattern++) {
            struct buffer frame = make_frame((enum pattern)pattern, &formats[i]);
            for (size_t j = 0; j < TARGETS; j++)
                CHECK(comes_back(targets[j], formats[i], buffer_slice(&frame)));
            buffer_release(&frame);
        }
}

TEST(bits_above_those_stored_are_kept_where_pixels_have_no_sign)
{
    struct pixel_format format = formats[5];
    struct buffer frame = make_frame(NOISE, &format);
    frame.data[1] |= 0xA0;
    for (size_t j = 0; j < TARGETS; j++)
        CHECK(comes_back(targets[j], format, buffer_slice(&frame)));
    format = formats[6];
    for (size_t j = 1; j < TARGETS; j++) {
        struct buffer encoded = buffer_up_to(MAX_FRAME);
        struct error err;
        frame.data[1] = 0x20;
        CHECK(!codec_encode_frame(transfer_syntax_find(slice_text(targets[j])), &format,
                                  buffer_slice(&frame), &encoded, &err));
        CHECK_INT(err.code, ERROR_UNSUPPORTED);
        buffer_release(&encoded);
    }
    buffer_release(&frame);
}

TEST(what_no_encoder_takes_is_an_error)
{
    static const struct {
        struct pixel_format format;
        enum error_code code;
    } wrong[] = {
        { { 8, 8, 1, 32, 32, 0, 0, "MONOCHROME2" }, ERROR_UNSUPPORTED },
        { { 8, 8, 1, 1, 1, 0, 0, "MONOCHROME2" }, ERROR_UNSUPPORTED },
        { { 8, 8, 4, 8, 8, 0, 0, "CMYK" }, ERROR_UNSUPPORTED },
        { { 8, 8, 3, 8, 8, 0, 1, "RGB" }, ERROR_UNSUPPORTED },
        { { 8, 8, 1, 16, 17, 0, 0, "MONOCHROME2" }, ERROR_UNSUPPORTED },
        { { 0, 8, 1, 8, 8, 0, 0, "MONOCHROME2" }, ERROR_INVALID },
        { { 90, 90, 1, 8, 8, 0, 0, "MONOCHROME2" }, ERROR_INVALID },
        { { 70000, 1, 1, 8, 8, 0, 0, "MONOCHROME2" }, ERROR_INVALID },
    };
    uint8_t pixels[8 * 8 * 4] = { 0 };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        for (size_t j = 0; j < TARGETS; j++) {
            struct pixel_format format = wrong[i].format;
            struct buffer out = buffer_up_to(MAX_FRAME);
            struct error err;
            CHECK(!codec_encode_frame(transfer_syntax_find(slice_text(targets[j])), &format,
                                      slice_of(pixels, sizeof(pixels)), &out, &err));
            CHECK_INT(err.code, wrong[i].code);
            buffer_release(&out);
        }
}

TEST(a_frame_beyond_the_limit_of_the_buffer_is_not_encoded)
{
    struct buffer frame = make_frame(NOISE, &formats[7]);
    for (size_t j = 0; j < TARGETS; j++) {
        struct pixel_format format = formats[7];
        struct buffer out = buffer_up_to(500);
        struct error err;
        CHECK(!codec_encode_frame(transfer_syntax_find(slice_text(targets[j])), &format,
                                  buffer_slice(&frame), &out, &err));
        CHECK_INT(err.code, ERROR_LIMIT);
        buffer_release(&out);
    }
    buffer_release(&frame);
}
