/* SPDX-License-Identifier: MIT */
/* JPEG-LS without loss (NEAR 0), with the default parameters; colours line by line. */
#include <string.h>

#include "base/memory.h"
#include "dicom/codec_encoders.h"
#include "dicom/codec_jpeg_ls.h"

enum { RESET = 64 };

struct writer {
    struct jpeg_ls_parameters parameters;
    int range;
    int range_bits;
    int limit;
    uint32_t columns;
    struct jpeg_ls_context contexts[JPEG_LS_CONTEXTS];
    struct buffer *out;
    uint64_t bits; /* the last ones, not yet written */
    int bit_count;
    bool after_ff;
};

/* --- Bits (A.1): behind a byte of FF a bit of zero is put in. */

static void write_bits(struct writer *writer, uint32_t value, int count)
{
    writer->bits = writer->bits << count | value;
    writer->bit_count += count;
    for (int width; writer->bit_count >= (width = writer->after_ff ? 7 : 8);) {
        writer->bit_count -= width;
        uint8_t byte = (uint8_t)(writer->bits >> writer->bit_count & ((1u << width) - 1));
        buffer_append_byte(writer->out, byte);
        writer->after_ff = byte == 0xFF;
    }
}

static void write_zeros(struct writer *writer, int count)
{
    for (; count > 24; count -= 24)
        write_bits(writer, 0, 24);
    write_bits(writer, 0, count);
}

/* The marker that follows must not be taken for data, nor a last FF for a part of it. */
static void end_bits(struct writer *writer)
{
    int width = writer->after_ff ? 7 : 8;
    if (writer->bit_count || writer->after_ff)
        write_bits(writer, 0, width - writer->bit_count);
    if (writer->after_ff)
        write_bits(writer, 0, 7);
}

/* A.5.3 */
static void write_golomb(struct writer *writer, int k, int limit, int32_t mapped)
{
    int most = limit - writer->range_bits - 1;
    int32_t zeros = mapped >> k;
    if (zeros < most) {
        write_zeros(writer, zeros);
        write_bits(writer, 1, 1);
        write_bits(writer, (uint32_t)mapped & ((1u << k) - 1), k);
    } else {
        write_zeros(writer, most);
        write_bits(writer, 1, 1);
        write_bits(writer, (uint32_t)mapped - 1, writer->range_bits);
    }
}

/* --- Samples. */

static int golomb_parameter(const struct jpeg_ls_context *context, int64_t sum)
{
    int k = 0;
    while (((int64_t)context->n << k) < sum)
        k++;
    return k;
}

/* A.4.5 */
static int32_t reduce(const struct writer *writer, int32_t error)
{
    if (error < 0)
        error += writer->range;
    return error >= (writer->range + 1) / 2 ? error - writer->range : error;
}

/* A.4 to A.6; `index` is negative where the context is mirrored. */
static void write_regular(struct writer *writer, const int32_t *above, const int32_t *line,
                          int index)
{
    int sign = index < 0 ? -1 : 1;
    struct jpeg_ls_context *context = &writer->contexts[index * sign];
    int32_t predicted = jpeg_ls_predict(line[-1], above[0], above[-1]);
    predicted = jpeg_ls_clamp(predicted + sign * context->c, 0, writer->parameters.max);
    int32_t error = reduce(writer, sign * (line[0] - predicted));
    int k = golomb_parameter(context, context->a);
    int32_t coded = !k && 2 * context->b <= -context->n ? -error - 1 : error;
    write_golomb(writer, k, writer->limit, coded >= 0 ? 2 * coded : -2 * coded - 1);
    jpeg_ls_update(context, error, 1, RESET);
}

/* A.7.2 */
static void write_run_end(struct writer *writer, const int32_t *above, const int32_t *line,
                          int run_index)
{
    int32_t a = line[-1], b = above[0];
    int type = a == b;
    struct jpeg_ls_context *context = &writer->contexts[JPEG_LS_REGULAR + type];
    int32_t error = line[0] - (type ? a : b);
    error = reduce(writer, !type && a > b ? -error : error);
    int k = golomb_parameter(context, context->a + (type ? context->n >> 1 : 0));
    bool mostly_negative = 2 * context->negative >= context->n;
    int map = error > 0 ? !k && !mostly_negative : error < 0 && (mostly_negative || k);
    int32_t mapped = 2 * abs(error) - type - map;
    write_golomb(writer, k, writer->limit - jpeg_ls_run_order[run_index] - 1, mapped);
    context->negative += error < 0;
    context->a += (mapped + 1 - type) >> 1;
    if (context->n == RESET) {
        context->a >>= 1;
        context->n >>= 1;
        context->negative >>= 1;
    }
    context->n++;
}

/* A.7.1: from column x; returns the one behind the run and what ends it. */
static uint32_t write_run(struct writer *writer, const int32_t *above, const int32_t *line,
                          int *run_index, uint32_t x)
{
    uint32_t end = x;
    while (end < writer->columns && line[end] == line[(int64_t)x - 1])
        end++;
    uint32_t run = end - x;
    while (run >= 1u << jpeg_ls_run_order[*run_index]) {
        write_bits(writer, 1, 1);
        run -= 1u << jpeg_ls_run_order[*run_index];
        *run_index += *run_index < JPEG_LS_MAX_RUN_INDEX;
    }
    if (end == writer->columns) {
        if (run)
            write_bits(writer, 1, 1);
        return end;
    }
    write_bits(writer, 0, 1);
    write_bits(writer, run, jpeg_ls_run_order[*run_index]);
    write_run_end(writer, above + end, line + end, *run_index);
    *run_index -= *run_index > 0;
    return end + 1;
}

static void write_line(struct writer *writer, int32_t *above, int32_t *line, int *run_index)
{
    line[-1] = above[0];
    above[writer->columns] = above[writer->columns - 1];
    for (uint32_t x = 0; x < writer->columns;) {
        int index = jpeg_ls_context_of(&writer->parameters, above + x, line + x);
        if (!index) {
            x = write_run(writer, above, line, run_index, x);
            continue;
        }
        write_regular(writer, above + x, line + x, index);
        x++;
    }
}

/* --- The stream. */

static void init(struct writer *writer, const struct pixel_format *format, unsigned precision,
                 struct buffer *out)
{
    struct jpeg_ls_parameters *parameters = &writer->parameters;
    int low = 1;
    parameters->max = (1 << precision) - 1;
    parameters->reset = RESET;
    for (int i = 0; i < 3; i++)
        low = parameters->threshold[i] = jpeg_ls_default_threshold(i, low, parameters->max, 0);
    writer->range = parameters->max + 1;
    writer->range_bits = jpeg_ls_bits_for(writer->range);
    writer->limit = 2 * (writer->range_bits + (writer->range_bits > 8 ? writer->range_bits : 8));
    writer->columns = format->columns;
    writer->out = out;
    int sum = (writer->range + 32) / 64;
    for (int i = 0; i < JPEG_LS_CONTEXTS; i++)
        writer->contexts[i] = (struct jpeg_ls_context){ .a = sum > 2 ? sum : 2, .n = 1 };
}

/* C.2.2, C.2.3 */
static void write_headers(const struct pixel_format *format, unsigned precision, struct buffer *out)
{
    unsigned components = format->samples_per_pixel;
    buffer_append(out, slice_of("\xFF\xD8\xFF\xF7", 4));
    buffer_append_u16be(out, (uint16_t)(8 + 3 * components));
    buffer_append_byte(out, (uint8_t)precision);
    buffer_append_u16be(out, (uint16_t)format->rows);
    buffer_append_u16be(out, (uint16_t)format->columns);
    buffer_append_byte(out, (uint8_t)components);
    for (unsigned i = 0; i < components; i++) {
        uint8_t component[3] = { (uint8_t)(i + 1), 0x11, 0 };
        buffer_append(out, slice_of(component, sizeof(component)));
    }
    buffer_append(out, slice_of("\xFF\xDA", 2));
    buffer_append_u16be(out, (uint16_t)(6 + 2 * components));
    buffer_append_byte(out, (uint8_t)components);
    for (unsigned i = 0; i < components; i++) {
        uint8_t component[2] = { (uint8_t)(i + 1), 0 };
        buffer_append(out, slice_of(component, sizeof(component)));
    }
    uint8_t rest[3] = { 0, components > 1 ? JPEG_LS_LINE : JPEG_LS_NONE, 0 };
    buffer_append(out, slice_of(rest, sizeof(rest)));
}

bool codec_jpeg_ls_encode(const struct pixel_format *format, unsigned precision,
                          struct slice native, struct buffer *out, struct error *err)
{
    unsigned components = format->samples_per_pixel;
    size_t width = (size_t)format->columns + 2;
    int run_index[JPEG_LS_MAX_COMPONENTS] = { 0 };
    if (precision < 2)
        return error_set(err, ERROR_UNSUPPORTED, "JPEG-LS takes no pixels of one bit");
    struct writer *writer = mem_alloc(sizeof(*writer));
    int32_t *memory = mem_alloc_array(2 * width * components, sizeof(*memory));
    init(writer, format, precision, out);
    write_headers(format, precision, out);
    for (uint32_t row = 0; row < format->rows && !out->overflowed; row++)
        for (unsigned i = 0; i < components; i++) {
            int32_t *line = memory + 2 * i * width + 1 + (row % 2 ? width : 0);
            int32_t *above = memory + 2 * i * width + 1 + (row % 2 ? 0 : width);
            samples_read(format, precision, native, row, i, line);
            write_line(writer, above, line, &run_index[i]);
        }
    end_bits(writer);
    buffer_append(out, slice_of("\xFF\xD9", 2));
    free(memory);
    free(writer);
    return buffer_check(out, "JPEG-LS frame", err);
}
