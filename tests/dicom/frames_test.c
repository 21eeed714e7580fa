/* SPDX-License-Identifier: MIT */
#include "dicom/frames.h"

#include <stdio.h>

#include "tests/dicom/scanned.h"

struct image {
    uint16_t rows, columns, bits, samples;
    int64_t frames;
};

static struct buffer attributes_of(const struct image *image, const char *photometric)
{
    struct buffer bytes = buffer_up_to(1 << 16);
    struct encoder encoder = { &bytes, .explicit_vr = true };
    encode_u16(&encoder, TAG_SAMPLES_PER_PIXEL, image->samples);
    encode_text(&encoder, TAG_PHOTOMETRIC_INTERPRETATION, VR_CS, photometric);
    if (image->frames >= 0)
        encode_integer(&encoder, TAG_NUMBER_OF_FRAMES, image->frames);
    encode_u16(&encoder, TAG_ROWS, image->rows);
    encode_u16(&encoder, TAG_COLUMNS, image->columns);
    encode_u16(&encoder, TAG_BITS_ALLOCATED, image->bits);
    return bytes;
}

/* The table of native pixel data of `size` bytes at offset 1000. */
static struct buffer native_table(const struct image *image, const char *photometric, uint64_t size)
{
    struct buffer bytes = attributes_of(image, photometric);
    struct buffer table = buffer_up_to(1 << 16);
    struct dataset *dataset;
    struct error err;
    CHECK_OK(dataset_open(buffer_slice(&bytes), EXPLICIT, NULL, 0, &dataset, &err), err);
    struct pixel_data pixels = {
        .present = true, .tag = TAG_PIXEL_DATA, .offset = 1000, .size = size
    };
    frame_table_build(dataset, &pixels, BYTES(""), BYTES(""), &table);
    dataset_close(dataset);
    buffer_release(&bytes);
    return table;
}

/* Frame `number` as "offset+size>>shift offset+size ...", or the error's name. */
static const char *frame_of(const struct buffer *table, uint32_t number)
{
    static char text[512];
    struct buffer found = buffer_up_to(1 << 16);
    unsigned shift;
    struct error err;
    bool is_there = frame_table_check(buffer_slice(table), number, NULL);
    if (!frame_table_find(buffer_slice(table), number, &found, &shift, &err)) {
        buffer_release(&found);
        CHECK(!is_there);
        return error_name(err.code);
    }
    CHECK(is_there);
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < found.size / sizeof(struct fragment64); i++) {
        struct fragment64 range;
        memcpy(&range, found.data + i * sizeof(range), sizeof(range));
        size += (size_t)snprintf(text + size, sizeof(text) - size, i ? " %llu+%llu" : "%llu+%llu",
                                 (unsigned long long)range.offset, (unsigned long long)range.size);
    }
    if (shift)
        snprintf(text + size, sizeof(text) - size, ">>%u", shift);
    buffer_release(&found);
    return text;
}

TEST(native_frames_lie_one_behind_the_other)
{
    struct image image = { 4, 5, 16, 1, 3 };
    struct buffer table = native_table(&image, "MONOCHROME2", 120);
    CHECK_INT(frame_table_count(buffer_slice(&table)), 3);
    CHECK(!frame_table_is_encapsulated(buffer_slice(&table)));
    CHECK_TEXT(frame_of(&table, 1), "1000+40");
    CHECK_TEXT(frame_of(&table, 3), "1080+40");
    CHECK_TEXT(frame_of(&table, 4), "not-found");
    CHECK_TEXT(frame_of(&table, 0), "not-found");
    buffer_release(&table);
}

TEST(frames_of_one_bit_pixels_may_begin_inside_a_byte)
{
    struct image image = { 3, 3, 1, 1, 3 };
    struct buffer table = native_table(&image, "MONOCHROME2", 4);
    CHECK_INT(frame_table_count(buffer_slice(&table)), 3);
    CHECK_TEXT(frame_of(&table, 1), "1000+2");
    CHECK_TEXT(frame_of(&table, 2), "1001+2>>1");
    CHECK_TEXT(frame_of(&table, 3), "1002+2>>2");
    buffer_release(&table);
}

TEST(frame_that_is_cut_short_fails_alone)
{
    struct image image = { 4, 5, 16, 1, 4 };
    struct buffer table = native_table(&image, "MONOCHROME2", 100);
    CHECK_INT(frame_table_count(buffer_slice(&table)), 2);
    CHECK_TEXT(frame_of(&table, 2), "1040+40");
    CHECK_TEXT(frame_of(&table, 3), "corrupt");
    CHECK_TEXT(frame_of(&table, 4), "not-found");
    buffer_release(&table);
    table = native_table(&image, "MONOCHROME2", 1000); /* more bytes than frames */
    CHECK_INT(frame_table_count(buffer_slice(&table)), 4);
    CHECK_TEXT(frame_of(&table, 5), "not-found");
    buffer_release(&table);
}

TEST(number_of_frames_absent_or_zero_means_one)
{
    for (int64_t frames = -1; frames <= 0; frames++) {
        struct image image = { 4, 5, 8, 3, frames };
        struct buffer table = native_table(&image, "RGB", 60);
        CHECK_INT(frame_table_count(buffer_slice(&table)), 1);
        CHECK_TEXT(frame_of(&table, 1), "1000+60");
        buffer_release(&table);
    }
}

TEST(native_422_is_subsampled_unless_all_samples_are_there)
{
    struct image image = { 4, 4, 8, 3, 2 };
    struct buffer table = native_table(&image, "YBR_FULL_422", 64);
    CHECK_TEXT(frame_of(&table, 2), "1032+32");
    buffer_release(&table);
    table = native_table(&image, "YBR_FULL_422", 96);
    CHECK_TEXT(frame_of(&table, 2), "1048+48");
    buffer_release(&table);
}

TEST(object_without_frames_has_an_empty_table)
{
    struct image image = { 0, 5, 16, 1, 1 };
    struct buffer table = native_table(&image, "MONOCHROME2", 100);
    CHECK_INT(table.size, 0);
    image.rows = 4;
    struct buffer empty = native_table(&image, "MONOCHROME2", 0);
    CHECK_INT(empty.size, 0);
    CHECK_INT(frame_table_count(buffer_slice(&empty)), 0);
    CHECK_TEXT(frame_of(&empty, 1), "not-found");
}

TEST(hostile_number_of_frames_takes_no_memory)
{
    struct image image = { 65535, 65535, 64, 65535, 9000000000 };
    struct buffer table = native_table(&image, "MONOCHROME2", UINT64_MAX / 16);
    CHECK(table.size < 100);
    CHECK_TEXT(frame_of(&table, 4294967295u), "not-found");
    buffer_release(&table);
}

/* Encapsulated pixel data: each fragment is an item of 10 bytes of content at 1008, 1026, ...; a
 * fragment whose letter is 's' begins a JPEG stream. */
static struct buffer table_of(const char *fragments, int64_t frames, const char *syntax,
                              struct slice bot, struct slice eot, struct slice lengths)
{
    struct fragment list[16];
    size_t count = strlen(fragments);
    for (size_t i = 0; i < count; i++)
        list[i] = (struct fragment){ 1008 + 18 * i, 10, fragments[i] == 's' ? 0xFFD8FFE0 : 0 };
    struct pixel_data pixels = { .present = true,
                                 .encapsulated = true,
                                 .tag = TAG_PIXEL_DATA,
                                 .fragments = list,
                                 .fragment_count = count,
                                 .basic_offset_table = bot };
    struct image image = { 4, 5, 8, 1, frames };
    struct buffer bytes = attributes_of(&image, "MONOCHROME2");
    struct buffer table = buffer_up_to(1 << 16);
    struct dataset *dataset;
    struct error err;
    CHECK_OK(dataset_open(buffer_slice(&bytes), syntax_of(syntax), NULL, 0, &dataset, &err), err);
    frame_table_build(dataset, &pixels, eot, lengths, &table);
    dataset_close(dataset);
    buffer_release(&bytes);
    return table;
}

#define NONE BYTES("")

TEST(one_fragment_a_frame_needs_no_table)
{
    struct buffer table = table_of("sss", 3, UID_JPEG_BASELINE, NONE, NONE, NONE);
    CHECK_INT(frame_table_count(buffer_slice(&table)), 3);
    CHECK(frame_table_is_encapsulated(buffer_slice(&table)));
    CHECK_TEXT(frame_of(&table, 1), "1008+10");
    CHECK_TEXT(frame_of(&table, 3), "1044+10");
    CHECK_TEXT(frame_of(&table, 4), "not-found");
    buffer_release(&table);
}

TEST(single_frame_has_all_fragments)
{
    struct buffer table = table_of("s..", 1, UID_JPEG_BASELINE, NONE, NONE, NONE);
    CHECK_INT(frame_table_count(buffer_slice(&table)), 1);
    CHECK_TEXT(frame_of(&table, 1), "1008+10 1026+10 1044+10");
    buffer_release(&table);
}

TEST(basic_offset_table_tells_the_frames)
{
    struct buffer table = table_of("....", 2, UID_JPEG_BASELINE, BYTES("\0\0\0\0\x36\0\0\0"), NONE,
                                   NONE);
    CHECK_INT(frame_table_count(buffer_slice(&table)), 2);
    CHECK_TEXT(frame_of(&table, 1), "1008+10 1026+10 1044+10");
    CHECK_TEXT(frame_of(&table, 2), "1062+10");
    buffer_release(&table);
}

TEST(extended_offset_table_comes_before_the_basic_one)
{
    static const char eot[] = "\0\0\0\0\0\0\0\0\x12\0\0\0\0\0\0\0";
    static const char lengths[] = "\x0a\0\0\0\0\0\0\0\x1d\0\0\0\0\0\0\0"; /* 29 of 30: a pad byte */
    struct slice bot = BYTES("\0\0\0\0\x36\0\0\0");
    struct buffer table = table_of("....", 2, UID_JPEG_BASELINE, bot, BYTES(eot), BYTES(lengths));
    CHECK_TEXT(frame_of(&table, 1), "1008+10");
    CHECK_TEXT(frame_of(&table, 2), "1026+10 1044+10 1062+10");
    buffer_release(&table);
    /* Lengths that do not meet the fragments: the next one in trust. */
    static const char wrong[] = "\x0a\0\0\0\0\0\0\0\x1f\0\0\0\0\0\0\0";
    table = table_of("....", 2, UID_JPEG_BASELINE, bot, BYTES(eot), BYTES(wrong));
    CHECK_TEXT(frame_of(&table, 1), "1008+10 1026+10 1044+10");
    buffer_release(&table);
}

TEST(wrong_offset_table_is_not_believed)
{
    static const struct slice wrong[] = {
        { (const uint8_t *)"\0\0\0\0\x13\0\0\0", 8 },            /* inside a fragment */
        { (const uint8_t *)"\x12\0\0\0\x36\0\0\0", 8 },          /* not from the first */
        { (const uint8_t *)"\0\0\0\0\0\0\0\0", 8 },              /* not ascending */
        { (const uint8_t *)"\0\0\0\0\xff\xff\xff\xff", 8 },      /* behind the end */
        { (const uint8_t *)"\0\0\0\0", 4 },                      /* too few */
        { (const uint8_t *)"\0\0\0\0\x12\0\0\0\x24\0\0\0", 12 }, /* too many */
        { (const uint8_t *)"\0\0\0\0\x12\0\0", 7 },              /* no whole number */
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct buffer table = table_of("s.s.", 2, UID_JPEG_BASELINE, wrong[i], NONE, NONE);
        CHECK_INT(frame_table_count(buffer_slice(&table)), 2);
        CHECK_TEXT(frame_of(&table, 1), "1008+10 1026+10");
        CHECK_TEXT(frame_of(&table, 2), "1044+10 1062+10");
        buffer_release(&table);
    }
}

TEST(frames_that_cannot_be_told_are_not_in_the_table)
{
    struct buffer table = table_of("....", 2, UID_JPEG_BASELINE, NONE, NONE, NONE);
    CHECK_INT(table.size, 0);
    table = table_of(".s.s", 2, UID_JPEG_BASELINE, NONE, NONE, NONE);
    CHECK_INT(table.size, 0);
    table = table_of("ssss", 2, UID_JPEG_BASELINE, NONE, NONE, NONE);
    CHECK_INT(table.size, 0);
    table = table_of("", 1, UID_JPEG_BASELINE, NONE, NONE, NONE);
    CHECK_INT(table.size, 0);
}

TEST(video_of_many_frames_is_not_separable)
{
    static const char mpeg4[] = "1.2.840.10008.1.2.4.102";
    struct buffer table = table_of("..", 2, mpeg4, NONE, NONE, NONE);
    CHECK_INT(table.size, 0);
    table = table_of(".", 100, mpeg4, NONE, NONE, NONE);
    CHECK_INT(table.size, 0);
    table = table_of("..", 1, mpeg4, NONE, NONE, NONE);
    CHECK_TEXT(frame_of(&table, 1), "1008+10 1026+10");
    buffer_release(&table);
}

TEST(fewer_fragments_than_frames_give_the_frames_that_are_there)
{
    struct buffer table = table_of("ss", 5, UID_JPEG_BASELINE, NONE, NONE, NONE);
    CHECK_INT(frame_table_count(buffer_slice(&table)), 2);
    CHECK_TEXT(frame_of(&table, 2), "1026+10");
    CHECK_TEXT(frame_of(&table, 3), "not-found");
    buffer_release(&table);
    table = table_of("..", 2000000000, UID_RLE_LOSSLESS, NONE, NONE, NONE);
    CHECK_INT(frame_table_count(buffer_slice(&table)), 2);
    buffer_release(&table);
}

TEST(broken_frame_table_is_corrupt)
{
    struct buffer table = table_of("s.s.", 2, UID_JPEG_BASELINE, NONE, NONE, NONE);
    for (size_t size = 8; size < table.size; size++) {
        struct buffer cut = table;
        cut.size = size;
        CHECK_TEXT(frame_of(&cut, 2), "corrupt");
    }
    table.data[8 + 8] = 0xFF;
    CHECK_TEXT(frame_of(&table, 2), "corrupt");
    table.data[0] = 9;
    CHECK_TEXT(frame_of(&table, 1), "corrupt");
    buffer_release(&table);
}

static bool read_letters(void *context, uint64_t offset, struct space space, struct error *err)
{
    (void)context;
    if (offset + space.size > 26)
        return error_set(err, ERROR_CORRUPT, "there are 26 letters");
    for (size_t i = 0; i < space.size; i++)
        space.data[i] = (uint8_t)('a' + offset + i);
    return true;
}

static const char *gathered(const struct fragment64 *list, size_t count, size_t limit)
{
    static char text[32];
    static const struct value_source source = { read_letters, NULL };
    struct buffer fragments = buffer_up_to(1 << 10);
    struct buffer bytes = buffer_up_to(limit);
    struct error err;
    buffer_append(&fragments, slice_of(list, count * sizeof(*list)));
    bool ok = fragments_gather(&fragments, &source, &bytes, &err);
    snprintf(text, sizeof(text), "%s", ok ? buffer_text(&bytes) : error_name(err.code));
    buffer_release(&fragments);
    buffer_release(&bytes);
    return text;
}

TEST(fragments_are_gathered_in_order_those_without_a_byte_too)
{
    static const struct fragment64 list[] = { { 0, 0 }, { 3, 2 }, { 9, 0 }, { 1, 3 }, { 2, 0 } };
    CHECK_TEXT(gathered(list, 5, 10), "debcd");
    CHECK_TEXT(gathered(list, 1, 10), "");
    CHECK_TEXT(gathered(list, 5, 4), "limit");
}

TEST(a_fragment_that_cannot_be_read_fails_the_frame)
{
    static const struct fragment64 list[] = { { 0, 2 }, { 25, 2 } };
    static const struct fragment64 huge[] = { { 0, UINT64_MAX } };
    CHECK_TEXT(gathered(list, 2, 10), "corrupt");
    CHECK_TEXT(gathered(huge, 1, 10), "limit");
}
