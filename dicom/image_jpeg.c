/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

/* Needs stdio.h and stdlib.h before it. */
#include <jerror.h>
#include <jpeglib.h>

#include "dicom/image_file.h"

enum { PIECE = 64 << 10, ROWS = 16 /* handed over at a time */ };

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

static void compress(struct jpeg_compress_struct *jpeg, const struct raster *raster, int quality,
                     struct slice profile)
{
    size_t line = (size_t)raster->columns * raster->samples;
    jpeg->image_width = raster->columns;
    jpeg->image_height = raster->rows;
    jpeg->input_components = (int)raster->samples;
    jpeg->in_color_space = raster->samples == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg_start_compress(jpeg, TRUE);
    if (profile.size)
        jpeg_write_icc_profile(jpeg, profile.data, (unsigned)profile.size);
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW rows[ROWS];
        JDIMENSION count = 0;
        for (; count < ROWS && jpeg->next_scanline + count < jpeg->image_height; count++)
            rows[count] = raster->bytes.data + (jpeg->next_scanline + count) * line;
        jpeg_write_scanlines(jpeg, rows, count);
    }
    jpeg_finish_compress(jpeg);
}

bool image_write_jpeg(const struct raster *raster, int quality, struct slice profile,
                      struct buffer *out, struct error *err)
{
    struct jpeg_compress_struct jpeg = { 0 };
    struct failure failure = { .message = "" };
    struct destination destination = {
        .base = { .init_destination = begin_piece,
                  .empty_output_buffer = end_piece,
                  .term_destination = end_image },
        .out = out,
    };
    jpeg.err = jpeg_std_error(&failure.base);
    failure.base.error_exit = give_up;
    failure.base.output_message = say_nothing;
    if (setjmp(failure.where)) {
        jpeg_destroy_compress(&jpeg);
        return error_set(err, ERROR_UNSUPPORTED, "no JPEG can be made: %.120s", failure.message);
    }
    jpeg_create_compress(&jpeg);
    jpeg.dest = &destination.base;
    compress(&jpeg, raster, quality, profile);
    jpeg_destroy_compress(&jpeg);
    return true;
}
