/* SPDX-License-Identifier: MIT */
#include "dicom/transcode.h"

#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "tests/dicom/codec_samples.h"
#include "tests/dicom/scanned.h"

enum { MAX_RESULT = 16 << 20, COLUMNS = 19, ROWS = 11 };
/* Bytes of a value above which it is left out of the header. */
enum { FEW_IN_HEADER = 4, FORMAT_IN_HEADER = 12, ALL_IN_HEADER = 1 << 20 };

/* --- Data sets in any native encoding, from one description. */

struct maker {
    struct buffer out;
    bool explicit_vr;
    bool big_endian;
    bool defined_lengths;
};

static struct maker maker_of(const struct transfer_syntax *syntax, bool defined_lengths)
{
    return (struct maker){ buffer_up_to(MAX_RESULT), syntax->explicit_vr, syntax->big_endian,
                           defined_lengths };
}

static void make_u16(struct maker *maker, uint32_t value)
{
    if (maker->big_endian)
        buffer_append_u16be(&maker->out, (uint16_t)value);
    else
        buffer_append_u16le(&maker->out, (uint16_t)value);
}

static void make_u32(struct maker *maker, uint32_t value)
{
    if (maker->big_endian)
        buffer_append_u32be(&maker->out, value);
    else
        buffer_append_u32le(&maker->out, value);
}

static void make_header(struct maker *maker, uint32_t tag, uint16_t vr, uint32_t length)
{
    make_u16(maker, tag >> 16);
    make_u16(maker, tag & 0xFFFF);
    if (!maker->explicit_vr || tag >> 16 == 0xFFFE) {
        make_u32(maker, length);
        return;
    }
    buffer_append_byte(&maker->out, (uint8_t)(vr >> 8));
    buffer_append_byte(&maker->out, (uint8_t)vr);
    if (vr_has_long_form(vr)) {
        make_u16(maker, 0);
        make_u32(maker, length);
    } else {
        make_u16(maker, length);
    }
}

/* `value` is little endian, and turned in groups of `unit` bytes. */
static void make(struct maker *maker, uint32_t tag, uint16_t vr, size_t unit, struct slice value)
{
    make_header(maker, tag, vr, (uint32_t)value.size);
    for (size_t i = 0; i < value.size; i++)
        buffer_append_byte(
            &maker->out, value.data[maker->big_endian ? i / unit * unit + unit - 1 - i % unit : i]);
}

static void make_text(struct maker *maker, uint32_t tag, uint16_t vr, const char *text)
{
    CHECK(strlen(text) % 2 == 0);
    make(maker, tag, vr, 1, slice_text(text));
}

static void make_us(struct maker *maker, uint32_t tag, uint16_t value)
{
    uint8_t bytes[2];
    put_u16le(bytes, value);
    make(maker, tag, VR_US, 2, slice_of(bytes, 2));
}

/* Appends `content` as a sequence of one item. */
static void make_sequence(struct maker *maker, uint32_t tag, struct maker *content)
{
    uint32_t size = (uint32_t)content->out.size;
    make_header(maker, tag, VR_SQ, maker->defined_lengths ? size + 8 : LENGTH_UNDEFINED);
    make_header(maker, TAG_ITEM, 0, maker->defined_lengths ? size : LENGTH_UNDEFINED);
    buffer_append(&maker->out, buffer_slice(&content->out));
    if (!maker->defined_lengths) {
        make_header(maker, TAG_ITEM_DELIMITER, 0, 0);
        make_header(maker, TAG_SEQUENCE_DELIMITER, 0, 0);
    }
    buffer_release(&content->out);
}

/* Every kind of value, a sequence in a sequence, private and unknown elements, and something behind
 * the pixel data. */
static struct buffer made(const struct transfer_syntax *syntax, bool defined_lengths)
{
    struct maker maker = maker_of(syntax, defined_lengths);
    struct maker item = maker_of(syntax, defined_lengths);
    struct maker inner = maker_of(syntax, defined_lengths);
    make_text(&inner, 0x00080100, VR_SH, "T-1234");
    make(&inner, 0x0018106E, VR_UL, 4, BYTES("\1\2\3\4"));
    make_text(&item, TAG_REFERENCED_SOP_INSTANCE_UID, VR_UI, "1.2.34");
    make_sequence(&item, 0x0040A170, &inner);
    make_text(&maker, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 100");
    make_sequence(&maker, 0x00081140, &item);
    make_text(&maker, 0x00090010, VR_LO, "SOMEBODY");
    make(&maker, 0x00091001, VR_UN, 1, BYTES("\1\2\3\4\5\6"));
    make_text(&maker, TAG_PATIENT_NAME, VR_PN,
              "DOE^ZO\xc9"
              "E");
    make(&maker, 0x00186020, VR_SL, 4, BYTES("\1\2\3\4"));
    make(&maker, 0x00189087, VR_FD, 8, BYTES("\1\2\3\4\5\6\7\x40"));
    make(&maker, 0x00280009, VR_AT, 2, BYTES("\x18\x00\x63\x10"));
    make_us(&maker, TAG_SAMPLES_PER_PIXEL, 1);
    make_us(&maker, TAG_ROWS, 2);
    make_us(&maker, TAG_COLUMNS, 3);
    make_us(&maker, TAG_BITS_ALLOCATED, 16);
    make_us(&maker, TAG_PIXEL_REPRESENTATION, 1);
    make(&maker, 0x00280106, VR_SS, 2, BYTES("\xfe\xff"));
    make(&maker, 0x00660016, VR_OF, 4, BYTES("\1\2\3\4\5\6\7\10"));
    make(&maker, TAG_PIXEL_DATA, VR_OW, 2, BYTES("\1\2\3\4\5\6\7\10\11\12\13\14"));
    make(&maker, 0xFFFCFFFC, VR_OB, 1, BYTES("\0\0\0\0"));
    return maker.out;
}

/* --- One transcoding. */

struct memory {
    struct slice bytes;
    struct buffer *out;
};

static bool memory_read(void *context, uint64_t offset, struct space space, struct error *err)
{
    const struct memory *memory = context;
    if (offset > memory->bytes.size || space.size > memory->bytes.size - offset)
        return error_set(err, ERROR_IO, "read behind the end");
    memcpy(space.data, memory->bytes.data + offset, space.size);
    return true;
}

static bool memory_write(void *context, struct slice bytes, struct error *err)
{
    const struct memory *memory = context;
    return buffer_append(memory->out, bytes) || buffer_check(memory->out, "result", err);
}

/* As the archive does it: scan, keep the header, build the frame table, later transcode. */
static bool transcode(struct slice bytes, const struct transfer_syntax *from,
                      const struct transfer_syntax *to, size_t value_size, struct buffer *out,
                      struct error *err)
{
    struct scan_limits limits = scan_default_limits;
    struct buffer table = buffer_up_to(MAX_RESULT);
    struct memory memory = { bytes, out };
    struct transcode_source source = { memory_read, &memory, bytes.size };
    struct transcode_sink sink = { memory_write, &memory };
    struct dataset *header = NULL;
    limits.value_size = value_size;
    struct scan *scan = scan_new(from, &limits);
    CHECK_OK(scan_write(scan, bytes, err) && scan_finish(scan, err), *err);
    size_t count;
    const struct elision *elisions = scan_elisions(scan, &count);
    CHECK_OK(dataset_open(scan_header(scan), from, elisions, count, &header, err), *err);
    frame_table_build(header, scan_pixel_data(scan), slice_of(NULL, 0), slice_of(NULL, 0), &table);
    bool ok = transcode_dataset(header, buffer_slice(&table), to, &source, &sink, err);
    dataset_close(header);
    buffer_release(&table);
    scan_free(scan);
    return ok;
}

/* The result, which must not depend on what the header left out of it. */
static struct buffer transcoded(struct slice bytes, const struct transfer_syntax *from,
                                const struct transfer_syntax *to)
{
    struct buffer result = buffer_up_to(MAX_RESULT);
    struct buffer again = buffer_up_to(MAX_RESULT);
    struct error err = { .code = ERROR_NONE };
    CHECK_OK(transcode(bytes, from, to, ALL_IN_HEADER, &result, &err), err);
    CHECK_OK(transcode(bytes, from, to, from->encapsulated ? FORMAT_IN_HEADER : FEW_IN_HEADER,
                       &again, &err),
             err);
    CHECK(slice_equal(buffer_slice(&result), buffer_slice(&again)));
    buffer_release(&again);
    struct scan *scan = scanned(buffer_slice(&result), to, NULL, &err);
    CHECK_TEXT(err.message, "");
    scan_free(scan);
    return result;
}

static void check_transcoded(struct buffer bytes, const struct transfer_syntax *from,
                             const struct transfer_syntax *to, struct buffer expected)
{
    struct buffer result = transcoded(buffer_slice(&bytes), from, to);
    CHECK_INT(result.size, expected.size);
    CHECK(slice_equal(buffer_slice(&result), buffer_slice(&expected)));
    buffer_release(&result);
    buffer_release(&expected);
    buffer_release(&bytes);
}

static struct buffer deflated(struct buffer plain)
{
    struct buffer out = buffer_up_to(MAX_RESULT);
    z_stream stream = { .next_in = plain.data, .avail_in = (uInt)plain.size };
    CHECK_INT(deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    struct space space = buffer_reserve(&out, deflateBound(&stream, plain.size));
    stream.next_out = space.data;
    stream.avail_out = (uInt)space.size;
    CHECK_INT(deflate(&stream, Z_FINISH), Z_STREAM_END);
    buffer_advance(&out, stream.total_out);
    deflateEnd(&stream);
    buffer_release(&plain);
    return out;
}

TEST(every_native_syntax_becomes_every_other)
{
    const struct transfer_syntax *from[] = { IMPLICIT, EXPLICIT, BIG_ENDIAN_SYNTAX };
    const struct transfer_syntax *to[] = { IMPLICIT, EXPLICIT };
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++) {
            check_transcoded(made(from[i], false), from[i], to[k], made(to[k], false));
            check_transcoded(made(from[i], true), from[i], to[k], made(to[k], false));
        }
}

TEST(deflated_data_set_becomes_native)
{
    check_transcoded(deflated(made(EXPLICIT, true)), DEFLATED, EXPLICIT, made(EXPLICIT, false));
    check_transcoded(deflated(made(EXPLICIT, false)), DEFLATED, IMPLICIT, made(IMPLICIT, false));
}

TEST(values_larger_than_any_piece_are_copied_whole)
{
    enum { SIZE = 300001 };
    const struct transfer_syntax *from[] = { IMPLICIT, EXPLICIT, BIG_ENDIAN_SYNTAX };
    uint8_t *bytes = mem_alloc(SIZE + 1);
    for (size_t i = 0; i < SIZE + 1; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 24);
    for (int i = 0; i < 3; i++) {
        struct maker maker = maker_of(from[i], false);
        struct maker expected = maker_of(EXPLICIT, false);
        make(&maker, 0x00420011, VR_OB, 1, slice_of(bytes, SIZE + 1));
        make(&maker, TAG_PIXEL_DATA, VR_OW, 2, slice_of(bytes, SIZE + 1));
        make(&expected, 0x00420011, VR_OB, 1, slice_of(bytes, SIZE + 1));
        make(&expected, TAG_PIXEL_DATA, VR_OW, 2, slice_of(bytes, SIZE + 1));
        check_transcoded(maker.out, from[i], EXPLICIT, expected.out);
    }
    struct maker maker = maker_of(EXPLICIT, false);
    struct maker expected = maker_of(EXPLICIT, false);
    make(&maker, TAG_PIXEL_DATA, VR_OW, 2, slice_of(bytes, SIZE + 1));
    make(&expected, TAG_PIXEL_DATA, VR_OW, 2, slice_of(bytes, SIZE + 1));
    check_transcoded(deflated(maker.out), DEFLATED, EXPLICIT, expected.out);
    free(bytes);
}

TEST(pixels_of_32_bits_in_big_endian_are_turned_whole)
{
    struct maker maker = maker_of(BIG_ENDIAN_SYNTAX, false);
    struct maker expected = maker_of(EXPLICIT, false);
    make_us(&maker, TAG_BITS_ALLOCATED, 32);
    make(&maker, TAG_PIXEL_DATA, VR_OW, 4, BYTES("\1\2\3\4\5\6\7\10"));
    make_us(&expected, TAG_BITS_ALLOCATED, 32);
    make(&expected, TAG_PIXEL_DATA, VR_OW, 4, BYTES("\1\2\3\4\5\6\7\10"));
    check_transcoded(maker.out, BIG_ENDIAN_SYNTAX, EXPLICIT, expected.out);
}

TEST(private_elements_from_implicit_become_un)
{
    struct maker maker = maker_of(IMPLICIT, false);
    struct maker expected = maker_of(EXPLICIT, false);
    make_text(&maker, 0x00290010, VR_LO, "SOMEBODY");
    make_us(&maker, 0x00291005, 7);
    make_text(&expected, 0x00290010, VR_LO, "SOMEBODY");
    make(&expected, 0x00291005, VR_UN, 1, BYTES("\7\0"));
    check_transcoded(maker.out, IMPLICIT, EXPLICIT, expected.out);
}

TEST(private_elements_in_explicit_keep_their_vr)
{
    struct maker maker = maker_of(BIG_ENDIAN_SYNTAX, false);
    struct maker expected = maker_of(EXPLICIT, false);
    make_us(&maker, 0x00291005, 7);
    make_us(&expected, 0x00291005, 7);
    check_transcoded(maker.out, BIG_ENDIAN_SYNTAX, EXPLICIT, expected.out);
}

/* A private sequence of which nothing but its undefined length tells (PS3.5 6.2.2). */
TEST(un_of_undefined_length_becomes_a_sequence)
{
    struct maker maker = maker_of(BIG_ENDIAN_SYNTAX, false);
    struct maker expected = maker_of(EXPLICIT, false);
    struct maker item = maker_of(EXPLICIT, false);
    make_header(&maker, 0x00291010, VR_UN, LENGTH_UNDEFINED);
    buffer_append(&maker.out, BYTES("\xfe\xff\x00\xe0\xff\xff\xff\xff"
                                    "\x28\x00\x10\x00\x02\x00\x00\x00\x07\x00"
                                    "\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"));
    make_us(&item, TAG_ROWS, 7);
    make_sequence(&expected, 0x00291010, &item);
    check_transcoded(maker.out, BIG_ENDIAN_SYNTAX, EXPLICIT, expected.out);
}

TEST(value_too_long_for_its_vr_becomes_un)
{
    enum { SIZE = 70000 };
    char *text = mem_alloc(SIZE + 1);
    memset(text, 'x', SIZE);
    struct maker maker = maker_of(IMPLICIT, false);
    struct maker expected = maker_of(EXPLICIT, false);
    make_text(&maker, 0x00104000, VR_LT, text);
    make_text(&maker, 0x00283006, VR_US, text);
    make_text(&expected, 0x00104000, VR_UN, text);
    make_text(&expected, 0x00283006, VR_OW, text);
    check_transcoded(maker.out, IMPLICIT, EXPLICIT, expected.out);
    free(text);
}

TEST(odd_values_are_padded)
{
    struct maker maker = maker_of(IMPLICIT, false);
    struct maker expected = maker_of(EXPLICIT, false);
    make(&maker, TAG_PATIENT_ID, VR_LO, 1, BYTES("abc"));
    make(&maker, TAG_STUDY_INSTANCE_UID, VR_UI, 1, BYTES("1.2"));
    make(&maker, TAG_PIXEL_DATA, VR_OW, 1, BYTES("\1\2\3"));
    make_text(&expected, TAG_PATIENT_ID, VR_LO, "abc ");
    make(&expected, TAG_STUDY_INSTANCE_UID, VR_UI, 1, BYTES("1.2\0"));
    make(&expected, TAG_PIXEL_DATA, VR_OW, 1, BYTES("\1\2\3\0"));
    check_transcoded(maker.out, IMPLICIT, EXPLICIT, expected.out);
}

/* Behind them nobody could read on: in implicit VR the tag alone tells what a sequence is. */
TEST(elements_of_a_vr_that_contradicts_their_tag_are_left_out_of_implicit_vr)
{
    struct maker maker = maker_of(EXPLICIT, false);
    struct maker item = maker_of(EXPLICIT, false);
    struct maker expected = maker_of(IMPLICIT, false);
    make_us(&item, TAG_ROWS, 1);
    make_text(&maker, TAG_MODALITY, VR_CS, "CT");
    make_us(&maker, 0x00081140, 5);           /* a sequence by its tag */
    make_sequence(&maker, 0x00100020, &item); /* none by its tag */
    make_text(&maker, 0x00100040, VR_CS, "O ");
    make_text(&expected, TAG_MODALITY, VR_CS, "CT");
    make_text(&expected, 0x00100040, VR_CS, "O ");
    check_transcoded(maker.out, EXPLICIT, IMPLICIT, expected.out);
}

TEST(group_lengths_are_left_out)
{
    struct maker maker = maker_of(EXPLICIT, false);
    struct maker expected = maker_of(IMPLICIT, false);
    make(&maker, 0x00080000, VR_UL, 4, BYTES("\x0a\0\0\0"));
    make_text(&maker, TAG_MODALITY, VR_CS, "CT");
    make_text(&expected, TAG_MODALITY, VR_CS, "CT");
    check_transcoded(maker.out, EXPLICIT, IMPLICIT, expected.out);
}

TEST(sequences_nested_64_deep_are_written_anew)
{
    struct maker expected = maker_of(EXPLICIT, false);
    struct maker maker = maker_of(IMPLICIT, true);
    make_us(&maker, TAG_ROWS, 7);
    make_us(&expected, TAG_ROWS, 7);
    for (int depth = 0; depth < DATASET_MAX_DEPTH; depth++) {
        struct maker outer = maker_of(IMPLICIT, true);
        struct maker outer_expected = maker_of(EXPLICIT, false);
        make_sequence(&outer, 0x0040A730, &maker);
        make_sequence(&outer_expected, 0x0040A730, &expected);
        maker = outer;
        expected = outer_expected;
    }
    check_transcoded(maker.out, IMPLICIT, EXPLICIT, expected.out);
}

/* --- Compressed data sets. */

struct picture {
    const char *photometric;
    uint16_t samples;
    uint16_t allocated;
    uint16_t stored;
    uint16_t is_signed;
    const char *lossy; /* NULL: not said */
};

static void make_attributes(struct maker *maker, const struct picture *picture, const char *frames,
                            bool planar)
{
    make_us(maker, TAG_SAMPLES_PER_PIXEL, picture->samples);
    make_text(maker, TAG_PHOTOMETRIC_INTERPRETATION, VR_CS, picture->photometric);
    if (planar)
        make_us(maker, TAG_PLANAR_CONFIGURATION, 0);
    if (frames)
        make_text(maker, TAG_NUMBER_OF_FRAMES, VR_IS, frames);
    make_us(maker, TAG_ROWS, ROWS);
    make_us(maker, TAG_COLUMNS, COLUMNS);
    make_us(maker, TAG_BITS_ALLOCATED, picture->allocated);
    make_us(maker, TAG_BITS_STORED, picture->stored);
    make_us(maker, TAG_HIGH_BIT, (uint16_t)(picture->stored - 1));
    make_us(maker, TAG_PIXEL_REPRESENTATION, picture->is_signed);
    if (picture->lossy)
        make_text(maker, TAG_LOSSY_IMAGE_COMPRESSION, VR_CS, picture->lossy);
}

static void make_fragment(struct maker *maker, struct slice bytes)
{
    make_header(maker, TAG_ITEM, 0, (uint32_t)(bytes.size + bytes.size % 2));
    buffer_append(&maker->out, bytes);
    if (bytes.size % 2)
        buffer_append_byte(&maker->out, 0);
}

/* `count` times the same frame, each cut into two fragments when `cut`; a Basic Offset Table. */
static void make_pixels(struct maker *maker, struct slice frame, uint32_t count, bool cut)
{
    struct slice first = cut ? slice_take(frame, frame.size / 4 * 2) : frame;
    struct slice second = slice_skip(frame, first.size);
    uint32_t size = (uint32_t)(8 + first.size + first.size % 2 +
                               (cut ? 8 + second.size + second.size % 2 : 0));
    make_header(maker, TAG_PIXEL_DATA, VR_OB, LENGTH_UNDEFINED);
    make_header(maker, TAG_ITEM, 0, 4 * count);
    for (uint32_t i = 0; i < count; i++)
        make_u32(maker, i * size);
    for (uint32_t i = 0; i < count; i++) {
        make_fragment(maker, first);
        if (cut)
            make_fragment(maker, second);
    }
    make_header(maker, TAG_SEQUENCE_DELIMITER, 0, 0);
}

/* The image of codec_test.c as native pixels. */
static void append_image(struct buffer *out, const struct picture *picture)
{
    for (int pixel = 0; pixel < ROWS * COLUMNS; pixel++)
        for (int component = 0; component < picture->samples; component++) {
            int x = pixel % COLUMNS;
            int y = pixel / COLUMNS;
            int value = x * x * 7 + y * 31 + component * 40;
            if (picture->stored == 8)
                buffer_append_byte(out, (uint8_t)(value / 12));
            else
                buffer_append_u16le(
                    out,
                    (uint16_t)(picture->is_signed ? value - (1 << (picture->stored - 2)) : value));
        }
}

static void make_native_pixels(struct maker *maker, const struct picture *picture, int count)
{
    struct buffer pixels = buffer_up_to(MAX_RESULT);
    for (int i = 0; i < count; i++)
        append_image(&pixels, picture);
    if (pixels.size % 2)
        buffer_append_byte(&pixels, 0);
    make(maker, TAG_PIXEL_DATA, picture->allocated > 8 ? VR_OW : VR_OB, 1, buffer_slice(&pixels));
    buffer_release(&pixels);
}

TEST(compressed_frames_become_native_pixels_in_each_syntax)
{
    static const struct picture u12 = { "MONOCHROME2 ", 1, 16, 12, 0, NULL };
    static const struct picture s13 = { "MONOCHROME2 ", 1, 16, 13, 1, NULL };
    static const struct picture u8 = { "MONOCHROME2 ", 1, 8, 8, 0, NULL };
    static const struct {
        const char *uid;
        const struct picture *picture;
        const uint8_t *frame;
        size_t size;
    } cases[] = {
#define CASE(uid, picture, name)                                                                   \
    { "1.2.840.10008.1.2." uid, &(picture), sample_##name, sizeof(sample_##name) }
        CASE("4.57", u12, jpeg57_u12), CASE("4.70", s13, jpeg70_s13), CASE("4.80", u12, jls80_u12),
        CASE("4.90", s13, j2k90_s13),  CASE("4.201", u12, ht201_u12), CASE("5", s13, rle_s13),
        CASE("4.80", u8, jls80_u8),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct transfer_syntax *from = syntax_of(cases[i].uid);
        bool cut = strcmp(cases[i].uid, UID_RLE_LOSSLESS) != 0;
        for (int k = 0; k < 2; k++) {
            const struct transfer_syntax *to = k ? EXPLICIT : IMPLICIT;
            struct maker maker = maker_of(from, false);
            struct maker expected = maker_of(to, false);
            make_attributes(&maker, cases[i].picture, "3 ", false);
            make_pixels(&maker, slice_of(cases[i].frame, cases[i].size), 3, cut);
            make(&maker, 0xFFFCFFFC, VR_OB, 1, BYTES("\0\0"));
            make_attributes(&expected, cases[i].picture, "3 ", false);
            make_native_pixels(&expected, cases[i].picture, 3);
            make(&expected, 0xFFFCFFFC, VR_OB, 1, BYTES("\0\0"));
            check_transcoded(maker.out, from, to, expected.out);
        }
    }
}

static const char *const encoded_syntaxes[] = { "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80",
                                                "1.2.840.10008.1.2.4.90" };

/* From native to each encoder and back: every attribute and every pixel is what it was. */
static void check_there_and_back(struct buffer bytes, const struct transfer_syntax *from,
                                 struct buffer expected)
{
    for (size_t i = 0; i < sizeof(encoded_syntaxes) / sizeof(encoded_syntaxes[0]); i++) {
        const struct transfer_syntax *through = syntax_of(encoded_syntaxes[i]);
        struct buffer there = transcoded(buffer_slice(&bytes), from, through);
        struct buffer back = transcoded(buffer_slice(&there), through, EXPLICIT);
        CHECK(slice_equal(buffer_slice(&back), buffer_slice(&expected)));
        buffer_release(&there);
        buffer_release(&back);
    }
    buffer_release(&bytes);
    buffer_release(&expected);
}

TEST(native_pixels_are_encoded_and_decoded_to_the_same_data_set)
{
    static const struct picture pictures[] = {
        { "MONOCHROME2 ", 1, 8, 8, 0, NULL },   { "MONOCHROME2 ", 1, 16, 12, 0, NULL },
        { "MONOCHROME2 ", 1, 16, 13, 1, NULL }, { "MONOCHROME2 ", 1, 16, 16, 1, NULL },
        { "RGB ", 3, 8, 8, 0, NULL },
    };
    const struct transfer_syntax *sources[] = { IMPLICIT, EXPLICIT };
    for (size_t i = 0; i < sizeof(pictures) / sizeof(pictures[0]); i++)
        for (int j = 0; j < 2; j++)
            for (int count = 1; count < 4; count += 2) {
                struct maker maker = maker_of(sources[j], false);
                struct maker expected = maker_of(EXPLICIT, false);
                bool planar = pictures[i].samples > 1;
                make_attributes(&maker, &pictures[i], count > 1 ? "3 " : NULL, planar);
                make_native_pixels(&maker, &pictures[i], count);
                make(&maker, 0xFFFCFFFC, VR_OB, 1, BYTES("\0\0"));
                make_attributes(&expected, &pictures[i], count > 1 ? "3 " : NULL, planar);
                make_native_pixels(&expected, &pictures[i], count);
                make(&expected, 0xFFFCFFFC, VR_OB, 1, BYTES("\0\0"));
                check_there_and_back(maker.out, sources[j], expected.out);
            }
}

TEST(one_compressed_syntax_becomes_another)
{
    const struct transfer_syntax *from = syntax_of("1.2.840.10008.1.2.4.70");
    struct maker maker = maker_of(from, false);
    struct maker expected = maker_of(EXPLICIT, false);
    static const struct picture s13 = { "MONOCHROME2 ", 1, 16, 13, 1, NULL };
    make_attributes(&maker, &s13, NULL, false);
    make_pixels(&maker, slice_of(sample_jpeg70_s13, sizeof(sample_jpeg70_s13)), 1, false);
    make_attributes(&expected, &s13, NULL, false);
    make_native_pixels(&expected, &s13, 1);
    check_there_and_back(maker.out, from, expected.out);
}

TEST(planes_of_native_colours_are_put_together)
{
    static const struct picture rgb = { "RGB ", 3, 8, 8, 0, NULL };
    struct maker maker = maker_of(EXPLICIT, false);
    struct maker expected = maker_of(EXPLICIT, false);
    struct buffer image = buffer_up_to(MAX_RESULT), planes = buffer_up_to(MAX_RESULT);
    append_image(&image, &rgb);
    for (int component = 0; component < 3; component++)
        for (size_t at = (size_t)component; at < image.size; at += 3)
            buffer_append_byte(&planes, image.data[at]);
    if (planes.size % 2)
        buffer_append_byte(&planes, 0);
    make_attributes(&maker, &rgb, NULL, true);
    uint8_t *configuration = memmem(maker.out.data, maker.out.size, "\x28\0\x06\0US\2\0\0\0", 10);
    CHECK(configuration);
    configuration[8] = 1;
    make(&maker, TAG_PIXEL_DATA, VR_OB, 1, buffer_slice(&planes));
    make_attributes(&expected, &rgb, NULL, true);
    make_native_pixels(&expected, &rgb, 1);
    check_there_and_back(maker.out, EXPLICIT, expected.out);
    buffer_release(&image);
    buffer_release(&planes);
}

TEST(pixels_that_no_encoder_takes_are_an_error_before_anything_is_written)
{
    static const struct picture wide = { "MONOCHROME2 ", 1, 32, 32, 0, NULL };
    static const struct picture subsampled = { "YBR_FULL_422", 3, 8, 8, 0, NULL };
    static const struct picture *const pictures[] = { &wide, &subsampled };
    for (int i = 0; i < 2; i++) {
        struct maker maker = maker_of(EXPLICIT, false);
        struct buffer out = buffer_up_to(MAX_RESULT);
        struct error err;
        make_attributes(&maker, pictures[i], NULL, false);
        make(&maker, TAG_PIXEL_DATA, VR_OW, 1, BYTES("\0\0\0\0\0\0\0\0"));
        CHECK(!transcode(buffer_slice(&maker.out), EXPLICIT, syntax_of(encoded_syntaxes[1]),
                         ALL_IN_HEADER, &out, &err));
        CHECK_INT(err.code, ERROR_UNSUPPORTED);
        CHECK_INT(out.size, 0);
        buffer_release(&out);
        buffer_release(&maker.out);
    }
}

TEST(colours_of_decoded_frames_are_told_right)
{
    static const struct picture ybr = { "YBR_RCT ", 3, 8, 8, 0, NULL };
    static const struct picture rgb = { "RGB ", 3, 8, 8, 0, NULL };
    const struct transfer_syntax *from = syntax_of(UID_JPEG_2000_LOSSLESS);
    struct maker maker = maker_of(from, false);
    struct maker expected = maker_of(EXPLICIT, false);
    make_attributes(&maker, &ybr, NULL, false); /* planar configuration is missing */
    make_pixels(&maker, slice_of(sample_j2k90_rgb, sizeof(sample_j2k90_rgb)), 1, false);
    make_attributes(&expected, &rgb, NULL, true);
    make_native_pixels(&expected, &rgb, 1);
    check_transcoded(maker.out, from, EXPLICIT, expected.out);
}

/* The text of an attribute of a result. */
static struct buffer text_of(struct buffer *result, uint32_t tag)
{
    struct buffer text = buffer_up_to(256);
    struct error err;
    struct dataset *dataset;
    CHECK_OK(dataset_open(buffer_slice(result), EXPLICIT, NULL, 0, &dataset, &err), err);
    dataset_text(dataset, tag, &text);
    dataset_close(dataset);
    return text;
}

static void check_text_of(struct buffer *result, uint32_t tag, const char *expected)
{
    struct buffer text = text_of(result, tag);
    CHECK_TEXT(buffer_text(&text), expected);
    buffer_release(&text);
}

TEST(lossy_images_stay_marked_as_lossy)
{
    static const char *const flags[] = { "01", NULL };
    for (int i = 0; i < 2; i++) {
        const struct picture picture = { "YBR_FULL_422", 3, 8, 8, 0, flags[i] };
        struct maker maker = maker_of(JPEG, false);
        make_attributes(&maker, &picture, NULL, true);
        make_pixels(&maker, slice_of(sample_jpeg50_rgb, sizeof(sample_jpeg50_rgb)), 1, false);
        struct buffer result = transcoded(buffer_slice(&maker.out), JPEG, EXPLICIT);
        check_text_of(&result, TAG_PHOTOMETRIC_INTERPRETATION, "RGB");
        check_text_of(&result, TAG_LOSSY_IMAGE_COMPRESSION, "01");
        buffer_release(&result);
        buffer_release(&maker.out);
    }
}

TEST(offset_tables_are_left_out)
{
    static const struct picture u8 = { "MONOCHROME2 ", 1, 8, 8, 0, NULL };
    const struct transfer_syntax *from = syntax_of(UID_JPEG_LS_LOSSLESS);
    struct maker maker = maker_of(from, false);
    struct maker expected = maker_of(EXPLICIT, false);
    make_attributes(&maker, &u8, NULL, false);
    make(&maker, TAG_EXTENDED_OFFSET_TABLE, VR_OV, 8, BYTES("\0\0\0\0\0\0\0\0"));
    make(&maker, TAG_EXTENDED_OFFSET_TABLE_LENGTHS, VR_OV, 8, BYTES("\x5c\0\0\0\0\0\0\0"));
    make_pixels(&maker, slice_of(sample_jls80_u8, sizeof(sample_jls80_u8)), 1, false);
    make_attributes(&expected, &u8, NULL, false);
    make_native_pixels(&expected, &u8, 1);
    check_transcoded(maker.out, from, EXPLICIT, expected.out);
}

TEST(compressed_icons_are_left_out)
{
    const struct transfer_syntax *from = syntax_of(UID_JPEG_LS_LOSSLESS);
    struct maker maker = maker_of(from, false);
    struct maker icon = maker_of(from, false);
    struct maker native_icon = maker_of(from, false);
    struct maker code = maker_of(from, false);
    struct maker expected = maker_of(EXPLICIT, false);
    make_us(&code, TAG_ROWS, 1);
    make_us(&icon, TAG_ROWS, 1);
    make_pixels(&icon, slice_of(sample_jls80_u8, sizeof(sample_jls80_u8)), 1, false);
    make(&native_icon, TAG_PIXEL_DATA, VR_OB, 1, BYTES("\1\2\3\4"));
    make_sequence(&maker, 0x00081140, &code);
    make_sequence(&maker, 0x00880200, &icon);
    make_sequence(&maker, 0x00880904, &native_icon);
    make_us(&code, TAG_ROWS, 1);
    make_sequence(&expected, 0x00081140, &code);
    make(&native_icon, TAG_PIXEL_DATA, VR_OB, 1, BYTES("\1\2\3\4"));
    make_sequence(&expected, 0x00880904, &native_icon);
    check_transcoded(maker.out, from, EXPLICIT, expected.out);
}

static void check_refused_pixels(const struct picture *picture, const char *frames, uint32_t count,
                                 struct slice frame, enum error_code code)
{
    const struct transfer_syntax *from = syntax_of(UID_JPEG_LS_LOSSLESS);
    struct maker maker = maker_of(from, false);
    struct buffer out = buffer_up_to(MAX_RESULT);
    struct error err = { .code = ERROR_NONE };
    make_attributes(&maker, picture, frames, false);
    make_pixels(&maker, frame, count, false);
    CHECK(!transcode(buffer_slice(&maker.out), from, EXPLICIT, 64, &out, &err));
    CHECK_INT(err.code, code);
    CHECK_INT(out.size, 0);
    buffer_release(&out);
    buffer_release(&maker.out);
}

TEST(frames_that_cannot_be_decoded_are_an_error_before_anything_is_written)
{
    static const struct picture u8 = { "MONOCHROME2 ", 1, 8, 8, 0, NULL };
    static const struct picture u12 = { "MONOCHROME2 ", 1, 16, 12, 0, NULL };
    struct slice frame = slice_of(sample_jls80_u8, sizeof(sample_jls80_u8));
    struct slice other = slice_of(sample_jls80_rgb, sizeof(sample_jls80_rgb));
    check_refused_pixels(&u8, NULL, 1, slice_take(frame, 40), ERROR_INVALID);
    check_refused_pixels(&u12, NULL, 1, other, ERROR_INVALID);
    check_refused_pixels(&u8, "4 ", 3, frame, ERROR_INVALID);
}

TEST(error_of_the_sink_ends_it)
{
    struct buffer bytes = made(EXPLICIT, false);
    struct buffer out = buffer_up_to(40);
    struct error err = { .code = ERROR_NONE };
    CHECK(!transcode(buffer_slice(&bytes), EXPLICIT, IMPLICIT, 64, &out, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    buffer_release(&out);
    buffer_release(&bytes);
}

TEST(what_is_possible_is_told_before)
{
    const struct transfer_syntax *rle = syntax_of(UID_RLE_LOSSLESS);
    CHECK(transcode_is_possible(IMPLICIT, EXPLICIT));
    CHECK(transcode_is_possible(BIG_ENDIAN_SYNTAX, IMPLICIT));
    CHECK(transcode_is_possible(DEFLATED, IMPLICIT));
    CHECK(transcode_is_possible(JPEG, EXPLICIT));
    CHECK(transcode_is_possible(rle, IMPLICIT));
    CHECK(!transcode_is_possible(EXPLICIT, JPEG));
    CHECK(transcode_is_possible(EXPLICIT, rle));
    CHECK(transcode_is_possible(DEFLATED, syntax_of("1.2.840.10008.1.2.4.90")));
    CHECK(transcode_is_possible(syntax_of("1.2.840.10008.1.2.4.70"), rle));
    CHECK(
        !transcode_is_possible(JPEG, rle)); /* what has lost something is not said to be lossless */
    CHECK(!transcode_is_possible(EXPLICIT, BIG_ENDIAN_SYNTAX));
    CHECK(!transcode_is_possible(syntax_of("1.2.840.10008.1.2.4.94"), EXPLICIT));
    CHECK(!transcode_is_possible(syntax_of("1.2.840.10008.1.2.4.102"), EXPLICIT));
    CHECK(!transcode_is_possible(syntax_of("1.2.3.4"), EXPLICIT));
}
