/* SPDX-License-Identifier: MIT */
#include "dicom/codec_jpeg_ls.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { MAX_K = 24 };

struct decoder {
    const struct jpeg_ls_scan *scan;
    int max;
    int near;
    int step;  /* 2 * NEAR + 1 */
    int range; /* RANGE */
    int range_bits;
    int limit;
    struct jpeg_ls_context contexts[JPEG_LS_CONTEXTS];
    int run_index[JPEG_LS_MAX_COMPONENTS];

    const uint8_t *next;
    const uint8_t *end;
    uint64_t bits; /* the next ones, from the top */
    int bit_count;
    bool after_ff;
    bool failed; /* broken data: nothing that is decoded since means anything */
};

/* --- Bits (A.1): after a byte of FF a bit of zero was put in; a marker ends the data. */

static void fill(struct decoder *decoder)
{
    while (decoder->bit_count <= 56 && decoder->next < decoder->end) {
        uint8_t byte = *decoder->next;
        if (decoder->after_ff && byte & 0x80)
            return; /* a marker */
        int width = decoder->after_ff ? 7 : 8;
        decoder->bits |= (uint64_t)byte << (64 - width - decoder->bit_count);
        decoder->bit_count += width;
        decoder->after_ff = byte == 0xFF;
        decoder->next++;
    }
}

static uint32_t read_bits(struct decoder *decoder, int count)
{
    if (!count)
        return 0;
    if (decoder->bit_count < count)
        fill(decoder);
    if (decoder->bit_count < count) {
        decoder->failed = true;
        return 0;
    }
    uint32_t value = (uint32_t)(decoder->bits >> (64 - count));
    decoder->bits <<= count;
    decoder->bit_count -= count;
    return value;
}

/* Zeros up to a one, which is taken too; at most `most`. */
static int read_zeros(struct decoder *decoder, int most)
{
    int zeros = 0;
    while (!decoder->failed) {
        if (decoder->bit_count < 32)
            fill(decoder);
        int here = decoder->bits ? __builtin_clzll(decoder->bits) : 64;
        if (here < decoder->bit_count) {
            read_bits(decoder, here + 1 > 32 ? 32 : here + 1);
            if (here + 1 > 32)
                read_bits(decoder, here + 1 - 32);
            zeros += here;
            break;
        }
        zeros += decoder->bit_count;
        decoder->bits = 0;
        decoder->bit_count = 0;
        fill(decoder);
        if (!decoder->bit_count || zeros > most)
            decoder->failed = true;
    }
    if (zeros > most)
        decoder->failed = true;
    return decoder->failed ? 0 : zeros;
}

/* Limited length Golomb code (A.5.3). */
static int32_t read_golomb(struct decoder *decoder, int k, int limit)
{
    int most = limit - decoder->range_bits - 1;
    int zeros = read_zeros(decoder, most);
    if (zeros < most)
        return (int32_t)(((uint32_t)zeros << k) + read_bits(decoder, k));
    return (int32_t)read_bits(decoder, decoder->range_bits) + 1;
}

/* --- Contexts. */

static int golomb_parameter(struct decoder *decoder, const struct jpeg_ls_context *context,
                            int64_t sum)
{
    int k = 0;
    while (((int64_t)context->n << k) < sum && k < MAX_K)
        k++;
    if (k == MAX_K)
        decoder->failed = true;
    return decoder->failed ? 0 : k;
}

/* An error of prediction cannot be larger than the range (A.4.5). */
static int32_t checked_error(struct decoder *decoder, int32_t error)
{
    if (abs(error) <= decoder->range)
        return error;
    decoder->failed = true;
    return 0;
}

static int32_t reconstruct(const struct decoder *decoder, int32_t predicted, int32_t error)
{
    int32_t span = decoder->range * decoder->step;
    int32_t value = predicted + error * decoder->step;
    if (value < -decoder->near)
        value += span;
    else if (value > decoder->max + decoder->near)
        value -= span;
    return jpeg_ls_clamp(value, 0, decoder->max);
}

/* --- Samples. */

/* A.4 to A.6; `index` is negative where the context is mirrored. */
static void decode_regular(struct decoder *decoder, const int32_t *above, int32_t *line, int index)
{
    int sign = index < 0 ? -1 : 1;
    struct jpeg_ls_context *context = &decoder->contexts[index * sign];
    int32_t predicted = jpeg_ls_predict(line[-1], above[0], above[-1]);
    predicted = jpeg_ls_clamp(predicted + sign * context->c, 0, decoder->max);
    int k = golomb_parameter(decoder, context, context->a);
    int32_t mapped = read_golomb(decoder, k, decoder->limit);
    int32_t error = mapped & 1 ? -(mapped >> 1) - 1 : mapped >> 1;
    if (!decoder->near && !k && 2 * context->b <= -context->n)
        error = -error - 1;
    error = checked_error(decoder, error);
    jpeg_ls_update(context, error, decoder->step, decoder->scan->parameters.reset);
    line[0] = reconstruct(decoder, predicted, sign * error);
}

/* A.7.2 */
static void decode_run_end(struct decoder *decoder, const int32_t *above, int32_t *line, int type,
                           int run_index)
{
    struct jpeg_ls_context *context = &decoder->contexts[JPEG_LS_REGULAR + type];
    int32_t a = line[-1], b = above[0];
    int k = golomb_parameter(decoder, context, context->a + (type ? context->n >> 1 : 0));
    int32_t mapped = read_golomb(decoder, k, decoder->limit - jpeg_ls_run_order[run_index] - 1);
    int32_t twice = mapped + type;
    bool odd = twice & 1;
    int32_t error = checked_error(decoder, (twice + odd) / 2);
    if ((k || 2 * context->negative >= context->n) == odd)
        error = -error;
    context->negative += error < 0;
    context->a += (mapped + 1 - type) >> 1;
    if (context->n == decoder->scan->parameters.reset) {
        context->a >>= 1;
        context->n >>= 1;
        context->negative >>= 1;
    }
    context->n++;
    int sign = !type && a > b ? -1 : 1;
    line[0] = reconstruct(decoder, type ? a : b, sign * error);
}

/* A.7.1: how many samples the run has, at most `left`; *ended when one of another kind follows. */
static uint32_t read_run(struct decoder *decoder, int *run_index, uint32_t left, bool *ended)
{
    uint32_t run = 0;
    while (run < left && !decoder->failed) {
        uint32_t whole = 1u << jpeg_ls_run_order[*run_index];
        if (!read_bits(decoder, 1)) {
            uint32_t rest = read_bits(decoder, jpeg_ls_run_order[*run_index]);
            *ended = true;
            if (rest >= left - run)
                decoder->failed = true;
            return decoder->failed ? 0 : run + rest;
        }
        if (whole <= left - run)
            *run_index += *run_index < JPEG_LS_MAX_RUN_INDEX;
        run += whole < left - run ? whole : left - run;
    }
    *ended = false;
    return run;
}

/* Lines of all components, each with a sample before and behind. */
struct lines {
    int32_t *above[JPEG_LS_MAX_COMPONENTS];
    int32_t *line[JPEG_LS_MAX_COMPONENTS];
    unsigned count; /* components that are decoded together: 1, or those of a sample interleave */
};

/* From column x, where a run begins: it and what ends it. */
static uint32_t decode_run(struct decoder *decoder, struct lines *lines, int *run_index, uint32_t x)
{
    bool ended;
    uint32_t run = read_run(decoder, run_index, decoder->scan->columns - x, &ended);
    for (unsigned i = 0; i < lines->count; i++) {
        int32_t *line = lines->line[i] + x;
        for (uint32_t at = 0; at < run; at++)
            line[at] = line[-1];
    }
    x += run;
    if (!ended || decoder->failed)
        return x;
    for (unsigned i = 0; i < lines->count; i++) {
        int32_t *line = lines->line[i] + x;
        const int32_t *above = lines->above[i] + x;
        /* Samples that end a run together are all of the first kind. */
        int type = lines->count == 1 && abs(line[-1] - above[0]) <= decoder->near;
        decode_run_end(decoder, above, line, type, *run_index);
    }
    *run_index -= *run_index > 0;
    return x + 1;
}

static void decode_line(struct decoder *decoder, struct lines *lines, int *run_index)
{
    uint32_t columns = decoder->scan->columns;
    for (unsigned i = 0; i < lines->count; i++) {
        int32_t *line = lines->line[i];
        int32_t *above = lines->above[i];
        line[-1] = above[0];
        above[columns] = above[columns - 1];
    }
    for (uint32_t x = 0; x < columns && !decoder->failed;) {
        int index[JPEG_LS_MAX_COMPONENTS];
        bool flat = true;
        for (unsigned i = 0; i < lines->count; i++) {
            index[i] = jpeg_ls_context_of(&decoder->scan->parameters, lines->above[i] + x,
                                          lines->line[i] + x);
            flat = flat && !index[i];
        }
        if (flat) {
            x = decode_run(decoder, lines, run_index, x);
            continue;
        }
        for (unsigned i = 0; i < lines->count; i++)
            decode_regular(decoder, lines->above[i] + x, lines->line[i] + x, index[i]);
        x++;
    }
}

static void init(struct decoder *decoder, const struct jpeg_ls_scan *scan, struct slice data)
{
    int max = scan->parameters.max;
    int near = scan->parameters.near;
    int value_bits = jpeg_ls_bits_for(max + 1) > 2 ? jpeg_ls_bits_for(max + 1) : 2;
    memset(decoder, 0, sizeof(*decoder));
    decoder->scan = scan;
    decoder->max = max;
    decoder->near = near;
    decoder->step = 2 * near + 1;
    decoder->range = (max + 2 * near) / decoder->step + 1;
    decoder->range_bits = jpeg_ls_bits_for(decoder->range);
    decoder->limit = 2 * (value_bits + (value_bits > 8 ? value_bits : 8));
    int sum = (decoder->range + 32) / 64;
    for (int i = 0; i < JPEG_LS_CONTEXTS; i++)
        decoder->contexts[i] = (struct jpeg_ls_context){ .a = sum > 2 ? sum : 2, .n = 1 };
    decoder->next = data.data;
    decoder->end = data.data + data.size;
}

/* A row of all components: each line on its own, or samples in turn. */
static void decode_row(struct decoder *decoder, struct lines *lines)
{
    unsigned components = decoder->scan->components;
    if (decoder->scan->interleave == JPEG_LS_SAMPLE) {
        lines->count = components;
        decode_line(decoder, lines, &decoder->run_index[0]);
        return;
    }
    for (unsigned i = 0; i < components; i++) {
        struct lines one = { { lines->above[i] }, { lines->line[i] }, 1 };
        decode_line(decoder, &one, &decoder->run_index[i]);
    }
}

bool jpeg_ls_scan_decode(const struct jpeg_ls_scan *scan, struct slice data,
                         const struct jpeg_ls_sink *sink)
{
    struct decoder *decoder = mem_alloc(sizeof(*decoder));
    size_t width = (size_t)scan->columns + 2;
    int32_t *memory = mem_alloc_array(2 * width * scan->components, sizeof(*memory));
    struct lines lines = { .count = 1 };
    init(decoder, scan, data);
    for (unsigned i = 0; i < scan->components; i++) {
        lines.above[i] = memory + 2 * i * width + 1;
        lines.line[i] = lines.above[i] + width;
    }
    for (uint32_t row = 0; row < scan->rows && !decoder->failed; row++) {
        decode_row(decoder, &lines);
        for (unsigned i = 0; i < scan->components && !decoder->failed; i++) {
            int32_t *line = lines.line[i];
            sink->take(sink->context, i, row, line);
            lines.line[i] = lines.above[i];
            lines.above[i] = line;
        }
    }
    bool ok = !decoder->failed;
    free(memory);
    free(decoder);
    return ok;
}
