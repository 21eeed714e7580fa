/* SPDX-License-Identifier: MIT */
#include "dicom/codec.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "tests/dicom/codec_samples.h"
#include "tests/test.h"

enum { COLUMNS = 19, ROWS = 11, MAX_FRAME = 1 << 20 };

/* Which of the images a sample is. */
struct depth {
    uint16_t samples;
    uint16_t allocated;
    uint16_t stored;
    uint16_t is_signed;
    const char *photometric;
};
static const struct depth u8 = { 1, 8, 8, 0, "MONOCHROME2" };
static const struct depth u12 = { 1, 16, 12, 0, "MONOCHROME2" };
static const struct depth s13 = { 1, 16, 13, 1, "MONOCHROME2" };
static const struct depth s16 = { 1, 16, 16, 1, "MONOCHROME2" };
static const struct depth rgb = { 3, 8, 8, 0, "RGB" };
static const struct depth ybr_rct = { 3, 8, 8, 0, "YBR_RCT" };
static const struct depth ybr_ict = { 3, 8, 8, 0, "YBR_ICT" };
static const struct depth ybr_full_422 = { 3, 8, 8, 0, "YBR_FULL_422" };

static int expected_at(const struct depth *depth, int pixel, int component)
{
    int x = pixel % COLUMNS;
    int y = pixel / COLUMNS;
    int value = x * x * 7 + y * 31 + component * 40;
    if (depth->stored == 8)
        value /= 12;
    return depth->is_signed ? value - (1 << (depth->stored - 2)) : value;
}

static int decoded_at(const struct depth *depth, const uint8_t *bytes, int sample)
{
    if (depth->allocated == 8)
        return bytes[sample];
    uint16_t value = get_u16le(bytes + 2 * sample);
    return depth->is_signed ? (int16_t)value : value;
}

static struct pixel_format format_of(const struct depth *depth)
{
    struct pixel_format format = {
        ROWS, COLUMNS, depth->samples, depth->allocated, depth->stored, depth->is_signed, 0, ""
    };
    strcpy(format.photometric_interpretation, depth->photometric);
    return format;
}

static const struct transfer_syntax *syntax_of(const char *uid)
{
    return transfer_syntax_or_private(slice_text(uid));
}

static bool decode(const char *uid, struct pixel_format *format, struct slice encoded,
                   struct buffer *out, struct error *err)
{
    return codec_decode_frame(syntax_of(uid), format, encoded, out, err);
}

/* Largest distance of any sample from the image that was compressed; fails when it is no image. */
static int distance(const char *uid, const struct depth *depth, struct slice encoded,
                    const char *photometric)
{
    struct pixel_format format = format_of(depth);
    struct buffer out = buffer_up_to(MAX_FRAME);
    struct error err;
    int samples = ROWS * COLUMNS * depth->samples;
    int largest = 0;
    CHECK_OK(decode(uid, &format, encoded, &out, &err), err);
    CHECK_INT(out.size, samples * depth->allocated / 8);
    CHECK_TEXT(format.photometric_interpretation, photometric);
    CHECK_INT(format.planar_configuration, 0);
    for (int i = 0; i < samples; i++) {
        int difference = decoded_at(depth, out.data, i) -
                         expected_at(depth, i / depth->samples, i % depth->samples);
        largest = abs(difference) > largest ? abs(difference) : largest;
    }
    buffer_release(&out);
    return largest;
}

#define DISTANCE(uid, depth, name)                                                                 \
    distance("1.2.840.10008.1.2." uid, &(depth), slice_of(sample_##name, sizeof(sample_##name)),   \
             (depth).samples == 3 ? "RGB" : "MONOCHROME2")

TEST(jpeg_lossless_decodes_to_the_same_pixels)
{
    CHECK_INT(DISTANCE("4.57", u12, jpeg57_u12), 0);
    CHECK_INT(DISTANCE("4.70", u12, jpeg70_u12), 0);
    CHECK_INT(DISTANCE("4.70", u8, jpeg70_u8), 0);
    CHECK_INT(DISTANCE("4.70", rgb, jpeg70_rgb), 0);
}

TEST(jpeg_lossless_keeps_the_sign_of_pixels)
{
    CHECK_INT(DISTANCE("4.70", s13, jpeg70_s13), 0);
    CHECK_INT(DISTANCE("4.70", s16, jpeg70_s16), 0);
}

TEST(jpeg_lossy_decodes_to_pixels_close_by)
{
    CHECK(DISTANCE("4.50", u8, jpeg50_u8) <= 4);
    CHECK(DISTANCE("4.51", u12, jpeg51_u12) <= 24);
}

TEST(jpeg_in_ybr_becomes_rgb)
{
    CHECK(DISTANCE("4.50", ybr_full_422, jpeg50_rgb) <= 24);
}

TEST(jpeg_of_8_bits_fills_16_allocated_ones)
{
    const struct depth wide = { 1, 16, 8, 0, "MONOCHROME2" };
    CHECK_INT(DISTANCE("4.70", wide, jpeg70_u8), 0);
    CHECK_INT(DISTANCE("4.80", wide, jls80_u8), 0);
}

TEST(jpeg_ls_decodes_to_the_same_pixels)
{
    CHECK_INT(DISTANCE("4.80", u8, jls80_u8), 0);
    CHECK_INT(DISTANCE("4.80", u12, jls80_u12), 0);
    CHECK_INT(DISTANCE("4.80", s13, jls80_s13), 0);
}

TEST(jpeg_ls_decodes_every_interleave)
{
    CHECK_INT(DISTANCE("4.80", rgb, jls80_rgb), 0);
    CHECK_INT(DISTANCE("4.80", rgb, jls80_rgb_samples), 0);
    CHECK_INT(DISTANCE("4.80", rgb, jls80_rgb_planes), 0);
}

TEST(jpeg_ls_near_lossless_stays_within_its_bound)
{
    CHECK(DISTANCE("4.81", u12, jls81_u12) <= 2);
}

TEST(rle_decodes_to_the_same_pixels)
{
    CHECK_INT(DISTANCE("5", u8, rle_u8), 0);
    CHECK_INT(DISTANCE("5", s13, rle_s13), 0);
    CHECK_INT(DISTANCE("5", rgb, rle_rgb), 0);
}

/* The image as raw deflate, stored blocks only, and a byte to make the length even. */
static struct buffer deflated_frame(struct slice native)
{
    struct buffer out = buffer_up_to(MAX_FRAME);
    buffer_append_byte(&out, 1);
    buffer_append_u16le(&out, (uint16_t)native.size);
    buffer_append_u16le(&out, (uint16_t)~native.size);
    buffer_append(&out, native);
    buffer_append_byte(&out, 0);
    return out;
}

TEST(deflated_frames_are_inflated_and_their_planes_put_together)
{
    static const uint8_t pixels[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    static const uint8_t mixed[] = { 1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12 };
    const struct transfer_syntax *syntax = syntax_of("1.2.840.10008.1.2.8.1");
    struct buffer encoded = deflated_frame(slice_of(pixels, sizeof(pixels)));
    for (int planar = 0; planar < 2; planar++) {
        struct pixel_format format = { 2, 2, 3, 8, 8, 0, (uint16_t)planar, "RGB" };
        struct buffer out = buffer_up_to(MAX_FRAME);
        struct error err;
        CHECK_OK(codec_decode_frame(syntax, &format, buffer_slice(&encoded), &out, &err), err);
        CHECK(slice_equal(buffer_slice(&out), slice_of(planar ? mixed : pixels, sizeof(pixels))));
        CHECK_INT(format.planar_configuration, 0);
        format.rows = 3;
        CHECK(!codec_decode_frame(syntax, &format, buffer_slice(&encoded), &out, &err));
        CHECK_INT(err.code, ERROR_INVALID);
        buffer_release(&out);
    }
    buffer_release(&encoded);
}

TEST(jpeg_2000_decodes_to_the_same_pixels)
{
    CHECK_INT(DISTANCE("4.90", u8, j2k90_u8), 0);
    CHECK_INT(DISTANCE("4.90", u12, j2k90_u12), 0);
    CHECK_INT(DISTANCE("4.90", ybr_rct, j2k90_rgb), 0);
    CHECK_INT(DISTANCE("4.90", rgb, j2k90_rgb), 0);
}

TEST(jpeg_2000_keeps_the_sign_of_pixels)
{
    CHECK_INT(DISTANCE("4.90", s13, j2k90_s13), 0);
    CHECK_INT(DISTANCE("4.90", s16, j2k90_s16), 0);
}

TEST(jpeg_2000_extends_the_sign_of_pixels_that_the_stream_calls_unsigned)
{
    CHECK_INT(DISTANCE("4.90", s13, j2k90_s13u), 0);
}

TEST(jpeg_2000_is_found_in_a_jp2_file)
{
    CHECK_INT(DISTANCE("4.90", u12, jp290_u12), 0);
}

TEST(jpeg_2000_lossy_decodes_to_pixels_close_by)
{
    CHECK(DISTANCE("4.91", ybr_ict, j2k91_rgb) <= 24);
}

TEST(htj2k_decodes_to_the_same_pixels)
{
    CHECK_INT(DISTANCE("4.201", u8, ht201_u8), 0);
    CHECK_INT(DISTANCE("4.201", u12, ht201_u12), 0);
    CHECK_INT(DISTANCE("4.201", s13, ht201_s13), 0);
    CHECK_INT(DISTANCE("4.201", s16, ht201_s16), 0);
    CHECK_INT(DISTANCE("4.201", ybr_rct, ht201_rgb), 0);
    CHECK_INT(DISTANCE("4.202", u12, ht202_u12), 0);
}

TEST(htj2k_lossy_decodes_to_pixels_close_by)
{
    CHECK(DISTANCE("4.203", u12, ht203_u12) <= 24);
}

/* Every sample above, for what must hold for all of them. */
static const struct {
    const char *uid;
    const struct depth *depth;
    const uint8_t *bytes;
    size_t size;
} all[] = {
#define SAMPLE(uid, depth, name)                                                                   \
    {                                                                                              \
        "1.2.840.10008.1.2." uid, &(depth), sample_##name, sizeof(sample_##name)                   \
    }
    SAMPLE("4.50", ybr_full_422, jpeg50_rgb),
    SAMPLE("4.51", u12, jpeg51_u12),
    SAMPLE("4.57", u12, jpeg57_u12),
    SAMPLE("4.70", u12, jpeg70_u12),
    SAMPLE("4.80", u12, jls80_u12),
    SAMPLE("4.81", u12, jls81_u12),
    SAMPLE("4.90", u12, j2k90_u12),
    SAMPLE("4.91", ybr_ict, j2k91_rgb),
    SAMPLE("4.201", u12, ht201_u12),
    SAMPLE("4.203", u12, ht203_u12),
    SAMPLE("5", s13, rle_s13),
};
enum { ALL_COUNT = sizeof(all) / sizeof(all[0]) };

TEST(stream_of_another_size_than_the_attributes_is_refused)
{
    for (size_t i = 0; i < ALL_COUNT; i++) {
        for (int change = 0; change < 3; change++) {
            struct pixel_format format = format_of(all[i].depth);
            struct buffer out = buffer_up_to(MAX_FRAME);
            struct error err;
            format.rows *= change == 0 ? 2 : 1;
            format.columns *= change == 1 ? 2 : 1;
            format.samples_per_pixel = change == 2 ? 4 - format.samples_per_pixel
                                                   : format.samples_per_pixel;
            CHECK(!decode(all[i].uid, &format, slice_of(all[i].bytes, all[i].size), &out, &err));
            CHECK_INT(err.code, ERROR_INVALID);
            CHECK_INT(out.size, 0);
            buffer_release(&out);
        }
    }
}

TEST(stream_cut_in_its_headers_is_refused)
{
    for (size_t i = 0; i < ALL_COUNT; i++) {
        struct pixel_format format = format_of(all[i].depth);
        struct buffer out = buffer_up_to(MAX_FRAME);
        struct error err;
        for (size_t size = 0; size < 64; size++) {
            uint8_t *cut = mem_copy(all[i].bytes, size); /* so that a read behind it is seen */
            CHECK(!decode(all[i].uid, &format, slice_of(cut, size), &out, &err));
            CHECK_INT(out.size, 0);
            free(cut);
        }
        buffer_release(&out);
    }
}

TEST(frame_beyond_the_limit_of_the_buffer_is_refused)
{
    for (size_t i = 0; i < ALL_COUNT; i++) {
        struct pixel_format format = format_of(all[i].depth);
        struct buffer out = buffer_up_to(ROWS * COLUMNS - 1);
        struct error err;
        CHECK(!decode(all[i].uid, &format, slice_of(all[i].bytes, all[i].size), &out, &err));
        CHECK_INT(err.code, ERROR_LIMIT);
        buffer_release(&out);
    }
}

TEST(frame_larger_than_any_that_is_held_is_refused_before_memory_is_taken)
{
    struct pixel_format format = format_of(&u12);
    struct buffer out = buffer_up_to(SIZE_MAX);
    struct error err;
    format.rows = format.columns = 65535;
    CHECK(!decode(UID_JPEG_2000_LOSSLESS, &format, slice_of(sample_j2k90_u12, 20), &out, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    CHECK(out.data == NULL);
}

TEST(formats_that_make_no_sense_are_refused)
{
    struct pixel_format wrong[] = {
        format_of(&u12), format_of(&u12), format_of(&u12), format_of(&u12), format_of(&u12),
    };
    struct buffer out = buffer_up_to(MAX_FRAME);
    struct error err;
    wrong[0].bits_stored = 17;
    wrong[1].bits_allocated = 12;
    wrong[2].samples_per_pixel = 65535;
    wrong[3].rows = 0;
    wrong[4].pixel_representation = 2;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct slice frame = slice_of(sample_rle_s13, sizeof(sample_rle_s13));
        CHECK(!decode(UID_RLE_LOSSLESS, &wrong[i], frame, &out, &err));
        CHECK_INT(out.size, 0);
    }
    buffer_release(&out);
}

TEST(codestream_with_many_tiles_is_refused)
{
    uint8_t bytes[sizeof(sample_j2k90_u12)];
    struct pixel_format format = format_of(&u12);
    struct buffer out = buffer_up_to(64 << 20);
    struct error err;
    memcpy(bytes, sample_j2k90_u12, sizeof(bytes));
    put_u32be(bytes + 8, 3000); /* Xsiz, Ysiz; XTsiz, YTsiz */
    put_u32be(bytes + 12, 3000);
    put_u32be(bytes + 24, 1);
    put_u32be(bytes + 28, 1);
    format.rows = format.columns = 3000;
    CHECK(!decode(UID_JPEG_2000_LOSSLESS, &format, slice_of(bytes, sizeof(bytes)), &out, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    buffer_release(&out);
}

TEST(jpeg_with_two_frame_headers_is_refused)
{
    uint8_t bytes[sizeof(sample_jpeg70_u12) + 64];
    struct pixel_format format = format_of(&u12);
    struct buffer out = buffer_up_to(MAX_FRAME);
    struct error err;
    const uint8_t *header = memchr(sample_jpeg70_u12 + 2, 0xC3, 64);
    CHECK(header != NULL);
    size_t before = (size_t)(header - 1 - sample_jpeg70_u12);
    size_t length = 2u + get_u16be(header + 1);
    memcpy(bytes, sample_jpeg70_u12, before + length);
    memcpy(bytes + before + length, sample_jpeg70_u12 + before, sizeof(sample_jpeg70_u12) - before);
    size_t size = sizeof(sample_jpeg70_u12) + length;
    CHECK(!decode(UID_JPEG_LOSSLESS_SV1, &format, slice_of(bytes, size), &out, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    buffer_release(&out);
}

/* Presets out of their range would make a decoder compute with senseless contexts. */
TEST(jpeg_ls_with_invalid_presets_is_refused)
{
    enum { MAX = 20, T1 = 22, T2 = 24, T3 = 26, RESET = 28 }; /* where they stand in the sample */
    static const struct {
        uint8_t at;
        uint16_t value;
    } wrong[] = { { MAX, 4 }, { T2, 1 }, { T3, 1 }, { RESET, 1 } };
    CHECK_INT(get_u16be(sample_jls80_u12 + 15), 0xFFF8);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint8_t bytes[sizeof(sample_jls80_u12)];
        struct pixel_format format = format_of(&u12);
        struct buffer out = buffer_up_to(MAX_FRAME);
        struct error err;
        memcpy(bytes, sample_jls80_u12, sizeof(bytes));
        put_u16be(bytes + wrong[i].at, wrong[i].value);
        CHECK(!decode(UID_JPEG_LS_LOSSLESS, &format, slice_of(bytes, sizeof(bytes)), &out, &err));
        CHECK_INT(err.code, ERROR_INVALID);
        buffer_release(&out);
    }
}

TEST(jpeg_ls_cut_in_its_data_is_refused)
{
    struct pixel_format format = format_of(&u12);
    struct buffer out = buffer_up_to(MAX_FRAME);
    struct error err;
    for (size_t size = 30; size + 4 < sizeof(sample_jls80_u12); size++)
        CHECK(!decode(UID_JPEG_LS_LOSSLESS, &format, slice_of(sample_jls80_u12, size), &out, &err));
    buffer_release(&out);
}

TEST(jpeg_with_scans_without_end_is_refused)
{
    enum { SCANS = 101 };
    uint8_t bytes[sizeof(sample_jpeg50_u8) + 2 * SCANS];
    struct pixel_format format = format_of(&u8);
    struct buffer out = buffer_up_to(MAX_FRAME);
    struct error err;
    memcpy(bytes, sample_jpeg50_u8, sizeof(sample_jpeg50_u8));
    for (size_t i = 0; i < SCANS; i++)
        put_u16be(bytes + sizeof(sample_jpeg50_u8) + 2 * i, 0xFFDA);
    CHECK(!decode(UID_JPEG_BASELINE, &format, slice_of(bytes, sizeof(bytes)), &out, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    buffer_release(&out);
}

/* Each decodes everything again and again, while the others do so too. */
static void *decode_all(void *failures)
{
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < ALL_COUNT; i++) {
            struct pixel_format format = format_of(all[i].depth);
            struct buffer out = buffer_up_to(MAX_FRAME);
            struct error err;
            *(int *)failures += !decode(all[i].uid, &format, slice_of(all[i].bytes, all[i].size),
                                        &out, &err);
            buffer_release(&out);
        }
    return NULL;
}

TEST(frames_are_decoded_by_many_threads_at_once)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    int failures[THREADS] = { 0 };
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, decode_all, &failures[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(failures[i], 0);
    }
}

/* Some of these break an assertion of OpenJPEG (dicom/codec_guard.h), which then loses what it
 * held. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libopenjp2.so";
}

TEST(broken_htj2k_is_an_error_and_not_the_end)
{
    unsigned refused = 0;
    for (size_t at = 0; at < sizeof(sample_ht201_u12); at++) {
        uint8_t bytes[sizeof(sample_ht201_u12)];
        struct pixel_format format = format_of(&u12);
        struct buffer out = buffer_up_to(MAX_FRAME);
        struct error err;
        memcpy(bytes, sample_ht201_u12, sizeof(bytes));
        bytes[at] = 0xFF;
        bool ok = decode("1.2.840.10008.1.2.4.201", &format, slice_of(bytes, sizeof(bytes)), &out,
                         &err);
        CHECK_INT(out.size, ok ? ROWS * COLUMNS * 2 : 0);
        refused += !ok;
        buffer_release(&out);
    }
    CHECK(refused > 20);
    CHECK_INT(DISTANCE("4.201", u12, ht201_u12), 0);
}

TEST(transfer_syntaxes_without_a_decoder_are_told)
{
    struct pixel_format format = format_of(&u8);
    struct buffer out = buffer_up_to(MAX_FRAME);
    struct error err;
    CHECK(codec_can_decode(syntax_of(UID_JPEG_BASELINE)));
    CHECK(!codec_can_decode(syntax_of(UID_EXPLICIT_LITTLE_ENDIAN)));
    CHECK(!codec_can_decode(syntax_of("1.2.840.10008.1.2.4.100")));
    CHECK(!decode("1.2.3", &format, slice_of("x", 1), &out, &err));
    CHECK_INT(err.code, ERROR_UNSUPPORTED);
}
