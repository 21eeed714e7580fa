/* SPDX-License-Identifier: MIT */
#include "dicom/scan.h"

#include <stdlib.h>

#include "base/memory.h"
#include "dicom/dataset.h"
#include "dicom/deflate.h"
#include "dicom/element_header.h"

const struct scan_limits scan_default_limits = {
    .header_size = 64 << 20,
    .value_size = 4 << 10,
    .elements = 4000000,
    .fragments = 4000000,
    .inflated_size = (uint64_t)4 << 30,
};

/* An open sequence. While an item is open elements are expected, else an item or the end. The
 * limits are offsets: the end where the length is defined, else the innermost end around. */
struct level {
    uint32_t tag;
    bool in_item;
    bool undefined_sequence;
    bool undefined_item;
    bool implicit;  /* inside UN of undefined length (PS3.5 6.2.2) */
    bool fragments; /* encapsulated pixel data of an icon: items are opaque */
    uint64_t sequence_limit;
    uint64_t item_limit;
};

enum destination {
    INTO_HEADER,
    INTO_NOTHING,
    INTO_OFFSET_TABLE,
    INTO_FRAGMENT, /* nothing, but for the first bytes */
};

struct scan {
    const struct transfer_syntax *syntax;
    struct scan_limits limits;
    struct inflater *inflater; /* NULL but for a deflated syntax */
    struct error error;        /* the first one, which stays */

    uint64_t position; /* bytes of the data set that were taken */
    size_t elements;
    uint32_t tag; /* of the latest element header */
    uint64_t value_left;
    enum destination destination; /* of the value that is being taken */
    uint8_t pending[ELEMENT_HEADER_MAX];
    size_t pending_size; /* bytes of a header that came in pieces */

    struct level levels[DATASET_MAX_DEPTH + 1]; /* one more for the fragments of an icon */
    size_t depth;
    bool in_fragments; /* of the pixel data at top level */
    bool has_offset_table;

    struct buffer header;
    struct elision *elisions;
    size_t elision_count;
    size_t elision_capacity;
    struct fragment *fragments;
    size_t fragment_count;
    size_t fragment_capacity;
    size_t fragments_seen; /* with those of icons */
    struct buffer offset_table;
    struct pixel_data pixels;
};

struct scan *scan_new(const struct transfer_syntax *syntax, const struct scan_limits *limits)
{
    struct scan *scan = mem_alloc(sizeof(*scan));
    scan->syntax = syntax;
    scan->limits = limits ? *limits : scan_default_limits;
    scan->header = buffer_up_to(scan->limits.header_size);
    scan->offset_table = buffer_up_to(scan->limits.fragments * 4);
    if (syntax->deflated)
        scan->inflater = inflater_new(scan->limits.inflated_size);
    return scan;
}

void scan_free(struct scan *scan)
{
    if (!scan)
        return;
    inflater_free(scan->inflater);
    buffer_release(&scan->header);
    buffer_release(&scan->offset_table);
    free(scan->elisions);
    free(scan->fragments);
    free(scan);
}

static bool invalid(struct scan *scan, uint32_t tag, const char *what)
{
    return error_set_tag(&scan->error, ERROR_INVALID, tag, "(%04X,%04X) at offset %llu: %s",
                         tag >> 16, tag & 0xFFFF, (unsigned long long)scan->position, what);
}

static bool past_limit(struct scan *scan, const char *what, size_t limit)
{
    return error_set_tag(&scan->error, ERROR_LIMIT, scan->tag, "data set has more than %zu %s",
                         limit, what);
}

static struct level *innermost(struct scan *scan)
{
    return scan->depth ? &scan->levels[scan->depth - 1] : NULL;
}

/* Where what stands around the next byte ends. */
static uint64_t enclosing_end(const struct scan *scan)
{
    if (!scan->depth)
        return UINT64_MAX;
    const struct level *level = &scan->levels[scan->depth - 1];
    return level->in_item ? level->item_limit : level->sequence_limit;
}

/* Items and sequences of defined length end where their bytes end. */
static void close_levels(struct scan *scan)
{
    for (struct level *level; (level = innermost(scan));) {
        if (level->in_item) {
            if (level->undefined_item || scan->position != level->item_limit)
                return;
            level->in_item = false;
        } else {
            if (level->undefined_sequence || scan->position != level->sequence_limit)
                return;
            scan->depth--;
        }
    }
}

static void add_elision(struct scan *scan, uint64_t offset, uint64_t size)
{
    if (!size)
        return;
    if (scan->elision_count == scan->elision_capacity) {
        scan->elision_capacity = scan->elision_capacity ? scan->elision_capacity * 2 : 4;
        scan->elisions = mem_resize_array(scan->elisions, scan->elision_capacity,
                                          sizeof(*scan->elisions));
    }
    scan->elisions[scan->elision_count++] = (struct elision){ offset, size };
}

static bool count_fragment(struct scan *scan)
{
    if (++scan->fragments_seen > scan->limits.fragments)
        return past_limit(scan, "fragments", scan->limits.fragments);
    return true;
}

static void add_fragment(struct scan *scan, uint32_t size)
{
    if (scan->fragment_count == scan->fragment_capacity) {
        scan->fragment_capacity = scan->fragment_capacity ? scan->fragment_capacity * 2 : 4;
        scan->fragments = mem_resize_array(scan->fragments, scan->fragment_capacity,
                                           sizeof(*scan->fragments));
    }
    scan->fragments[scan->fragment_count++] = (struct fragment){ scan->position, size, 0 };
}

static bool open_sequence(struct scan *scan, const struct element_header *header, bool implicit,
                          bool fragments)
{
    if (!fragments && scan->depth >= DATASET_MAX_DEPTH)
        return error_set_tag(&scan->error, ERROR_LIMIT, header->tag,
                             "(%04X,%04X) is nested more than %d deep", header->tag >> 16,
                             header->tag & 0xFFFF, DATASET_MAX_DEPTH);
    bool undefined = header->length == LENGTH_UNDEFINED;
    uint64_t limit = undefined ? enclosing_end(scan) : scan->position + header->length;
    scan->levels[scan->depth++] = (struct level){ .tag = header->tag,
                                                  .undefined_sequence = undefined,
                                                  .implicit = implicit,
                                                  .fragments = fragments,
                                                  .sequence_limit = limit };
    return true;
}

static void begin_value(struct scan *scan, uint64_t size)
{
    scan->value_left = size;
    scan->destination = INTO_HEADER;
    if (size > scan->limits.value_size) {
        scan->destination = INTO_NOTHING;
        add_elision(scan, scan->position, size);
    }
}

static bool is_pixel_data(uint32_t tag)
{
    return tag == TAG_PIXEL_DATA || tag == TAG_FLOAT_PIXEL_DATA ||
           tag == TAG_DOUBLE_FLOAT_PIXEL_DATA;
}

/* Pixel data at top level. Two of them would leave open which one is meant. */
static bool begin_pixel_data(struct scan *scan, const struct element_header *header, uint16_t vr)
{
    bool encapsulated = header->length == LENGTH_UNDEFINED;
    if (scan->pixels.present)
        return invalid(scan, header->tag, "pixel data for the second time");
    scan->pixels = (struct pixel_data){ .present = true,
                                        .encapsulated = encapsulated,
                                        .tag = header->tag,
                                        .vr = vr,
                                        .offset = scan->position,
                                        .size = encapsulated ? 0 : header->length };
    scan->in_fragments = encapsulated;
    if (!encapsulated) {
        scan->value_left = header->length;
        scan->destination = INTO_NOTHING;
        add_elision(scan, scan->position, header->length);
    }
    return true;
}

/* Between the items of a sequence. */
static bool take_item(struct scan *scan, struct level *level, const struct element_header *header)
{
    if (header->tag == TAG_SEQUENCE_DELIMITER) {
        if (!level->undefined_sequence)
            return invalid(scan, level->tag, "sequence delimiter in a sequence of defined length");
        scan->depth--;
        return true;
    }
    if (header->tag != TAG_ITEM)
        return invalid(scan, level->tag, "something else than an item in a sequence");
    bool undefined = header->length == LENGTH_UNDEFINED;
    if (!undefined && header->length > level->sequence_limit - scan->position)
        return invalid(scan, level->tag, "item is longer than what it stands in");
    if (level->fragments) {
        if (undefined)
            return invalid(scan, level->tag, "fragment of undefined length");
        begin_value(scan, header->length);
        return count_fragment(scan);
    }
    level->in_item = true;
    level->undefined_item = undefined;
    level->item_limit = undefined ? level->sequence_limit : scan->position + header->length;
    return true;
}

/* The first element of a data set in explicit VR that came as implicit has its VR's letters in the
 * length. Told here, because such a length may well lie inside the data set. */
static bool is_explicit_after_all(const struct scan *scan, const struct element_header *header,
                                  uint16_t vr)
{
    uint16_t letters = (uint16_t)((header->length & 0xFF) << 8 | (header->length >> 8 & 0xFF));
    return scan->elements == 1 && vr != VR_UN && letters == vr;
}

static bool take_undefined_length(struct scan *scan, const struct element_header *header,
                                  uint16_t vr, bool implicit)
{
    if (element_has_fragments(header->tag, scan->syntax->encapsulated)) {
        if (scan->depth)
            return open_sequence(scan, header, implicit, true);
        return begin_pixel_data(scan, header, vr);
    }
    if (vr != VR_SQ && vr != VR_UN)
        return invalid(scan, header->tag, "undefined length is for sequences only");
    return open_sequence(scan, header, implicit || vr == VR_UN, false);
}

static bool take_element(struct scan *scan, const struct level *level,
                         const struct element_header *header)
{
    uint32_t group = header->tag >> 16;
    if (group == 0xFFFE)
        return invalid(scan, header->tag, "item or delimiter where none is open");
    if (group == 0x0000 || group == 0x0002)
        return invalid(scan, header->tag, "no element of a data set (PS3.5 7.1)");
    bool implicit = !scan->syntax->explicit_vr || (level && level->implicit);
    uint16_t vr = implicit ? dictionary_vr(header->tag) : header->vr;
    if (implicit && is_explicit_after_all(scan, header, vr))
        return invalid(scan, header->tag, "explicit VR in a data set of implicit VR");
    if (header->length == LENGTH_UNDEFINED)
        return take_undefined_length(scan, header, vr, implicit);
    if (header->length > enclosing_end(scan) - scan->position)
        return invalid(scan, header->tag, "value is longer than the item it stands in");
    if (vr == VR_SQ)
        return open_sequence(scan, header, implicit, false);
    if (!level && is_pixel_data(header->tag))
        return begin_pixel_data(scan, header, vr);
    begin_value(scan, header->length);
    return true;
}

static bool take_header(struct scan *scan, const struct element_header *header)
{
    scan->tag = header->tag;
    if (header->size > enclosing_end(scan) - scan->position)
        return invalid(scan, header->tag, "begins before the end of its item, and ends behind it");
    if (++scan->elements > scan->limits.elements)
        return past_limit(scan, "elements", scan->limits.elements);
    scan->position += header->size;
    struct level *level = innermost(scan);
    if (level && !level->in_item)
        return take_item(scan, level, header);
    if (level && header->tag == TAG_ITEM_DELIMITER) {
        if (!level->undefined_item)
            return invalid(scan, level->tag, "item delimiter in an item of defined length");
        level->in_item = false;
        return true;
    }
    return take_element(scan, level, header);
}

/* An item of the pixel data at top level: the Basic Offset Table first, then fragments. */
static bool take_fragment(struct scan *scan, const struct element_header *header)
{
    scan->position += header->size;
    if (header->tag == TAG_SEQUENCE_DELIMITER) {
        scan->in_fragments = false;
        scan->pixels.size = scan->position - scan->pixels.offset;
        add_elision(scan, scan->pixels.offset, scan->pixels.size);
        return true;
    }
    if (header->tag != TAG_ITEM || header->length == LENGTH_UNDEFINED)
        return invalid(scan, TAG_PIXEL_DATA, "something else than a fragment in pixel data");
    scan->value_left = header->length;
    if (!scan->has_offset_table) {
        scan->has_offset_table = true;
        scan->destination = INTO_OFFSET_TABLE;
        if (header->length > scan->offset_table.limit)
            return past_limit(scan, "fragments", scan->limits.fragments);
        return true;
    }
    scan->destination = INTO_FRAGMENT;
    if (!count_fragment(scan))
        return false;
    add_fragment(scan, header->length);
    return true;
}

static bool keep(struct scan *scan, struct slice bytes)
{
    if (buffer_append(&scan->header, bytes))
        return true;
    return error_set_tag(&scan->error, ERROR_LIMIT, scan->tag, "header is larger than %zu bytes",
                         scan->limits.header_size);
}

static void note_head(struct scan *scan, struct slice bytes)
{
    struct fragment *fragment = &scan->fragments[scan->fragment_count - 1];
    for (uint64_t at = fragment->size - scan->value_left; at < 4 && bytes.size; at++) {
        fragment->head |= (uint32_t)bytes.data[0] << (24 - 8 * at);
        bytes = slice_skip(bytes, 1);
    }
}

/* As much of the begun value as is here, wherever it goes but the header. */
static void take_value(struct scan *scan, struct slice bytes)
{
    if (scan->destination == INTO_OFFSET_TABLE)
        buffer_append(&scan->offset_table, bytes);
    else if (scan->destination == INTO_FRAGMENT)
        note_head(scan, bytes);
    scan->position += bytes.size;
    scan->value_left -= bytes.size;
}

static struct slice part_of_value(const struct scan *scan, struct slice bytes)
{
    return slice_take(bytes, scan->value_left < bytes.size ? (size_t)scan->value_left : bytes.size);
}

static bool bad_vr(struct scan *scan, const struct element_header *header)
{
    return invalid(scan, header->tag, "no value representation where one must be");
}

static bool read_header(struct scan *scan, struct slice bytes, struct element_header *header,
                        enum element_header_state *state)
{
    close_levels(scan);
    const struct level *level = innermost(scan);
    bool in_unknown = level && level->implicit;
    *state = element_header_read(
        bytes.data, bytes.size, scan->syntax->explicit_vr && !in_unknown,
        scan->syntax->big_endian && !(in_unknown && scan->syntax->explicit_vr), header);
    return *state != ELEMENT_HEADER_BAD_VR || bad_vr(scan, header);
}

static bool take(struct scan *scan, const struct element_header *header)
{
    scan->destination = INTO_HEADER;
    return scan->in_fragments ? take_fragment(scan, header) : take_header(scan, header);
}

/* How many bytes are elements of the most frequent kind, short values of the short form at top
 * level in explicit VR little endian: with nothing else to note, this is half the cost of a header.
 */
static size_t take_plain_elements(struct scan *scan, struct slice bytes)
{
    if (scan->depth || scan->in_fragments || !scan->syntax->explicit_vr || scan->syntax->big_endian)
        return 0;
    size_t at = 0;
    while (bytes.size - at >= ELEMENT_HEADER_MAX && scan->elements < scan->limits.elements) {
        const uint8_t *p = bytes.data + at;
        uint16_t group = get_u16le(p);
        uint16_t length = get_u16le(p + 6);
        if ((vr_flags(VR(p[4], p[5])) & (VR_KNOWN | VR_LONG_FORM)) != VR_KNOWN || group == 0x0000 ||
            group == 0x0002 || group == 0x7FE0 || group == 0xFFFE ||
            length > scan->limits.value_size || length > bytes.size - at - 8)
            break;
        scan->tag = (uint32_t)group << 16 | get_u16le(p + 2);
        scan->elements++;
        at += 8 + (size_t)length;
    }
    scan->position += at;
    return at;
}

/* Whole elements straight from the bytes at hand; what is kept goes into the header in as few
 * pieces as can be. Stops where a header is not whole. */
static bool take_elements(struct scan *scan, struct slice *bytes)
{
    struct slice rest = *bytes;
    const uint8_t *kept = rest.data; /* from here to rest.data: to be kept */
    while (rest.size) {
        struct element_header header;
        enum element_header_state state;
        rest = slice_skip(rest, take_plain_elements(scan, rest));
        if (!read_header(scan, rest, &header, &state))
            return false;
        if (state == ELEMENT_HEADER_SHORT)
            break;
        const uint8_t *kept_end = rest.data + (scan->in_fragments ? 0 : header.size);
        bool header_kept = !scan->in_fragments;
        if (!take(scan, &header))
            return false;
        struct slice value = part_of_value(scan, slice_skip(rest, header.size));
        take_value(scan, value);
        rest = slice_skip(rest, header.size + value.size);
        if (header_kept && scan->destination == INTO_HEADER)
            continue;
        if (!keep(scan, slice_of(kept, (size_t)(kept_end - kept))))
            return false;
        kept = rest.data;
    }
    *bytes = rest;
    return keep(scan, slice_of(kept, (size_t)(rest.data - kept)));
}

/* The next byte of a header that comes in pieces. */
static bool take_pending(struct scan *scan, uint8_t byte)
{
    struct element_header header;
    enum element_header_state state;
    scan->pending[scan->pending_size++] = byte;
    struct slice pending = slice_of(scan->pending, scan->pending_size);
    if (!read_header(scan, pending, &header, &state))
        return false;
    if (state == ELEMENT_HEADER_SHORT)
        return true;
    scan->pending_size = 0;
    return (scan->in_fragments || keep(scan, pending)) && take(scan, &header);
}

static bool feed(struct scan *scan, struct slice bytes)
{
    while (bytes.size) {
        if (scan->value_left) {
            struct slice value = part_of_value(scan, bytes);
            if (scan->destination == INTO_HEADER && !keep(scan, value))
                return false;
            take_value(scan, value);
            bytes = slice_skip(bytes, value.size);
        } else if (scan->pending_size || bytes.size < ELEMENT_HEADER_MAX) {
            if (!take_pending(scan, bytes.data[0]))
                return false;
            bytes = slice_skip(bytes, 1);
        } else if (!take_elements(scan, &bytes)) {
            return false;
        }
    }
    return true;
}

static bool feed_inflated(struct scan *scan, struct slice bytes)
{
    struct slice inflated;
    do {
        if (!inflater_next(scan->inflater, &bytes, &inflated, &scan->error) ||
            !feed(scan, inflated))
            return false;
    } while (inflated.size || bytes.size);
    return true;
}

static bool failed(const struct scan *scan, struct error *err)
{
    if (err)
        *err = scan->error;
    return false;
}

bool scan_write(struct scan *scan, struct slice bytes, struct error *err)
{
    if (scan->error.code)
        return failed(scan, err);
    if (!(scan->inflater ? feed_inflated(scan, bytes) : feed(scan, bytes)))
        return failed(scan, err);
    return true;
}

static bool is_complete(struct scan *scan)
{
    if (scan->inflater && !inflater_finish(scan->inflater, &scan->error))
        return false;
    if (scan->value_left)
        return invalid(scan, scan->tag, "the data set ends inside the value");
    if (scan->pending_size)
        return invalid(scan, scan->tag, "the data set ends inside the element behind it");
    if (scan->in_fragments)
        return invalid(scan, TAG_PIXEL_DATA, "the data set ends without a sequence delimiter");
    close_levels(scan);
    if (scan->depth)
        return invalid(scan, scan->levels[scan->depth - 1].tag, "the data set ends inside it");
    return true;
}

bool scan_finish(struct scan *scan, struct error *err)
{
    if (scan->error.code || !is_complete(scan))
        return failed(scan, err);
    scan->pixels.fragments = scan->fragments;
    scan->pixels.fragment_count = scan->fragment_count;
    scan->pixels.basic_offset_table = buffer_slice(&scan->offset_table);
    return true;
}

size_t scan_memory(const struct scan *scan)
{
    return scan->header.size + scan->offset_table.size +
           scan->elision_count * sizeof(*scan->elisions) +
           scan->fragment_count * sizeof(*scan->fragments);
}

struct slice scan_header(const struct scan *scan)
{
    return buffer_slice(&scan->header);
}

const struct elision *scan_elisions(const struct scan *scan, size_t *count)
{
    *count = scan->elision_count;
    return scan->elisions;
}

uint64_t scan_size(const struct scan *scan)
{
    return scan->position;
}

const struct pixel_data *scan_pixel_data(const struct scan *scan)
{
    return &scan->pixels;
}
