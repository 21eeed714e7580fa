/* SPDX-License-Identifier: MIT */
#include "dicomweb/wado_pixels.h"

#include "dicomweb/wado_values.h"

static uint16_t attribute_16(const struct dataset *header, uint32_t tag)
{
    int64_t value;
    bool has = dataset_integer(header, tag, &value) && value >= 0 && value <= UINT16_MAX;
    return has ? (uint16_t)value : 0;
}

struct pixel_format pixels_format(const struct dataset *header)
{
    struct pixel_format format = {
        .rows = attribute_16(header, TAG_ROWS),
        .columns = attribute_16(header, TAG_COLUMNS),
        .samples_per_pixel = attribute_16(header, TAG_SAMPLES_PER_PIXEL),
        .bits_allocated = attribute_16(header, TAG_BITS_ALLOCATED),
        .bits_stored = attribute_16(header, TAG_BITS_STORED),
        .pixel_representation = attribute_16(header, TAG_PIXEL_REPRESENTATION),
        .planar_configuration = attribute_16(header, TAG_PLANAR_CONFIGURATION),
    };
    dataset_string(header, TAG_PHOTOMETRIC_INTERPRETATION, format.photometric_interpretation,
                   sizeof(format.photometric_interpretation));
    return format;
}

static bool read_stored(void *context, uint64_t offset, struct space space, struct error *err)
{
    return instance_read_inflated(context, offset, space, err);
}

static bool gather(struct instance *instance, const struct buffer *fragments, struct buffer *bytes,
                   struct error *err)
{
    const struct value_source source = { read_stored, instance };
    return fragments_gather(fragments, &source, bytes, err);
}

static bool decode_frame(struct instance *instance, const struct buffer *fragments,
                         struct pixel_format *format, struct buffer *bytes, struct error *err)
{
    struct buffer encoded = buffer_up_to(PIXELS_MAX_FRAME);
    bool ok = gather(instance, fragments, &encoded, err) &&
              codec_decode_frame(instance_syntax(instance), format, buffer_slice(&encoded), bytes,
                                 err);
    buffer_release(&encoded);
    return ok || value_is_undecodable(err);
}

/* A frame of 1-bit pixels that begins inside a byte is moved to bit 0 (PS3.18 8.7.3.3.1). */
static void align_bits(struct buffer *bytes, unsigned shift)
{
    for (size_t i = 0; i < bytes->size; i++) {
        unsigned next = i + 1 < bytes->size ? bytes->data[i + 1] : 0;
        bytes->data[i] = (uint8_t)(bytes->data[i] >> shift | next << (8 - shift));
    }
}

static uint32_t tag_of_pixels(const struct dataset *header)
{
    static const uint32_t tags[] = { TAG_FLOAT_PIXEL_DATA, TAG_DOUBLE_FLOAT_PIXEL_DATA };
    struct element element;
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
        if (dataset_find(header, tags[i], &element))
            return tags[i];
    return TAG_PIXEL_DATA;
}

bool pixels_read(struct instance *instance, const struct dataset *header,
                 const struct buffer *fragments, unsigned bit_shift, bool decode,
                 struct pixel_format *format, struct buffer *bytes, struct error *err)
{
    if (decode)
        return decode_frame(instance, fragments, format, bytes, err);
    if (!gather(instance, fragments, bytes, err))
        return false;
    if (bit_shift)
        align_bits(bytes, bit_shift);
    if (instance_syntax(instance)->big_endian)
        value_swap(bytes->data, bytes->size, pixel_unit_size(header, tag_of_pixels(header)));
    return true;
}
