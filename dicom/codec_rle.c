/* SPDX-License-Identifier: MIT */
/* RLE (PS3.5 annex G). Ours, because DCMTK's decoder takes a frame that is cut short for a whole
 * one. */
#include "base/bytes.h"
#include "dicom/codec_decoders.h"

enum { HEADER = 64, MAX_SEGMENTS = 15 };

/* A segment of PackBits (G.3) to every `step`-th byte from `at`, `count` times. What a segment has
 * beyond that is padding. */
static bool unpack(struct slice segment, uint8_t *at, size_t step, size_t count)
{
    const uint8_t *p = segment.data;
    size_t left = segment.size;
    while (count) {
        if (left < 2)
            return false;
        uint8_t control = p[0];
        bool repeat = control > 128;
        size_t run = repeat ? 257u - control : control + 1u;
        size_t taken = repeat ? 2 : run + 1;
        if (control == 128) { /* says nothing */
            p++, left--;
            continue;
        }
        if (taken > left)
            return false;
        run = run < count ? run : count;
        for (size_t i = 0; i < run; i++, at += step)
            *at = p[repeat ? 1 : 1 + i];
        p += taken, left -= taken;
        count -= run;
    }
    return true;
}

/* Segment `index` of `count`, up to the next one or the end (G.5). */
static bool find_segment(struct slice encoded, size_t index, size_t count, struct slice *segment)
{
    uint32_t start = get_u32le(encoded.data + 4 + 4 * index);
    uint64_t end = index + 1 < count ? get_u32le(encoded.data + 8 + 4 * index) : encoded.size;
    if (start < HEADER || start > end || end > encoded.size)
        return false;
    *segment = slice_of(encoded.data + start, (size_t)end - start);
    return true;
}

bool codec_rle_decode(const char *uid, struct pixel_format *format, struct slice encoded,
                      struct space out, struct error *err)
{
    size_t bytes = format->bits_allocated / 8u;
    size_t count = bytes * format->samples_per_pixel;
    size_t pixels = (size_t)format->rows * format->columns;
    struct slice segment;
    (void)uid;
    if (encoded.size < HEADER || get_u32le(encoded.data) != count || count > MAX_SEGMENTS)
        return error_set(err, ERROR_INVALID, "the RLE frame has no header of %zu segments", count);
    for (size_t i = 0; i < count; i++) {
        /* Of each sample the most significant byte comes first (G.2). */
        uint8_t *at = out.data + i / bytes * bytes + (bytes - 1 - i % bytes);
        if (!find_segment(encoded, i, count, &segment) || !unpack(segment, at, count, pixels))
            return error_set(err, ERROR_INVALID, "RLE segment %zu is not whole", i + 1);
    }
    return true;
}
