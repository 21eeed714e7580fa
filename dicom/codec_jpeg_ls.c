/* SPDX-License-Identifier: MIT */
/* JPEG-LS is our own: CharLS, as Debian builds it into DCMTK, ends the process in an assertion when
 * the data of a scan is broken. */
#include "dicom/codec_jpeg_ls.h"

#include <string.h>

#include "base/bytes.h"
#include "dicom/codec_decoders.h"

enum { SOI = 0xD8, EOI = 0xD9, SOS = 0xDA, DRI = 0xDD, SOF_55 = 0xF7, LSE = 0xF8 };

struct stream {
    struct slice bytes;
    size_t at;
    const struct pixel_format *format;
    struct space out;
    struct stream_header header;
    bool has_frame;
    uint8_t ids[JPEG_LS_MAX_COMPONENTS];
    bool decoded[JPEG_LS_MAX_COMPONENTS];
    uint16_t presets[5]; /* MAXVAL, T1, T2, T3, RESET as stated; 0: the default */
};

static bool broken(struct error *err, const char *what)
{
    return error_set(err, ERROR_INVALID, "JPEG-LS: %s", what);
}

/* C.2.2 */
static bool read_frame(struct stream *stream, struct slice segment, struct error *err)
{
    struct stream_header *header = &stream->header;
    const uint8_t *p = segment.data;
    if (stream->has_frame || segment.size < 6)
        return broken(err, "a frame header too many or too short");
    header->precision = p[0];
    header->rows = get_u16be(p + 1);
    header->columns = get_u16be(p + 3);
    header->components = p[5];
    if (!stream_header_check(header, stream->format, err))
        return false;
    if (header->precision < 2 || header->precision > 16 ||
        segment.size != 6u + 3u * header->components)
        return broken(err, "frame header");
    for (unsigned i = 0; i < header->components; i++) {
        if (p[7 + 3 * i] != 0x11)
            return error_set(err, ERROR_UNSUPPORTED, "JPEG-LS: subsampled components");
        stream->ids[i] = p[6 + 3 * i];
    }
    stream->has_frame = true;
    return true;
}

/* C.2.4.1 */
static bool read_presets(struct stream *stream, struct slice segment, struct error *err)
{
    if (segment.size != 11 || segment.data[0] != 1)
        return error_set(err, ERROR_UNSUPPORTED, "JPEG-LS: mapping tables");
    for (int i = 0; i < 5; i++)
        stream->presets[i] = get_u16be(segment.data + 1 + 2 * i);
    return true;
}

static int clamp_default(int value, int low, int max)
{
    return value > max || value < low ? low : value;
}

int jpeg_ls_default_threshold(int index, int low, int max, int near)
{
    static const int basic[3] = { 3, 7, 21 };
    int correction = (2 * index + 3) * near;
    if (max >= 128) {
        int factor = ((max < 4095 ? max : 4095) + 128) / 256;
        int value = factor * (basic[index] - index - 2) + index + 2 + correction;
        return clamp_default(value, low, max);
    }
    int factor = 256 / (max + 1);
    int value = basic[index] / factor + correction;
    return clamp_default(value > index + 2 ? value : index + 2, low, max);
}

/* Table C.1: false when a preset is not in its range. */
static bool resolve_parameters(const struct stream *stream, int near,
                               struct jpeg_ls_parameters *parameters)
{
    int highest = (1 << stream->header.precision) - 1;
    int max = stream->presets[0] ? stream->presets[0] : highest;
    int low = near + 1;
    int reset = stream->presets[4] ? stream->presets[4] : 64;
    if (max > highest || near > 255 || near > max / 2 || reset < 3 ||
        reset > (max > 255 ? max : 255))
        return false;
    for (int i = 0; i < 3; i++) {
        int stated = stream->presets[1 + i];
        if (stated && (stated < low || stated > max))
            return false;
        low = parameters->threshold[i] = stated ? stated
                                                : jpeg_ls_default_threshold(i, low, max, near);
    }
    parameters->max = max;
    parameters->near = near;
    parameters->reset = reset;
    return true;
}

/* Where the lines of a scan go. */
struct target {
    struct stream *stream;
    unsigned first; /* the component of the image that the scan's first one is */
};

static void take_line(void *context, unsigned component, uint32_t row, const int32_t *line)
{
    const struct target *target = context;
    const struct stream *stream = target->stream;
    const struct pixel_format *format = stream->format;
    unsigned bytes = format->bits_allocated / 8u;
    size_t step = (size_t)bytes * format->samples_per_pixel;
    uint8_t *at = stream->out.data + row * step * format->columns +
                  (target->first + component) * (size_t)bytes;
    for (uint32_t x = 0; x < format->columns; x++, at += step) {
        uint32_t value = (uint32_t)line[x];
        if (format->pixel_representation)
            value = sample_of(line[x], format->bits_stored, format);
        sample_put(at, format->bits_allocated, value);
    }
}

/* The components that the scan names: one, or all in their order. */
static bool find_components(const struct stream *stream, struct slice segment, unsigned *first)
{
    unsigned count = segment.data[0];
    for (*first = 0; *first < stream->header.components; ++*first)
        if (stream->ids[*first] == segment.data[1])
            break;
    if (*first + count > stream->header.components)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (segment.data[1 + 2 * i] != stream->ids[*first + i] || segment.data[2 + 2 * i] ||
            stream->decoded[*first + i])
            return false;
    return true;
}

/* The data ends with a marker: FF and a byte whose first bit is set. */
static struct slice scan_data(struct slice rest)
{
    for (size_t i = 0; i + 1 < rest.size; i++)
        if (rest.data[i] == 0xFF && rest.data[i + 1] & 0x80)
            return slice_take(rest, i);
    return rest;
}

/* C.2.3 */
static bool read_scan(struct stream *stream, struct slice segment, struct error *err)
{
    struct target target = { stream, 0 };
    struct jpeg_ls_scan scan = { .rows = stream->header.rows, .columns = stream->header.columns };
    if (!stream->has_frame || segment.size < 6 || !segment.data[0] ||
        segment.size != 4u + 2u * segment.data[0])
        return broken(err, "scan header");
    const uint8_t *last = segment.data + segment.size - 3;
    scan.components = segment.data[0];
    scan.interleave = scan.components > 1 ? last[1] : JPEG_LS_NONE;
    if (last[1] > JPEG_LS_SAMPLE || (scan.components > 1 && !last[1]) || last[2] ||
        !find_components(stream, segment, &target.first))
        return broken(err, "scan header");
    if (!resolve_parameters(stream, last[0], &scan.parameters))
        return broken(err, "preset parameters");
    struct slice data = scan_data(slice_skip(stream->bytes, stream->at));
    struct jpeg_ls_sink sink = { take_line, &target };
    if (!jpeg_ls_scan_decode(&scan, data, &sink))
        return broken(err, "data of a scan");
    stream->at += data.size;
    for (unsigned i = 0; i < scan.components; i++)
        stream->decoded[target.first + i] = true;
    return true;
}

static bool read_segment(struct stream *stream, uint8_t marker, struct slice segment,
                         struct error *err)
{
    switch (marker) {
    case SOF_55:
        return read_frame(stream, segment, err);
    case LSE:
        return read_presets(stream, segment, err);
    case SOS:
        return read_scan(stream, segment, err);
    case DRI:
        return error_set(err, ERROR_UNSUPPORTED, "JPEG-LS: restart intervals");
    default:
        return true; /* APPn, COM */
    }
}

static bool is_complete(const struct stream *stream)
{
    for (unsigned i = 0; i < stream->header.components; i++)
        if (!stream->decoded[i])
            return false;
    return stream->has_frame;
}

bool codec_jpeg_ls_decode(const char *uid, struct pixel_format *format, struct slice encoded,
                          struct space out, struct error *err)
{
    struct stream stream = { .bytes = encoded, .at = 2, .format = format, .out = out };
    const uint8_t *p = encoded.data;
    (void)uid;
    if (encoded.size < 2 || p[0] != 0xFF || p[1] != SOI)
        return broken(err, "no start of image");
    while (!is_complete(&stream)) {
        if (encoded.size - stream.at < 4 || p[stream.at] != 0xFF)
            return broken(err, "no marker");
        uint8_t marker = p[stream.at + 1];
        size_t length = get_u16be(p + stream.at + 2);
        if (marker == 0xFF) { /* a fill byte */
            stream.at++;
            continue;
        }
        if (marker == EOI || length < 2 || length > encoded.size - stream.at - 2)
            return broken(err, "a segment is missing or cut short");
        struct slice segment = slice_of(p + stream.at + 4, length - 2);
        stream.at += 2 + length;
        if (!read_segment(&stream, marker, segment, err))
            return false;
    }
    return true;
}
