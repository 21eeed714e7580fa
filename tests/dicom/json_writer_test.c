/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "dicom/json.h"
#include "tests/test.h"

/* Data sets one after another through one writer; each must come out as it does by itself. */
static struct json_writer *writer;
static const struct transfer_syntax *syntax;
static struct buffer bytes;
static struct elision gap; /* size 0: all values are there */

static const struct json_options all = { .bulk_data_prefix = "/bulk/" };
static const struct json_options others = { .bulk_data_prefix = "/others/" };

static void begin_with(const char *uid)
{
    writer = json_writer_new();
    syntax = transfer_syntax_find(slice_text(uid));
    bytes = buffer_up_to(4 << 20);
    gap = (struct elision){ 0, 0 };
}

static void begin(void)
{
    begin_with(UID_EXPLICIT_LITTLE_ENDIAN);
}

static void end(void)
{
    json_writer_free(writer);
    buffer_release(&bytes);
}

static void put_header(uint32_t tag, const char *vr, uint32_t size)
{
    buffer_append_u16le(&bytes, (uint16_t)(tag >> 16));
    buffer_append_u16le(&bytes, (uint16_t)tag);
    if (!vr || !syntax->explicit_vr) {
        buffer_append_u32le(&bytes, size);
        return;
    }
    buffer_append_text(&bytes, vr);
    if (vr_has_long_form(VR(vr[0], vr[1]))) {
        buffer_append_u16le(&bytes, 0);
        buffer_append_u32le(&bytes, size);
    } else {
        buffer_append_u16le(&bytes, (uint16_t)size);
    }
}

static void put_bytes(uint32_t tag, const char *vr, const void *data, size_t size)
{
    put_header(tag, vr, (uint32_t)size);
    buffer_append(&bytes, slice_of(data, size));
}

static void put(uint32_t tag, const char *vr, const char *text)
{
    put_bytes(tag, vr, text, strlen(text));
}

/* What the writer makes of the data set that was put, which is over then. */
static const char *written(const struct json_options *options)
{
    static struct buffer alone, alike;
    struct dataset *dataset = NULL;
    struct error err = { 0 };
    buffer_release(&alone);
    buffer_release(&alike);
    alone = alike = buffer_up_to(16 << 20);
    CHECK_OK(dataset_open(buffer_slice(&bytes), syntax, &gap, gap.size != 0, &dataset, &err), err);
    /* Behind another, as in an array. */
    buffer_append_text(&alike, "[{},");
    json_writer_put(writer, dataset, options, &alike);
    json_write_dataset(dataset, options, &alone);
    CHECK_TEXT(buffer_text(&alike) + 4, buffer_text(&alone));
    dataset_close(dataset);
    buffer_clear(&bytes);
    return buffer_text(&alike) + 4;
}

TEST(a_data_set_like_the_one_before_is_written_the_same)
{
    begin();
    for (int i = 0; i < 3; i++) {
        put(0x00080060, "CS", "CT");
        put(0x00100010, "PN", "A^B=C");
        put(0x00180050, "DS", "1.50");
        CHECK_TEXT(written(&all),
                   "{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]},\"00100010\":{\"vr\":\"PN\","
                   "\"Value\":[{\"Alphabetic\":\"A^B\",\"Ideographic\":\"C\"}]},\"00180050\":"
                   "{\"vr\":\"DS\",\"Value\":[1.50]}}");
    }
    end();
}

TEST(what_changes_from_one_data_set_to_the_next_is_written_anew)
{
    /* Attributes by a letter each: another letter is another value, a dot leaves it out. */
    static const char *const sets[] = {
        "aaaaaa", "abaaaa", "abaaab", "bbaaab", "b.aaab", "baaaab",
        "......", "aaaaaa", ".....b", "aa.aa.", "aabaab", "aabaab"
    };
    begin();
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        for (uint32_t at = 0; at < 6; at++)
            if (sets[i][at] == 'a')
                put(0x00180010 + at * 16, "LO", at % 2 ? "value" : "one\\two ");
            else if (sets[i][at] == 'b')
                put(0x00180010 + at * 16, "LO", at % 2 ? "valve" : "a longer one");
        written(&all);
    }
    end();
}

TEST(a_byte_anywhere_in_an_attribute_makes_it_another)
{
    begin();
    for (size_t i = 0; i < 48; i++) {
        char text[25] = "aaaaaaaaaaaaaaaaaaaaaaaa";
        text[i / 2] = i % 2 ? 'b' : 'a';
        put(0x00080060, "CS", "CT");
        put(0x00100020, "LO", text);
        put(0x00180050, "DS", "1");
        CHECK(strstr(written(&all), text));
    }
    end();
}

TEST(an_attribute_of_the_same_bytes_but_of_another_tag_is_no_repetition)
{
    begin();
    for (uint32_t i = 0; i < 4; i++) {
        put(0x00080060, "CS", "CT");
        put(0x00180010 + (i & 2), "LO", "same");
        put(0x00180020 + (i & 1), "LO", "same");
        written(&all);
    }
    end();
}

static void put_sequence(const void *icon, size_t size)
{
    put_header(0x00081140, "SQ", LENGTH_UNDEFINED);
    for (int item = 0; item < 2; item++) {
        put_header(TAG_ITEM, NULL, LENGTH_UNDEFINED);
        put(0x00081155, "UI", "1.2.3\0");
        put_bytes(0x00091010, "OB", icon, size);
        put_header(TAG_ITEM_DELIMITER, NULL, 0);
    }
    put_header(TAG_SEQUENCE_DELIMITER, NULL, 0);
}

TEST(bulk_data_is_referred_to_where_its_own_instance_is)
{
    static const uint8_t large[2048] = { 1 };
    begin();
    for (int i = 0; i < 3; i++) {
        put_sequence(large, sizeof(large));
        put_bytes(0x00091010, "OB", large, sizeof(large));
        put(0x00100020, "LO", "1");
        put_bytes(TAG_PIXEL_DATA, "OW", large, 4);
        const char *json = written(i == 1 ? &others : &all);
        CHECK(strstr(json, i == 1 ? "\"/others/00081140.1.00091010\"" : "\"/bulk/00081140.1."));
        CHECK(strstr(json, i == 1 ? "\"/others/00091010\"" : "\"/bulk/00091010\""));
        CHECK(strstr(json, i == 1 ? "\"/others/7FE00010\"" : "\"/bulk/7FE00010\""));
    }
    end();
}

TEST(bulk_data_is_left_out_where_there_is_no_place_for_it)
{
    static const uint8_t large[2048] = { 1 };
    const struct json_options none = { .bulk_data_prefix = NULL };
    begin();
    for (int i = 0; i < 5; i++) {
        put(0x00080060, "CS", "CT");
        put_bytes(0x00091010, "OB", large, sizeof(large));
        put_bytes(0x00091011, "OB", large, sizeof(large));
        put(0x00100010, "PN", "A");
        put(0x00100020, "LO", "1");
        CHECK((strstr(written(i % 2 ? &none : &all), "BulkDataURI") != NULL) == (i % 2 == 0));
    }
    end();
}

TEST(another_limit_of_what_stands_inline_is_kept_to)
{
    static const uint8_t value[64] = { 1 };
    begin();
    for (size_t i = 0; i < 4; i++) {
        const struct json_options options = { .bulk_data_prefix = "/bulk/",
                                              .inline_binary_limit = i % 2 ? 63 : 64 };
        put_sequence(value, sizeof(value));
        put_bytes(0x00091010, "OB", value, sizeof(value));
        CHECK((strstr(written(&options), "InlineBinary") != NULL) == (i % 2 == 0));
    }
    end();
}

TEST(the_same_bytes_in_another_character_set_are_other_text)
{
    static const char *const sets[] = { "ISO_IR 100", "ISO_IR 144", "ISO_IR 144", "ISO_IR 100" };
    begin();
    for (size_t i = 0; i < 4; i++) {
        put(0x00080005, "CS", sets[i]);
        put(0x00100010, "PN", "\xC4\xD6");
        CHECK((strstr(written(&all), "\xC3\x84\xC3\x96") != NULL) == (i % 3 == 0));
    }
    end();
}

TEST(a_character_set_is_said_only_of_the_data_sets_that_need_one)
{
    static const bool beyond_ascii[] = { true, true, false, false, true, false, true };
    begin();
    for (size_t i = 0; i < sizeof(beyond_ascii); i++) {
        put(0x00080060, "CS", "CT");
        if (beyond_ascii[i])
            put(0x00100010, "PN", "\xC3\x84");
        put(0x00100020, "LO", "1");
        put(0x00180050, "DS", "1");
        CHECK((strstr(written(&all), "00080005") != NULL) == beyond_ascii[i]);
    }
    end();
}

TEST(whether_pixels_have_a_sign_tells_the_vr_in_implicit_encoding)
{
    begin_with(UID_IMPLICIT_LITTLE_ENDIAN);
    for (uint8_t i = 0; i < 4; i++) {
        const uint8_t representation[2] = { i % 2, 0 }, smallest[2] = { 0xFF, 0xFF };
        put_bytes(TAG_PIXEL_REPRESENTATION, "US", representation, 2);
        put_bytes(0x00280106, "US", smallest, 2);
        CHECK(strstr(written(&all), i % 2 ? "\"SS\",\"Value\":[-1]" : "\"US\",\"Value\":[65535]"));
    }
    end();
}

TEST(the_same_bytes_in_another_transfer_syntax_are_another_attribute)
{
    begin();
    for (int i = 0; i < 4; i++) {
        syntax = transfer_syntax_find(
            slice_text(i % 2 ? UID_IMPLICIT_LITTLE_ENDIAN : UID_EXPLICIT_LITTLE_ENDIAN));
        /* LO of four bytes, or of 0x00044F4C */
        buffer_append(&bytes, slice_of("\x10\x00\x20\x00LO\x04\x00", 8));
        for (int byte = 0; byte < (i % 2 ? 0x00044F4C : 4); byte++)
            buffer_append_byte(&bytes, 'x');
        written(&all);
    }
    end();
}

TEST(attributes_out_of_order_are_put_in_order_each_time)
{
    begin();
    for (int i = 0; i < 6; i++) {
        put(0x00100020, "LO", "1");
        put(0x00100010, "PN", "A");
        if (i % 3)
            put(0x00100020, "LO", "2");
        written(&all);
        put(0x00100010, "PN", "A");
        put(0x00100020, "LO", "1");
        written(&all);
    }
    end();
}

TEST(group_lengths_between_are_left_out)
{
    begin();
    for (uint8_t i = 0; i < 4; i++) {
        const uint8_t length[4] = { i / 2 };
        put_bytes(0x00080000, "UL", length, 4);
        put(0x00080060, "CS", "CT");
        put_bytes(0x00100000, "UL", length, 4);
        put(0x00100020, "LO", "1");
        CHECK_TEXT(written(&all), "{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]},\"00100020\":"
                                  "{\"vr\":\"LO\",\"Value\":[\"1\"]}}");
    }
    end();
}

TEST(what_stands_before_and_behind_a_value_that_is_not_here_is_written)
{
    begin();
    for (int i = 0; i < 6; i++) {
        put(0x00080060, "CS", "CT");
        put(0x00100020, "LO", i < 3 ? "1" : "22");
        put_header(TAG_PIXEL_DATA, "OW", 1000);
        gap = (struct elision){ i % 2 ? 0 : bytes.size, i % 2 ? 0 : 1000 };
        if (!gap.size)
            buffer_append(&bytes, slice_of((uint8_t[1000]){ 1 }, 1000));
        put(0xFFFCFFFC, "LO", gap.size ? "beyond" : "behind");
        CHECK(strstr(written(&all), i % 2 ? "[\"behind\"]}}" : "[\"beyond\"]}}"));
    }
    end();
}

TEST(data_sets_of_many_attributes_and_of_many_bytes_are_written)
{
    static uint8_t text[300 << 10];
    memset(text, 'x', sizeof(text));
    begin();
    for (int i = 0; i < 3; i++) {
        for (uint32_t at = 0; at < 5000; at++)
            put(0x00091000 + at, "LO", at % 1000 ? "ab" : i ? "cd" : "efgh");
        written(&all);
        put(0x00080060, "CS", "CT");
        put_bytes(0x00204000, "UT", text, sizeof(text));
        written(&all);
        put(0x00080060, "CS", "CT");
        written(&all);
    }
    end();
}

static void put_two(const char *accession_number)
{
    if (*accession_number)
        put(0x00080050, "SH", accession_number);
    put(0x00080060, "CS", "CT");
    put(0x00100020, "LO", "1");
}

TEST(a_writer_whose_output_was_full_writes_the_next_data_set_whole)
{
    struct dataset *dataset = NULL;
    struct error err = { 0 };
    begin();
    put_two("1");
    size_t whole = strlen(written(&all));
    for (size_t limit = 0; limit < whole; limit++) {
        struct buffer full = buffer_up_to(limit);
        put_two("");
        written(&all);
        put_two("2");
        CHECK_OK(dataset_open(buffer_slice(&bytes), syntax, NULL, 0, &dataset, &err), err);
        json_writer_put(writer, dataset, &all, &full);
        CHECK(full.overflowed);
        dataset_close(dataset);
        buffer_release(&full);
        buffer_clear(&bytes);
        put_two("2");
        written(&all);
    }
    end();
}

TEST(the_tags_that_are_asked_for_are_written_alone)
{
    static const uint32_t tags[] = { 0x00100020 };
    const struct json_options some = { .tags = tags, .tag_count = 1 };
    begin();
    for (int i = 0; i < 4; i++) {
        put(0x00080060, "CS", "CT");
        put(0x00100020, "LO", "1");
        CHECK((strstr(written(i % 2 ? &some : &all), "00080060") != NULL) == (i % 2 == 0));
    }
    end();
}
