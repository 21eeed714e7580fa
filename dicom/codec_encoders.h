/* SPDX-License-Identifier: MIT */
#pragma once
/* Between codec_encode.c and the encoders behind it: each appends one frame, encoded without loss,
 * to `out`. The native pixels are of checked size, interleaved, little endian; `precision` is the
 * number of bits in which every sample can be said. */

#include <stdbool.h>
#include <stdint.h>

#include "dicom/codec.h"

typedef bool frame_encoder(const struct pixel_format *format, unsigned precision,
                           struct slice native, struct buffer *out, struct error *err);

frame_encoder codec_rle_encode;
frame_encoder codec_jpeg_ls_encode;
frame_encoder codec_jpeg2000_encode; /* by OpenJPEG */
frame_encoder codec_htj2k_encode;    /* by OpenJPH */

/* One sample; the sign of signed ones is extended. */
static inline int32_t sample_get(const struct pixel_format *format, const uint8_t *at)
{
    if (format->bits_allocated == 8)
        return format->pixel_representation ? (int8_t)at[0] : at[0];
    uint16_t value = (uint16_t)(at[0] | at[1] << 8);
    return format->pixel_representation ? (int16_t)value : value;
}

/* A row of one component as its `precision` bits, without a sign. */
static inline void samples_read(const struct pixel_format *format, unsigned precision,
                                struct slice native, uint32_t row, unsigned component,
                                int32_t *line)
{
    size_t bytes = format->bits_allocated / 8u;
    size_t step = bytes * format->samples_per_pixel;
    const uint8_t *at = native.data + row * step * format->columns + component * bytes;
    for (uint32_t x = 0; x < format->columns; x++, at += step)
        line[x] = sample_get(format, at) & ((1 << precision) - 1);
}
