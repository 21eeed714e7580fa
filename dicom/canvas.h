/* SPDX-License-Identifier: MIT */
#pragma once
/* Lines, areas and text drawn over a picture, cut at its edges. What peers ask for can be without
 * end, so a canvas has a number of steps it does at most; what is beyond is left out, and
 * `exhausted` says so. By value. */

#include "dicom/raster.h"

enum { CANVAS_GLYPHS = 95, CANVAS_GLYPH_ROWS = 7, CANVAS_GLYPH_COLUMNS = 5 };
extern const uint8_t canvas_font[CANVAS_GLYPHS][CANVAS_GLYPH_ROWS]; /* from the space on */

struct point {
    double x; /* pixels from the left edge */
    double y;
};

struct canvas {
    struct raster *raster;
    uint8_t level; /* the grey that is drawn with */
    uint64_t steps;
    bool exhausted;
};

struct canvas canvas_over(struct raster *raster);
void canvas_line(struct canvas *canvas, struct point from, struct point to);
/* The area within a closed line; `inverse`: all but that. */
void canvas_fill(struct canvas *canvas, const struct point *corners, size_t count, bool inverse);
/* UTF-8, lines apart by line ends; letters without accents, others as question marks. `size`:
 * pixels of a dot, 1 or more. With a dark edge, so that it can be read over anything. */
void canvas_text(struct canvas *canvas, int left, int top, unsigned size, const char *text);
/* What canvas_text would take. */
void canvas_text_extent(const char *text, unsigned size, int *width, int *height);
