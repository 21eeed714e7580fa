/* SPDX-License-Identifier: MIT */
#pragma once
/* A picture as a file that browsers show. Doors: libjpeg image_jpeg.c, libpng image_png.c.
 * Thread-safe. */

#include "dicom/raster.h"

/* 8-bit baseline; quality 1 to 100. Appends. `profile`: the ICC profile that goes with it, which
 * has passed icc_profile_check for as many samples; empty: none. */
bool image_write_jpeg(const struct raster *raster, int quality, struct slice profile,
                      struct buffer *out, struct error *err);
bool image_write_png(const struct raster *raster, struct slice profile, struct buffer *out,
                     struct error *err);

/* GIF: our own, image_gif_write.c. An animation begins with the first picture, has each of them by
 * its own add, `delay_cs` hundredths of a second long, and ends; all are of one size and kind. */
bool image_write_gif(const struct raster *raster, struct buffer *out, struct error *err);
bool image_gif_begin(const struct raster *raster, bool animated, struct buffer *out,
                     struct error *err);
bool image_gif_add(const struct raster *raster, unsigned delay_cs, struct buffer *out,
                   struct error *err);
void image_gif_end(struct buffer *out);
