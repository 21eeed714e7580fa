/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "dicom/transcode_parts.h"

/* Of one frame: what its fragments may take, and what it may be decoded to. */
enum { MAX_FRAGMENT_LIST = 64 << 20, MAX_ENCODED = 256 << 20, MAX_DECODED = 256 << 20 };

static bool read_u16(const struct dataset *header, uint32_t tag, int64_t absent, uint16_t *value,
                     struct error *err)
{
    int64_t number = absent;
    dataset_integer(header, tag, &number);
    if (number < 0 || number > UINT16_MAX)
        return error_set_tag(err, ERROR_INVALID, tag, "(%04X,%04X) is absent or no 16-bit number",
                             tag >> 16, tag & 0xFFFF);
    *value = (uint16_t)number;
    return true;
}

static bool read_format(const struct dataset *header, struct pixel_format *format,
                        struct error *err)
{
    uint16_t rows = 0;
    uint16_t columns = 0;
    if (!read_u16(header, TAG_ROWS, -1, &rows, err) ||
        !read_u16(header, TAG_COLUMNS, -1, &columns, err) ||
        !read_u16(header, TAG_SAMPLES_PER_PIXEL, 1, &format->samples_per_pixel, err) ||
        !read_u16(header, TAG_BITS_ALLOCATED, -1, &format->bits_allocated, err) ||
        !read_u16(header, TAG_BITS_STORED, format->bits_allocated, &format->bits_stored, err) ||
        !read_u16(header, TAG_PIXEL_REPRESENTATION, 0, &format->pixel_representation, err) ||
        !read_u16(header, TAG_PLANAR_CONFIGURATION, 0, &format->planar_configuration, err))
        return false;
    format->rows = rows;
    format->columns = columns;
    dataset_string(header, TAG_PHOTOMETRIC_INTERPRETATION, format->photometric_interpretation,
                   sizeof(format->photometric_interpretation));
    return true;
}

/* A frame that the table does not know would be missing in the result. */
static bool check_count(const struct dataset *header, uint32_t count, struct error *err)
{
    int64_t stated = 1;
    dataset_integer(header, TAG_NUMBER_OF_FRAMES, &stated);
    if (stated < 1)
        stated = 1;
    if (stated != count)
        return error_set_tag(err, ERROR_INVALID, TAG_NUMBER_OF_FRAMES,
                             "%lld frames are stated, %u can be told in the pixel data",
                             (long long)stated, count);
    return true;
}

static bool read_encoded(void *context, uint64_t offset, struct space space, struct error *err)
{
    return value_reader_read(context, offset, space, err);
}

static bool gather(struct frame_reader *frames, uint32_t number, struct error *err)
{
    unsigned shift;
    const struct value_source source = { read_encoded, frames->reader };
    buffer_clear(&frames->fragments);
    buffer_clear(&frames->encoded);
    return frame_table_find(frames->table, number, &frames->fragments, &shift, err) &&
           fragments_gather(&frames->fragments, &source, &frames->encoded, err);
}

static size_t native_size(const struct pixel_format *format)
{
    return (size_t)format->rows * format->columns * format->samples_per_pixel *
           (format->bits_allocated / 8u);
}

static void swap_words(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i + 1 < size; i += 2) {
        uint8_t byte = bytes[i];
        bytes[i] = bytes[i + 1];
        bytes[i + 1] = byte;
    }
}

static void interleave(const struct pixel_format *format, struct slice planes, struct buffer *frame)
{
    struct space space = buffer_reserve(frame, planes.size);
    if (!space.data)
        return; /* it has overflowed */
    codec_interleave(format, planes, space.data);
    buffer_advance(frame, space.size);
}

static bool read_native(struct frame_reader *frames, uint32_t number, struct error *err)
{
    const struct pixel_format *format = &frames->stored;
    size_t size = native_size(format);
    bool is_planar = format->planar_configuration && format->samples_per_pixel > 1;
    struct buffer *into = is_planar ? &frames->encoded : &frames->frame;
    buffer_clear(&frames->encoded);
    buffer_clear(&frames->frame);
    uint64_t at = (uint64_t)(number - 1) * size;
    struct space space = buffer_reserve(into, size);
    if (!space.data)
        return error_set(err, ERROR_LIMIT, "a frame of %zu bytes", size);
    space.size = size;
    if (frames->pixels.elided) {
        if (!value_reader_read(frames->reader, frames->pixels.offset + at, space, err))
            return false;
    } else {
        memcpy(space.data, frames->pixels.value.data + at, size);
    }
    /* Of bytes in words of the other order the words are turned (PS3.5 8.1.1). */
    if (frames->is_swapped)
        swap_words(space.data, size);
    buffer_advance(into, size);
    if (is_planar)
        interleave(format, buffer_slice(into), &frames->frame);
    frames->decoded = *format;
    frames->decoded.planar_configuration = 0;
    return buffer_check(&frames->frame, "frame", err);
}

bool frame_reader_read(struct frame_reader *frames, uint32_t number, struct slice *frame,
                       struct error *err)
{
    struct pixel_format format = frames->stored;
    if (frames->is_native) {
        bool ok = read_native(frames, number, err);
        *frame = buffer_slice(&frames->frame);
        return ok;
    }
    if (!gather(frames, number, err))
        return false;
    buffer_clear(&frames->frame);
    if (!codec_decode_frame(frames->syntax, &format, buffer_slice(&frames->encoded), &frames->frame,
                            err))
        return error_add_context(err, "frame %u", number);
    if (number == 1)
        frames->decoded = format;
    else if (strcmp(format.photometric_interpretation,
                    frames->decoded.photometric_interpretation) != 0)
        return error_set(err, ERROR_INVALID, "frame %u has other colours than the first", number);
    *frame = buffer_slice(&frames->frame);
    return true;
}

bool frame_reader_open(const struct dataset *header, struct slice table,
                       struct value_reader *reader, struct frame_reader *frames, struct error *err)
{
    struct slice first;
    *frames = (struct frame_reader){ .table = table,
                                     .reader = reader,
                                     .syntax = dataset_syntax(header),
                                     .count = frame_table_count(table),
                                     .fragments = buffer_up_to(MAX_FRAGMENT_LIST),
                                     .encoded = buffer_up_to(MAX_ENCODED),
                                     .frame = buffer_up_to(MAX_DECODED) };
    return check_count(header, frames->count, err) && read_format(header, &frames->stored, err) &&
           frame_reader_read(frames, 1, &first, err);
}

/* Pixels that are whole bytes, all of them there, at the low end of what is allocated. */
static bool check_native(const struct dataset *header, const struct frame_reader *frames,
                         struct error *err)
{
    const struct pixel_format *format = &frames->stored;
    const char *photometric = format->photometric_interpretation;
    int64_t high_bit = format->bits_stored - 1;
    dataset_integer(header, TAG_HIGH_BIT, &high_bit);
    if ((format->bits_allocated != 8 && format->bits_allocated != 16) ||
        (format->samples_per_pixel != 1 && format->samples_per_pixel != 3) ||
        high_bit != format->bits_stored - 1 || strstr(photometric, "_42"))
        return error_set(err, ERROR_UNSUPPORTED, "native pixels that no encoder takes");
    /* Bytes that came in words of the other order might not end with a frame. */
    if (frames->is_swapped && native_size(format) % 2)
        return error_set(err, ERROR_UNSUPPORTED, "frames of odd length in big endian");
    if (!native_size(format) || native_size(format) > MAX_DECODED ||
        (uint64_t)native_size(format) * frames->count > frames->pixels.size)
        return error_set_tag(err, ERROR_INVALID, TAG_PIXEL_DATA,
                             "pixel data has not %u frames of %zu bytes", frames->count,
                             native_size(format));
    return true;
}

bool frame_reader_open_native(const struct dataset *header, const struct element *pixels,
                              bool is_swapped, struct value_reader *reader,
                              struct frame_reader *frames, struct error *err)
{
    struct slice first;
    int64_t count = 1;
    dataset_integer(header, TAG_NUMBER_OF_FRAMES, &count);
    *frames = (struct frame_reader){ .reader = reader,
                                     .syntax = dataset_syntax(header),
                                     .is_native = true,
                                     .is_swapped = is_swapped,
                                     .pixels = *pixels,
                                     .count = count > 0 && count <= UINT32_MAX ? (uint32_t)count
                                                                               : 1,
                                     .encoded = buffer_up_to(MAX_DECODED),
                                     .frame = buffer_up_to(MAX_DECODED) };
    return read_format(header, &frames->stored, err) && check_native(header, frames, err) &&
           frame_reader_read(frames, 1, &first, err);
}

void frame_reader_close(struct frame_reader *frames)
{
    buffer_release(&frames->fragments);
    buffer_release(&frames->encoded);
    buffer_release(&frames->frame);
}
