/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "dicom/codec_decoders.h"

/* Bounds of what a codestream may make a decoder allocate beyond its pixels. */
enum { MAX_TILES = 4096, MAX_LAYERS = 1024, MAX_PACKETS_PER_RESOLUTION = 1 << 20 };

/* A progressive JPEG is gone over once a scan. */
enum { MAX_SCANS = 100 };

static bool is_frame_header(uint8_t marker)
{
    return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

static bool jpeg_broken(struct error *err)
{
    return error_set(err, ERROR_INVALID, "the JPEG stream has no whole header");
}

/* In the data of a scan FF is followed by zero or a restart marker. */
static bool has_too_many_scans(struct slice stream)
{
    unsigned scans = 0;
    for (size_t i = 0; i + 1 < stream.size; i++)
        scans += stream.data[i] == 0xFF && stream.data[i + 1] == 0xDA;
    return scans > MAX_SCANS;
}

/* To the first scan: a second frame header after the one we looked at must not decide. */
bool jpeg_header_read(struct slice stream, struct stream_header *header, struct error *err)
{
    const uint8_t *p = stream.data;
    size_t at = 2;
    bool found = false;
    if (stream.size < 4 || p[0] != 0xFF || p[1] != 0xD8)
        return jpeg_broken(err);
    while (at + 4 <= stream.size && p[at] == 0xFF) {
        uint8_t marker = p[at + 1];
        if (marker == 0xFF) { /* a fill byte */
            at++;
            continue;
        }
        size_t length = get_u16be(p + at + 2);
        if (marker == 0xDA && has_too_many_scans(slice_skip(stream, at)))
            return error_set(err, ERROR_LIMIT, "more than %d scans in a JPEG stream", MAX_SCANS);
        if (marker == 0xDA)
            return found || jpeg_broken(err);
        if (length < 2 || length > stream.size - at - 2)
            return jpeg_broken(err);
        if (is_frame_header(marker)) {
            if (found || length < 8)
                return jpeg_broken(err);
            found = true;
            header->precision = p[at + 4];
            header->rows = get_u16be(p + at + 5);
            header->columns = get_u16be(p + at + 7);
            header->components = p[at + 9];
            header->is_signed = false;
        }
        at += 2 + length;
    }
    return jpeg_broken(err);
}

static bool find_codestream(struct slice encoded, struct slice *codestream)
{
    static const uint8_t signature[12] = {
        0, 0, 0, 12, 'j', 'P', ' ', ' ', 0x0D, 0x0A, 0x87, 0x0A
    };
    *codestream = encoded;
    if (!slice_starts_with(encoded, slice_of(signature, sizeof(signature))))
        return true;
    while (encoded.size >= 8) {
        uint64_t length = get_u32be(encoded.data);
        size_t header = 8;
        if (length == 1 && encoded.size >= 16) {
            length = get_u64be(encoded.data + 8);
            header = 16;
        } else if (length == 0) {
            length = encoded.size;
        }
        if (length < header || length > encoded.size)
            return false;
        if (memcmp(encoded.data + 4, "jp2c", 4) == 0) {
            *codestream = slice_skip(slice_take(encoded, (size_t)length), header);
            return true;
        }
        encoded = slice_skip(encoded, (size_t)length);
    }
    return false;
}

static bool jpeg2000_broken(struct error *err)
{
    return error_set(err, ERROR_INVALID, "the JPEG 2000 codestream has no whole header");
}

static uint64_t tiles_along(uint64_t end, uint64_t tile_origin, uint64_t tile)
{
    return (end - tile_origin + tile - 1) / tile;
}

/* ISO 15444-1 A.5.1: what follows Lsiz. */
static bool read_size(struct slice siz, struct stream_header *header, struct error *err)
{
    if (siz.size < 39)
        return jpeg2000_broken(err);
    const uint8_t *p = siz.data;
    uint32_t end_x = get_u32be(p + 2);
    uint32_t end_y = get_u32be(p + 6);
    uint32_t x = get_u32be(p + 10);
    uint32_t y = get_u32be(p + 14);
    uint32_t tile_width = get_u32be(p + 18);
    uint32_t tile_height = get_u32be(p + 22);
    uint32_t tile_x = get_u32be(p + 26);
    uint32_t tile_y = get_u32be(p + 30);
    header->components = get_u16be(p + 34);
    if (end_x <= x || end_y <= y || !tile_width || !tile_height || tile_x > x || tile_y > y ||
        (uint64_t)tile_x + tile_width <= x || (uint64_t)tile_y + tile_height <= y ||
        siz.size < 36u + 3u * header->components || !header->components)
        return jpeg2000_broken(err);
    if (tiles_along(end_x, tile_x, tile_width) * tiles_along(end_y, tile_y, tile_height) >
        MAX_TILES)
        return error_set(err, ERROR_LIMIT, "more than %d tiles", MAX_TILES);
    header->columns = end_x - x;
    header->rows = end_y - y;
    header->precision = (uint8_t)((p[36] & 0x7F) + 1);
    header->is_signed = p[36] >> 7;
    for (unsigned i = 0; i < header->components; i++) {
        const uint8_t *component = p + 36 + (size_t)i * 3;
        if (component[0] != p[36] || component[1] != 1 || component[2] != 1)
            return error_set(err, ERROR_UNSUPPORTED, "components that are not alike");
    }
    return true;
}

/* Coding style of all components or one (A.6.1, A.6.2): `style` begins at the number of
 * decomposition levels. */
static bool check_coding_style(struct slice style, bool precincts, unsigned layers,
                               const struct stream_header *header, struct error *err)
{
    if (style.size < 5 || style.data[0] > 32)
        return jpeg2000_broken(err);
    if (layers > MAX_LAYERS)
        return error_set(err, ERROR_LIMIT, "more than %d layers", MAX_LAYERS);
    if (!precincts)
        return true;
    size_t resolutions = style.data[0] + 1u;
    if (style.size < 5 + resolutions)
        return jpeg2000_broken(err);
    uint64_t area = (uint64_t)header->rows * header->columns;
    for (size_t i = 0; i < resolutions; i++) {
        uint8_t exponents = style.data[5 + i];
        uint64_t count = 1 + (area >> ((exponents & 15) + (exponents >> 4)));
        if (count * (layers ? layers : 1) > MAX_PACKETS_PER_RESOLUTION)
            return error_set(err, ERROR_LIMIT, "more than %d packets of a resolution",
                             MAX_PACKETS_PER_RESOLUTION);
    }
    return true;
}

static bool check_segment(uint8_t marker, struct slice segment, const struct stream_header *header,
                          unsigned *layers, struct error *err)
{
    if (marker == 0x52) { /* COD */
        if (segment.size < 10)
            return jpeg2000_broken(err);
        *layers = get_u16be(segment.data + 2);
        return check_coding_style(slice_skip(segment, 5), segment.data[0] & 1, *layers, header,
                                  err);
    }
    if (marker == 0x53) { /* COC: of a component that is named in one byte */
        if (segment.size < 7)
            return jpeg2000_broken(err);
        return check_coding_style(slice_skip(segment, 2), segment.data[1] & 1, *layers, header,
                                  err);
    }
    return true;
}

/* Through the main header and the headers of all tile-parts: each may state a coding style. */
static bool check_segments(struct slice codestream, size_t at, const struct stream_header *header,
                           struct error *err)
{
    const uint8_t *p = codestream.data;
    size_t tile_part = 0;
    size_t tile_part_size = 0;
    unsigned layers = 1;
    while (at + 4 <= codestream.size && p[at] == 0xFF) {
        uint8_t marker = p[at + 1];
        if (marker == 0x93) { /* SOD: data up to the end of the tile-part */
            if (!tile_part_size || tile_part_size > codestream.size - tile_part)
                return true; /* the last one, whole or cut short: for the decoder to tell */
            if (tile_part + tile_part_size <= at)
                return jpeg2000_broken(err);
            at = tile_part + tile_part_size;
            continue;
        }
        size_t length = get_u16be(p + at + 2);
        if (length < 2 || length > codestream.size - at - 2)
            return jpeg2000_broken(err);
        if (marker == 0x90) { /* SOT */
            if (length < 10)
                return jpeg2000_broken(err);
            tile_part = at;
            tile_part_size = get_u32be(p + at + 6);
        }
        if (!check_segment(marker, slice_of(p + at + 4, length - 2), header, &layers, err))
            return false;
        at += 2 + length;
    }
    return true;
}

bool jpeg2000_header_read(struct slice encoded, struct slice *codestream,
                          struct stream_header *header, struct error *err)
{
    static const uint8_t start[4] = { 0xFF, 0x4F, 0xFF, 0x51 }; /* SOC, SIZ */
    if (!find_codestream(encoded, codestream) || codestream->size < 6 ||
        !slice_starts_with(*codestream, slice_of(start, sizeof(start))))
        return jpeg2000_broken(err);
    size_t length = get_u16be(codestream->data + 4);
    if (length < 2 || length > codestream->size - 4)
        return jpeg2000_broken(err);
    return read_size(slice_of(codestream->data + 6, length - 2), header, err) &&
           check_segments(*codestream, 4 + length, header, err);
}
