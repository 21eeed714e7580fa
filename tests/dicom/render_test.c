/* SPDX-License-Identifier: MIT */
#include "dicom/render.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "dicom/encode.h"
#include "dicom/image_file.h"
#include "tests/dicom/scanned.h"

/* A row of pixels with the attributes that a test adds, which come in the order of tags. */
struct picture {
    struct buffer bytes;
    struct encoder encoder;
    struct pixel_format format;
    struct slice pixels;
    uint32_t frame;
    const struct voi_window *window;
    bool indexed;                /* its functional groups are */
    const struct dataset *state; /* that it is shown by */
};

static struct picture picture_of(uint32_t columns, uint16_t bits, const char *photometric,
                                 struct slice pixels)
{
    struct picture picture = {
        .bytes = buffer_up_to(1 << 20),
        .format = { .rows = 1,
                    .columns = columns,
                    .samples_per_pixel =
                        strncmp(photometric, "MONO", 4) && strcmp(photometric, "PALETTE COLOR") ? 3
                                                                                                : 1,
                    .bits_allocated = bits > 16  ? 32
                                      : bits > 8 ? 16
                                                 : 8,
                    .bits_stored = bits },
        .pixels = pixels,
        .frame = 1,
    };
    snprintf(picture.format.photometric_interpretation,
             sizeof(picture.format.photometric_interpretation), "%s", photometric);
    return picture;
}

static struct encoder *encoder_of(struct picture *picture)
{
    picture->encoder = (struct encoder){ &picture->bytes, .explicit_vr = true };
    return &picture->encoder;
}

static bool refuse_to_read(void *context, uint64_t offset, struct space space, struct error *err)
{
    (void)context;
    (void)offset;
    (void)space;
    return error_set(err, ERROR_IO, "nothing is left out here");
}

static bool draw(struct picture *picture, struct raster *raster, struct error *err)
{
    static const struct value_source source = { refuse_to_read, NULL };
    struct dataset *dataset;
    CHECK_OK(dataset_open(buffer_slice(&picture->bytes), EXPLICIT, NULL, 0, &dataset, err), *err);
    struct item_index *groups =
        picture->indexed ? item_index_new(dataset, TAG_PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE) : NULL;
    const struct render_input input = { .header = dataset,
                                        .source = &source,
                                        .format = &picture->format,
                                        .pixels = picture->pixels,
                                        .frame = picture->frame,
                                        .window = picture->window,
                                        .frame_groups = groups,
                                        .state = picture->state,
                                        .state_source = &source,
                                        .instance = "1.2" };
    bool ok = render_frame(&input, raster, err);
    item_index_free(groups);
    dataset_close(dataset);
    buffer_release(&picture->bytes);
    return ok;
}

/* The samples as numbers with spaces between, or the error's name. */
static const char *drawn(struct picture *picture)
{
    static char text[512];
    struct raster raster;
    struct error err;
    if (!draw(picture, &raster, &err)) {
        raster_release(&raster);
        return error_name(err.code);
    }
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < raster.bytes.size; i++)
        size += (size_t)snprintf(text + size, sizeof(text) - size, i ? " %u" : "%u",
                                 raster.bytes.data[i]);
    raster_release(&raster);
    return text;
}

TEST(REN_02_eight_bit_images_without_a_window_are_shown_as_they_are)
{
    struct picture picture = picture_of(4, 8, "MONOCHROME2", BYTES("\x00\x07\x80\xFF"));
    CHECK_TEXT(drawn(&picture), "0 7 128 255");
}

TEST(REN_02_deeper_images_without_a_window_are_stretched_from_end_to_end)
{
    struct picture picture = picture_of(3, 12, "MONOCHROME2", BYTES("\x64\x00\xC8\x00\x2C\x01"));
    CHECK_TEXT(drawn(&picture), "0 128 255");
}

TEST(REN_02_padding_does_not_stretch_the_contrast)
{
    struct picture picture = picture_of(4, 16, "MONOCHROME2",
                                        BYTES("\x64\x00\xC8\x00\x2C\x01\x00\x00"));
    encode_u16(encoder_of(&picture), TAG_PIXEL_PADDING_VALUE, 0);
    CHECK_TEXT(drawn(&picture), "0 128 255 0");
}

TEST(REN_02_an_image_that_is_all_padding_is_stretched_from_end_to_end_of_it)
{
    struct picture picture = picture_of(3, 16, "MONOCHROME2", BYTES("\x01\x00\x02\x00\x03\x00"));
    struct encoder *encoder = encoder_of(&picture);
    encode_u16(encoder, TAG_PIXEL_PADDING_VALUE, 3);
    encode_u16(encoder, TAG_PIXEL_PADDING_RANGE_LIMIT, 1);
    CHECK_TEXT(drawn(&picture), "0 128 255");
}

TEST(REN_02_signed_bytes_without_a_window_are_stretched_from_end_to_end)
{
    struct picture picture = picture_of(3, 8, "MONOCHROME2", BYTES("\xFF\x00\x01"));
    picture.format.pixel_representation = 1;
    CHECK_TEXT(drawn(&picture), "0 128 255");
}

TEST(REN_02_monochrome1_shows_its_lowest_value_white)
{
    struct picture picture = picture_of(3, 8, "MONOCHROME1", BYTES("\x00\x80\xFF"));
    CHECK_TEXT(drawn(&picture), "255 127 0");
}

TEST(REN_02_presentation_lut_shape_inverse_inverts)
{
    struct picture picture = picture_of(2, 8, "MONOCHROME2", BYTES("\x00\xFF"));
    encode_text(encoder_of(&picture), TAG_PRESENTATION_LUT_SHAPE, VR_CS, "INVERSE");
    CHECK_TEXT(drawn(&picture), "255 0");
}

TEST(REN_02_rescaled_ct_values_go_through_the_images_window)
{
    /* 0, 1024, 2048 less 1024 are -1024, 0, 1024 HU; the window of 400 around 40. */
    struct picture picture = picture_of(4, 16, "MONOCHROME2",
                                        BYTES("\x00\x00\x00\x04\x00\x08\x28\x04"));
    struct encoder *encoder = encoder_of(&picture);
    encode_text(encoder, TAG_WINDOW_CENTER, VR_DS, "40\\600");
    encode_text(encoder, TAG_WINDOW_WIDTH, VR_DS, "400\\1600");
    encode_text(encoder, TAG_RESCALE_INTERCEPT, VR_DS, "-1024");
    encode_text(encoder, TAG_RESCALE_SLOPE, VR_DS, "1");
    /* PS3.3 C.11.2.1.2.1: ((0 - 39.5) / 399 + 0.5) * 255 = 102.3; at the centre 127.8. */
    CHECK_TEXT(drawn(&picture), "0 102 255 128");
}

TEST(REN_02_signed_values_and_high_bits_are_read_as_they_are_stored)
{
    /* 12 bits stored in the high part of the word: -1 is FFF0, 1 is 0010. */
    struct picture picture = picture_of(3, 12, "MONOCHROME2", BYTES("\xF0\xFF\x00\x00\x10\x00"));
    picture.format.pixel_representation = 1;
    encode_u16(encoder_of(&picture), TAG_HIGH_BIT, 15);
    CHECK_TEXT(drawn(&picture), "0 128 255");
}

TEST(REN_02_bits_beside_the_stored_ones_are_ignored)
{
    struct picture picture = picture_of(2, 12, "MONOCHROME2", BYTES("\x00\xF0\xFF\x0F"));
    CHECK_TEXT(drawn(&picture), "0 255");
}

TEST(REN_02_values_of_32_bits_have_a_picture)
{
    struct picture picture = picture_of(3, 32, "MONOCHROME2",
                                        BYTES("\x00\x00\x00\x00\x00\x00\x00\x80\xFF\xFF\xFF\xFF"));
    CHECK_TEXT(drawn(&picture), "0 128 255");
}

TEST(REN_02_single_bits_are_black_and_white)
{
    struct picture picture = picture_of(10, 8, "MONOCHROME2", BYTES("\x05\x02"));
    picture.format.bits_allocated = 1;
    picture.format.bits_stored = 1;
    CHECK_TEXT(drawn(&picture), "255 0 255 0 0 0 0 0 0 255");
}

TEST(REN_02_modality_table_goes_before_slope_and_intercept)
{
    struct picture picture = picture_of(3, 8, "MONOCHROME2", BYTES("\x00\x01\x02"));
    struct encoder *encoder = encoder_of(&picture);
    encode_text(encoder, TAG_WINDOW_CENTER, VR_DS, "100");
    encode_text(encoder, TAG_WINDOW_WIDTH, VR_DS, "200");
    encode_sequence_begin(encoder, TAG_MODALITY_LUT_SEQUENCE);
    encode_item_begin(encoder);
    encode_bytes(encoder, TAG_LUT_DESCRIPTOR, VR_US, BYTES("\x03\x00\x00\x00\x10\x00"));
    encode_bytes(encoder, TAG_LUT_DATA, VR_US, BYTES("\xC8\x00\x64\x00\x00\x00"));
    encode_item_end(encoder);
    encode_sequence_end(encoder);
    CHECK_TEXT(drawn(&picture), "255 128 0");
}

TEST(REN_02_voi_table_shows_what_it_says)
{
    struct picture picture = picture_of(4, 16, "MONOCHROME2",
                                        BYTES("\x09\x00\x0A\x00\x0B\x00\x63\x00"));
    struct encoder *encoder = encoder_of(&picture);
    encode_sequence_begin(encoder, TAG_VOI_LUT_SEQUENCE);
    encode_item_begin(encoder);
    encode_bytes(encoder, TAG_LUT_DESCRIPTOR, VR_US, BYTES("\x03\x00\x0A\x00\x08\x00"));
    encode_bytes(encoder, TAG_LUT_DATA, VR_US, BYTES("\x05\x00\x40\x00\xFF\x00"));
    encode_item_end(encoder);
    encode_sequence_end(encoder);
    CHECK_TEXT(drawn(&picture), "5 5 64 255");
}

TEST(REN_04_window_of_the_call_goes_before_that_of_the_image)
{
    static const struct voi_window window = { 100, 100, VOI_LINEAR_EXACT };
    struct picture picture = picture_of(4, 8, "MONOCHROME2", BYTES("\x32\x64\x96\x00"));
    struct encoder *encoder = encoder_of(&picture);
    encode_text(encoder, TAG_WINDOW_CENTER, VR_DS, "0");
    encode_text(encoder, TAG_WINDOW_WIDTH, VR_DS, "1");
    picture.window = &window;
    CHECK_TEXT(drawn(&picture), "0 128 255 0");
}

TEST(REN_04_each_window_function_is_that_of_the_standard)
{
    static const struct voi_window sigmoid = { 128, 64, VOI_SIGMOID };
    static const struct voi_window threshold = { 128, 1, VOI_LINEAR };
    struct picture picture = picture_of(3, 8, "MONOCHROME2", BYTES("\x80\x90\x70"));
    picture.window = &sigmoid; /* 255 / (1 + e^-1) = 186.4 */
    CHECK_TEXT(drawn(&picture), "128 186 69");
    picture = picture_of(3, 8, "MONOCHROME2", BYTES("\x7F\x80\x81"));
    picture.window = &threshold;
    CHECK_TEXT(drawn(&picture), "0 255 255");
}

static void check_window_of_a_frame(bool indexed)
{
    struct picture picture = picture_of(2, 16, "MONOCHROME2", BYTES("\x0A\x00\x14\x00"));
    struct encoder *encoder = encoder_of(&picture);
    encode_sequence_begin(encoder, TAG_PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    for (int frame = 1; frame <= 2; frame++) {
        encode_item_begin(encoder);
        encode_sequence_begin(encoder, TAG_FRAME_VOI_LUT_SEQUENCE);
        encode_item_begin(encoder);
        encode_text(encoder, TAG_WINDOW_CENTER, VR_DS, frame == 2 ? "20" : "500");
        encode_text(encoder, TAG_WINDOW_WIDTH, VR_DS, "20");
        encode_text(encoder, TAG_VOI_LUT_FUNCTION, VR_CS, "LINEAR_EXACT");
        encode_item_end(encoder);
        encode_sequence_end(encoder);
        encode_item_end(encoder);
    }
    encode_sequence_end(encoder);
    picture.frame = 2;
    picture.indexed = indexed;
    CHECK_TEXT(drawn(&picture), "0 128");
}

TEST(REN_02_window_of_a_frame_stands_in_its_functional_groups)
{
    check_window_of_a_frame(false);
    check_window_of_a_frame(true);
}

static void add_palettes(struct encoder *encoder, struct slice descriptor, struct slice red,
                         struct slice green, struct slice blue, bool segmented)
{
    const struct slice colours[3] = { red, green, blue };
    for (uint32_t i = 0; i < 3; i++)
        encode_bytes(encoder, TAG_RED_PALETTE_DESCRIPTOR + i, VR_US, descriptor);
    for (uint32_t i = 0; i < 3; i++)
        encode_bytes(encoder,
                     (segmented ? TAG_SEGMENTED_RED_PALETTE_DATA : TAG_RED_PALETTE_DATA) + i, VR_OW,
                     colours[i]);
}

/* Pixels of 8 bits drawn with one table for all three colours. */
static const char *drawn_in_grey_palette(struct slice pixels, struct slice descriptor,
                                         struct slice table, bool segmented)
{
    struct picture picture = picture_of((uint16_t)pixels.size, 8, "PALETTE COLOR", pixels);
    picture.bytes = buffer_up_to(4 << 20);
    add_palettes(encoder_of(&picture), descriptor, table, table, table, segmented);
    return drawn(&picture);
}

TEST(REN_02_palette_colours_are_looked_up)
{
    struct picture picture = picture_of(3, 8, "PALETTE COLOR", BYTES("\x00\x01\x09"));
    add_palettes(encoder_of(&picture), BYTES("\x02\x00\x00\x00\x10\x00"), BYTES("\x00\x00\x00\xFF"),
                 BYTES("\x00\x80\x00\x00"), BYTES("\x00\x10\x00\x20"), false);
    CHECK_TEXT(drawn(&picture), "0 128 16 255 0 32 255 0 32");
}

TEST(REN_02_segmented_palettes_are_expanded)
{
    /* One entry of 0, then a line of 4 to 4 * 256. */
    struct slice line = BYTES("\x00\x00\x01\x00\x00\x00\x01\x00\x04\x00\x00\x04");
    CHECK_TEXT(drawn_in_grey_palette(BYTES("\x00\x01\x02\x03\x04"),
                                     BYTES("\x05\x00\x00\x00\x10\x00"), line, true),
               "0 0 0 1 1 1 2 2 2 3 3 3 4 4 4");
}

TEST(REN_02_a_palette_that_is_too_short_is_refused)
{
    CHECK_TEXT(drawn_in_grey_palette(BYTES("\x00"), BYTES("\x00\x01\x00\x00\x10\x00"),
                                     BYTES("\x00\x00"), false),
               "invalid");
}

TEST(REN_02_segments_that_refer_to_themselves_are_refused)
{
    struct slice loop = BYTES("\x02\x00\x01\x00\x00\x00\x00\x00");
    CHECK_TEXT(drawn_in_grey_palette(BYTES("\x00"), BYTES("\x05\x00\x00\x00\x10\x00"), loop, true),
               "invalid");
}

TEST(REN_02_segments_that_make_nothing_are_not_repeated_for_long)
{
    enum { EMPTY = 65535, REPEATS = 98000 };
    struct buffer segments = buffer_up_to(1 << 20);
    for (int i = 0; i < EMPTY; i++)
        buffer_append(&segments, BYTES("\x00\x00\x00\x00"));
    for (int i = 0; i < REPEATS; i++)
        buffer_append(&segments, BYTES("\x02\x00\xFF\xFF\x00\x00\x00\x00"));
    /* Thousands of millions of steps if each were taken. */
    CHECK_TEXT(drawn_in_grey_palette(BYTES("\x00"), BYTES("\x05\x00\x00\x00\x10\x00"),
                                     buffer_slice(&segments), true),
               "invalid");
    buffer_release(&segments);
}

TEST(REN_02_colour_by_pixel_and_by_plane_is_the_same_picture)
{
    struct picture picture = picture_of(2, 8, "RGB", BYTES("\x01\x02\x03\x04\x05\x06"));
    CHECK_TEXT(drawn(&picture), "1 2 3 4 5 6");
    picture = picture_of(2, 8, "RGB", BYTES("\x01\x04\x02\x05\x03\x06"));
    picture.format.planar_configuration = 1;
    CHECK_TEXT(drawn(&picture), "1 2 3 4 5 6");
}

TEST(REN_02_colours_of_16_bits_keep_their_high_bits)
{
    struct picture picture = picture_of(1, 16, "RGB", BYTES("\xFF\x01\xFF\x80\xFF\xFF"));
    CHECK_TEXT(drawn(&picture), "1 128 255");
}

TEST(REN_02_luminance_and_chrominance_become_red_green_and_blue)
{
    /* Pure red in YBR_FULL is 76, 85, 255. */
    struct picture picture = picture_of(2, 8, "YBR_FULL", BYTES("\x4C\x55\xFF\x80\x80\x80"));
    CHECK_TEXT(drawn(&picture), "254 0 0 128 128 128");
}

TEST(REN_02_two_pixels_share_their_chrominance)
{
    struct picture picture = picture_of(2, 8, "YBR_FULL_422", BYTES("\x4C\x80\x55\xFF"));
    CHECK_TEXT(drawn(&picture), "254 0 0 255 52 52");
}

TEST(REN_02_real_values_are_shown_from_lowest_to_highest)
{
    static const float values[] = { -1.5f, 0.0f, 1.5f };
    struct picture picture = picture_of(3, 32, "MONOCHROME2", slice_of(values, sizeof(values)));
    encode_bytes(encoder_of(&picture), TAG_FLOAT_PIXEL_DATA, VR_OF,
                 slice_of(values, sizeof(values)));
    CHECK_TEXT(drawn(&picture), "0 128 255");
}

TEST(REN_02_a_table_of_real_values_has_an_answer_to_all_of_them)
{
    static const double values[] = { 0, 2.4, 2.6, 1e308, -1e308, (double)NAN };
    struct picture picture = picture_of(6, 64, "MONOCHROME2", slice_of(values, sizeof(values)));
    struct encoder *encoder = encoder_of(&picture);
    encode_sequence_begin(encoder, TAG_VOI_LUT_SEQUENCE);
    encode_item_begin(encoder);
    encode_bytes(encoder, TAG_LUT_DESCRIPTOR, VR_US, BYTES("\x03\x00\x01\x00\x08\x00"));
    encode_bytes(encoder, TAG_LUT_DATA, VR_OW, BYTES("\x05\x00\x40\x00\xFF\x00"));
    encode_item_end(encoder);
    encode_sequence_end(encoder);
    encode_bytes(encoder, TAG_DOUBLE_FLOAT_PIXEL_DATA, VR_OD, slice_of(values, sizeof(values)));
    CHECK_TEXT(drawn(&picture), "5 64 255 255 5 0");
}

/* A table of a sequence. */
static void add_table(struct encoder *encoder, uint32_t sequence_tag, struct slice descriptor)
{
    encode_sequence_begin(encoder, sequence_tag);
    encode_item_begin(encoder);
    encode_bytes(encoder, TAG_LUT_DESCRIPTOR, VR_US, descriptor);
    encode_bytes(encoder, TAG_LUT_DATA, VR_OW, BYTES("\x05\x00\x40\x00\xFF\x00"));
    encode_item_end(encoder);
    encode_sequence_end(encoder);
}

TEST(REN_10_a_state_whose_second_table_is_broken_is_refused_and_leaves_nothing_of_the_first)
{
    static const float values[] = { 0, 1, 2 };
    struct buffer bytes = buffer_up_to(1 << 10);
    struct encoder encoder = { &bytes, .explicit_vr = true };
    struct dataset *state;
    struct error err;
    encode_sequence_begin(&encoder, TAG_SOFTCOPY_VOI_LUT_SEQUENCE);
    encode_item_begin(&encoder);
    add_table(&encoder, TAG_VOI_LUT_SEQUENCE, BYTES("\x03\x00\x00\x00\x08\x00"));
    encode_item_end(&encoder);
    encode_sequence_end(&encoder);
    add_table(&encoder, TAG_PRESENTATION_LUT_SEQUENCE, BYTES("\x03\x00"));
    CHECK_OK(dataset_open(buffer_slice(&bytes), EXPLICIT, NULL, 0, &state, &err), err);
    for (int real = 0; real < 2; real++) {
        struct picture picture = picture_of(3, 8, "MONOCHROME2", slice_of(values, sizeof(values)));
        picture.state = state;
        if (real)
            encode_bytes(encoder_of(&picture), TAG_FLOAT_PIXEL_DATA, VR_OF,
                         slice_of(values, sizeof(values)));
        CHECK_TEXT(drawn(&picture), "invalid");
    }
    dataset_close(state);
    buffer_release(&bytes);
}

TEST(REN_02_a_frame_that_is_too_short_is_refused)
{
    static const char *const kinds[] = { "MONOCHROME2", "RGB", "YBR_FULL_422", "PALETTE COLOR" };
    for (size_t i = 0; i < 4; i++) {
        struct picture picture = picture_of(2, 8, kinds[i], BYTES("\x00"));
        CHECK_TEXT(drawn(&picture), "invalid");
    }
}

TEST(REN_02_unknown_colours_have_no_picture)
{
    struct picture picture = picture_of(1, 8, "CMYK", BYTES("\x00\x00\x00"));
    CHECK_TEXT(drawn(&picture), "unsupported");
}

static struct raster raster_of(uint32_t rows, uint32_t columns, struct slice bytes)
{
    struct raster raster;
    struct error err;
    CHECK_OK(raster_init(&raster, rows, columns, 1, &err), err);
    memcpy(raster.bytes.data, bytes.data, bytes.size);
    return raster;
}

static const char *viewed(struct slice bytes, uint32_t rows, uint32_t columns,
                          struct viewport viewport, double pixel_height)
{
    static char text[512];
    struct raster source = raster_of(rows, columns, bytes);
    struct raster view = { 0 };
    struct error err;
    if (!raster_view(&source, &viewport, pixel_height, &view, &err)) {
        raster_release(&source);
        raster_release(&view);
        return error_name(err.code);
    }
    size_t size = (size_t)snprintf(text, sizeof(text), "%ux%u:", view.columns, view.rows);
    for (size_t i = 0; i < view.bytes.size; i++)
        size += (size_t)snprintf(text + size, sizeof(text) - size, " %u", view.bytes.data[i]);
    raster_release(&source);
    raster_release(&view);
    return text;
}

TEST(REN_05_picture_fits_the_viewport_and_keeps_its_shape)
{
    struct slice four = BYTES("\x00\x02\x04\x06\x00\x02\x04\x06");
    CHECK_TEXT(viewed(four, 2, 4, (struct viewport){ .width = 2, .height = 2 }, 1), "2x1: 1 5");
    CHECK_TEXT(viewed(four, 2, 4, (struct viewport){ .width = 100, .height = 100 }, 1),
               "4x2: 0 2 4 6 0 2 4 6");
}

TEST(REN_05_region_is_cut_out_and_mirrored)
{
    struct slice four = BYTES("\x01\x02\x03\x04\x05\x06\x07\x08");
    struct viewport right = { 100, 100, true, 2, 0, 2, 2 };
    struct viewport across = { 100, 100, true, 0, 0, -4, 2 };
    struct viewport upside_down = { 100, 100, true, 0, 0, 4, -2 };
    struct viewport outside = { 100, 100, true, 3, 0, 2, 2 };
    CHECK_TEXT(viewed(four, 2, 4, right, 1), "2x2: 3 4 7 8");
    CHECK_TEXT(viewed(four, 2, 4, across, 1), "4x2: 4 3 2 1 8 7 6 5");
    CHECK_TEXT(viewed(four, 2, 4, upside_down, 1), "4x2: 5 6 7 8 1 2 3 4");
    CHECK_TEXT(viewed(four, 2, 4, outside, 1), "invalid");
}

TEST(REN_02_pixels_that_are_not_square_are_made_so)
{
    CHECK_TEXT(viewed(BYTES("\x01\x02"), 1, 2, (struct viewport){ .width = 0 }, 2), "2x2: 1 2 1 2");
    CHECK_TEXT(viewed(BYTES("\x01\x02"), 2, 1, (struct viewport){ .width = 0 }, 0.5),
               "2x2: 1 1 2 2");
}

/* Memory is taken by what is seen, and a picture of a megabyte can grow to a thousand of them. */
TEST(HOS_42_how_large_a_view_can_be_is_known_before_it_is_drawn)
{
    const struct viewport whole = { .width = 0 };
    const struct viewport small = { .width = 128, .height = 128 };
    CHECK_INT(raster_view_pixels(100, 200, &whole, 1), 101 * 201);
    CHECK_INT(raster_view_pixels(32, 32000, &whole, 900), 28801LL * 32001);
    CHECK_INT(raster_view_pixels(32000, 32, &whole, 0.01), 32001 * 3201);
    CHECK_INT(raster_view_pixels(65535, 65535, &whole, 1), RASTER_LIMIT);
    CHECK_INT(raster_view_pixels(65535, 65535, &small, 900), 128 * 128);
    CHECK_INT(raster_view_pixels(100, 200, &whole, (double)NAN), 101 * 201);
}

TEST(REN_05_a_region_that_has_little_of_two_pixels_is_not_black)
{
    const struct viewport thin = {
        .has_region = true, .left = 0.9999, .region_width = 0.0002, .region_height = 1
    };
    CHECK_TEXT(viewed(BYTES("\xC8\x64"), 1, 2, thin, 1), "1x1: 200");
}

TEST(REN_01_pictures_are_written_as_jpeg_and_png)
{
    struct raster raster = raster_of(2, 2, BYTES("\x00\x80\x80\xFF"));
    struct buffer jpeg = buffer_up_to(1 << 20);
    struct buffer png = buffer_up_to(1 << 20);
    struct error err;
    CHECK_OK(image_write_jpeg(&raster, 90, slice_of(NULL, 0), &jpeg, &err), err);
    CHECK_OK(image_write_png(&raster, slice_of(NULL, 0), &png, &err), err);
    CHECK(slice_starts_with(buffer_slice(&jpeg), BYTES("\xFF\xD8\xFF")));
    CHECK(jpeg.data[jpeg.size - 2] == 0xFF && jpeg.data[jpeg.size - 1] == 0xD9);
    CHECK(slice_starts_with(buffer_slice(&png), BYTES("\x89PNG\r\n\x1A\n")));
    buffer_release(&jpeg);
    buffer_release(&png);
    raster_release(&raster);
}

TEST(REN_01_a_picture_that_no_file_can_hold_is_refused)
{
    struct raster raster = { .rows = 70000, .columns = 1, .samples = 1 };
    struct buffer out = buffer_up_to(1 << 20);
    struct error err;
    CHECK(!image_write_jpeg(&raster, 90, slice_of(NULL, 0), &out, &err));
    CHECK_INT(err.code, ERROR_UNSUPPORTED);
    buffer_release(&out);
    raster = raster_of(64, 64, BYTES(""));
    for (size_t i = 0; i < raster.bytes.size; i++)
        raster.bytes.data[i] = (uint8_t)(rand() >> 3);
    out = buffer_up_to(1000);
    CHECK(!image_write_png(&raster, slice_of(NULL, 0), &out, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    buffer_release(&out);
    raster_release(&raster);
}

TEST(a_view_of_all_is_the_picture_itself)
{
    const struct raster raster = { .rows = 20, .columns = 30, .samples = 1 };
    CHECK(raster_is_view(&raster, &(struct viewport){ 0 }, 1));
    CHECK(raster_is_view(&raster, &(struct viewport){ .width = 30, .height = 20 }, 1));
    CHECK(!raster_is_view(&raster, &(struct viewport){ .width = 29, .height = 20 }, 1));
    CHECK(!raster_is_view(&raster, &(struct viewport){ .width = 30, .height = 19 }, 1));
    CHECK(!raster_is_view(&raster, &(struct viewport){ .has_region = true }, 1));
    CHECK(!raster_is_view(&raster, &(struct viewport){ 0 }, 2));
}
