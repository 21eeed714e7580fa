/* SPDX-License-Identifier: MIT */
/* Deflated Image Frame Compression (PS3.5 A.4.13): the native frame as a raw deflate stream. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/codec_decoders.h"
#include "dicom/deflate.h"

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
    if (ok && format->planar_configuration && format->samples_per_pixel > 1) {
        uint8_t *planes = mem_copy(out.data, out.size);
        codec_interleave(format, slice_of(planes, out.size), out.data);
        free(planes);
    }
    return ok;
}
