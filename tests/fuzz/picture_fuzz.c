/* SPDX-License-Identifier: MIT */
/* One byte for PNG or GIF, then the file. What comes out is as large as it says. */
#include <stdlib.h>

#include "dicom/image_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer out = buffer_up_to(1 << 24);
    struct image_pixels pixels = { 0 };
    struct error err;
    if (size < 1)
        return 0;
    struct slice file = slice_of(data + 1, size - 1);
    if (data[0] & 1 ? image_read_gif(file, &pixels, &out, &err)
                    : image_read_png(file, &pixels, &out, &err)) {
        uint64_t expected = (uint64_t)pixels.rows * pixels.columns * pixels.samples *
                            (pixels.bits / 8) * pixels.frames;
        if (out.size != expected || !expected)
            abort();
    }
    buffer_release(&out);
    return 0;
}
