/* SPDX-License-Identifier: MIT */
/* GIF87a and GIF89a to RGB frames: each picture is drawn on the canvas as a browser shows it. Every
 * length and code is checked; the work is bounded by the bytes that come out. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "dicom/image_read.h"

enum { MAX_CODE = 4096, NO_CODE = 4096, COLOURS = 256 };

struct gif {
    struct slice rest;
    uint32_t rows;
    uint32_t columns;
    uint8_t palette[COLOURS * 3]; /* the global one */
    uint8_t *canvas;              /* RGB */
    uint8_t *before;              /* the canvas to go back to; NULL: none */
    /* Of the picture that is read. */
    uint8_t local[COLOURS * 3];
    uint32_t left, top, width, height;
    bool interlaced;
    int transparent; /* -1: none */
    unsigned disposal;
};

static bool broken(struct error *err)
{
    return error_set(err, ERROR_INVALID, "a GIF is broken");
}

static bool take(struct gif *gif, size_t size, const uint8_t **bytes)
{
    if (size > gif->rest.size)
        return false;
    *bytes = gif->rest.data;
    gif->rest = slice_skip(gif->rest, size);
    return true;
}

static bool take_palette(struct gif *gif, unsigned bits, uint8_t palette[COLOURS * 3])
{
    const uint8_t *bytes;
    size_t size = (size_t)3 << bits;
    if (!take(gif, size, &bytes))
        return false;
    memset(palette, 0, COLOURS * 3);
    memcpy(palette, bytes, size);
    return true;
}

/* The bytes of sub-blocks, one after the other. */
struct blocks {
    struct gif *gif;
    struct slice block;
    bool ended;
    uint32_t bits;
    unsigned bit_count;
};

static int next_byte(struct blocks *blocks)
{
    while (!blocks->block.size) {
        const uint8_t *size, *bytes;
        if (blocks->ended || !take(blocks->gif, 1, &size) || !*size ||
            !take(blocks->gif, *size, &bytes)) {
            blocks->ended = true;
            return -1;
        }
        blocks->block = slice_of(bytes, *size);
    }
    int byte = blocks->block.data[0];
    blocks->block = slice_skip(blocks->block, 1);
    return byte;
}

static int next_code(struct blocks *blocks, unsigned size)
{
    while (blocks->bit_count < size) {
        int byte = next_byte(blocks);
        if (byte < 0)
            return -1;
        blocks->bits |= (uint32_t)byte << blocks->bit_count;
        blocks->bit_count += 8;
    }
    int code = (int)(blocks->bits & ((1u << size) - 1));
    blocks->bits >>= size;
    blocks->bit_count -= size;
    return code;
}

static bool skip_blocks(struct gif *gif)
{
    const uint8_t *size, *bytes;
    do {
        if (!take(gif, 1, &size) || !take(gif, *size, &bytes))
            return false;
    } while (*size);
    return true;
}

/* Row `index` in the order of the stream (GIF89a appendix E). */
static uint32_t row_of(const struct gif *gif, uint32_t index)
{
    static const uint32_t starts[] = { 0, 4, 2, 1 }, steps[] = { 8, 8, 4, 2 };
    if (!gif->interlaced)
        return index;
    for (size_t pass = 0; pass < 4; pass++) {
        uint32_t rows = gif->height > starts[pass]
                            ? (gif->height - starts[pass] + steps[pass] - 1) / steps[pass]
                            : 0;
        if (index < rows)
            return starts[pass] + index * steps[pass];
        index -= rows;
    }
    return 0;
}

static void put_pixel(struct gif *gif, uint64_t number, uint8_t colour)
{
    uint32_t x = gif->left + (uint32_t)(number % gif->width);
    uint32_t y = gif->top + row_of(gif, (uint32_t)(number / gif->width));
    if (colour != gif->transparent && x < gif->columns && y < gif->rows)
        memcpy(gif->canvas + ((size_t)y * gif->columns + x) * 3, gif->local + (size_t)colour * 3,
               3);
}

struct table {
    uint16_t prefix[MAX_CODE];
    uint8_t last[MAX_CODE];
    uint16_t size[MAX_CODE];
};

/* LZW with codes of growing size (GIF89a appendix F), up to the last pixel. */
static bool draw(struct gif *gif, unsigned minimum, struct table *table)
{
    struct blocks blocks = { .gif = gif };
    unsigned clear = 1u << minimum, count = clear + 2, bits = minimum + 1;
    uint64_t number = 0, total = (uint64_t)gif->width * gif->height;
    unsigned previous = NO_CODE;
    uint8_t string[MAX_CODE], first = 0;
    for (unsigned i = 0; i < clear; i++) {
        table->last[i] = (uint8_t)i;
        table->size[i] = 1;
    }
    while (number < total) {
        int code = next_code(&blocks, bits);
        if (code < 0 || (unsigned)code == clear + 1)
            break;
        if ((unsigned)code == clear) {
            count = clear + 2;
            bits = minimum + 1;
            previous = NO_CODE;
            continue;
        }
        bool is_new = (unsigned)code == count && previous != NO_CODE;
        if ((unsigned)code >= count && !is_new)
            return false;
        unsigned at = is_new ? previous : (unsigned)code;
        size_t size = table->size[at];
        for (size_t i = size; i-- > 0; at = table->prefix[at])
            string[i] = table->last[at];
        uint8_t begin = string[0];
        if (is_new)
            string[size++] = first;
        if (previous != NO_CODE && count < MAX_CODE) {
            table->prefix[count] = (uint16_t)previous;
            table->last[count] = begin;
            table->size[count] = (uint16_t)(table->size[previous] + 1);
            count++;
            if (count == 1u << bits && bits < 12)
                bits++;
        }
        first = begin;
        previous = (unsigned)code;
        for (size_t i = 0; i < size && number < total; i++)
            put_pixel(gif, number++, string[i]);
    }
    while (next_byte(&blocks) >= 0)
        continue;
    return number == total;
}

static bool read_control(struct gif *gif)
{
    const uint8_t *bytes;
    if (!take(gif, 5, &bytes) || bytes[0] != 4)
        return false;
    gif->disposal = bytes[1] >> 2 & 7;
    gif->transparent = bytes[1] & 1 ? bytes[4] : -1;
    return skip_blocks(gif);
}

/* What the picture leaves behind it. */
static void dispose(struct gif *gif, size_t size)
{
    if (gif->disposal == 2)
        for (uint32_t y = gif->top; y < gif->rows && y - gif->top < gif->height; y++)
            for (uint32_t x = gif->left; x < gif->columns && x - gif->left < gif->width; x++)
                memset(gif->canvas + ((size_t)y * gif->columns + x) * 3, 0, 3);
    if (gif->disposal == 3)
        memcpy(gif->canvas, gif->before, size);
    gif->disposal = 0;
    gif->transparent = -1;
}

static bool read_picture(struct gif *gif, struct table *table)
{
    const uint8_t *bytes;
    if (!take(gif, 9, &bytes))
        return false;
    gif->left = get_u16le(bytes);
    gif->top = get_u16le(bytes + 2);
    gif->width = get_u16le(bytes + 4);
    gif->height = get_u16le(bytes + 6);
    gif->interlaced = bytes[8] & 0x40;
    memcpy(gif->local, gif->palette, sizeof(gif->local));
    if ((bytes[8] & 0x80) && !take_palette(gif, (bytes[8] & 7) + 1u, gif->local))
        return false;
    return take(gif, 1, &bytes) && *bytes >= 1 && *bytes <= 8 && gif->width && gif->height &&
           draw(gif, *bytes, table);
}

static bool read_frames(struct gif *gif, struct table *table, struct image_pixels *pixels,
                        struct buffer *out, struct error *err)
{
    size_t size = (size_t)gif->rows * gif->columns * 3;
    for (;;) {
        const uint8_t *kind, *label;
        if (!take(gif, 1, &kind) || *kind == 0x3B)
            return pixels->frames > 0 || broken(err);
        if (*kind == 0x21) {
            if (!take(gif, 1, &label) || (*label == 0xF9 ? !read_control(gif) : !skip_blocks(gif)))
                return broken(err);
            continue;
        }
        if (*kind != 0x2C)
            return broken(err);
        memcpy(gif->before, gif->canvas, size);
        if (!read_picture(gif, table))
            return broken(err);
        if (size > IMAGE_READ_LIMIT - (out->size < IMAGE_READ_LIMIT ? out->size : IMAGE_READ_LIMIT))
            return error_set(err, ERROR_LIMIT, "the frames of a GIF are too many");
        if (!buffer_append(out, slice_of(gif->canvas, size)))
            return buffer_check(out, "the frames of a GIF", err);
        pixels->frames++;
        dispose(gif, size);
    }
}

static bool read_header(struct slice file, struct image_pixels *pixels, struct error *err)
{
    if (file.size < 13 || memcmp(file.data, "GIF8", 4) != 0)
        return broken(err);
    *pixels = (struct image_pixels){ .columns = get_u16le(file.data + 6),
                                     .rows = get_u16le(file.data + 8),
                                     .bits = 8,
                                     .samples = 3 };
    return image_pixels_check(pixels, err);
}

bool image_read_gif(struct slice file, struct image_pixels *pixels, struct buffer *out,
                    struct error *err)
{
    if (!read_header(file, pixels, err))
        return false;
    struct gif *gif = mem_alloc(sizeof(*gif));
    struct table *table = mem_alloc(sizeof(*table));
    size_t size = (size_t)pixels->rows * pixels->columns * 3;
    gif->rest = slice_skip(file, 13);
    gif->rows = pixels->rows;
    gif->columns = pixels->columns;
    gif->transparent = -1;
    gif->canvas = mem_alloc(size);
    gif->before = mem_alloc(size);
    bool ok = !(file.data[10] & 0x80) || take_palette(gif, (file.data[10] & 7) + 1u, gif->palette)
                  ? read_frames(gif, table, pixels, out, err)
                  : broken(err);
    free(gif->canvas);
    free(gif->before);
    free(gif);
    free(table);
    return ok;
}
