/* SPDX-License-Identifier: MIT */
#include "sample-data/compress.h"

#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <openjpeg.h>
#include <zlib.h>

#include "sample-data/instance.h"

enum { JPEG_QUALITY = 90 };

void compress_jpeg(const uint8_t *rgb, unsigned columns, unsigned rows, struct buffer *out)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors; /* its error_exit ends the program with a message */
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, &size);
    jpeg.image_width = columns;
    jpeg.image_height = rows;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, JPEG_QUALITY, TRUE);
    jpeg.comp_info[0].h_samp_factor = 2;
    jpeg.comp_info[0].v_samp_factor = 1;
    jpeg.dct_method = JDCT_ISLOW;
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < rows) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(rgb + (size_t)jpeg.next_scanline * columns * 3);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    buffer_append(out, slice_of(bytes, size));
    free(bytes);
}

/* What OpenJPEG writes to: it goes back to correct what it wrote before. */
struct memory_stream {
    struct buffer *out;
    size_t start;
    size_t position;
};

static OPJ_SIZE_T stream_write(void *data, OPJ_SIZE_T size, void *context)
{
    struct memory_stream *stream = context;
    size_t end = stream->start + stream->position + size;
    if (end > stream->out->size) {
        size_t more = end - stream->out->size;
        if (!buffer_reserve(stream->out, more).data)
            return (OPJ_SIZE_T)-1;
        buffer_advance(stream->out, more);
    }
    memcpy(stream->out->data + stream->start + stream->position, data, size);
    stream->position += size;
    return size;
}

static OPJ_BOOL stream_seek(OPJ_OFF_T position, void *context)
{
    struct memory_stream *stream = context;
    stream->position = (size_t)position;
    return OPJ_TRUE;
}

static OPJ_OFF_T stream_skip(OPJ_OFF_T count, void *context)
{
    struct memory_stream *stream = context;
    stream->position += (size_t)count;
    return count;
}

static opj_image_t *image_of_grey(const uint16_t *grey, unsigned columns, unsigned rows,
                                  unsigned bits)
{
    opj_image_cmptparm_t component = {
        .dx = 1, .dy = 1, .w = columns, .h = rows, .prec = bits, .bpp = bits
    };
    opj_image_t *image = opj_image_create(1, &component, OPJ_CLRSPC_GRAY);
    if (!image)
        die("no JPEG 2000 image of %u x %u", columns, rows);
    image->x1 = columns;
    image->y1 = rows;
    for (size_t i = 0; i < (size_t)columns * rows; i++)
        image->comps[0].data[i] = grey[i];
    return image;
}

void compress_jpeg2000(const uint16_t *grey, unsigned columns, unsigned rows, unsigned bits,
                       struct buffer *out)
{
    struct memory_stream memory = { out, out->size, 0 };
    opj_image_t *image = image_of_grey(grey, columns, rows, bits);
    opj_codec_t *codec = opj_create_compress(OPJ_CODEC_J2K);
    opj_stream_t *stream = opj_stream_default_create(OPJ_FALSE);
    opj_cparameters_t parameters;
    opj_set_default_encoder_parameters(&parameters);
    parameters.tcp_numlayers = 1;
    parameters.tcp_rates[0] = 0; /* reversible */
    parameters.cp_disto_alloc = 1;
    opj_stream_set_user_data(stream, &memory, NULL);
    opj_stream_set_write_function(stream, stream_write);
    opj_stream_set_seek_function(stream, stream_seek);
    opj_stream_set_skip_function(stream, stream_skip);
    if (!opj_setup_encoder(codec, &parameters, image) ||
        !opj_start_compress(codec, image, stream) || !opj_encode(codec, stream) ||
        !opj_end_compress(codec, stream))
        die("JPEG 2000 encoder failed");
    opj_stream_destroy(stream);
    opj_destroy_codec(codec);
    opj_image_destroy(image);
}

void compress_deflate(struct slice bytes, struct buffer *out)
{
    z_stream stream = { 0 };
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        die("deflate failed");
    struct space space = buffer_reserve(out, deflateBound(&stream, bytes.size));
    if (!space.data)
        die("a deflated data set is too large");
    stream.next_in = (Bytef *)(uintptr_t)bytes.data;
    stream.avail_in = (uInt)bytes.size;
    stream.next_out = space.data;
    stream.avail_out = (uInt)space.size;
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
        die("deflate failed");
    buffer_advance(out, stream.total_out);
    if (stream.total_out % 2)
        buffer_append_byte(out, 0);
    deflateEnd(&stream);
}
