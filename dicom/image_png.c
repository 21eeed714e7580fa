/* SPDX-License-Identifier: MIT */
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/image_file.h"
#include "dicom/image_read.h"

/* Levels of compression: beyond them it takes long for little. */
enum { LEVEL_OF_GREYS = 1, LEVEL_OF_COLOURS = 3 };

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

/* Writing. */

static void put_bytes(png_structp png, png_bytep bytes, size_t size)
{
    if (!buffer_append(png_get_io_ptr(png), slice_of(bytes, size)))
        png_error(png, "too large");
}

static void flush(png_structp png)
{
    (void)png;
}

/* All that longjmp passes over is in here. */
struct writing {
    png_structp png;
    png_infop info;
};

static bool write_rows(struct writing *writing, const struct raster *raster, struct slice profile,
                       struct buffer *out)
{
    png_structp png = writing->png;
    bool is_grey = raster->samples == 1;
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_write_fn(png, out, put_bytes, flush);
    png_set_benign_errors(png, 1); /* a profile may be careless */
    /* Greys are mostly tissue, alike with noise: the differences of neighbours take less time. Many
     * colours are screens, of which what repeats is shorter. */
    png_set_compression_level(png, is_grey ? LEVEL_OF_GREYS : LEVEL_OF_COLOURS);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, is_grey ? PNG_FILTER_SUB : PNG_NO_FILTERS);
    png_set_IHDR(png, writing->info, raster->columns, raster->rows, 8,
                 is_grey ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_BASE, PNG_FILTER_TYPE_BASE);
    if (profile.size)
        png_set_iCCP(png, writing->info, "ICC profile", PNG_COMPRESSION_TYPE_BASE, profile.data,
                     (png_uint_32)profile.size);
    png_write_info(png, writing->info);
    size_t line = (size_t)raster->columns * raster->samples;
    for (uint32_t y = 0; y < raster->rows; y++)
        png_write_row(png, raster->bytes.data + y * line);
    png_write_end(png, writing->info);
    return true;
}

bool image_write_png(const struct raster *raster, struct slice profile, struct buffer *out,
                     struct error *err)
{
    struct writing writing = { NULL, NULL };
    writing.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, give_up, say_nothing);
    writing.info = writing.png ? png_create_info_struct(writing.png) : NULL;
    if (!writing.info)
        abort(); /* as mem_alloc does */
    bool ok = write_rows(&writing, raster, profile, out);
    png_destroy_write_struct(&writing.png, &writing.info);
    if (ok)
        return true;
    return buffer_check(out, "the picture", err) &&
           error_set(err, ERROR_UNSUPPORTED, "no PNG can be made of %u x %u", raster->columns,
                     raster->rows);
}

/* Reading. */

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
    png_set_user_limits(reading->png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_chunk_malloc_max(reading->png, 8 << 20);
    png_read_info(reading->png, reading->info);
    transform(reading->png, reading->info, pixels);
    if ((pixels->samples != 1 && pixels->samples != 3) || !image_pixels_check(pixels, err))
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
