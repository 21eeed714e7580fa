/* SPDX-License-Identifier: MIT */
#include "dicom/codec_decoders.h"

#include <cstdio>
#include <cstring>
#include <exception>

#include <pthread.h>

#include <openjph/ojph_arch.h>
#include <openjph/ojph_codestream.h>
#include <openjph/ojph_file.h>
#include <openjph/ojph_mem.h>
#include <openjph/ojph_message.h>
#include <openjph/ojph_params.h>

namespace
{

struct broken_codestream : std::exception {
};

pthread_once_t silenced = PTHREAD_ONCE_INIT;

/* The library prints to stderr what it throws as well. Version 0.9 heeds no handler of ours and
 * takes no NULL for a stream, so its messages go to a stream that keeps nothing. */
void silence()
{
    FILE *nowhere = fopen("/dev/null", "w");
    if (!nowhere)
        return;
    ojph::set_info_stream(nowhere);
    ojph::set_warning_stream(nowhere);
    ojph::set_error_stream(nowhere);
}

/* The irreversible path may step over the range of the precision. */
int32_t clamp(int32_t value, const stream_header &header)
{
    int64_t low = header.is_signed ? -((int64_t)1 << (header.precision - 1)) : 0;
    int64_t high = ((int64_t)1 << (header.precision - (header.is_signed ? 1 : 0))) - 1;
    return value < low ? (int32_t)low : value > high ? (int32_t)high : value;
}

void copy_line(const ojph::line_buf *line, unsigned component, const stream_header &header,
               const pixel_format *format, uint8_t *row)
{
    unsigned bytes = format->bits_allocated / 8u;
    uint8_t *at = row + component * bytes;
    for (uint32_t x = 0; x < header.columns; x++, at += bytes * header.components)
        sample_put(at, format->bits_allocated,
                   sample_of(clamp(line->i32[x], header), header.precision, format));
}

void decode(slice codestream, const stream_header &header, const pixel_format *format,
            struct space out)
{
    ojph::codestream decoder;
    ojph::mem_infile file;
    size_t stride = out.size / header.rows;
    file.open(codestream.data, codestream.size);
    decoder.read_headers(&file);
    decoder.set_planar(false);
    decoder.create();
    for (uint32_t y = 0; y < header.rows; y++) {
        for (unsigned i = 0; i < header.components; i++) {
            ojph::ui32 component = 0;
            ojph::line_buf *line = decoder.pull(component);
            if (!line || component != i || line->size < header.columns)
                throw broken_codestream();
            copy_line(line, component, header, format, out.data + y * stride);
        }
    }
    decoder.close();
}

} // namespace

bool codec_htj2k_decode(const char *uid, struct pixel_format *format, struct slice encoded,
                        struct space out, struct error *err)
{
    struct stream_header header;
    struct slice codestream;
    (void)uid;
    if (!jpeg2000_header_read(encoded, &codestream, &header, err) ||
        !stream_header_check(&header, format, err))
        return false;
    pthread_once(&silenced, silence);
    try {
        decode(codestream, header, format, out);
    } catch (...) {
        return error_set(err, ERROR_INVALID, "HTJ2K codestream cannot be decoded");
    }
    if (strcmp(format->photometric_interpretation, "YBR_RCT") == 0 ||
        strcmp(format->photometric_interpretation, "YBR_ICT") == 0)
        strcpy(format->photometric_interpretation, "RGB");
    return true;
}
