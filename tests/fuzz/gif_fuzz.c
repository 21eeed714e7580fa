/* SPDX-License-Identifier: MIT */
/* What is written as a GIF is read again: greys as they were, and all frames of an
 * animation. The first bytes are the size and the kind, the rest pixels, again and again. */
#include <stdlib.h>

#include "dicom/image_file.h"
#include "dicom/image_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 6, SIDE_MAX = 90 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void fill(struct raster *raster, struct slice pixels, unsigned frame)
{
    for (size_t i = 0; i < raster->bytes.size; i++)
        raster->bytes.data[i] = pixels.size
                                    ? (uint8_t)(pixels.data[(i + frame) % pixels.size] + frame)
                                    : (uint8_t)(i * 7 + frame);
}

static bool write(const struct raster *raster, bool animated, bool first, struct buffer *file)
{
    struct error err;
    if (!animated)
        return image_write_gif(raster, file, &err);
    return (!first || image_gif_begin(raster, true, file, &err)) &&
           image_gif_add(raster, 4, file, &err);
}

/* A grey comes back as three equal samples, or as one. */
static void check_frame(const struct raster *raster, const struct image_pixels *pixels,
                        const uint8_t *shown)
{
    size_t count = (size_t)raster->rows * raster->columns;
    for (size_t i = 0; raster->samples == 1 && i < count; i++)
        for (unsigned s = 0; s < pixels->samples; s++)
            require(shown[i * pixels->samples + s] == raster->bytes.data[i]);
}

static void check(const struct raster *raster, struct slice pixels, unsigned frames,
                  const struct buffer *file)
{
    struct buffer out = buffer_up_to(1 << 24);
    struct image_pixels read = { 0 };
    struct error err;
    struct raster frame;
    require(image_read_gif(buffer_slice(file), &read, &out, &err));
    require(read.rows == raster->rows && read.columns == raster->columns && read.frames == frames);
    require(raster_init(&frame, raster->rows, raster->columns, raster->samples, &err));
    for (unsigned i = 0; i < frames; i++) {
        fill(&frame, pixels, i);
        check_frame(&frame, &read, out.data + i * (out.size / frames));
    }
    raster_release(&frame);
    buffer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct raster raster;
    struct error err;
    if (size < HEAD)
        return 0;
    uint32_t rows = (data[0] | (uint32_t)data[1] << 8) % SIDE_MAX + 1;
    uint32_t columns = (data[2] | (uint32_t)data[3] << 8) % SIDE_MAX + 1;
    bool animated = data[4] & 1;
    unsigned frames = animated ? data[5] % 4 + 1u : 1;
    struct slice pixels = slice_of(data + HEAD, size - HEAD);
    struct buffer file = buffer_up_to(1 << 24);
    require(raster_init(&raster, rows, columns, data[4] & 2 ? 3 : 1, &err));
    for (unsigned i = 0; i < frames; i++) {
        fill(&raster, pixels, i);
        require(write(&raster, animated, i == 0, &file));
    }
    if (animated)
        image_gif_end(&file);
    check(&raster, pixels, frames, &file);
    buffer_release(&file);
    raster_release(&raster);
    return 0;
}
