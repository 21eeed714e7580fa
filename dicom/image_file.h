/* SPDX-License-Identifier: MIT */
#pragma once
/* A picture as a file that browsers show. Doors: libjpeg image_jpeg.c, libpng image_png.c.
 * Thread-safe. */

#include "dicom/raster.h"

/* 8-bit baseline; quality 1 to 100. Appends. */
bool image_write_jpeg(const struct raster *raster, int quality, struct buffer *out,
                      struct error *err);
bool image_write_png(const struct raster *raster, struct buffer *out, struct error *err);
