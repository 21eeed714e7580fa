/* SPDX-License-Identifier: MIT */
#pragma once
/* Picture files to native pixels: PNG (image_png_read.c, the second door to libpng) and GIF
 * (image_gif.c). Thread-safe. */

#include "base/buffer.h"
#include "base/error.h"

struct image_pixels {
    uint32_t rows;
    uint32_t columns;
    uint16_t samples; /* 1: grey, 3: RGB, pixel by pixel */
    uint8_t bits;     /* of a sample: 8 or 16 */
    uint32_t frames;
};

enum { IMAGE_READ_LIMIT = 256 << 20 /* bytes of pixels */ };

/* What a file is before it is decoded; the first bytes of it are enough (of GIF: frames is 0). */
bool image_read_header(const char *media_type, struct slice head, struct image_pixels *pixels,
                       struct error *err);
/* Appends the pixels, little endian, frame by frame. Alpha is left out; palettes become RGB.
 * ERROR_INVALID for a broken file, ERROR_LIMIT. */
bool image_read_png(struct slice file, struct image_pixels *pixels, struct buffer *out,
                    struct error *err);
bool image_read_gif(struct slice file, struct image_pixels *pixels, struct buffer *out,
                    struct error *err);
