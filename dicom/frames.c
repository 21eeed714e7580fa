/* SPDX-License-Identifier: MIT */
#include "dicom/frames.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"

/* The table, little endian, begins with 8 bytes: its kind, 3 of zero, the number of whole frames.
 *     NATIVE     offset u64, bytes there u64, bits of a frame u64, frames that should be there u32
 *     SINGLE     per frame: offset u64, size u32
 *     SEVERAL    per frame and once more at the end: number of its first fragment u32;
 *                then per fragment: offset u64, size u32 */
enum kind { NATIVE = 1, SINGLE = 2, SEVERAL = 3 };
enum {
    HEAD = 8,
    NATIVE_SIZE = HEAD + 8 + 8 + 8 + 4,
    FRAGMENT_SIZE = 12,
    INDEX_SIZE = 4,
};

static void write_head(struct buffer *table, enum kind kind, uint32_t frames)
{
    buffer_append_u32le(table, kind);
    buffer_append_u32le(table, frames);
}

static uint64_t attribute(const struct dataset *header, uint32_t tag, uint64_t absent)
{
    int64_t value;
    return dataset_integer(header, tag, &value) && value > 0 ? (uint64_t)value : absent;
}

/* Absent, and for want of a better reading zero, means one. */
static uint32_t number_of_frames(const struct dataset *header)
{
    uint64_t frames = attribute(header, TAG_NUMBER_OF_FRAMES, 1);
    return frames < UINT32_MAX ? (uint32_t)frames : UINT32_MAX - 1;
}

/* Native pixel data may be subsampled in 4:2:2 (PS3.3 C.7.6.3.1.2), two samples a pixel on average;
 * but some name it so and send all three. */
static uint64_t samples_per_pixel(const struct dataset *header, uint64_t pixels, uint64_t bits,
                                  uint64_t size)
{
    char photometric[17];
    uint64_t samples = attribute(header, TAG_SAMPLES_PER_PIXEL, 1);
    uint64_t all;
    dataset_string(header, TAG_PHOTOMETRIC_INTERPRETATION, photometric, sizeof(photometric));
    bool halved = slice_equals_text(slice_text(photometric), "YBR_FULL_422") ||
                  slice_equals_text(slice_text(photometric), "YBR_PARTIAL_422");
    if (halved && samples == 3 &&
        (__builtin_mul_overflow(pixels, bits * samples, &all) || all / 8 > size))
        return 2;
    return samples;
}

/* 0 when the attributes do not tell. */
static uint64_t bits_of_frame(const struct dataset *header, const struct pixel_data *data,
                              uint32_t frames)
{
    uint64_t usual = data->tag == TAG_FLOAT_PIXEL_DATA          ? 32
                     : data->tag == TAG_DOUBLE_FLOAT_PIXEL_DATA ? 64
                                                                : 0;
    uint64_t rows = attribute(header, TAG_ROWS, 0);
    uint64_t columns = attribute(header, TAG_COLUMNS, 0);
    uint64_t bits = attribute(header, TAG_BITS_ALLOCATED, usual);
    if (!rows || !columns || !bits || rows > UINT16_MAX || columns > UINT16_MAX || bits > 64)
        return 0;
    uint64_t pixels = rows * columns;
    uint64_t samples = samples_per_pixel(header, pixels * frames, bits, data->size);
    return samples > UINT16_MAX ? 0 : pixels * bits * samples; /* 32 + 7 + 16 bits */
}

static void build_native(const struct dataset *header, const struct pixel_data *data,
                         struct buffer *table)
{
    uint32_t frames = number_of_frames(header);
    uint64_t bits = bits_of_frame(header, data, frames);
    if (!bits || !data->size || data->size > UINT64_MAX / 8)
        return;
    uint64_t whole = data->size * 8 / bits;
    write_head(table, NATIVE, whole < frames ? (uint32_t)whole : frames);
    buffer_append_u64le(table, data->offset);
    buffer_append_u64le(table, data->size);
    buffer_append_u64le(table, bits);
    buffer_append_u32le(table, frames);
}

/* How the fragments make up the frames: the number of each frame's first fragment. */
struct split {
    const struct pixel_data *data;
    uint32_t frames;
    uint32_t *first; /* frames + 1 of them */
};

/* From the offset of a frame's first item, counted from the first item behind the Basic Offset
 * Table, to its fragment; the search goes on from *fragment. */
static bool fragment_at(const struct pixel_data *data, uint64_t offset, size_t *fragment)
{
    while (*fragment < data->fragment_count) {
        uint64_t here = data->fragments[*fragment].offset - data->fragments[0].offset;
        if (here >= offset)
            return here == offset;
        ++*fragment;
    }
    return false;
}

/* A table is believed when each frame begins at a fragment behind the one before, the first at the
 * first. */
static bool split_by_table(struct split *split, struct slice table, size_t unit)
{
    if (table.size / unit != split->frames || table.size % unit)
        return false;
    size_t fragment = 0;
    for (uint32_t i = 0; i < split->frames; i++) {
        const uint8_t *p = table.data + i * unit;
        uint64_t offset = unit == 8 ? get_u64le(p) : get_u32le(p);
        if (i ? offset == 0 : offset != 0)
            return false;
        fragment += i != 0;
        if (!fragment_at(split->data, offset, &fragment))
            return false;
        split->first[i] = (uint32_t)fragment;
    }
    split->first[split->frames] = (uint32_t)split->data->fragment_count;
    return true;
}

/* The lengths must fit the fragments that the offsets name (PS3.3 C.7.6.3.1.8). */
static bool lengths_fit(const struct split *split, struct slice lengths)
{
    if (lengths.size != (size_t)split->frames * 8)
        return false;
    for (uint32_t i = 0; i < split->frames; i++) {
        uint64_t size = 0;
        for (uint32_t k = split->first[i]; k < split->first[i + 1]; k++)
            size += split->data->fragments[k].size;
        uint64_t stated = get_u64le(lengths.data + (size_t)i * 8);
        if (stated > size || size - stated > 1)
            return false;
    }
    return true;
}

static bool split_one_to_one(struct split *split)
{
    for (uint32_t i = 0; i <= split->frames; i++)
        split->first[i] = i;
    return true;
}

/* Each frame is one fragment whatever the tables say (PS3.5 A.4.2, A.4.11, A.4.13). */
static bool fragment_is_frame(const struct transfer_syntax *syntax)
{
    return syntax->media_type && (strcmp(syntax->media_type, "image/dicom-rle") == 0 ||
                                  strcmp(syntax->media_type, "application/octet-stream") == 0);
}

/* All frames are one stream: video, and the multi-component JPEG 2000 of part 2. */
static bool is_inseparable(const struct transfer_syntax *syntax)
{
    return syntax->media_type && (strncmp(syntax->media_type, "video/", 6) == 0 ||
                                  strcmp(syntax->media_type, "image/jpx") == 0);
}

/* Does a code stream that can be told by its first bytes begin here? JPEG and JPEG-LS: SOI and a
 * marker; JPEG 2000: SOC and SIZ; JPEG XL; or a box file of the latter two. */
static bool begins_stream(const struct fragment *fragment)
{
    return (fragment->head & 0xFFFFFF00u) == 0xFFD8FF00u || fragment->head == 0xFF4FFF51u ||
           fragment->head >> 16 == 0xFF0A || fragment->head == 0x0000000Cu;
}

/* No table, and more or fewer fragments than frames: the streams must tell themselves. */
static bool split_by_streams(struct split *split)
{
    const struct pixel_data *data = split->data;
    uint32_t frames = 0;
    for (size_t i = 0; i < data->fragment_count; i++)
        if (begins_stream(&data->fragments[i])) {
            if (frames == split->frames || (!frames && i))
                return false;
            split->first[frames++] = (uint32_t)i;
        }
    split->frames = frames;
    split->first[frames] = (uint32_t)data->fragment_count;
    return frames > 0;
}

static bool split_frames(struct split *split, const struct transfer_syntax *syntax,
                         struct slice eot, struct slice eot_lengths)
{
    const struct pixel_data *data = split->data;
    bool all_there = split->frames <= data->fragment_count;
    if (all_there && split->frames == 1) {
        split->first[1] = (uint32_t)data->fragment_count;
        return true;
    }
    if (!all_there)
        split->frames = (uint32_t)data->fragment_count;
    if (fragment_is_frame(syntax))
        return split_one_to_one(split);
    if (all_there && eot.size && split_by_table(split, eot, 8) && lengths_fit(split, eot_lengths))
        return true;
    if (all_there && split_by_table(split, data->basic_offset_table, 4))
        return true;
    if (is_inseparable(syntax))
        return false;
    if (all_there && split->frames == data->fragment_count)
        return split_one_to_one(split);
    return split_by_streams(split);
}

static void write_split(const struct split *split, struct buffer *table)
{
    const struct pixel_data *data = split->data;
    size_t fragments = split->first[split->frames];
    bool single = fragments == split->frames;
    write_head(table, single ? SINGLE : SEVERAL, split->frames);
    for (uint32_t i = 0; !single && i <= split->frames; i++)
        buffer_append_u32le(table, split->first[i]);
    for (size_t i = 0; i < fragments; i++) {
        buffer_append_u64le(table, data->fragments[i].offset);
        buffer_append_u32le(table, data->fragments[i].size);
    }
}

static void build_encapsulated(const struct dataset *header, const struct pixel_data *data,
                               struct slice eot, struct slice eot_lengths, struct buffer *table)
{
    struct split split = { data, number_of_frames(header), NULL };
    if (!data->fragment_count)
        return;
    /* A frame has a fragment at least: no number of a peer's makes us take memory. */
    size_t most = split.frames < data->fragment_count ? split.frames : data->fragment_count;
    split.first = mem_alloc_array(most + 1, sizeof(*split.first));
    if (split_frames(&split, dataset_syntax(header), eot, eot_lengths))
        write_split(&split, table);
    free(split.first);
}

void frame_table_build(const struct dataset *header, const struct pixel_data *pixels,
                       struct slice eot, struct slice eot_lengths, struct buffer *table)
{
    if (!pixels->present)
        return;
    size_t begin = table->size;
    if (pixels->encapsulated)
        build_encapsulated(header, pixels, eot, eot_lengths, table);
    else
        build_native(header, pixels, table);
    if (table->overflowed)
        table->size = begin;
}

static enum kind kind_of(struct slice table)
{
    return table.size >= HEAD ? (enum kind)get_u32le(table.data) : 0;
}

uint32_t frame_table_count(struct slice table)
{
    return table.size >= HEAD ? get_u32le(table.data + 4) : 0;
}

bool frame_table_is_encapsulated(struct slice table)
{
    return kind_of(table) == SINGLE || kind_of(table) == SEVERAL;
}

static bool corrupt(struct error *err)
{
    return error_set(err, ERROR_CORRUPT, "frame table is broken");
}

/* Where a frame lies: its native bytes, or its part of the list of fragments. */
struct place {
    struct fragment64 native;
    unsigned bit_shift;
    struct slice list; /* FRAGMENT_SIZE bytes each; empty of a native one */
};

static bool locate_native(struct slice table, uint32_t number, struct place *place,
                          struct error *err)
{
    if (table.size != NATIVE_SIZE)
        return corrupt(err);
    uint64_t offset = get_u64le(table.data + HEAD);
    uint64_t size = get_u64le(table.data + HEAD + 8);
    uint64_t bits = get_u64le(table.data + HEAD + 16);
    uint64_t begin, end;
    if (__builtin_mul_overflow(bits, (uint64_t)number - 1, &begin) ||
        __builtin_add_overflow(begin, bits, &end) || begin / 8 >= size)
        return error_set(err, ERROR_NOT_FOUND, "frame %u is not there", number);
    if (end / 8 + (end % 8 != 0) > size)
        return error_set(err, ERROR_CORRUPT, "frame %u is cut short", number);
    place->bit_shift = begin % 8;
    place->native.offset = offset + begin / 8;
    place->native.size = end / 8 + (end % 8 != 0) - begin / 8;
    return true;
}

static bool locate_fragments(struct slice list, uint64_t first, uint64_t end, struct place *place,
                             struct error *err)
{
    if (first >= end || end > list.size / FRAGMENT_SIZE)
        return corrupt(err);
    place->list = slice_of(list.data + first * FRAGMENT_SIZE, (end - first) * FRAGMENT_SIZE);
    return true;
}

static bool locate(struct slice table, uint32_t number, struct place *place, struct error *err)
{
    uint64_t count = frame_table_count(table);
    uint64_t expected = count;
    *place = (struct place){ .bit_shift = 0 };
    if (kind_of(table) == NATIVE && table.size == NATIVE_SIZE)
        expected = get_u32le(table.data + HEAD + 24);
    if (!number || number > expected)
        return error_set(err, ERROR_NOT_FOUND, "frame %u is not there", number);
    struct slice rest = slice_skip(table, HEAD);
    uint64_t index = (count + 1) * INDEX_SIZE;
    switch (kind_of(table)) {
    case NATIVE:
        return locate_native(table, number, place, err);
    case SINGLE:
        return locate_fragments(rest, number - 1, number, place, err);
    case SEVERAL:
        if (rest.size < index)
            return corrupt(err);
        return locate_fragments(slice_skip(rest, index),
                                get_u32le(rest.data + ((uint64_t)number - 1) * INDEX_SIZE),
                                get_u32le(rest.data + (uint64_t)number * INDEX_SIZE), place, err);
    default:
        return corrupt(err);
    }
}

bool frame_table_check(struct slice table, uint32_t number, struct error *err)
{
    struct place place;
    return locate(table, number, &place, err);
}

static void append_range(struct buffer *fragments, uint64_t offset, uint64_t size)
{
    struct fragment64 range = { offset, size };
    buffer_append(fragments, slice_of(&range, sizeof(range)));
}

bool frame_table_find(struct slice table, uint32_t number, struct buffer *fragments,
                      unsigned *bit_shift, struct error *err)
{
    struct place place;
    bool found = locate(table, number, &place, err);
    *bit_shift = place.bit_shift;
    if (!found)
        return false;
    if (!place.list.size)
        append_range(fragments, place.native.offset, place.native.size);
    for (size_t at = 0; at < place.list.size && !fragments->overflowed; at += FRAGMENT_SIZE)
        append_range(fragments, get_u64le(place.list.data + at),
                     get_u32le(place.list.data + at + 8));
    return buffer_check(fragments, "list of fragments", err);
}

uint64_t fragments_size(const struct buffer *fragments)
{
    const struct fragment64 *list = (const struct fragment64 *)fragments->data;
    uint64_t size = 0;
    for (size_t i = 0; i < fragments->size / sizeof(*list); i++)
        size += list[i].size;
    return size;
}

bool fragments_gather(const struct buffer *fragments, const struct value_source *source,
                      struct buffer *bytes, struct error *err)
{
    const struct fragment64 *list = (const struct fragment64 *)fragments->data;
    for (size_t i = 0; i < fragments->size / sizeof(*list); i++) {
        if (!list[i].size)
            continue; /* of no bytes there may be no room either */
        struct space space = buffer_reserve(bytes, (size_t)list[i].size);
        if (!space.data)
            return buffer_check(bytes, "a frame", err);
        if (!source->read(source->context, list[i].offset, space, err))
            return false;
        buffer_advance(bytes, space.size);
    }
    return true;
}
