/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Needs stdio.h and stdlib.h before it. */
#include <jerror.h>
#include <jpeglib.h>

#include "dicom/image_file.h"

enum { PIECE = 64 << 10, ROWS = 16 /* of colours that are handed over at a time */ };

struct failure {
    struct jpeg_error_mgr base;
    jmp_buf where;
    char message[JMSG_LENGTH_MAX];
};

struct destination {
    struct jpeg_destination_mgr base;
    struct buffer *out;
};

static void give_up(j_common_ptr info)
{
    struct failure *failure = (struct failure *)info->err;
    failure->base.format_message(info, failure->message);
    longjmp(failure->where, 1);
}

static void say_nothing(j_common_ptr info)
{
    (void)info;
}

static void begin_piece(j_compress_ptr jpeg)
{
    struct destination *destination = (struct destination *)jpeg->dest;
    struct space space = buffer_reserve(destination->out, PIECE);
    if (!space.data)
        ERREXIT(jpeg, JERR_BUFFER_SIZE);
    destination->base.next_output_byte = space.data;
    destination->base.free_in_buffer = space.size;
}

/* Called with a full piece, whatever free_in_buffer says then. */
static boolean end_piece(j_compress_ptr jpeg)
{
    buffer_advance(((struct destination *)jpeg->dest)->out, PIECE);
    begin_piece(jpeg);
    return TRUE;
}

static void end_image(j_compress_ptr jpeg)
{
    struct destination *destination = (struct destination *)jpeg->dest;
    buffer_advance(destination->out, PIECE - destination->base.free_in_buffer);
}

static void begin(struct jpeg_compress_struct *jpeg, const struct raster *raster, int quality,
                  struct slice profile)
{
    jpeg->image_width = raster->columns;
    jpeg->image_height = raster->rows;
    jpeg->input_components = (int)raster->samples;
    jpeg->in_color_space = raster->samples == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg->raw_data_in = raster->samples == 1;
    jpeg_start_compress(jpeg, TRUE);
    if (profile.size)
        jpeg_write_icc_profile(jpeg, profile.data, (unsigned)profile.size);
}

static void write_colours(struct jpeg_compress_struct *jpeg, const struct raster *raster)
{
    size_t line = (size_t)raster->columns * raster->samples;
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW rows[ROWS];
        JDIMENSION count = 0;
        for (; count < ROWS && jpeg->next_scanline + count < jpeg->image_height; count++)
            rows[count] = raster->bytes.data + (jpeg->next_scanline + count) * line;
        jpeg_write_scanlines(jpeg, rows, count);
    }
}

/* A row whose last sample is repeated to the end of its block. `padded` has a place for it. */
static JSAMPROW pad_row(const struct raster *raster, size_t y, JSAMPROW padded, size_t width)
{
    memcpy(padded, raster->bytes.data + y * raster->columns, raster->columns);
    memset(padded + raster->columns, padded[raster->columns - 1], width - raster->columns);
    return padded;
}

/* Blocks of greys go to the transform from where they are: the library's way to it, for colours,
 * copies each sample twice. At the edges it would make the same of them. */
static void write_greys(struct jpeg_compress_struct *jpeg, const struct raster *raster)
{
    size_t width = ((size_t)raster->columns + DCTSIZE - 1) / DCTSIZE * DCTSIZE;
    JSAMPROW rows[DCTSIZE];
    JSAMPARRAY plane = rows;
    /* The library's memory, so that it goes with all else when that gives up. */
    JSAMPARRAY padded = width == raster->columns
                            ? NULL
                            : jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE,
                                                      (JDIMENSION)width, DCTSIZE);
    while (jpeg->next_scanline < jpeg->image_height) {
        for (size_t i = 0; i < DCTSIZE; i++) {
            size_t y = jpeg->next_scanline + i;
            y = y < raster->rows ? y : raster->rows - 1;
            rows[i] = padded ? pad_row(raster, y, padded[i], width)
                             : raster->bytes.data + y * raster->columns;
        }
        jpeg_write_raw_data(jpeg, &plane, DCTSIZE);
    }
}

/* All that longjmp passes over is in here. */
struct writing {
    struct jpeg_compress_struct jpeg;
    struct failure failure;
    struct destination destination;
};

static bool write_picture(struct writing *writing, const struct raster *raster, int quality,
                          struct slice profile)
{
    struct jpeg_compress_struct *jpeg = &writing->jpeg;
    if (setjmp(writing->failure.where))
        return false;
    jpeg_create_compress(jpeg);
    jpeg->dest = &writing->destination.base;
    begin(jpeg, raster, quality, profile);
    if (raster->samples == 1)
        write_greys(jpeg, raster);
    else
        write_colours(jpeg, raster);
    jpeg_finish_compress(jpeg);
    return true;
}

bool image_write_jpeg(const struct raster *raster, int quality, struct slice profile,
                      struct buffer *out, struct error *err)
{
    struct writing writing = {
        .destination = { .base = { .init_destination = begin_piece,
                                   .empty_output_buffer = end_piece,
                                   .term_destination = end_image },
                         .out = out },
    };
    writing.jpeg.err = jpeg_std_error(&writing.failure.base);
    writing.failure.base.error_exit = give_up;
    writing.failure.base.output_message = say_nothing;
    bool ok = write_picture(&writing, raster, quality, profile);
    jpeg_destroy_compress(&writing.jpeg);
    return ok || error_set(err, ERROR_UNSUPPORTED, "no JPEG can be made: %.120s",
                           writing.failure.message);
}
