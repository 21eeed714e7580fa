/* SPDX-License-Identifier: MIT */
#pragma once
/* Frames decoded (PS3.5 8.2, annex A.4). A façade: DCMTK for JPEG (codec_dcmtk.cc), OpenJPEG for
 * JPEG 2000 and HTJ2K (codec_jpeg2000.c); JPEG-LS (codec_jpeg_ls.c) and RLE (codec_rle.c) are our
 * own, deflated frames go through zlib. Thread-safe. Plain C: no C++ type comes out. */

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "dicom/uid.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pixel_format {
    uint32_t rows;
    uint32_t columns;
    uint16_t samples_per_pixel;
    uint16_t bits_allocated;
    uint16_t bits_stored;
    uint16_t pixel_representation; /* 1: signed */
    uint16_t planar_configuration;
    char photometric_interpretation[17];
};

bool codec_can_decode(const struct transfer_syntax *syntax);

/* One frame to native little endian bytes, rows * columns * samples * bits_allocated / 8 of them,
 * appended to `out`. On success *format tells what the bytes are now (photometric RGB after YBR
 * JPEG, planar configuration 0 ...). ERROR_UNSUPPORTED, ERROR_INVALID (broken stream, size unlike
 * the attributes), ERROR_LIMIT. */
bool codec_decode_frame(const struct transfer_syntax *syntax, struct pixel_format *format,
                        struct slice encoded, struct buffer *out, struct error *err);

/* Whole bytes a sample: planes one behind the other to pixels one behind the other. `out` has the
 * size of `planes`, and is none of it. */
void codec_interleave(const struct pixel_format *format, struct slice planes, uint8_t *out);

#ifdef __cplusplus
}
#endif
