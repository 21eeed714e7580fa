/* SPDX-License-Identifier: MIT */
#include "dicom/raster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Each pixel of the view along one axis is the mean of a stretch of the source. */
struct stretch {
    uint32_t first;
    uint32_t count;
    uint32_t first_weight; /* of 256; those in between have all of it */
    uint32_t last_weight;
};

bool raster_init(struct raster *raster, uint32_t rows, uint32_t columns, unsigned samples,
                 struct error *err)
{
    *raster = (struct raster){ rows, columns, samples, buffer_up_to(RASTER_LIMIT) };
    uint64_t size = (uint64_t)rows * columns * samples;
    if (size > RASTER_LIMIT)
        return error_set(err, ERROR_LIMIT, "the picture has %u x %u pixels", columns, rows);
    struct space space = buffer_reserve(&raster->bytes, (size_t)size);
    if (!space.data && size)
        return buffer_check(&raster->bytes, "the picture", err);
    buffer_advance(&raster->bytes, (size_t)size);
    return true;
}

void raster_release(struct raster *raster)
{
    buffer_release(&raster->bytes);
}

/* `view` pixels over `length` pixels of the source from `from` on; mirrored ones run backwards. */
static struct stretch *stretches(uint32_t view, double from, double length, bool mirrored,
                                 uint32_t source)
{
    struct stretch *list = mem_alloc_array(view, sizeof(*list));
    for (uint32_t i = 0; i < view; i++) {
        uint32_t at = mirrored ? view - 1 - i : i;
        double begin = from + length * at / view;
        double end = from + length * (at + 1) / view;
        double first = floor(begin);
        double last = ceil(end) - 1;
        if (last < first)
            last = first;
        if (last > (double)source - 1)
            last = (double)source - 1;
        if (first > last)
            first = last;
        list[i].first = (uint32_t)first;
        list[i].count = (uint32_t)(last - first) + 1;
        list[i].first_weight = (uint32_t)lround((first + 1 - begin) * 256);
        list[i].last_weight = (uint32_t)lround((end - last) * 256);
        /* A stretch that has little of two pixels has something of one, or it would be black. */
        bool nothing = list[i].count == 2 && !list[i].first_weight && !list[i].last_weight;
        if (list[i].count == 1 || list[i].first_weight > 256 || nothing)
            list[i].first_weight = 256;
        if (list[i].last_weight > 256)
            list[i].last_weight = 256;
    }
    return list;
}

static uint32_t weight_of(const struct stretch *stretch, uint32_t i)
{
    if (i == 0)
        return stretch->first_weight;
    return i + 1 == stretch->count ? stretch->last_weight : 256;
}

static bool is_plain(const struct stretch *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].count != 1 || list[i].first != list[0].first + i)
            return false;
    return true;
}

static void average(const struct raster *source, const struct stretch *across,
                    const struct stretch *down, uint8_t *out)
{
    size_t line = (size_t)source->columns * source->samples;
    uint64_t sums[3] = { 0 };
    uint64_t weights = 0;
    for (uint32_t y = 0; y < down->count; y++) {
        const uint8_t *row = source->bytes.data + (down->first + y) * line +
                             (size_t)across->first * source->samples;
        uint64_t high = weight_of(down, y);
        for (uint32_t x = 0; x < across->count; x++) {
            uint64_t weight = high * weight_of(across, x);
            weights += weight;
            for (unsigned s = 0; s < source->samples; s++)
                sums[s] += weight * *row++;
        }
    }
    for (unsigned s = 0; s < source->samples; s++)
        out[s] = weights ? (uint8_t)((sums[s] + weights / 2) / weights) : 0;
}

static void draw(const struct raster *source, const struct stretch *across,
                 const struct stretch *down, struct raster *view)
{
    uint8_t *out = view->bytes.data;
    size_t line = (size_t)view->columns * view->samples;
    bool plain = is_plain(across, view->columns) && is_plain(down, view->rows);
    for (uint32_t y = 0; y < view->rows; y++, out += line) {
        if (plain) {
            memcpy(out,
                   source->bytes.data +
                       ((size_t)down[y].first * source->columns + across[0].first) *
                           source->samples,
                   line);
            continue;
        }
        for (uint32_t x = 0; x < view->columns; x++)
            average(source, &across[x], &down[y], out + (size_t)x * view->samples);
    }
}

static uint32_t at_least_one(double size)
{
    return size < 1 ? 1 : (uint32_t)lround(size);
}

/* Square pixels: the longer side of each stays as it is, the other grows. */
static void make_square(double pixel_height, double *columns, double *rows)
{
    if (!(pixel_height > 0.001 && pixel_height < 1000))
        return;
    if (pixel_height < 1)
        *columns /= pixel_height;
    else
        *rows *= pixel_height;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

uint64_t raster_view_pixels(uint32_t rows, uint32_t columns, const struct viewport *viewport,
                            double pixel_height)
{
    double width = columns;
    double height = rows;
    make_square(pixel_height, &width, &height);
    width = least(width + 1, viewport->width ? viewport->width : UINT16_MAX);
    height = least(height + 1, viewport->height ? viewport->height : UINT16_MAX);
    return (uint64_t)least(width * height, RASTER_LIMIT);
}

bool raster_view(const struct raster *source, const struct viewport *viewport, double pixel_height,
                 struct raster *view, struct error *err)
{
    double width = viewport->has_region ? fabs(viewport->region_width) : source->columns;
    double height = viewport->has_region ? fabs(viewport->region_height) : source->rows;
    double left = viewport->has_region ? viewport->left : 0;
    double top = viewport->has_region ? viewport->top : 0;
    /* Written so that what is no number fails too. */
    if (!(left >= 0 && top >= 0 && width > 0 && height > 0 && left + width <= source->columns &&
          top + height <= source->rows))
        return error_set(err, ERROR_INVALID, "the region of the viewport is not within the image");
    double columns = width;
    double rows = height;
    make_square(pixel_height, &columns, &rows);
    double scale = 1;
    if (viewport->width && columns * scale > viewport->width)
        scale = viewport->width / columns;
    if (viewport->height && rows * scale > viewport->height)
        scale = viewport->height / rows;
    if (columns > UINT16_MAX || rows > UINT16_MAX)
        return error_set(err, ERROR_LIMIT, "the picture is too large");
    if (!raster_init(view, at_least_one(rows * scale), at_least_one(columns * scale),
                     source->samples, err))
        return false;
    struct stretch *across = stretches(view->columns, left, width, viewport->region_width < 0,
                                       source->columns);
    struct stretch *down = stretches(view->rows, top, height, viewport->region_height < 0,
                                     source->rows);
    draw(source, across, down, view);
    free(across);
    free(down);
    return true;
}

bool raster_is_view(const struct raster *source, const struct viewport *viewport,
                    double pixel_height)
{
    return !viewport->has_region && pixel_height == 1 &&
           (!viewport->width || source->columns <= viewport->width) &&
           (!viewport->height || source->rows <= viewport->height);
}
