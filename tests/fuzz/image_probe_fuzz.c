/* SPDX-License-Identifier: MIT */
/* One byte for the media type, then the head of an image of more bytes than these. What is said of
 * it must be within the file. */
#include <stdlib.h>

#include "dicom/video_probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool read_file(void *context, uint64_t offset, struct space space, struct error *err)
{
    const struct slice *file = context;
    (void)err;
    if (offset > file->size || space.size > file->size - offset)
        abort();
    memcpy(space.data, file->data + offset, space.size);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = { "image/jpeg", "image/jls",       "image/jp2",
                                         "image/jphc", "image/dicom-rle", "video/mpeg2",
                                         "video/mp4",  "image/jpx" };
    struct image_probe probe;
    struct error err;
    if (size < 1)
        return 0;
    struct slice head = slice_of(data + 1, size - 1);
    uint64_t whole = head.size + (data[0] & 0x80 ? 1 << 20 : 0);
    if (!image_probe(types[data[0] % 8], "", head, whole, &probe, &err))
        return 0;
    if (probe.is_video && !strcmp(types[data[0] % 8], "video/mp4")) {
        struct slice file = head;
        const struct value_source source = { read_file, &file };
        if (!video_probe("", &source, file.size, &probe, &err))
            return 0;
    }
    if (!probe.syntax || !probe.syntax->media_type || probe.offset > whole ||
        probe.size > whole - probe.offset)
        abort();
    return 0;
}
