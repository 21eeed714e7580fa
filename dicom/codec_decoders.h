/* SPDX-License-Identifier: MIT */
#pragma once
/* Between codec.c and the decoders behind it. Each decodes one frame into exactly `out`, whose size
 * codec.c has computed from the format and bounded; the size that the stream states must be that of
 * the format before a library sees it. */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "dicom/codec.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef bool frame_decoder(const char *uid, struct pixel_format *format, struct slice encoded,
                           struct space out, struct error *err);

frame_decoder codec_jpeg_decode;     /* by DCMTK */
frame_decoder codec_jpeg_ls_decode;  /* ours */
frame_decoder codec_rle_decode;      /* ours */
frame_decoder codec_jpeg2000_decode; /* and HTJ2K, by OpenJPEG */
frame_decoder codec_deflated_decode; /* by zlib */

/* What a stream says about its image. */
struct stream_header {
    uint32_t rows;
    uint32_t columns;
    uint16_t components;
    uint8_t precision; /* bits a sample */
    bool is_signed;
};

/* The one frame header of a JPEG stream (ISO 10918-1 B.2.2). */
bool jpeg_header_read(struct slice stream, struct stream_header *header, struct error *err);

/* The codestream in `encoded`, which may be a JP2 file around it (ISO 15444-1 annex I), and its SIZ
 * (A.5.1). What would take memory out of proportion (tiles, layers, precincts) is refused. */
bool jpeg2000_header_read(struct slice encoded, struct slice *codestream,
                          struct stream_header *header, struct error *err);

/* ERROR_INVALID when the stream is not the image that the attributes tell of. */
bool stream_header_check(const struct stream_header *header, const struct pixel_format *format,
                         struct error *err);

/* Stores `value` in little endian as a sample of bits_allocated. */
static inline void sample_put(uint8_t *at, unsigned bits_allocated, uint32_t value)
{
    at[0] = (uint8_t)value;
    if (bits_allocated >= 16)
        at[1] = (uint8_t)(value >> 8);
    if (bits_allocated == 32) {
        at[2] = (uint8_t)(value >> 16);
        at[3] = (uint8_t)(value >> 24);
    }
}

/* A value of `precision` bits as the format has it: two's complement over all allocated bits when
 * pixels are signed, else no bit above the precision. A stream may give the bits of a signed pixel
 * as if they were unsigned; they say the same. */
static inline uint32_t sample_of(int32_t value, unsigned precision,
                                 const struct pixel_format *format)
{
    uint32_t mask = precision < 32 ? (1u << precision) - 1 : UINT32_MAX;
    uint32_t bits = (uint32_t)value & mask;
    if (format->pixel_representation && bits >> (precision - 1))
        bits |= ~mask;
    return bits;
}

#ifdef __cplusplus
}
#endif
