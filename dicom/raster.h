/* SPDX-License-Identifier: MIT */
#pragma once
/* A picture as screens show it: 8-bit samples, grey or RGB, rows from the top, pixel by pixel. By
 * value; release it. */

#include "base/buffer.h"
#include "base/error.h"

struct raster {
    uint32_t rows;
    uint32_t columns;
    unsigned samples; /* 1: grey, 3: RGB */
    struct buffer bytes;
};

enum { RASTER_LIMIT = 1 << 30 }; /* bytes */

/* Space for a picture of that size; its content is undefined. */
bool raster_init(struct raster *raster, uint32_t rows, uint32_t columns, unsigned samples,
                 struct error *err);
void raster_release(struct raster *raster);

/* What of a picture is to be seen, and how large (PS3.18 8.3.5.1.3). */
struct viewport {
    uint32_t width; /* the picture fits in; 0: no limit */
    uint32_t height;
    bool has_region;
    double left; /* in pixels of the source; may be fractions */
    double top;
    double region_width; /* negative: mirrored */
    double region_height;
};

/* How many pixels such a view of a picture can have at most, whatever the region: square pixels out
 * of long ones make it larger than its source. */
uint64_t raster_view_pixels(uint32_t rows, uint32_t columns, const struct viewport *viewport,
                            double pixel_height);

/* The picture of `source` in the viewport: cut out, mirrored, scaled by one factor in both
 * directions, never enlarged. `pixel_height` is that of a pixel in widths of it (1: square); the
 * result has square ones. ERROR_INVALID when the region is not within the source. */
bool raster_view(const struct raster *source, const struct viewport *viewport, double pixel_height,
                 struct raster *view, struct error *err);

/* Is the view the source itself, pixel by pixel? Then it need not be made. */
bool raster_is_view(const struct raster *source, const struct viewport *viewport,
                    double pixel_height);
