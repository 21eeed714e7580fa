/* SPDX-License-Identifier: MIT */
#include "dicom/codec.h"

#include <string.h>

#include "dicom/codec_decoders.h"

/* A frame beyond this is none that a peer may make us hold. */
enum { MAX_FRAME = 256 << 20, MAX_SIDE = 65535 };

static const struct {
    const char *uid;
    frame_decoder *decode;
} decoders[] = {
    { "1.2.840.10008.1.2.4.50", codec_jpeg_decode },
    { "1.2.840.10008.1.2.4.51", codec_jpeg_decode },
    { "1.2.840.10008.1.2.4.53", codec_jpeg_decode },
    { "1.2.840.10008.1.2.4.55", codec_jpeg_decode },
    { "1.2.840.10008.1.2.4.57", codec_jpeg_decode },
    { "1.2.840.10008.1.2.4.70", codec_jpeg_decode },
    { "1.2.840.10008.1.2.4.80", codec_jpeg_ls_decode },
    { "1.2.840.10008.1.2.4.81", codec_jpeg_ls_decode },
    { "1.2.840.10008.1.2.4.90", codec_jpeg2000_decode },
    { "1.2.840.10008.1.2.4.91", codec_jpeg2000_decode },
    { "1.2.840.10008.1.2.4.92", codec_jpeg2000_decode },
    { "1.2.840.10008.1.2.4.93", codec_jpeg2000_decode },
    { "1.2.840.10008.1.2.4.201", codec_jpeg2000_decode },
    { "1.2.840.10008.1.2.4.202", codec_jpeg2000_decode },
    { "1.2.840.10008.1.2.4.203", codec_jpeg2000_decode },
    { "1.2.840.10008.1.2.5", codec_rle_decode },
    { "1.2.840.10008.1.2.8.1", codec_deflated_decode },
};

static frame_decoder *find_decoder(const struct transfer_syntax *syntax)
{
    for (size_t i = 0; i < sizeof(decoders) / sizeof(decoders[0]); i++)
        if (strcmp(decoders[i].uid, syntax->uid) == 0)
            return decoders[i].decode;
    return NULL;
}

bool codec_can_decode(const struct transfer_syntax *syntax)
{
    return find_decoder(syntax) != NULL;
}

static bool check_format(const struct pixel_format *format, size_t *size, struct error *err)
{
    if (!format->rows || !format->columns || format->rows > MAX_SIDE || format->columns > MAX_SIDE)
        return error_set(err, ERROR_INVALID, "an image of %u rows and %u columns", format->rows,
                         format->columns);
    if (format->samples_per_pixel != 1 && format->samples_per_pixel != 3)
        return error_set(err, ERROR_UNSUPPORTED, "%u samples per pixel", format->samples_per_pixel);
    if (format->bits_allocated != 8 && format->bits_allocated != 16 && format->bits_allocated != 32)
        return error_set(err, ERROR_UNSUPPORTED, "%u bits allocated", format->bits_allocated);
    if (!format->bits_stored || format->bits_stored > format->bits_allocated)
        return error_set(err, ERROR_INVALID, "%u bits stored of %u allocated", format->bits_stored,
                         format->bits_allocated);
    if (format->pixel_representation > 1)
        return error_set(err, ERROR_INVALID, "pixel representation %u",
                         format->pixel_representation);
    uint64_t bytes = (uint64_t)format->rows * format->columns * format->samples_per_pixel *
                     (format->bits_allocated / 8u);
    if (bytes > MAX_FRAME)
        return error_set(err, ERROR_LIMIT, "a frame of more than %d bytes", MAX_FRAME);
    *size = (size_t)bytes;
    return true;
}

bool codec_decode_frame(const struct transfer_syntax *syntax, struct pixel_format *format,
                        struct slice encoded, struct buffer *out, struct error *err)
{
    frame_decoder *decode = find_decoder(syntax);
    struct pixel_format decoded = *format;
    size_t size = 0;
    if (!decode)
        return error_set(err, ERROR_UNSUPPORTED, "no decoder for transfer syntax %s", syntax->uid);
    if (!check_format(format, &size, err))
        return false;
    struct space space = buffer_reserve(out, size);
    if (!space.data)
        return error_set(err, ERROR_LIMIT, "a frame of %zu bytes", size);
    if (!decode(syntax->uid, &decoded, encoded, space, err))
        return false;
    decoded.planar_configuration = 0;
    buffer_advance(out, size);
    *format = decoded;
    return true;
}

bool stream_header_check(const struct stream_header *header, const struct pixel_format *format,
                         struct error *err)
{
    if (header->rows != format->rows || header->columns != format->columns)
        return error_set(err, ERROR_INVALID,
                         "the stream has %u x %u pixels, the attributes %u x %u", header->columns,
                         header->rows, format->columns, format->rows);
    if (header->components != format->samples_per_pixel)
        return error_set(err, ERROR_INVALID, "the stream has %u components, the attributes %u",
                         header->components, format->samples_per_pixel);
    if (!header->precision || header->precision > format->bits_allocated)
        return error_set(err, ERROR_INVALID, "%u bits a sample in the stream, %u allocated",
                         header->precision, format->bits_allocated);
    return true;
}

void codec_interleave(const struct pixel_format *format, struct slice planes, uint8_t *out)
{
    size_t bytes = format->bits_allocated / 8u;
    size_t plane = planes.size / format->samples_per_pixel;
    for (size_t at = 0; at < plane; at += bytes)
        for (unsigned i = 0; i < format->samples_per_pixel; i++, out += bytes)
            memcpy(out, planes.data + i * plane + at, bytes);
}
