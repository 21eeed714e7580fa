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

static bool gather(struct frame_reader *frames, uint32_t number, struct error *err)
{
    unsigned shift;
    buffer_clear(&frames->fragments);
    buffer_clear(&frames->encoded);
    if (!frame_table_find(frames->table, number, &frames->fragments, &shift, err))
        return false;
    size_t count = frames->fragments.size / sizeof(struct fragment64);
    for (size_t i = 0; i < count; i++) {
        struct fragment64 fragment;
        memcpy(&fragment, frames->fragments.data + i * sizeof(fragment), sizeof(fragment));
        if (!fragment.size)
            continue;
        if (fragment.size > MAX_ENCODED)
            return error_set(err, ERROR_LIMIT, "frame %u is larger than %d bytes", number,
                             MAX_ENCODED);
        struct space space = buffer_reserve(&frames->encoded, (size_t)fragment.size);
        if (!space.data)
            return error_set(err, ERROR_LIMIT, "frame %u is larger than %d bytes", number,
                             MAX_ENCODED);
        if (!value_reader_read(frames->reader, fragment.offset, space, err))
            return false;
        buffer_advance(&frames->encoded, space.size);
    }
    return true;
}

bool frame_reader_read(struct frame_reader *frames, uint32_t number, struct slice *frame,
                       struct error *err)
{
    struct pixel_format format = frames->stored;
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

void frame_reader_close(struct frame_reader *frames)
{
    buffer_release(&frames->fragments);
    buffer_release(&frames->encoded);
    buffer_release(&frames->frame);
}
