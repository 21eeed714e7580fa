/* SPDX-License-Identifier: MIT */
#pragma once
/* Frames encoded without loss (PS3.5 8.2, annex A.4): RLE and JPEG-LS by ourselves, JPEG 2000 by
 * OpenJPEG, HTJ2K by OpenJPH. Thread-safe. */

#include "dicom/codec.h"

/* RLE Lossless, JPEG-LS Lossless, JPEG 2000 Lossless Only, HTJ2K Lossless (with RPCL options, too).
 */
bool codec_can_encode(const struct transfer_syntax *syntax);

/* One frame of native little endian bytes as codec_decode_frame gives them (planar configuration
 * 0), appended to `out`. Decoding it gives the same bytes. On success *format tells what the
 * attributes have to say (YBR_RCT for JPEG 2000 and HTJ2K in colour). ERROR_UNSUPPORTED for pixels
 * that no such stream can hold, ERROR_INVALID when there are fewer bytes than the format says,
 * ERROR_LIMIT.
 */
bool codec_encode_frame(const struct transfer_syntax *syntax, struct pixel_format *format,
                        struct slice native, struct buffer *out, struct error *err);
