/* SPDX-License-Identifier: MIT */
/* HTJ2K without loss (ISO/IEC 15444-15), by OpenJPH. Only what we have decoded or checked ourselves
 * comes here: its decoder ends the process on a hostile code stream, its encoder meets none. */
#ifdef HOUNSFIELD_OPENJPH
#include <cstring>
#include <exception>
#include <openjph/ojph_arch.h>
#include <openjph/ojph_codestream.h>
#include <openjph/ojph_file.h>
#include <openjph/ojph_mem.h>
#include <openjph/ojph_params.h>

extern "C" {
#include "dicom/codec_encoders.h"
}

static const unsigned max_decompositions = 5;

static unsigned decompositions_of(const struct pixel_format *format)
{
    unsigned side = format->rows < format->columns ? format->rows : format->columns;
    unsigned count = 0;
    while (count < max_decompositions && side >> (count + 1))
        count++;
    return count;
}

static void set_parameters(ojph::codestream &stream, const struct pixel_format *format,
                           unsigned precision)
{
    bool is_rgb = std::strcmp(format->photometric_interpretation, "RGB") == 0;
    ojph::param_siz size = stream.access_siz();
    size.set_image_extent(ojph::point(format->columns, format->rows));
    size.set_num_components(format->samples_per_pixel);
    for (unsigned i = 0; i < format->samples_per_pixel; i++)
        size.set_component(i, ojph::point(1, 1), precision, format->pixel_representation != 0);
    ojph::param_cod coding = stream.access_cod();
    coding.set_num_decomposition(decompositions_of(format));
    coding.set_progression_order("RPCL");
    coding.set_reversible(true);
    coding.set_color_transform(is_rgb && format->samples_per_pixel == 3);
    stream.set_planar(false);
}

static void write_rows(ojph::codestream &stream, const struct pixel_format *format,
                       struct slice native)
{
    size_t bytes = format->bits_allocated / 8u;
    size_t step = bytes * format->samples_per_pixel;
    ojph::ui32 component = 0;
    ojph::line_buf *line = stream.exchange(NULL, component);
    for (uint32_t y = 0; y < format->rows; y++) {
        for (unsigned i = 0; i < format->samples_per_pixel; i++) {
            const uint8_t *at = native.data + y * step * format->columns + component * bytes;
            for (uint32_t x = 0; x < format->columns; x++, at += step)
                line->i32[x] = sample_get(format, at);
            line = stream.exchange(line, component);
        }
    }
}

extern "C" bool codec_htj2k_encode(const struct pixel_format *format, unsigned precision,
                                   struct slice native, struct buffer *out, struct error *err)
{
    try {
        ojph::codestream stream;
        ojph::mem_outfile file;
        file.open();
        set_parameters(stream, format, precision);
        stream.write_headers(&file);
        write_rows(stream, format, native);
        stream.flush();
        buffer_append(out, slice_of(file.get_data(), (size_t)file.tell()));
        stream.close();
    } catch (const std::exception &) {
        return error_set(err, ERROR_UNSUPPORTED, "pixels cannot be written as HTJ2K");
    }
    return buffer_check(out, "HTJ2K frame", err);
}

#endif
