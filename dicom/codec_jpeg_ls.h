/* SPDX-License-Identifier: MIT */
#pragma once
/* JPEG-LS (ISO 14495-1, ITU-T T.87): between codec_jpeg_ls.c, which reads the segments,
 * codec_jpeg_ls_scan.c, which decodes the data of a scan, and codec_jpeg_ls_write.c, which encodes.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

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

/* C.2.4.1.1.1: threshold 0, 1 or 2, with the one before it (or NEAR + 1) as the lowest. */
int jpeg_ls_default_threshold(int index, int low, int max, int near);

/* --- What decoding and encoding have in common. */

/* 365 regular contexts, and two for the sample that ends a run (A.3, A.7). */
enum { JPEG_LS_REGULAR = 365, JPEG_LS_CONTEXTS = JPEG_LS_REGULAR + 2, JPEG_LS_MAX_RUN_INDEX = 31 };

struct jpeg_ls_context {
    int64_t a;        /* sum of magnitudes of errors */
    int32_t b;        /* bias */
    int32_t c;        /* correction of the prediction */
    int32_t n;        /* how often it was met */
    int32_t negative; /* Nn, run contexts only */
};

/* Lengths of runs as powers of two (A.2.1). */
static const uint8_t jpeg_ls_run_order[JPEG_LS_MAX_RUN_INDEX + 1] = {
    0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,  2,  3,  3,  3,  3,
    4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15
};

/* A.6; `step` is 2 * NEAR + 1. */
static inline void jpeg_ls_update(struct jpeg_ls_context *context, int32_t error, int step,
                                  int reset)
{
    context->b += error * step;
    context->a += abs(error);
    if (context->n == reset) {
        context->a >>= 1;
        context->b = context->b >= 0 ? context->b >> 1 : -((1 - context->b) >> 1);
        context->n >>= 1;
    }
    context->n++;
    if (context->b <= -context->n) {
        context->b += context->n;
        context->c -= context->c > -128;
        if (context->b <= -context->n)
            context->b = 1 - context->n;
    } else if (context->b > 0) {
        context->b -= context->n;
        context->c += context->c < 127;
        if (context->b > 0)
            context->b = 0;
    }
}

/* A sample's neighbours: a is left, b above, c above left, d above right (A.1, figure 3). */
static inline int jpeg_ls_quantize(const struct jpeg_ls_parameters *parameters, int32_t gradient)
{
    const int *t = parameters->threshold;
    int magnitude = abs(gradient);
    int level = magnitude <= parameters->near ? 0
                : magnitude < t[0]            ? 1
                : magnitude < t[1]            ? 2
                : magnitude < t[2]            ? 3
                                              : 4;
    return gradient < 0 ? -level : level;
}

static inline int jpeg_ls_context_of(const struct jpeg_ls_parameters *parameters,
                                     const int32_t *above, const int32_t *line)
{
    int32_t a = line[-1], b = above[0], c = above[-1], d = above[1];
    return 81 * jpeg_ls_quantize(parameters, d - b) + 9 * jpeg_ls_quantize(parameters, b - c) +
           jpeg_ls_quantize(parameters, c - a);
}

static inline int32_t jpeg_ls_clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

static inline int32_t jpeg_ls_predict(int32_t a, int32_t b, int32_t c)
{
    int32_t low = a < b ? a : b;
    int32_t high = a < b ? b : a;
    return c >= high ? low : c <= low ? high : a + b - c;
}

static inline int jpeg_ls_bits_for(int values)
{
    int bits = 0;
    while (1 << bits < values)
        bits++;
    return bits;
}
