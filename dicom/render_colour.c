/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "dicom/render_lut.h"
#include "dicom/render_parts.h"

enum { RED, GREEN, BLUE };

bool render_palette(const struct render_input *input, struct raster *raster, struct error *err)
{
    struct lut luts[3] = { 0 };
    struct sample_layout layout;
    bool ok = sample_layout_of(input, &layout, err);
    size_t count = (size_t)input->format->rows * input->format->columns;
    if (ok && input->pixels.size < count * layout.bytes)
        ok = error_set(err, ERROR_INVALID, "the frame is shorter than its rows and columns");
    for (uint32_t i = RED; ok && i <= BLUE; i++) {
        bool found;
        ok = lut_read(input->header, TAG_RED_PALETTE_DESCRIPTOR + i, TAG_RED_PALETTE_DATA + i,
                      TAG_SEGMENTED_RED_PALETTE_DATA + i, layout.is_signed, input->source, &luts[i],
                      &found, err);
        if (ok && !found)
            ok = error_set_tag(err, ERROR_INVALID, TAG_RED_PALETTE_DESCRIPTOR + i,
                               "the image has no palette");
    }
    ok = ok && raster_init(raster, input->format->rows, input->format->columns, 3, err);
    for (size_t i = 0; ok && i < count; i++) {
        int64_t index = sample_value(&layout, input->pixels.data + i * layout.bytes);
        for (int s = RED; s <= BLUE; s++)
            raster->bytes.data[i * 3 + (size_t)s] = (uint8_t)(lut_value(&luts[s], index) >>
                                                              (luts[s].bits - 8));
    }
    for (int i = RED; i <= BLUE; i++)
        lut_release(&luts[i]);
    return ok;
}

static uint8_t limited(int32_t value)
{
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

/* PS3.3 C.7.6.3.1.2, in 16 binary places. */
static void to_rgb(uint8_t pixel[3])
{
    int32_t y = pixel[0] << 16;
    int32_t cb = pixel[1] - 128;
    int32_t cr = pixel[2] - 128;
    pixel[RED] = limited((y + 91881 * cr + 32768) >> 16);
    pixel[GREEN] = limited((y - 22554 * cb - 46802 * cr + 32768) >> 16);
    pixel[BLUE] = limited((y + 116130 * cb + 32768) >> 16);
}

/* The partial range, 16 to 235 and 240, to the full one. */
static void widen(uint8_t pixel[3])
{
    pixel[0] = limited(((pixel[0] - 16) * 255 + 109) / 219);
    pixel[1] = limited(((pixel[1] - 128) * 255 + 112) / 224 + 128);
    pixel[2] = limited(((pixel[2] - 128) * 255 + 112) / 224 + 128);
}

/* 8 bits of a sample, whatever it is stored in. */
static uint8_t sample_8(const struct sample_layout *layout, const uint8_t *word)
{
    if (layout->bytes == 1 && layout->bits == 8)
        return word[0];
    int64_t value = sample_value(layout, word);
    if (value < 0)
        return 0;
    return layout->bits >= 8 ? (uint8_t)(value >> (layout->bits - 8))
                             : (uint8_t)(value * 255 / ((1 << layout->bits) - 1));
}

/* Two pixels share Cb and Cr: Y Y Cb Cr (PS3.3 C.7.6.3.1.2). */
static void unpack_422(const struct render_input *input, const struct sample_layout *layout,
                       struct raster *raster)
{
    size_t count = (size_t)raster->rows * raster->columns;
    const uint8_t *in = input->pixels.data;
    uint8_t *out = raster->bytes.data;
    for (size_t i = 0; i < count; i++, out += 3) {
        const uint8_t *four = in + i / 2 * 4 * layout->bytes;
        out[0] = sample_8(layout, four + i % 2 * layout->bytes);
        out[1] = sample_8(layout, four + 2 * (size_t)layout->bytes);
        out[2] = sample_8(layout, four + 3 * (size_t)layout->bytes);
    }
}

static void unpack(const struct render_input *input, const struct sample_layout *layout,
                   struct raster *raster)
{
    size_t count = (size_t)raster->rows * raster->columns;
    bool planar = input->format->planar_configuration == 1;
    size_t step = layout->bytes * (planar ? 1 : (size_t)3);
    size_t plane = layout->bytes * (planar ? count : 1);
    uint8_t *out = raster->bytes.data;
    if (!planar && layout->bytes == 1 && layout->bits == 8) {
        memcpy(out, input->pixels.data, count * 3);
        return;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t s = 0; s < 3; s++)
            *out++ = sample_8(layout, input->pixels.data + i * step + s * plane);
}

bool render_colour(const struct render_input *input, struct raster *raster, struct error *err)
{
    struct sample_layout layout;
    const char *photometric = input->format->photometric_interpretation;
    size_t count = (size_t)input->format->rows * input->format->columns;
    bool is_half = strstr(photometric, "_422") != NULL;
    if (!sample_layout_of(input, &layout, err))
        return false;
    layout.is_signed = false;
    size_t all = count * 3 * layout.bytes;
    size_t half = (count + 1) / 2 * 4 * layout.bytes;
    is_half = is_half && input->pixels.size < all;
    if (input->pixels.size < (is_half ? half : all))
        return error_set(err, ERROR_INVALID, "the frame is shorter than its rows and columns");
    if (!raster_init(raster, input->format->rows, input->format->columns, 3, err))
        return false;
    if (is_half)
        unpack_422(input, &layout, raster);
    else
        unpack(input, &layout, raster);
    bool is_partial = strstr(photometric, "PARTIAL") != NULL;
    if (!strncmp(photometric, "YBR_", 4))
        for (size_t i = 0; i < count; i++) {
            if (is_partial)
                widen(raster->bytes.data + i * 3);
            to_rgb(raster->bytes.data + i * 3);
        }
    return true;
}
