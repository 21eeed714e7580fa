/* SPDX-License-Identifier: MIT */
#pragma once
/* Picture files to native pixels: PNG (image_png.c) and GIF (image_gif.c). Thread-safe. */

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

enum { IMAGE_MAX_SIDE = 65535 };
static inline bool image_pixels_check(const struct image_pixels *pixels, struct error *err)
{
    uint64_t size = (uint64_t)pixels->rows * pixels->columns * pixels->samples * pixels->bits / 8;
    if (!size || pixels->rows > IMAGE_MAX_SIDE || pixels->columns > IMAGE_MAX_SIDE ||
        size > IMAGE_READ_LIMIT)
        return error_set(err, ERROR_LIMIT, "a picture is too large");
    return true;
}

/* Appends the pixels, little endian, frame by frame. Alpha is left out; palettes become RGB.
 * ERROR_INVALID for a broken file, ERROR_LIMIT. */
bool image_read_png(struct slice file, struct image_pixels *pixels, struct buffer *out,
                    struct error *err);
bool image_read_gif(struct slice file, struct image_pixels *pixels, struct buffer *out,
                    struct error *err);
