/* SPDX-License-Identifier: MIT */
#pragma once
/* The compressed forms, each by its own library: libjpeg-turbo, OpenJPEG, zlib. Each appends to
 * `out`, and ends the program when the library refuses. */

#include "base/buffer.h"
#include "base/slice.h"

/* JPEG baseline of 8-bit RGB, as YCbCr 4:2:2. */
void compress_jpeg(const uint8_t *rgb, unsigned columns, unsigned rows, struct buffer *out);

/* JPEG 2000 reversible, a raw codestream, of 16-bit unsigned grey values. */
void compress_jpeg2000(const uint16_t *grey, unsigned columns, unsigned rows, unsigned bits,
                       struct buffer *out);

/* A raw deflate stream, padded to even length (PS3.5 A.5). */
void compress_deflate(struct slice bytes, struct buffer *out);
