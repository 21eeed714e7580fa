/* SPDX-License-Identifier: MIT */
/* GIF89a, one picture or many that follow each other. Grey has all its 256 levels; colours become
 * the nearest of a cube of 6 x 7 x 6, with the error spread in a pattern of 4 x 4. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/image_file.h"

enum {
    COLOURS = 256,
    CODE_BITS = 8,
    CLEAR = 1 << CODE_BITS,
    END = CLEAR + 1,
    MAX_CODES = 4096,
    HASH_SIZE = 8192, /* a power of two, twice the codes */
    BLOCK = 255,
    REDS = 6,
    GREENS = 7,
    BLUES = 6,
};

static void write_palette(unsigned samples, struct buffer *out)
{
    uint8_t palette[COLOURS * 3] = { 0 };
    for (unsigned i = 0; samples == 1 && i < COLOURS; i++)
        memset(palette + (size_t)i * 3, (int)i, 3);
    for (unsigned i = 0; samples == 3 && i < REDS * GREENS * BLUES; i++) {
        palette[i * 3] = (uint8_t)(i / (GREENS * BLUES) * 255 / (REDS - 1));
        palette[i * 3 + 1] = (uint8_t)(i / BLUES % GREENS * 255 / (GREENS - 1));
        palette[i * 3 + 2] = (uint8_t)(i % BLUES * 255 / (BLUES - 1));
    }
    buffer_append(out, slice_of(palette, sizeof(palette)));
}

bool image_gif_begin(const struct raster *raster, bool animated, struct buffer *out,
                     struct error *err)
{
    static const uint8_t loop[] = "\x21\xFF\x0BNETSCAPE2.0\x03\x01\x00\x00";
    if (raster->columns > UINT16_MAX || raster->rows > UINT16_MAX)
        return error_set(err, ERROR_UNSUPPORTED, "the picture is too large for a GIF");
    buffer_append_text(out, "GIF89a");
    buffer_append_u16le(out, (uint16_t)raster->columns);
    buffer_append_u16le(out, (uint16_t)raster->rows);
    buffer_append(out, slice_of("\xF7\x00\x00", 3)); /* a palette of 256 for all */
    write_palette(raster->samples, out);
    if (animated)
        buffer_append(out, slice_of(loop, sizeof(loop)));
    return buffer_check(out, "the picture", err);
}

/* A level of the steps that is near the value, the nearer the more often. */
static unsigned step_of(uint8_t value, unsigned steps, unsigned threshold)
{
    return (value * (steps - 1) * 16 + threshold * 255) / (255 * 16);
}

static uint8_t *to_indices(const struct raster *raster)
{
    static const uint8_t pattern[16] = { 0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5 };
    size_t count = (size_t)raster->rows * raster->columns;
    uint8_t *indices = mem_alloc(count ? count : 1);
    const uint8_t *in = raster->bytes.data;
    uint8_t *out = indices;
    for (uint32_t y = 0; y < raster->rows; y++)
        for (uint32_t x = 0; x < raster->columns; x++, in += 3) {
            unsigned threshold = pattern[y % 4 * 4 + x % 4];
            *out++ = (uint8_t)((step_of(in[0], REDS, threshold) * GREENS +
                                step_of(in[1], GREENS, threshold)) *
                                   BLUES +
                               step_of(in[2], BLUES, threshold));
        }
    return indices;
}

/* Codes of growing size, lowest bit first, in blocks of 255 bytes. */
struct packer {
    struct buffer *out;
    uint8_t block[BLOCK];
    unsigned size;
    uint32_t bits;
    unsigned bit_count;
};

static void flush_block(struct packer *packer)
{
    if (!packer->size)
        return;
    buffer_append_byte(packer->out, (uint8_t)packer->size);
    buffer_append(packer->out, slice_of(packer->block, packer->size));
    packer->size = 0;
}

static void pack(struct packer *packer, unsigned code, unsigned bits)
{
    packer->bits |= code << packer->bit_count;
    packer->bit_count += bits;
    while (packer->bit_count >= 8) {
        packer->block[packer->size++] = (uint8_t)packer->bits;
        packer->bits >>= 8;
        packer->bit_count -= 8;
        if (packer->size == BLOCK)
            flush_block(packer);
    }
}

static void finish(struct packer *packer)
{
    if (packer->bit_count)
        pack(packer, 0, 8 - packer->bit_count);
    flush_block(packer);
    buffer_append_byte(packer->out, 0);
}

/* The strings that have a code: that of their beginning, and one byte more. */
struct strings {
    uint32_t key[HASH_SIZE]; /* beginning << 8 | byte, and a bit above both: taken */
    uint16_t code[HASH_SIZE];
    unsigned next;
    unsigned bits;
};

static void forget(struct strings *strings)
{
    memset(strings->key, 0, sizeof(strings->key));
    strings->next = END + 1;
    strings->bits = CODE_BITS + 1;
}

/* Where the string stands, or would. */
static unsigned place_of(const struct strings *strings, uint32_t key)
{
    unsigned at = (key * 2654435761u) >> 19 & (HASH_SIZE - 1);
    while (strings->key[at] && strings->key[at] != key)
        at = (at + 1) & (HASH_SIZE - 1);
    return at;
}

static void compress(const uint8_t *indices, size_t count, struct strings *strings,
                     struct buffer *out)
{
    struct packer packer = { .out = out };
    forget(strings);
    pack(&packer, CLEAR, strings->bits);
    unsigned string = indices[0];
    for (size_t i = 1; i < count; i++) {
        uint32_t key = 1u << 20 | string << 8 | indices[i];
        unsigned at = place_of(strings, key);
        if (strings->key[at]) {
            string = strings->code[at];
            continue;
        }
        pack(&packer, string, strings->bits);
        string = indices[i];
        if (strings->next == MAX_CODES) {
            pack(&packer, CLEAR, strings->bits);
            forget(strings);
            continue;
        }
        strings->key[at] = key;
        strings->code[at] = (uint16_t)strings->next;
        if (strings->next++ == 1u << strings->bits)
            strings->bits++;
    }
    pack(&packer, string, strings->bits);
    /* The reader has counted one more by then. */
    if (strings->next == 1u << strings->bits && strings->bits < 12)
        strings->bits++;
    pack(&packer, END, strings->bits);
    finish(&packer);
}

bool image_gif_add(const struct raster *raster, unsigned delay_cs, struct buffer *out,
                   struct error *err)
{
    struct strings *strings = mem_alloc(sizeof(*strings));
    uint8_t *indices = raster->samples == 3 ? to_indices(raster) : NULL;
    buffer_append(out, slice_of("\x21\xF9\x04\x00", 4)); /* how long it is shown */
    buffer_append_u16le(out, (uint16_t)(delay_cs < UINT16_MAX ? delay_cs : UINT16_MAX));
    buffer_append(out, slice_of("\x00\x00\x2C\x00\x00\x00\x00", 7));
    buffer_append_u16le(out, (uint16_t)raster->columns);
    buffer_append_u16le(out, (uint16_t)raster->rows);
    buffer_append_byte(out, 0);
    buffer_append_byte(out, CODE_BITS);
    compress(indices ? indices : raster->bytes.data, (size_t)raster->rows * raster->columns,
             strings, out);
    free(indices);
    free(strings);
    return buffer_check(out, "the picture", err);
}

void image_gif_end(struct buffer *out)
{
    buffer_append_byte(out, ';');
}

bool image_write_gif(const struct raster *raster, struct buffer *out, struct error *err)
{
    if (!image_gif_begin(raster, false, out, err) || !image_gif_add(raster, 0, out, err))
        return false;
    image_gif_end(out);
    return buffer_check(out, "the picture", err);
}
