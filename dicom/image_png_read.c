/* SPDX-License-Identifier: MIT */
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "dicom/image_read.h"

enum { MAX_SIDE = 65535 };

struct source {
    struct slice rest;
};

static void take_bytes(png_structp png, png_bytep to, size_t size)
{
    struct source *source = png_get_io_ptr(png);
    if (size > source->rest.size)
        png_error(png, "cut short");
    memcpy(to, source->rest.data, size);
    source->rest = slice_skip(source->rest, size);
}

static void give_up(png_structp png, png_const_charp message)
{
    (void)message;
    png_longjmp(png, 1);
}

static void say_nothing(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

/* Grey or RGB, 8 or 16 bits, whatever the file has: PNG's samples are big endian. */
static void transform(png_structp png, png_infop info, struct image_pixels *pixels)
{
    int colour = png_get_color_type(png, info);
    if (colour == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (colour == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, info) < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_alpha(png);
    png_set_swap(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    pixels->rows = png_get_image_height(png, info);
    pixels->columns = png_get_image_width(png, info);
    pixels->samples = png_get_channels(png, info);
    pixels->bits = png_get_bit_depth(png, info);
    pixels->frames = 1;
}

static bool check_size(const struct image_pixels *pixels, struct error *err)
{
    uint64_t size = (uint64_t)pixels->rows * pixels->columns * pixels->samples * pixels->bits / 8;
    if (!size || pixels->rows > MAX_SIDE || pixels->columns > MAX_SIDE || size > IMAGE_READ_LIMIT)
        return error_set(err, ERROR_LIMIT, "a picture is too large");
    return true;
}

/* All that longjmp passes over is in here. */
struct reading {
    png_structp png;
    png_infop info;
    struct source source;
    png_bytepp rows;
};

static bool read_rows(struct reading *reading, struct image_pixels *pixels, struct buffer *out,
                      struct error *err)
{
    if (setjmp(png_jmpbuf(reading->png)))
        return error_set(err, ERROR_INVALID, "a PNG is broken");
    png_set_read_fn(reading->png, &reading->source, take_bytes);
    png_set_user_limits(reading->png, MAX_SIDE, MAX_SIDE);
    png_set_chunk_malloc_max(reading->png, 8 << 20);
    png_read_info(reading->png, reading->info);
    transform(reading->png, reading->info, pixels);
    if ((pixels->samples != 1 && pixels->samples != 3) || !check_size(pixels, err))
        return err->code == ERROR_LIMIT ? false : error_set(err, ERROR_INVALID, "a PNG is broken");
    size_t width = png_get_rowbytes(reading->png, reading->info);
    struct space space = buffer_reserve(out, width * pixels->rows);
    if (!space.data)
        return buffer_check(out, "the pixels of a picture", err);
    reading->rows = mem_alloc_array(pixels->rows, sizeof(*reading->rows));
    for (uint32_t i = 0; i < pixels->rows; i++)
        reading->rows[i] = space.data + (size_t)i * width;
    memset(space.data, 0, space.size);
    png_read_image(reading->png, reading->rows);
    png_read_end(reading->png, NULL);
    buffer_advance(out, space.size);
    return true;
}

bool image_read_png(struct slice file, struct image_pixels *pixels, struct buffer *out,
                    struct error *err)
{
    struct reading reading = { .source = { file } };
    *err = (struct error){ 0 };
    reading.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, give_up, say_nothing);
    reading.info = reading.png ? png_create_info_struct(reading.png) : NULL;
    if (!reading.info)
        abort(); /* as mem_alloc does */
    bool ok = read_rows(&reading, pixels, out, err);
    png_destroy_read_struct(&reading.png, &reading.info, NULL);
    free(reading.rows);
    return ok;
}

static bool png_header(struct slice head, struct image_pixels *pixels, struct error *err)
{
    static const uint8_t signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n' };
    const uint8_t *p = head.data;
    if (head.size < 33 || memcmp(p, signature, 8) != 0 || memcmp(p + 12, "IHDR", 4) != 0)
        return error_set(err, ERROR_INVALID, "a PNG is broken");
    *pixels = (struct image_pixels){
        .columns = get_u32be(p + 16),
        .rows = get_u32be(p + 20),
        .bits = p[24] == 16 ? 16 : 8,
        .samples = p[25] == 0 || p[25] == 4 ? 1 : 3,
        .frames = 1,
    };
    return check_size(pixels, err);
}

static bool gif_header(struct slice head, struct image_pixels *pixels, struct error *err)
{
    if (head.size < 13 || memcmp(head.data, "GIF8", 4) != 0)
        return error_set(err, ERROR_INVALID, "a GIF is broken");
    *pixels = (struct image_pixels){ .columns = get_u16le(head.data + 6),
                                     .rows = get_u16le(head.data + 8),
                                     .bits = 8,
                                     .samples = 3 };
    return check_size(pixels, err);
}

bool image_read_header(const char *media_type, struct slice head, struct image_pixels *pixels,
                       struct error *err)
{
    if (!strcmp(media_type, "image/png"))
        return png_header(head, pixels, err);
    return gif_header(head, pixels, err);
}
