/* SPDX-License-Identifier: MIT */
/* Deflated Image Frame Compression (PS3.5 A.4.13): the native frame as a raw deflate stream. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/codec_decoders.h"
#include "dicom/deflate.h"

/* Samples of one plane after the other to samples of one pixel after the other. */
static void interleave(const struct pixel_format *format, struct space out)
{
    size_t bytes = format->bits_allocated / 8u;
    size_t plane = out.size / format->samples_per_pixel;
    uint8_t *planes = mem_copy(out.data, out.size);
    uint8_t *at = out.data;
    for (size_t pixel = 0; pixel < plane; pixel += bytes)
        for (unsigned i = 0; i < format->samples_per_pixel; i++, at += bytes)
            memcpy(at, planes + i * plane + pixel, bytes);
    free(planes);
}

/* What comes behind the frame is padding of its fragment. */
static bool inflate_frame(struct inflater *inflater, struct slice encoded, struct space out,
                          struct error *err)
{
    size_t filled = 0;
    while (filled < out.size) {
        struct slice piece;
        size_t left = encoded.size;
        if (!inflater_next(inflater, &encoded, &piece, err))
            return false;
        if (!piece.size && encoded.size == left)
            return error_set(err, ERROR_INVALID, "the deflated frame is too short");
        piece = slice_take(piece, out.size - filled);
        if (piece.size)
            memcpy(out.data + filled, piece.data, piece.size);
        filled += piece.size;
    }
    return true;
}

bool codec_deflated_decode(const char *uid, struct pixel_format *format, struct slice encoded,
                           struct space out, struct error *err)
{
    struct inflater *inflater = inflater_new((uint64_t)out.size + 1);
    (void)uid;
    bool ok = inflate_frame(inflater, encoded, out, err);
    inflater_free(inflater);
    if (ok && format->planar_configuration && format->samples_per_pixel > 1)
        interleave(format, out);
    return ok;
}
