/* SPDX-License-Identifier: MIT */
#include "dicom/extract.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "dicom/encode.h"
#include "dicom/transcode_parts.h"

enum {
    PIECE = 64 << 10,
    MAX_CHANGES = 40,
    MAX_POINTERS = 16, /* of Frame Increment Pointer */
    CHANGES_SIZE = 64 << 20,
    TIMES_SIZE = 256 << 20,
    MAX_FRAGMENT_LIST = 64 << 20,
};
#define MAX_NATIVE_SIZE 0xFFFFFFFEu

/* An attribute of the top level that the result has otherwise: encoded, with its header. */
struct change {
    uint32_t tag;
    bool appends; /* `bytes` is an item, to stand behind those that are there */
    bool written;
    struct buffer bytes; /* empty: the attribute is left out */
};

struct extractor {
    const struct dataset *header;
    struct slice table;
    const struct extraction *extraction;
    uint32_t frames; /* of the source */
    struct value_reader reader;
    struct value_reader pixel_reader; /* native frames may stand before what is behind them */
    struct element_writer writer;
    struct change changes[MAX_CHANGES];
    size_t change_count;
    uint8_t *piece;
    /* Where the walk is. */
    size_t left_out;    /* depth of the sequence that is being left out, or 0 */
    bool item_left_out; /* the open item of the functional groups */
    uint32_t group;     /* items of the functional groups until now */
    size_t next;        /* in the list of frames, for the functional groups */
};

const struct transfer_syntax *extract_syntax(const struct transfer_syntax *stored)
{
    bool is_native = strcmp(stored->uid, UID_IMPLICIT_LITTLE_ENDIAN) == 0 ||
                     strcmp(stored->uid, UID_EXPLICIT_LITTLE_ENDIAN) == 0;
    if (strcmp(stored->uid, UID_DEFLATED_EXPLICIT) == 0)
        return transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    return is_native || stored->encapsulated ? stored : NULL;
}

/* Changes. */

static struct change *add_change(struct extractor *extractor, uint32_t tag)
{
    for (size_t i = 0; i < extractor->change_count; i++)
        if (extractor->changes[i].tag == tag)
            return NULL; /* has been changed */
    if (extractor->change_count == MAX_CHANGES)
        return NULL;
    struct change *change = &extractor->changes[extractor->change_count++];
    *change = (struct change){ .tag = tag, .bytes = buffer_up_to(CHANGES_SIZE) };
    return change;
}

static void set_bytes(struct extractor *extractor, uint32_t tag, uint16_t vr, struct slice value)
{
    struct change *change = add_change(extractor, tag);
    if (!change)
        return;
    struct encoder encoder = { &change->bytes, extractor->writer.explicit_vr };
    encode_bytes(&encoder, tag, vr, value);
}

static void set_text(struct extractor *extractor, uint32_t tag, uint16_t vr, const char *text)
{
    set_bytes(extractor, tag, vr, slice_text(text));
}

/* At most the 16 characters of a DS. */
static void format_number(double number, char text[17])
{
    for (int digits = 10; digits > 0; digits--)
        if (snprintf(text, 17, "%.*g", digits, number) <= 16)
            return;
}

static void set_number(struct extractor *extractor, uint32_t tag, double number)
{
    char text[17];
    format_number(number, text);
    set_text(extractor, tag, VR_DS, text);
}

static void append_source(struct extractor *extractor, const char *source_instance)
{
    const struct frame_selection *list = extractor->extraction->frames;
    struct change *change = add_change(extractor, TAG_FRAME_EXTRACTION_SEQUENCE);
    if (!change)
        return;
    struct encoder encoder = { &change->bytes, extractor->writer.explicit_vr };
    change->appends = true;
    encode_item_begin(&encoder);
    encode_bytes(&encoder, list->key, dictionary_vr(list->key), buffer_slice(&list->value));
    encode_text(&encoder, TAG_MULTI_FRAME_SOURCE_SOP_INSTANCE_UID, VR_UI, source_instance);
    encode_item_end(&encoder);
}

/* Who took the frames out (PS3.3 C.12.1.1.5, PS3.16 CID 7005). */
static void append_equipment(struct extractor *extractor)
{
    struct change *change = add_change(extractor, TAG_CONTRIBUTING_EQUIPMENT_SEQUENCE);
    if (!change)
        return;
    struct encoder encoder = { &change->bytes, extractor->writer.explicit_vr };
    change->appends = true;
    encode_item_begin(&encoder);
    encode_text(&encoder, TAG_MANUFACTURER, VR_LO, "Hounsfield");
    encode_text(&encoder, TAG_CONTRIBUTION_DATE_TIME, VR_DT, extractor->extraction->moment);
    encode_sequence_begin(&encoder, 0x0040A170);
    encode_item_begin(&encoder);
    encode_text(&encoder, 0x00080100, VR_SH, "109105");
    encode_text(&encoder, 0x00080102, VR_SH, "DCM");
    encode_text(&encoder, 0x00080104, VR_LO, "Frame Extracting Equipment");
    encode_item_end(&encoder);
    encode_sequence_end(&encoder);
    encode_item_end(&encoder);
}

static double time_at(const struct buffer *times, uint32_t number)
{
    double at;
    memcpy(&at, times->data + (size_t)(number - 1) * sizeof(at), sizeof(at));
    return at;
}

/* Increments from frame to frame; true when they are all the same. */
static bool write_increments(const struct frame_selection *list, const struct buffer *times,
                             struct buffer *text, double *step)
{
    bool even = true;
    buffer_append_text(text, "0");
    for (size_t i = 1; i < frame_selection_count(list); i++) {
        char number[17];
        double by = time_at(times, frame_selection_at(list, i)) -
                    time_at(times, frame_selection_at(list, i - 1));
        even = even && (i == 1 || fabs(by - *step) < 1e-6);
        *step = i == 1 ? by : *step;
        format_number(by, number);
        buffer_append_byte(text, '\\');
        buffer_append_text(text, number);
    }
    return even;
}

/* Where the source has one time for all frames, what is taken out unevenly has a time for each. */
static void change_times(struct extractor *extractor)
{
    const struct frame_selection *list = extractor->extraction->frames;
    struct element vector, single;
    bool has_vector = dataset_find(extractor->header, TAG_FRAME_TIME_VECTOR, &vector);
    bool has_step = dataset_find(extractor->header, TAG_FRAME_TIME, &single) && single.size;
    struct buffer times = buffer_up_to(TIMES_SIZE);
    struct buffer text = buffer_up_to(CHANGES_SIZE);
    double step = 0;
    if ((has_vector || has_step) && frame_times(extractor->header, extractor->frames, &times)) {
        bool even = write_increments(list, &times, &text, &step);
        if (has_step && even && frame_selection_count(list) > 1)
            set_number(extractor, TAG_FRAME_TIME, step);
        if (has_step && !even) {
            add_change(extractor, TAG_FRAME_TIME);
            set_bytes(extractor, TAG_FRAME_INCREMENT_POINTER, VR_AT,
                      slice_of("\x18\x00\x65\x10", 4));
        }
        if (has_vector || !even)
            set_bytes(extractor, TAG_FRAME_TIME_VECTOR, VR_DS, buffer_slice(&text));
        if (frame_selection_at(list, 0) > 1)
            set_number(extractor, TAG_FRAME_DELAY, time_at(&times, frame_selection_at(list, 0)));
    }
    buffer_release(&text);
    buffer_release(&times);
}

static struct slice take_value(struct slice *rest)
{
    const uint8_t *end = rest->size ? memchr(rest->data, '\\', rest->size) : NULL;
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    struct slice value = slice_take(*rest, size);
    *rest = slice_skip(*rest, end ? size + 1 : size);
    return value;
}

/* The values of the frames that are taken, of an attribute that has one for each frame. */
static void cut_text(struct extractor *extractor, const struct element *element)
{
    const struct frame_selection *list = extractor->extraction->frames;
    struct buffer kept = buffer_up_to(CHANGES_SIZE);
    struct slice rest = element->value;
    uint32_t number = 0;
    size_t next = 0;
    while (rest.size) {
        struct slice value = take_value(&rest);
        if (++number != (next < frame_selection_count(list) ? frame_selection_at(list, next) : 0))
            continue;
        if (next++)
            buffer_append_byte(&kept, '\\');
        buffer_append(&kept, value);
    }
    if (number == extractor->frames)
        set_bytes(extractor, element->tag, element->vr, buffer_slice(&kept));
    buffer_release(&kept);
}

static void cut_binary(struct extractor *extractor, const struct element *element)
{
    const struct frame_selection *list = extractor->extraction->frames;
    struct buffer kept = buffer_up_to(CHANGES_SIZE);
    size_t unit = vr_unit_size(element->vr);
    if (element->value.size != (uint64_t)extractor->frames * unit)
        return;
    for (size_t i = 0; i < frame_selection_count(list); i++)
        buffer_append(
            &kept, slice_of(element->value.data + (frame_selection_at(list, i) - 1) * unit, unit));
    set_bytes(extractor, element->tag, element->vr, buffer_slice(&kept));
    buffer_release(&kept);
}

/* What Frame Increment Pointer points to (PS3.3 C.7.6.6.1.1). */
static void cut_vectors(struct extractor *extractor)
{
    struct element pointers, element;
    if (extractor->frames < 2 ||
        !dataset_find(extractor->header, TAG_FRAME_INCREMENT_POINTER, &pointers))
        return;
    for (size_t at = 0; at + 4 <= pointers.value.size && at < MAX_POINTERS * 4; at += 4) {
        const uint8_t *bytes = pointers.value.data + at;
        uint32_t tag = (uint32_t)get_u16le(bytes) << 16 | get_u16le(bytes + 2);
        if (!dataset_find(extractor->header, tag, &element) || element.elided ||
            element.vr == VR_SQ)
            continue;
        if (vr_unit_size(element.vr) > 1)
            cut_binary(extractor, &element);
        else
            cut_text(extractor, &element);
    }
}

/* The frame that stands for all keeps its place, or is none of them. */
static void change_representative(struct extractor *extractor)
{
    const struct frame_selection *list = extractor->extraction->frames;
    int64_t number;
    if (!dataset_integer(extractor->header, TAG_REPRESENTATIVE_FRAME_NUMBER, &number))
        return;
    for (size_t i = 0; i < frame_selection_count(list); i++)
        if (frame_selection_at(list, i) == number) {
            uint8_t bytes[2];
            put_u16le(bytes, (uint16_t)(i + 1));
            set_bytes(extractor, TAG_REPRESENTATIVE_FRAME_NUMBER, VR_US, slice_of(bytes, 2));
        }
    add_change(extractor, TAG_REPRESENTATIVE_FRAME_NUMBER);
}

static int compare_changes(const void *a, const void *b)
{
    uint32_t first = ((const struct change *)a)->tag, second = ((const struct change *)b)->tag;
    return first < second ? -1 : first > second;
}

static bool note_changes(struct extractor *extractor, struct error *err)
{
    char source_instance[UID_SIZE], count[16];
    if (!dataset_uid(extractor->header, TAG_SOP_INSTANCE_UID, source_instance))
        return error_set(err, ERROR_CORRUPT, "an image without a SOP Instance UID");
    snprintf(count, sizeof(count), "%zu", frame_selection_count(extractor->extraction->frames));
    set_text(extractor, TAG_SOP_INSTANCE_UID, VR_UI, extractor->extraction->sop_instance);
    set_text(extractor, TAG_NUMBER_OF_FRAMES, VR_IS, count);
    append_source(extractor, source_instance);
    append_equipment(extractor);
    change_times(extractor);
    cut_vectors(extractor);
    change_representative(extractor);
    for (size_t i = 0; i < extractor->change_count; i++)
        if (!buffer_check(&extractor->changes[i].bytes, "an attribute of the frames", err))
            return false;
    qsort(extractor->changes, extractor->change_count, sizeof(struct change), compare_changes);
    return true;
}

static bool is_dropped(const struct extractor *extractor, uint32_t tag, size_t depth)
{
    static const uint32_t dropped[] = {
        0x00080012,
        0x00080013, /* Instance Creation Date and Time */
        0x00082142,
        0x00082143, /* Start Trim, Stop Trim */
        0x00200242,
        0x00209161,
        0x00209162, /* concatenations */
        0x00209163,
        0x00209228, /* the same */
        0x00286020,
        0x00286022,
        0x00286023, /* Frames of Interest */
        0x00286100, /* Mask Subtraction Sequence */
        0x4FFE0001,
        0xFFFAFFFA, /* MAC parameters, digital signatures */
        TAG_EXTENDED_OFFSET_TABLE,
        TAG_EXTENDED_OFFSET_TABLE_LENGTHS,
        0xFFFCFFFC, /* Data Set Trailing Padding */
    };
    struct element element;
    if ((tag & 0xFFFF) == 0 || tag_is_private(tag))
        return true;
    if (depth)
        return false;
    for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
        if (dropped[i] == tag)
            return true;
    /* Overlays of several frames, or of one of them: Number of Frames in Overlay, Image Frame
     * Origin. */
    uint32_t group = tag & 0xFFFF0000;
    return (group & 0xFF010000) == 0x60000000 &&
           (dataset_find(extractor->header, group | 0x0015, &element) ||
            dataset_find(extractor->header, group | 0x0051, &element));
}

/* Pixels. */

static bool copy_range(struct extractor *extractor, struct value_reader *reader, uint64_t offset,
                       uint64_t size, struct error *err)
{
    for (uint64_t at = 0; at < size;) {
        uint64_t left = size - at;
        struct space space = { extractor->piece, left < PIECE ? (size_t)left : PIECE };
        if (!value_reader_read(reader, offset + at, space, err) ||
            !element_writer_bytes(&extractor->writer, slice_of(space.data, space.size), err))
            return false;
        at += space.size;
    }
    return true;
}

static bool pad(struct extractor *extractor, uint64_t size, uint16_t vr, struct error *err)
{
    uint8_t padding = vr_padding(vr);
    return size % 2 == 0 || element_writer_bytes(&extractor->writer, slice_of(&padding, 1), err);
}

static bool find_frame(struct extractor *extractor, size_t index, struct buffer *fragments,
                       unsigned *shift, struct error *err)
{
    buffer_clear(fragments);
    return frame_table_find(extractor->table,
                            frame_selection_at(extractor->extraction->frames, index), fragments,
                            shift, err);
}

/* With the Basic Offset Table, as far as 32 bits reach. */
static bool write_offsets(struct extractor *extractor, struct buffer *fragments, struct error *err)
{
    size_t count = frame_selection_count(extractor->extraction->frames);
    struct buffer offsets = buffer_up_to((size_t)UINT32_MAX);
    uint64_t at = 0;
    bool ok = true;
    unsigned shift;
    for (size_t i = 0; ok && i < count; i++) {
        ok = find_frame(extractor, i, fragments, &shift, err);
        if (!ok)
            break;
        buffer_append_u32le(&offsets, (uint32_t)at);
        const struct fragment64 *list = (const struct fragment64 *)(const void *)fragments->data;
        for (size_t k = 0; k < fragments->size / sizeof(*list); k++)
            at += 8 + list[k].size + list[k].size % 2;
    }
    if (at > UINT32_MAX)
        buffer_clear(&offsets);
    ok = ok && element_writer_item(&extractor->writer, TAG_ITEM, (uint32_t)offsets.size, err) &&
         element_writer_bytes(&extractor->writer, buffer_slice(&offsets), err);
    buffer_release(&offsets);
    return ok;
}

static bool write_fragments(struct extractor *extractor, const struct buffer *fragments,
                            struct error *err)
{
    const struct fragment64 *list = (const struct fragment64 *)(const void *)fragments->data;
    for (size_t i = 0; i < fragments->size / sizeof(*list); i++) {
        uint64_t size = list[i].size;
        if (!element_writer_item(&extractor->writer, TAG_ITEM, (uint32_t)(size + size % 2), err) ||
            !copy_range(extractor, &extractor->pixel_reader, list[i].offset, size, err) ||
            !pad(extractor, size, VR_OB, err))
            return false;
    }
    return true;
}

static bool write_encapsulated(struct extractor *extractor, struct error *err)
{
    struct buffer fragments = buffer_up_to(MAX_FRAGMENT_LIST);
    size_t count = frame_selection_count(extractor->extraction->frames);
    unsigned shift;
    bool ok = element_writer_header(&extractor->writer, TAG_PIXEL_DATA, VR_OB, LENGTH_UNDEFINED,
                                    err) &&
              write_offsets(extractor, &fragments, err);
    for (size_t i = 0; ok && i < count; i++)
        ok = find_frame(extractor, i, &fragments, &shift, err) &&
             write_fragments(extractor, &fragments, err);
    buffer_release(&fragments);
    return ok && element_writer_item(&extractor->writer, TAG_SEQUENCE_DELIMITER, 0, err);
}

/* Bits that are put one behind the other, from the low end of each byte (PS3.5 8.1.1). */
struct bits {
    struct buffer bytes;
    uint64_t count;
};

static void append_bits(struct bits *bits, struct slice from, unsigned shift, uint64_t count)
{
    for (uint64_t i = 0; i < count && (i + shift) / 8 < from.size; i++) {
        unsigned bit = from.data[(i + shift) / 8] >> ((i + shift) % 8) & 1;
        if (bits->count % 8 == 0)
            buffer_append_byte(&bits->bytes, 0);
        if (!bits->bytes.overflowed)
            bits->bytes.data[bits->count / 8] |= (uint8_t)(bit << (bits->count % 8));
        bits->count++;
    }
}

static uint64_t number_of(const struct extractor *extractor, uint32_t tag, int64_t absent)
{
    int64_t number = absent;
    dataset_integer(extractor->header, tag, &number);
    return number > 0 ? (uint64_t)number : 0;
}

/* Frames of 1-bit pixels need not end with a byte. */
static bool write_bits(struct extractor *extractor, const struct element *pixels, struct error *err)
{
    struct buffer fragments = buffer_up_to(MAX_FRAGMENT_LIST);
    struct buffer frame = buffer_up_to(256 << 20);
    struct bits bits = { buffer_up_to(256 << 20), 0 };
    uint64_t size = number_of(extractor, TAG_ROWS, 0) * number_of(extractor, TAG_COLUMNS, 0) *
                    number_of(extractor, TAG_SAMPLES_PER_PIXEL, 1);
    size_t count = frame_selection_count(extractor->extraction->frames);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        unsigned shift;
        ok = find_frame(extractor, i, &fragments, &shift, err);
        uint64_t bytes = ok ? fragments_size(&fragments) : 0;
        buffer_clear(&frame);
        struct space space = buffer_reserve(&frame, (size_t)bytes);
        ok = ok && buffer_check(&frame, "a frame", err) &&
             value_reader_read(&extractor->pixel_reader,
                               ((const struct fragment64 *)(const void *)fragments.data)->offset,
                               space, err);
        if (ok)
            append_bits(&bits, slice_of(space.data, space.size), shift, size);
    }
    uint64_t written = bits.bytes.size;
    ok = ok && buffer_check(&bits.bytes, "frames of bits", err) &&
         element_writer_header(&extractor->writer, TAG_PIXEL_DATA, pixels->vr,
                               (uint32_t)(written + written % 2), err) &&
         element_writer_bytes(&extractor->writer, buffer_slice(&bits.bytes), err) &&
         pad(extractor, written, pixels->vr, err);
    buffer_release(&bits.bytes);
    buffer_release(&frame);
    buffer_release(&fragments);
    return ok;
}

/* Of a value that stands in the header itself, too, the source has the bytes. */
static bool write_native(struct extractor *extractor, const struct element *pixels,
                         struct error *err)
{
    struct buffer fragments = buffer_up_to(MAX_FRAGMENT_LIST);
    size_t count = frame_selection_count(extractor->extraction->frames);
    uint64_t size = 0;
    bool ok = true;
    unsigned shift;
    for (size_t i = 0; ok && i < count; i++) {
        ok = find_frame(extractor, i, &fragments, &shift, err);
        size += ok ? fragments_size(&fragments) : 0;
    }
    if (ok && size > MAX_NATIVE_SIZE - 1)
        ok = error_set(err, ERROR_LIMIT, "the frames do not fit into native pixel data");
    ok = ok && element_writer_header(&extractor->writer, TAG_PIXEL_DATA, pixels->vr,
                                     (uint32_t)(size + size % 2), err);
    for (size_t i = 0; ok && i < count; i++) {
        ok = find_frame(extractor, i, &fragments, &shift, err);
        const struct fragment64 *range = (const struct fragment64 *)(const void *)fragments.data;
        ok = ok && copy_range(extractor, &extractor->pixel_reader, range->offset, range->size, err);
    }
    buffer_release(&fragments);
    return ok && pad(extractor, size, pixels->vr, err);
}

static bool write_pixels(struct extractor *extractor, const struct element *pixels,
                         struct error *err)
{
    if (frame_table_is_encapsulated(extractor->table))
        return write_encapsulated(extractor, err);
    return number_of(extractor, TAG_BITS_ALLOCATED, 8) == 1 ? write_bits(extractor, pixels, err)
                                                            : write_native(extractor, pixels, err);
}

/* The walk. */

static bool write_value(struct extractor *extractor, const struct element *element,
                        struct error *err)
{
    uint64_t length = element->size + element->size % 2;
    if (element->undefined_length || length > MAX_NATIVE_SIZE ||
        (!element->elided && element->value.size != element->size))
        return error_set_tag(err, ERROR_UNSUPPORTED, element->tag,
                             "(%04X,%04X) has no value that can be copied", element->tag >> 16,
                             element->tag & 0xFFFF);
    if (!element_writer_header(&extractor->writer, element->tag, element->vr, (uint32_t)length,
                               err))
        return false;
    bool ok = element->elided
                  ? copy_range(extractor, &extractor->reader, element->offset, element->size, err)
                  : element_writer_bytes(&extractor->writer, element->value, err);
    return ok && pad(extractor, element->size, element->vr, err);
}

static bool write_change(struct extractor *extractor, struct change *change, struct error *err)
{
    struct element_writer *writer = &extractor->writer;
    change->written = true;
    if (!change->appends)
        return element_writer_bytes(writer, buffer_slice(&change->bytes), err);
    return element_writer_header(writer, change->tag, VR_SQ, LENGTH_UNDEFINED, err) &&
           element_writer_bytes(writer, buffer_slice(&change->bytes), err) &&
           element_writer_item(writer, TAG_SEQUENCE_DELIMITER, 0, err);
}

/* What comes before `tag`. */
static bool write_changes(struct extractor *extractor, uint64_t tag, struct error *err)
{
    for (size_t i = 0; i < extractor->change_count; i++) {
        struct change *change = &extractor->changes[i];
        if (!change->written && change->tag < tag && !write_change(extractor, change, err))
            return false;
    }
    return true;
}

static struct change *find_change(struct extractor *extractor, uint32_t tag)
{
    for (size_t i = 0; i < extractor->change_count; i++)
        if (extractor->changes[i].tag == tag)
            return &extractor->changes[i];
    return NULL;
}

static bool write_element(struct extractor *extractor, const struct element *element, size_t depth,
                          struct error *err)
{
    struct change *change = depth ? NULL : find_change(extractor, element->tag);
    if (depth == 0 && !write_changes(extractor, element->tag, err))
        return false;
    if (change)
        return change->written || write_change(extractor, change, err);
    if (is_dropped(extractor, element->tag, depth))
        return true;
    if (depth == 0 && element->tag == TAG_PIXEL_DATA)
        return write_pixels(extractor, element, err);
    /* A compressed icon is optional, and not worth to be looked into. */
    if (element->tag == TAG_PIXEL_DATA && element->undefined_length)
        return error_set(err, ERROR_UNSUPPORTED, "an image with compressed icons");
    return write_value(extractor, element, err);
}

static bool begin_sequence(struct extractor *extractor, uint32_t tag, size_t depth,
                           struct error *err)
{
    struct change *change = depth > 1 ? NULL : find_change(extractor, tag);
    if (depth == 1 && !write_changes(extractor, tag, err))
        return false;
    bool is_icon = tag == 0x00880200;
    if ((change && !change->appends) || is_dropped(extractor, tag, depth - 1) || is_icon) {
        extractor->left_out = depth;
        return true;
    }
    if (change)
        change->written = true; /* at its end */
    return element_writer_header(&extractor->writer, tag, VR_SQ, LENGTH_UNDEFINED, err);
}

static bool end_sequence(struct extractor *extractor, uint32_t tag, size_t depth, struct error *err)
{
    const struct change *change = depth ? NULL : find_change(extractor, tag);
    if (change && change->appends &&
        !element_writer_bytes(&extractor->writer, buffer_slice(&change->bytes), err))
        return false;
    return element_writer_item(&extractor->writer, TAG_SEQUENCE_DELIMITER, 0, err);
}

/* One item for each frame: those of the others are left out. */
static bool begin_item(struct extractor *extractor, const struct walk *walk, struct error *err)
{
    const struct frame_selection *list = extractor->extraction->frames;
    if (walk->depth == 1 && walk->open[0].tag == TAG_PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE) {
        bool is_wanted = extractor->next < frame_selection_count(list) &&
                         frame_selection_at(list, extractor->next) == ++extractor->group;
        if (!is_wanted) {
            extractor->item_left_out = true;
            return true;
        }
        extractor->next++;
    }
    return element_writer_item(&extractor->writer, TAG_ITEM, LENGTH_UNDEFINED, err);
}

static bool write_event(struct extractor *extractor, const struct walk *walk, enum walk_event event,
                        const struct element *element, struct error *err)
{
    switch (event) {
    case WALK_ELEMENT:
        return write_element(extractor, element, walk->depth, err);
    case WALK_SEQUENCE:
        return begin_sequence(extractor, element->tag, walk->depth, err);
    case WALK_SEQUENCE_END:
        return end_sequence(extractor, walk->open[walk->depth].tag, walk->depth, err);
    case WALK_ITEM:
        return begin_item(extractor, walk, err);
    case WALK_ITEM_END:
        return element_writer_item(&extractor->writer, TAG_ITEM_DELIMITER, 0, err);
    case WALK_END:
        break;
    }
    return true;
}

/* Is the event of something that is left out? */
static bool passes_over(struct extractor *extractor, const struct walk *walk, enum walk_event event)
{
    if (extractor->left_out) {
        if (event == WALK_SEQUENCE_END && walk->depth + 1 == extractor->left_out)
            extractor->left_out = 0;
        return true;
    }
    if (extractor->item_left_out) {
        if (event == WALK_ITEM_END && walk->depth == 1)
            extractor->item_left_out = false;
        return true;
    }
    return false;
}

static bool write_all(struct extractor *extractor, struct error *err)
{
    struct walk walk = dataset_walk(extractor->header);
    struct element element;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (!passes_over(extractor, &walk, event) &&
            !write_event(extractor, &walk, event, &element, err))
            return false;
    }
    if (walk.broken)
        return error_set(err, ERROR_CORRUPT, "data set cannot be read");
    if (extractor->group && extractor->next != frame_selection_count(extractor->extraction->frames))
        return error_set(err, ERROR_CORRUPT, "there are fewer functional groups than frames");
    return write_changes(extractor, UINT64_MAX, err) &&
           element_writer_flush(&extractor->writer, err);
}

/* A table that knows other frames than are stated cannot be relied upon. */
static bool check(const struct extractor *extractor, struct error *err)
{
    struct element pixels;
    if (!extractor->frames || !dataset_find(extractor->header, TAG_PIXEL_DATA, &pixels))
        return error_set(err, ERROR_UNSUPPORTED, "an object without frames");
    if (number_of(extractor, TAG_NUMBER_OF_FRAMES, 1) != extractor->frames)
        return error_set(err, ERROR_CORRUPT, "%u frames can be told in the pixel data",
                         extractor->frames);
    return true;
}

bool extract_frames(const struct dataset *header, struct slice table,
                    const struct extraction *extraction, const struct transcode_source *source,
                    const struct transcode_sink *sink, struct error *err)
{
    const struct transfer_syntax *syntax = dataset_syntax(header);
    const struct transfer_syntax *to = extract_syntax(syntax);
    struct extractor extractor = {
        .header = header,
        .table = table,
        .extraction = extraction,
        .frames = frame_table_count(table),
    };
    if (!to)
        return error_set(err, ERROR_UNSUPPORTED, "no frames are taken out of transfer syntax %s",
                         syntax->uid);
    if (!check(&extractor, err))
        return false;
    extractor.piece = mem_alloc(PIECE);
    extractor.reader = value_reader_init(source, syntax->deflated);
    extractor.pixel_reader = value_reader_init(source, syntax->deflated);
    extractor.writer = element_writer_init(sink, to->explicit_vr);
    bool ok = note_changes(&extractor, err) && write_all(&extractor, err);
    for (size_t i = 0; i < extractor.change_count; i++)
        buffer_release(&extractor.changes[i].bytes);
    element_writer_release(&extractor.writer);
    value_reader_release(&extractor.pixel_reader);
    value_reader_release(&extractor.reader);
    free(extractor.piece);
    return ok;
}
