/* SPDX-License-Identifier: MIT */
#include <png.h>
#include <string.h>

#include "dicom/image_file.h"

bool image_write_png(const struct raster *raster, struct buffer *out, struct error *err)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION,
        .width = raster->columns,
        .height = raster->rows,
        .format = raster->samples == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY,
        .flags = PNG_IMAGE_FLAG_FAST,
    };
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    struct space space = buffer_reserve(out, size);
    if (!space.data)
        return buffer_check(out, "the picture", err);
    if (!png_image_write_to_memory(&image, space.data, &size, 0, raster->bytes.data, 0, NULL))
        return error_set(err, ERROR_UNSUPPORTED, "no PNG can be made: %.60s", image.message);
    buffer_advance(out, size);
    return true;
}
