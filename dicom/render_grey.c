/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/render_lut.h"
#include "dicom/render_parts.h"

enum { TABLE_BITS = 16 };

/* Stored values that are no image (PS3.3 C.7.5.1.1.2): they do not stretch the contrast. */
struct padding {
    bool is_there;
    int64_t lowest;
    int64_t highest;
};

static struct padding read_padding(const struct dataset *header)
{
    struct padding padding = { 0 };
    int64_t other;
    padding.is_there = dataset_integer(header, TAG_PIXEL_PADDING_VALUE, &padding.lowest);
    padding.highest = padding.lowest;
    if (padding.is_there && dataset_integer(header, TAG_PIXEL_PADDING_RANGE_LIMIT, &other)) {
        if (other < padding.lowest)
            padding.lowest = other;
        else
            padding.highest = other;
    }
    return padding;
}

/* The compiler makes a single load of it, and a vector of many. */
static uint16_t word_at(struct slice pixels, size_t index)
{
    uint16_t word;
    memcpy(&word, pixels.data + index * sizeof(word), sizeof(word));
    return le16toh(word);
}

static int64_t value_of(const struct sample_layout *layout, unsigned word)
{
    const uint8_t bytes[2] = { (uint8_t)word, (uint8_t)(word >> 8) };
    return sample_value(layout, bytes);
}

/* Ends of the values, all of them and those that are no padding. */
struct range {
    int64_t all[2];
    int64_t image[2];
};

static void widen(int64_t ends[2], int64_t value)
{
    ends[0] = value < ends[0] ? value : ends[0];
    ends[1] = value > ends[1] ? value : ends[1];
}

static void include(struct range *range, const struct padding *padding, int64_t value)
{
    widen(range->all, value);
    if (!padding->is_there || value < padding->lowest || value > padding->highest)
        widen(range->image, value);
}

/* Of words of two bytes at most each one that occurs counts once. */
static void include_words(struct range *range, const struct padding *padding,
                          const struct sample_layout *layout, struct slice pixels)
{
    bool *occurs = mem_alloc_array(1u << TABLE_BITS, sizeof(*occurs));
    if (layout->bytes == 1)
        for (size_t i = 0; i < pixels.size; i++)
            occurs[pixels.data[i]] = true;
    else
        for (size_t i = 0; i < pixels.size / 2; i++)
            occurs[word_at(pixels, i)] = true;
    for (unsigned word = 0; word < 1u << TABLE_BITS; word++)
        if (occurs[word])
            include(range, padding, value_of(layout, word));
    free(occurs);
}

/* Ends of the stored values; without padding if there are others. */
static void find_range(const struct sample_layout *layout, struct slice pixels,
                       const struct padding *padding, int64_t *lowest, int64_t *highest)
{
    struct range range = { { INT64_MAX, INT64_MIN }, { INT64_MAX, INT64_MIN } };
    if (layout->bytes <= 2)
        include_words(&range, padding, layout, pixels);
    else
        for (size_t i = 0; i < pixels.size; i += layout->bytes)
            include(&range, padding, sample_value(layout, pixels.data + i));
    bool has_image = range.image[0] <= range.image[1];
    *lowest = has_image ? range.image[0] : range.all[0];
    *highest = has_image ? range.image[1] : range.all[1];
}

/* What is shown when nobody says how: 8-bit images as they are, others from end to end. */
static void find_default(const struct render_input *input, const struct sample_layout *layout,
                         const struct modality *modality, struct slice pixels, struct voi *voi)
{
    int64_t lowest = 0;
    int64_t highest = ((int64_t)1 << layout->bits) - 1;
    if (input->state) {
        /* All that can be, not what is: images that a state shows side by side look alike. */
        lowest -= layout->is_signed ? (highest + 1) / 2 : 0;
        highest += lowest;
    } else if (layout->bits > 8 || layout->is_signed || !modality->is_identity) {
        struct padding padding = read_padding(input->header);
        find_range(layout, pixels, &padding, &lowest, &highest);
    }
    double low = modality_apply(modality, lowest);
    double high = modality_apply(modality, highest);
    if (modality->lut) {
        low = DBL_MAX;
        high = -DBL_MAX;
        for (int64_t value = lowest; value <= highest && value - lowest < 1 << TABLE_BITS;
             value++) {
            double shown = modality_apply(modality, value);
            low = shown < low ? shown : low;
            high = shown > high ? shown : high;
        }
    }
    voi_show_all(voi, low < high ? low : high, low < high ? high : low);
}

/* Ends of the words. In signed ones, as processors have more instructions for these. */
static void find_words(struct slice pixels, uint16_t *lowest, uint16_t *highest)
{
    int16_t low = INT16_MAX;
    int16_t high = INT16_MIN;
    for (size_t i = 0; i < pixels.size / 2; i++) {
        int16_t word = (int16_t)(word_at(pixels, i) ^ 0x8000);
        low = word < low ? word : low;
        high = word > high ? word : high;
    }
    *lowest = (uint16_t)(low ^ 0x8000);
    *highest = (uint16_t)(high ^ 0x8000);
}

/* One entry for each stored word that may come, so that a pixel costs a look-up. */
static uint8_t *build_table(const struct sample_layout *layout, const struct modality *modality,
                            const struct voi *voi, struct slice pixels, unsigned *first,
                            unsigned *count)
{
    uint16_t lowest = 0;
    uint16_t highest = UINT8_MAX;
    if (layout->bytes == 2)
        find_words(pixels, &lowest, &highest);
    *first = lowest;
    *count = highest - lowest + 1u;
    uint8_t *table = mem_alloc(*count);
    for (unsigned i = 0; i < *count; i++) {
        int64_t value = value_of(layout, lowest + i);
        table[i] = voi_apply(voi, modality_apply(modality, value));
    }
    return table;
}

static void show(const struct sample_layout *layout, const struct modality *modality,
                 const struct voi *voi, struct slice pixels, uint8_t *out)
{
    if (layout->bytes == 4) {
        for (size_t i = 0; i < pixels.size / 4; i++)
            out[i] = voi_apply(voi,
                               modality_apply(modality, sample_value(layout, pixels.data + i * 4)));
        return;
    }
    unsigned first;
    unsigned count;
    uint8_t *table = build_table(layout, modality, voi, pixels, &first, &count);
    if (layout->bytes == 1)
        for (size_t i = 0; i < pixels.size; i++)
            out[i] = table[pixels.data[i]];
    else
        for (size_t i = 0; i < pixels.size / 2; i++)
            out[i] = table[word_at(pixels, i) - first];
    free(table);
}

/* One bit a pixel, from the lowest of a byte on (PS3.5 8.1.1): black and white. */
static bool render_bits(const struct render_input *input, struct raster *raster, struct error *err)
{
    size_t pixels = (size_t)input->format->rows * input->format->columns;
    bool inverse = !strcmp(input->format->photometric_interpretation, "MONOCHROME1");
    if (input->pixels.size < (pixels + 7) / 8)
        return error_set(err, ERROR_INVALID, "the frame is shorter than its rows and columns");
    if (!raster_init(raster, input->format->rows, input->format->columns, 1, err))
        return false;
    for (size_t i = 0; i < pixels; i++) {
        bool is_set = input->pixels.data[i / 8] >> i % 8 & 1;
        raster->bytes.data[i] = is_set != inverse ? 255 : 0;
    }
    return true;
}

bool render_grey(const struct render_input *input, struct raster *raster, struct error *err)
{
    struct sample_layout layout;
    struct modality modality = { 0 };
    struct voi voi = { 0 };
    if (input->format->bits_allocated == 1)
        return render_bits(input, raster, err);
    if (!sample_layout_of(input, &layout, err))
        return false;
    size_t size = (size_t)input->format->rows * input->format->columns * layout.bytes;
    struct slice pixels = slice_take(input->pixels, size);
    if (pixels.size < size)
        return error_set(err, ERROR_INVALID, "the frame is shorter than its rows and columns");
    bool ok = modality_find(input, &modality, err) && voi_find(input, &voi, err) &&
              raster_init(raster, input->format->rows, input->format->columns, 1, err);
    if (ok) {
        if (!voi.has_window && !voi.lut)
            find_default(input, &layout, &modality, pixels, &voi);
        show(&layout, &modality, &voi, pixels, raster->bytes.data);
    }
    modality_release(&modality);
    voi_release(&voi);
    return ok;
}

static double real_value(const uint8_t *bytes, bool is_double)
{
    float single;
    double value;
    if (is_double) {
        memcpy(&value, bytes, sizeof(value));
        return value;
    }
    memcpy(&single, bytes, sizeof(single));
    return (double)single;
}

/* Parametric maps (PS3.3 C.7.6.24, C.7.6.25): no modality transform; what is no number is black. */
bool render_float(const struct render_input *input, bool is_double, struct raster *raster,
                  struct error *err)
{
    size_t unit = is_double ? 8 : 4;
    size_t count = (size_t)input->format->rows * input->format->columns;
    const uint8_t *pixels = input->pixels.data;
    double lowest = DBL_MAX;
    double highest = -DBL_MAX;
    struct voi voi = { 0 };
    if (input->pixels.size < count * unit)
        return error_set(err, ERROR_INVALID, "the frame is shorter than its rows and columns");
    bool ok = voi_find(input, &voi, err) &&
              raster_init(raster, input->format->rows, input->format->columns, 1, err);
    for (size_t i = 0; ok && i < count && !voi.has_window && !voi.lut; i++) {
        double value = real_value(pixels + i * unit, is_double);
        if (value < lowest && value > -DBL_MAX)
            lowest = value;
        if (value > highest && value < DBL_MAX)
            highest = value;
    }
    if (!voi.has_window && !voi.lut)
        voi_show_all(&voi, lowest <= highest ? lowest : 0, lowest <= highest ? highest : 0);
    for (size_t i = 0; ok && i < count; i++)
        raster->bytes.data[i] = voi_apply(&voi, real_value(pixels + i * unit, is_double));
    voi_release(&voi);
    return ok;
}
