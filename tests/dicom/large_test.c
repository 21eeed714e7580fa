/* SPDX-License-Identifier: MIT */
/* Objects at and beyond 4 GiB (PS3.5 7.1.1, A.4), of which only the lengths are there: the scan
 * passes over pixels without touching them, so 12 GiB take a moment. */
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/encode.h"
#include "dicom/frames.h"
#include "dicom/scan.h"
#include "tests/test.h"

enum { PIECE = 64 << 20 };
static const uint64_t gib = (uint64_t)1 << 30;

static void write_all(struct scan *scan, struct slice bytes)
{
    struct error err = { 0 };
    CHECK_OK(scan_write(scan, bytes, &err), err);
}

static void write_zeros(struct scan *scan, uint64_t size)
{
    uint8_t *zeros = mem_alloc(PIECE);
    for (; size; size -= size < PIECE ? size : PIECE)
        write_all(scan, slice_of(zeros, size < PIECE ? (size_t)size : PIECE));
    free(zeros);
}

static void encode_image(struct buffer *bytes, uint16_t side, const char *frames)
{
    struct encoder encoder = { bytes, true };
    encode_u16(&encoder, 0x00280002, 1);
    encode_text(&encoder, 0x00280008, VR_IS, frames);
    encode_u16(&encoder, 0x00280010, side);
    encode_u16(&encoder, 0x00280011, side);
    encode_u16(&encoder, 0x00280100, 8);
}

static void put_header(struct buffer *bytes, uint32_t tag, const char *vr, uint32_t length)
{
    buffer_append_u16le(bytes, (uint16_t)(tag >> 16));
    buffer_append_u16le(bytes, (uint16_t)tag);
    if (vr) {
        buffer_append(bytes, slice_text(vr));
        buffer_append_u16le(bytes, 0);
    }
    buffer_append_u32le(bytes, length);
}

static void check_frame(struct slice table, uint32_t number, uint64_t offset, uint64_t size)
{
    struct buffer fragments = buffer_up_to(4096);
    struct fragment64 fragment;
    struct error err = { 0 };
    unsigned bit_shift;
    CHECK_OK(frame_table_find(table, number, &fragments, &bit_shift, &err), err);
    CHECK_INT(fragments.size, sizeof(fragment));
    memcpy(&fragment, fragments.data, sizeof(fragment));
    CHECK_INT(fragment.offset, (long long)offset);
    CHECK_INT(fragment.size, (long long)size);
    buffer_release(&fragments);
}

static void build_table(const struct scan *scan, const char *syntax, struct buffer *table)
{
    struct error err = { 0 };
    struct dataset *header;
    size_t count;
    const struct elision *elisions = scan_elisions(scan, &count);
    CHECK_OK(dataset_open(scan_header(scan), transfer_syntax_find(slice_text(syntax)), elisions,
                          count, &header, &err),
             err);
    frame_table_build(header, scan_pixel_data(scan), slice_of(NULL, 0), slice_of(NULL, 0), table);
    dataset_close(header);
}

TEST(DAT_06_the_longest_native_pixel_data_is_taken_and_each_frame_found)
{
    static const uint32_t longest = 0xFFFFFFFE;
    struct error err = { 0 };
    struct scan *scan = scan_new(transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)),
                                 &scan_default_limits);
    struct buffer bytes = buffer_up_to(4096), table = buffer_up_to(1 << 20);
    struct encoder behind = { &bytes, true };
    encode_image(&bytes, 16384, "15");
    put_header(&bytes, TAG_PIXEL_DATA, "OW", longest);
    uint64_t start = bytes.size;
    write_all(scan, buffer_slice(&bytes));
    write_zeros(scan, longest);
    buffer_clear(&bytes);
    encode_bytes(&behind, 0xFFFCFFFC, VR_OB, slice_of("\0", 2));
    write_all(scan, buffer_slice(&bytes));
    CHECK_OK(scan_finish(scan, &err), err);
    CHECK_INT(scan_pixel_data(scan)->offset, (long long)start);
    CHECK_INT(scan_pixel_data(scan)->size, (long long)longest);
    CHECK_INT(scan_size(scan), (long long)(start + longest + bytes.size));
    build_table(scan, UID_EXPLICIT_LITTLE_ENDIAN, &table);
    CHECK_INT(frame_table_count(buffer_slice(&table)), 15);
    check_frame(buffer_slice(&table), 1, start, gib / 4);
    check_frame(buffer_slice(&table), 15, start + 14 * (gib / 4), gib / 4);
    scan_free(scan);
    buffer_release(&bytes);
    buffer_release(&table);
}

TEST(DAT_06_fragments_just_under_4_gib_lie_behind_each_other)
{
    static const uint32_t size = 0xFFFFFFFE;
    struct error err = { 0 };
    struct scan *scan = scan_new(transfer_syntax_find(slice_text(UID_RLE_LOSSLESS)),
                                 &scan_default_limits);
    struct buffer bytes = buffer_up_to(4096), table = buffer_up_to(1 << 20);
    encode_image(&bytes, 512, "3");
    put_header(&bytes, TAG_PIXEL_DATA, "OB", 0xFFFFFFFF);
    put_header(&bytes, TAG_ITEM, NULL, 0);
    uint64_t at = bytes.size;
    write_all(scan, buffer_slice(&bytes));
    for (int i = 0; i < 3; i++) {
        buffer_clear(&bytes);
        put_header(&bytes, TAG_ITEM, NULL, size);
        write_all(scan, buffer_slice(&bytes));
        write_zeros(scan, size);
    }
    buffer_clear(&bytes);
    put_header(&bytes, TAG_SEQUENCE_DELIMITER, NULL, 0);
    write_all(scan, buffer_slice(&bytes));
    CHECK_OK(scan_finish(scan, &err), err);
    CHECK(scan_size(scan) > 12 * gib);
    CHECK_INT(scan_pixel_data(scan)->fragment_count, 3);
    build_table(scan, UID_RLE_LOSSLESS, &table);
    for (uint32_t i = 0; i < 3; i++)
        check_frame(buffer_slice(&table), i + 1, at + 8 + i * ((uint64_t)size + 8), size);
    scan_free(scan);
    buffer_release(&bytes);
    buffer_release(&table);
}
