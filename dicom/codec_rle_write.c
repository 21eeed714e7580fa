/* SPDX-License-Identifier: MIT */
/* RLE (PS3.5 annex G). */
#include <string.h>

#include "base/bytes.h"
#include "dicom/codec_encoders.h"

enum { HEADER = 64, LONGEST = 128 };

/* Every `step`-th byte of a row as PackBits (G.3), which must not go over the end of a row. */
static void pack_row(const uint8_t *at, size_t step, size_t count, struct buffer *out)
{
    size_t literal = 0; /* where the bytes begin that are not yet written */
    for (size_t i = 0; i < count;) {
        size_t run = 1;
        while (i + run < count && run < LONGEST && at[(i + run) * step] == at[i * step])
            run++;
        bool repeats = run > 2;
        if (!repeats)
            i++;
        while (literal < i && (repeats || i - literal == LONGEST || i == count)) {
            size_t size = i - literal < LONGEST ? i - literal : LONGEST;
            buffer_append_byte(out, (uint8_t)(size - 1));
            for (; size; size--)
                buffer_append_byte(out, at[literal++ * step]);
        }
        if (repeats) {
            buffer_append_byte(out, (uint8_t)(257 - run));
            buffer_append_byte(out, at[i * step]);
            i += run;
            literal = i;
        }
    }
}

bool codec_rle_encode(const struct pixel_format *format, unsigned precision, struct slice native,
                      struct buffer *out, struct error *err)
{
    size_t bytes = format->bits_allocated / 8u;
    size_t step = bytes * format->samples_per_pixel;
    size_t row_size = step * format->columns;
    size_t start = out->size;
    uint8_t header[HEADER] = { 0 };
    (void)precision;
    put_u32le(header, (uint32_t)step);
    buffer_append(out, slice_of(header, HEADER));
    for (size_t i = 0; i < step && !out->overflowed; i++) {
        /* Of each sample the most significant byte comes first (G.2). */
        const uint8_t *at = native.data + i / bytes * bytes + (bytes - 1 - i % bytes);
        put_u32le(header + 4 + 4 * i, (uint32_t)(out->size - start));
        for (uint32_t row = 0; row < format->rows && !out->overflowed; row++)
            pack_row(at + row * row_size, step, format->columns, out);
        if (out->size % 2)
            buffer_append_byte(out, 0);
    }
    if (!out->overflowed)
        memcpy(out->data + start, header, HEADER);
    return buffer_check(out, "RLE frame", err);
}
