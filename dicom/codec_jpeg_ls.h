/* SPDX-License-Identifier: MIT */
#pragma once
/* JPEG-LS (ISO 14495-1, ITU-T T.87): between codec_jpeg_ls.c, which reads the segments, and
 * codec_jpeg_ls_scan.c, which decodes the data of a scan. */

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { JPEG_LS_MAX_COMPONENTS = 3 };

enum jpeg_ls_interleave { JPEG_LS_NONE, JPEG_LS_LINE, JPEG_LS_SAMPLE };

/* C.2.4.1.1, all resolved to their defaults and valid. */
struct jpeg_ls_parameters {
    int max;  /* MAXVAL */
    int near; /* NEAR */
    int threshold[3];
    int reset;
};

struct jpeg_ls_scan {
    struct jpeg_ls_parameters parameters;
    uint32_t rows;
    uint32_t columns;
    unsigned components; /* in this scan */
    enum jpeg_ls_interleave interleave;
};

/* Takes the lines as they are decoded: columns values of component `component` of the scan. */
struct jpeg_ls_sink {
    void (*take)(void *context, unsigned component, uint32_t row, const int32_t *line);
    void *context;
};

/* Decodes the data of a scan, up to the marker that ends it. False when it is broken or too short.
 */
bool jpeg_ls_scan_decode(const struct jpeg_ls_scan *scan, struct slice data,
                         const struct jpeg_ls_sink *sink);
