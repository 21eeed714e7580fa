/* SPDX-License-Identifier: MIT */
#include "dicom/transcode.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/codec_encode.h"
#include "dicom/transcode_parts.h"

enum { PIECE = 64 << 10, MAX_CHANGES = 3, MAX_ICONS = 64, MAX_ENCODED = 256 << 20 };
#define MAX_NATIVE_SIZE      0xFFFFFFFEu
#define UID_GE_BIG_ENDIAN    "1.2.840.113619.5.2"
#define UID_JPEG_EXTENDED    "1.2.840.10008.1.2.4.51"
#define UID_JPEG_SPECTRAL    "1.2.840.10008.1.2.4.53"
#define UID_JPEG_PROGRESSION "1.2.840.10008.1.2.4.55"

/* An attribute of the top level that the result has otherwise than the source. */
struct change {
    uint32_t tag;
    uint16_t vr;
    char value[17];
    uint8_t size;
    bool written;
};

struct transcoder {
    const struct dataset *header;
    const struct transfer_syntax *from;
    const struct transfer_syntax *to;
    struct value_reader reader;
    struct value_reader
        frame_reader; /* native frames are read twice, and ahead of what is before */
    struct element_writer writer;
    struct frame_reader frames;
    bool without_bulk;
    bool has_frames;             /* the pixel data is to be decoded, or encoded, or both */
    struct pixel_format written; /* what the attributes have to say of it */
    struct buffer encoded;       /* the first frame, when it is to be encoded */
    uint8_t *piece;              /* of a value on its way */
    unsigned bits_allocated;
    struct change changes[MAX_CHANGES];
    size_t change_count;
    /* Icons in compressed form (PS3.3 F.7) are left out, since they are optional: the sequences
     * that hold them, by their place among all sequences. */
    size_t icons[MAX_ICONS];
    size_t icon_count;
};

/* The native transfer syntaxes whose data sets are complete in themselves: not JPIP, whose pixels
 * are elsewhere. */
static bool is_native_source(const struct transfer_syntax *from)
{
    static const char *const natives[] = { UID_IMPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_LITTLE_ENDIAN,
                                           UID_EXPLICIT_BIG_ENDIAN, UID_DEFLATED_EXPLICIT,
                                           UID_GE_BIG_ENDIAN };
    for (size_t i = 0; i < sizeof(natives) / sizeof(natives[0]); i++)
        if (strcmp(from->uid, natives[i]) == 0)
            return true;
    return false;
}

bool transcode_is_possible(const struct transfer_syntax *from, const struct transfer_syntax *to)
{
    bool target = strcmp(to->uid, UID_IMPLICIT_LITTLE_ENDIAN) == 0 ||
                  strcmp(to->uid, UID_EXPLICIT_LITTLE_ENDIAN) == 0;
    if (codec_can_encode(to)) /* without loss, and so only what has lost nothing */
        return is_native_source(from) || (codec_can_decode(from) && !from->lossy);
    return target && (is_native_source(from) || codec_can_decode(from));
}

/* Bytes that are swapped together: OW pixels as wide as they are allocated, all else by its VR. */
static size_t swap_unit(const struct transcoder *transcoder, const struct element *element,
                        size_t depth)
{
    bool pixels = element->tag == TAG_PIXEL_DATA && depth == 0;
    if (pixels && strcmp(transcoder->from->uid, UID_GE_BIG_ENDIAN) == 0)
        return transcoder->bits_allocated == 16 ? 2 : 1;
    if (!element->big_endian)
        return 1;
    if (pixels && element->vr == VR_OW && transcoder->bits_allocated >= 32)
        return transcoder->bits_allocated / 8;
    return vr_unit_size(element->vr);
}

static void swap(uint8_t *bytes, size_t size, size_t unit)
{
    for (size_t at = 0; at + unit <= size; at += unit)
        for (size_t i = 0; i < unit / 2; i++) {
            uint8_t byte = bytes[at + i];
            bytes[at + i] = bytes[at + unit - 1 - i];
            bytes[at + unit - 1 - i] = byte;
        }
}

/* The value in pieces, from the header or, left out there, from the source. */
static bool copy_value(struct transcoder *transcoder, const struct element *element, size_t unit,
                       struct error *err)
{
    uint8_t *piece = transcoder->piece;
    if (!element->elided && unit == 1)
        return element_writer_bytes(&transcoder->writer, element->value, err);
    for (uint64_t at = 0; at < element->size;) {
        uint64_t left = element->size - at;
        struct space space = { piece, left < PIECE ? (size_t)left : PIECE };
        if (!element->elided)
            memcpy(piece, element->value.data + at, space.size);
        else if (!value_reader_read(&transcoder->reader, element->offset + at, space, err))
            return false;
        if (unit > 1)
            swap(piece, space.size, unit);
        if (!element_writer_bytes(&transcoder->writer, slice_of(piece, space.size), err))
            return false;
        at += space.size;
    }
    return true;
}

static bool write_padding(struct transcoder *transcoder, uint64_t size, uint16_t vr,
                          struct error *err)
{
    uint8_t padding = vr_padding(vr);
    return size % 2 == 0 || element_writer_bytes(&transcoder->writer, slice_of(&padding, 1), err);
}

static bool write_plain(struct transcoder *transcoder, const struct element *element, size_t depth,
                        struct error *err)
{
    uint64_t length = element->size + element->size % 2;
    if (length > MAX_NATIVE_SIZE || (!element->elided && element->value.size != element->size))
        return error_set_tag(err, ERROR_UNSUPPORTED, element->tag,
                             "(%04X,%04X) has no value that can be copied", element->tag >> 16,
                             element->tag & 0xFFFF);
    return element_writer_header(&transcoder->writer, element->tag, element->vr, (uint32_t)length,
                                 err) &&
           copy_value(transcoder, element, swap_unit(transcoder, element, depth), err) &&
           write_padding(transcoder, element->size, element->vr, err);
}

/* One fragment, padded to even length. */
static bool write_fragment(struct transcoder *transcoder, struct slice bytes, struct error *err)
{
    uint32_t length = (uint32_t)(bytes.size + bytes.size % 2);
    return element_writer_item(&transcoder->writer, TAG_ITEM, length, err) &&
           element_writer_bytes(&transcoder->writer, bytes, err) &&
           write_padding(transcoder, bytes.size, VR_OB, err);
}

/* An empty offset table: where frames stand is known when all are encoded. Each is one fragment, by
 * which they can be told (PS3.5 A.4). */
static bool write_encoded(struct transcoder *transcoder, struct error *err)
{
    struct frame_reader *frames = &transcoder->frames;
    struct buffer *encoded = &transcoder->encoded;
    if (!element_writer_header(&transcoder->writer, TAG_PIXEL_DATA, VR_OB, LENGTH_UNDEFINED, err) ||
        !element_writer_item(&transcoder->writer, TAG_ITEM, 0, err) ||
        !write_fragment(transcoder, buffer_slice(encoded), err))
        return false;
    for (uint32_t number = 2; number <= frames->count; number++) {
        struct pixel_format format;
        struct slice frame;
        buffer_clear(encoded);
        if (!frame_reader_read(frames, number, &frame, err))
            return false;
        format = frames->decoded;
        if (!codec_encode_frame(transcoder->to, &format, frame, encoded, err) ||
            !write_fragment(transcoder, buffer_slice(encoded), err))
            return error_add_context(err, "frame %u", number);
    }
    return element_writer_item(&transcoder->writer, TAG_SEQUENCE_DELIMITER, 0, err);
}

static bool write_frames(struct transcoder *transcoder, struct error *err)
{
    if (transcoder->to->encapsulated)
        return write_encoded(transcoder, err);
    struct frame_reader *frames = &transcoder->frames;
    struct slice frame = buffer_slice(&frames->frame);
    uint64_t size = (uint64_t)frame.size * frames->count;
    uint16_t vr = frames->decoded.bits_allocated > 8 ? VR_OW : VR_OB;
    if (size + size % 2 > MAX_NATIVE_SIZE)
        return error_set_tag(err, ERROR_LIMIT, TAG_PIXEL_DATA,
                             "%u frames of %zu bytes do not fit into native pixel data",
                             frames->count, frame.size);
    if (!element_writer_header(&transcoder->writer, TAG_PIXEL_DATA, vr, (uint32_t)(size + size % 2),
                               err))
        return false;
    for (uint32_t number = 1; number <= frames->count; number++) {
        if (number > 1 && !frame_reader_read(frames, number, &frame, err))
            return false;
        if (!element_writer_bytes(&transcoder->writer, frame, err))
            return false;
    }
    return write_padding(transcoder, size, vr, err);
}

static void add_change(struct transcoder *transcoder, uint32_t tag, uint16_t vr, struct slice value)
{
    struct change *change = &transcoder->changes[transcoder->change_count++];
    *change = (struct change){ .tag = tag, .vr = vr, .size = (uint8_t)value.size };
    memcpy(change->value, value.data, value.size);
}

/* Syntaxes that always lose something. */
static bool is_surely_lossy(const struct transfer_syntax *syntax)
{
    static const char *const lossy[] = { UID_JPEG_BASELINE, UID_JPEG_EXTENDED, UID_JPEG_SPECTRAL,
                                         UID_JPEG_PROGRESSION };
    for (size_t i = 0; i < sizeof(lossy) / sizeof(lossy[0]); i++)
        if (strcmp(syntax->uid, lossy[i]) == 0)
            return true;
    return false;
}

/* What the attributes must say of the decoded frames, in ascending order of tags. Where the source
 * does not say that it lost something, nobody could tell any more from native pixels
 * (PS3.3 C.7.6.1.1.5). */
static void note_changes(struct transcoder *transcoder)
{
    const struct frame_reader *frames = &transcoder->frames;
    const struct pixel_format *written = &transcoder->written;
    struct element lossy;
    if (strcmp(written->photometric_interpretation, frames->stored.photometric_interpretation) != 0)
        add_change(transcoder, TAG_PHOTOMETRIC_INTERPRETATION, VR_CS,
                   slice_text(written->photometric_interpretation));
    if (written->samples_per_pixel > 1)
        add_change(transcoder, TAG_PLANAR_CONFIGURATION, VR_US, slice_of("\0\0", 2));
    if (is_surely_lossy(transcoder->from) &&
        !(dataset_find(transcoder->header, TAG_LOSSY_IMAGE_COMPRESSION, &lossy) && lossy.size))
        add_change(transcoder, TAG_LOSSY_IMAGE_COMPRESSION, VR_CS, slice_text("01"));
}

/* Writes the changed attributes that come before `tag`. */
static bool write_changes(struct transcoder *transcoder, uint64_t tag, struct error *err)
{
    for (size_t i = 0; i < transcoder->change_count; i++) {
        struct change *change = &transcoder->changes[i];
        uint32_t length = change->size + change->size % 2u;
        if (change->written || change->tag >= tag)
            continue;
        change->written = true;
        if (!element_writer_header(&transcoder->writer, change->tag, change->vr, length, err) ||
            !element_writer_bytes(&transcoder->writer, slice_of(change->value, change->size),
                                  err) ||
            !write_padding(transcoder, change->size, change->vr, err))
            return false;
    }
    return true;
}

static bool is_replaced(const struct transcoder *transcoder, uint32_t tag)
{
    if (transcoder->has_frames &&
        (tag == TAG_EXTENDED_OFFSET_TABLE || tag == TAG_EXTENDED_OFFSET_TABLE_LENGTHS))
        return true;
    for (size_t i = 0; i < transcoder->change_count; i++)
        if (transcoder->changes[i].tag == tag)
            return true;
    return false;
}

/* In implicit VR the tag alone tells what is a sequence and what is not. An element that is
 * otherwise than its tag says cannot be written so that anybody could read on behind it. */
static bool can_be_said(const struct transcoder *transcoder, const struct element *element,
                        bool is_sequence)
{
    uint16_t vr = dictionary_vr(element->tag);
    if (transcoder->writer.explicit_vr || vr == VR_UN)
        return true;
    if (is_sequence)
        return vr == VR_SQ;
    /* A sequence that came as UN, and was too large for the header, is one all the same. */
    return vr != VR_SQ || !element->size || (element->vr == VR_UN && element->elided);
}

/* PS3.4 table Z.1-1, with what only tells where frames stand. */
static bool is_bulk(uint32_t tag)
{
    static const uint32_t bulk[] = {
        TAG_PIXEL_DATA, TAG_EXTENDED_OFFSET_TABLE, TAG_EXTENDED_OFFSET_TABLE_LENGTHS,
        0x7FE00008, /* Float Pixel Data */
        0x7FE00009, /* Double Float Pixel Data */
        0x00287FE0, /* Pixel Data Provider URL */
        0x56000020, /* Spectroscopy Data */
        0x00420011, /* Encapsulated Document */
        0x54001010, /* Waveform Data */
    };
    uint32_t group = tag >> 16 & 0xFF01, number = tag & 0xFFFF;
    if ((group == 0x6000 && number == 0x3000) ||                     /* Overlay Data */
        (group == 0x5000 && (number == 0x3000 || number == 0x200C))) /* Curve, Audio Sample Data */
        return true;
    for (size_t i = 0; i < sizeof(bulk) / sizeof(bulk[0]); i++)
        if (bulk[i] == tag)
            return true;
    return false;
}

static bool write_element(struct transcoder *transcoder, const struct element *element,
                          size_t depth, struct error *err)
{
    if ((element->tag & 0xFFFF) == 0) /* group lengths are retired, and would be wrong now */
        return true;
    if (transcoder->without_bulk && is_bulk(element->tag))
        return true;
    if (depth == 0 && !write_changes(transcoder, element->tag, err))
        return false;
    if (depth == 0 && is_replaced(transcoder, element->tag))
        return true;
    if (!can_be_said(transcoder, element, false))
        return true;
    if (depth == 0 && element->tag == TAG_PIXEL_DATA && transcoder->has_frames)
        return write_frames(transcoder, err);
    return write_plain(transcoder, element, depth, err);
}

static bool write_event(struct transcoder *transcoder, enum walk_event event,
                        const struct element *element, size_t depth, struct error *err)
{
    struct element_writer *writer = &transcoder->writer;
    switch (event) {
    case WALK_ELEMENT:
        return write_element(transcoder, element, depth, err);
    case WALK_SEQUENCE:
        return (depth > 1 || write_changes(transcoder, element->tag, err)) &&
               element_writer_header(writer, element->tag, VR_SQ, LENGTH_UNDEFINED, err);
    case WALK_SEQUENCE_END:
        return element_writer_item(writer, TAG_SEQUENCE_DELIMITER, 0, err);
    case WALK_ITEM:
        return element_writer_item(writer, TAG_ITEM, LENGTH_UNDEFINED, err);
    case WALK_ITEM_END:
        return element_writer_item(writer, TAG_ITEM_DELIMITER, 0, err);
    case WALK_END:
        break;
    }
    return true;
}

static bool is_icon(const struct transcoder *transcoder, size_t sequence)
{
    for (size_t i = 0; i < transcoder->icon_count; i++)
        if (transcoder->icons[i] == sequence)
            return true;
    return false;
}

/* Sequences of undefined length all along: the lengths of a stream are known when it is over. */
static bool write_dataset(struct transcoder *transcoder, struct error *err)
{
    struct walk walk = dataset_walk(transcoder->header);
    struct element element;
    size_t sequences = 0;
    size_t left_out = 0; /* depth of the sequence that is being left out, or 0 */
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (event == WALK_SEQUENCE && !left_out &&
            (is_icon(transcoder, sequences) || !can_be_said(transcoder, &element, true)))
            left_out = walk.depth;
        sequences += event == WALK_SEQUENCE;
        if (!left_out && !write_event(transcoder, event, &element, walk.depth, err))
            return false;
        if (event == WALK_SEQUENCE_END && walk.depth + 1 == left_out)
            left_out = 0;
    }
    if (walk.broken)
        return error_set(err, ERROR_CORRUPT, "data set cannot be read");
    return write_changes(transcoder, UINT64_MAX, err) &&
           element_writer_flush(&transcoder->writer, err);
}

static bool find_icons(struct transcoder *transcoder, struct error *err)
{
    struct walk walk = dataset_walk(transcoder->header);
    struct element element;
    size_t open[DATASET_MAX_DEPTH + 1];
    size_t sequences = 0;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (event == WALK_SEQUENCE)
            open[walk.depth - 1] = sequences++;
        if (event != WALK_ELEMENT || !walk.depth || element.tag != TAG_PIXEL_DATA ||
            !element.undefined_length)
            continue;
        if (transcoder->icon_count == MAX_ICONS)
            return error_set(err, ERROR_LIMIT, "more than %d compressed icons", MAX_ICONS);
        transcoder->icons[transcoder->icon_count++] = open[walk.depth - 1];
    }
    return true;
}

static bool encode_first(struct transcoder *transcoder, struct error *err)
{
    transcoder->encoded = buffer_up_to(MAX_ENCODED);
    return codec_encode_frame(transcoder->to, &transcoder->written,
                              buffer_slice(&transcoder->frames.frame), &transcoder->encoded, err);
}

static bool open_frames(struct transcoder *transcoder, const struct element *pixels,
                        struct slice table, struct error *err)
{
    if (transcoder->from->encapsulated)
        return frame_reader_open(transcoder->header, table, &transcoder->reader,
                                 &transcoder->frames, err);
    return frame_reader_open_native(transcoder->header, pixels,
                                    swap_unit(transcoder, pixels, 0) == 2,
                                    &transcoder->frame_reader, &transcoder->frames, err);
}

static bool prepare(struct transcoder *transcoder, struct slice frames, struct error *err)
{
    struct element pixels;
    int64_t bits = 0;
    if (dataset_integer(transcoder->header, TAG_BITS_ALLOCATED, &bits) && bits > 0 && bits <= 64)
        transcoder->bits_allocated = (unsigned)bits;
    if (transcoder->from->encapsulated && !find_icons(transcoder, err))
        return false;
    bool has_pixels = dataset_find(transcoder->header, TAG_PIXEL_DATA, &pixels);
    if (!has_pixels || (transcoder->from->encapsulated && !pixels.undefined_length))
        return true;
    if (!transcoder->from->encapsulated && !transcoder->to->encapsulated)
        return true;
    transcoder->has_frames = true;
    if (!open_frames(transcoder, &pixels, frames, err))
        return false;
    transcoder->written = transcoder->frames.decoded;
    if (transcoder->to->encapsulated && !encode_first(transcoder, err))
        return false;
    note_changes(transcoder);
    return true;
}

static bool run(struct transcoder *transcoder, struct slice frames,
                const struct transcode_source *source, const struct transcode_sink *sink,
                struct error *err)
{
    bool deflated = transcoder->from->deflated;
    transcoder->piece = mem_alloc(PIECE);
    transcoder->reader = value_reader_init(source, deflated);
    transcoder->frame_reader = value_reader_init(source, deflated);
    transcoder->writer = element_writer_init(sink, transcoder->to->explicit_vr);
    bool ok = (transcoder->without_bulk || prepare(transcoder, frames, err)) &&
              write_dataset(transcoder, err);
    frame_reader_close(&transcoder->frames);
    buffer_release(&transcoder->encoded);
    element_writer_release(&transcoder->writer);
    value_reader_release(&transcoder->frame_reader);
    value_reader_release(&transcoder->reader);
    free(transcoder->piece);
    return ok;
}

bool transcode_dataset(const struct dataset *header, struct slice frames,
                       const struct transfer_syntax *to, const struct transcode_source *source,
                       const struct transcode_sink *sink, struct error *err)
{
    const struct transfer_syntax *from = dataset_syntax(header);
    struct transcoder transcoder = { .header = header, .from = from, .to = to };
    if (!transcode_is_possible(from, to))
        return error_set(err, ERROR_UNSUPPORTED, "no way from transfer syntax %s to %s", from->uid,
                         to->uid);
    return run(&transcoder, frames, source, sink, err);
}

bool transcode_without_bulk(const struct dataset *header, const struct transfer_syntax *to,
                            const struct transcode_source *source,
                            const struct transcode_sink *sink, struct error *err)
{
    struct transcoder transcoder = {
        .header = header, .from = dataset_syntax(header), .to = to, .without_bulk = true
    };
    return run(&transcoder, slice_of(NULL, 0), source, sink, err);
}
