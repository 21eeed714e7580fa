/* SPDX-License-Identifier: MIT */
#include "dicom/json.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "tests/test.h"

/* A data set written by hand in any of the three native encodings. */
struct bytes {
    struct buffer out;
    bool implicit;
    bool big_endian;
};

static struct bytes explicit_bytes(void)
{
    return (struct bytes){ .out = buffer_up_to(1 << 20) };
}

static void put_16(struct bytes *bytes, uint16_t value)
{
    if (bytes->big_endian)
        buffer_append_u16be(&bytes->out, value);
    else
        buffer_append_u16le(&bytes->out, value);
}

static void put_32(struct bytes *bytes, uint32_t value)
{
    if (bytes->big_endian)
        buffer_append_u32be(&bytes->out, value);
    else
        buffer_append_u32le(&bytes->out, value);
}

static void put_header(struct bytes *bytes, uint32_t tag, const char *vr, uint32_t size)
{
    put_16(bytes, (uint16_t)(tag >> 16));
    put_16(bytes, (uint16_t)tag);
    if (bytes->implicit || !vr) {
        put_32(bytes, size);
        return;
    }
    buffer_append(&bytes->out, slice_of(vr, 2));
    if (vr_has_long_form(VR(vr[0], vr[1]))) {
        put_16(bytes, 0);
        put_32(bytes, size);
    } else {
        put_16(bytes, (uint16_t)size);
    }
}

static void put_bytes(struct bytes *bytes, uint32_t tag, const char *vr, const void *data,
                      size_t size)
{
    put_header(bytes, tag, vr, (uint32_t)size);
    buffer_append(&bytes->out, slice_of(data, size));
}

static void put_text(struct bytes *bytes, uint32_t tag, const char *vr, const char *text)
{
    put_bytes(bytes, tag, vr, text, strlen(text));
}

#define BEGIN_SEQUENCE(bytes, tag) put_header(bytes, tag, "SQ", LENGTH_UNDEFINED)
#define BEGIN_ITEM(bytes)          put_header(bytes, TAG_ITEM, NULL, LENGTH_UNDEFINED)
#define END_ITEM(bytes)            put_header(bytes, TAG_ITEM_DELIMITER, NULL, 0)
#define END_SEQUENCE(bytes)        put_header(bytes, TAG_SEQUENCE_DELIMITER, NULL, 0)

static const struct json_options all = { .bulk_data_prefix = "/bulk/" };

static const char *write_with(struct bytes *bytes, const struct json_options *options,
                              const struct elision *elisions, size_t count)
{
    static struct buffer json;
    buffer_release(&json);
    json = buffer_up_to(1 << 24);
    const char *uid = bytes->implicit     ? UID_IMPLICIT_LITTLE_ENDIAN
                      : bytes->big_endian ? UID_EXPLICIT_BIG_ENDIAN
                                          : UID_EXPLICIT_LITTLE_ENDIAN;
    struct dataset *dataset = NULL;
    struct error err = { 0 };
    CHECK_OK(dataset_open(buffer_slice(&bytes->out), transfer_syntax_find(slice_text(uid)),
                          elisions, count, &dataset, &err),
             err);
    json_write_dataset(dataset, options, &json);
    dataset_close(dataset);
    buffer_release(&bytes->out);
    return buffer_text(&json);
}

static const char *write_all(struct bytes *bytes)
{
    return write_with(bytes, &all, NULL, 0);
}

static const char *write_one(const char *vr, const void *data, size_t size)
{
    struct bytes bytes = explicit_bytes();
    put_bytes(&bytes, 0x00091001, vr, data, size);
    const char *json = write_all(&bytes);
    CHECK(strncmp(json, "{\"00091001\":{\"vr\":\"", 19) == 0);
    return json + 19;
}

static const char *write_text(const char *vr, const char *text)
{
    return write_one(vr, text, strlen(text));
}

TEST(an_empty_data_set_is_an_empty_object)
{
    struct bytes bytes = explicit_bytes();
    CHECK_TEXT(write_all(&bytes), "{}");
}

TEST(text_becomes_an_array_of_strings)
{
    CHECK_TEXT(write_text("LO", "a"), "LO\",\"Value\":[\"a\"]}}");
    CHECK_TEXT(write_text("LO", " a \\b "), "LO\",\"Value\":[\"a\",\"b\"]}}");
    CHECK_TEXT(write_text("LT", " a\\b "), "LT\",\"Value\":[\" a\\\\b\"]}}");
    CHECK_TEXT(write_one("UI", "1.2\0", 4), "UI\",\"Value\":[\"1.2\"]}}");
}

TEST(an_empty_value_has_only_its_vr)
{
    static const char *const vrs[] = { "LO", "PN", "US", "FD", "OB", "UN", "SQ", "AT", "LT" };
    for (size_t i = 0; i < sizeof(vrs) / sizeof(vrs[0]); i++) {
        const char *json = write_text(vrs[i], "");
        CHECK(strncmp(json, vrs[i], 2) == 0);
        CHECK_TEXT(json + 2, "\"}}");
    }
    CHECK_TEXT(write_text("LO", "  "), "LO\"}}");
}

TEST(an_empty_member_of_several_values_is_null)
{
    CHECK_TEXT(write_text("LO", "a\\\\b"), "LO\",\"Value\":[\"a\",null,\"b\"]}}");
    CHECK_TEXT(write_text("LO", "\\"), "LO\",\"Value\":[null,null]}}");
    CHECK_TEXT(write_text("IS", "1\\ \\3"), "IS\",\"Value\":[1,null,3]}}");
    CHECK_TEXT(write_text("PN", "A\\\\B"),
               "PN\",\"Value\":[{\"Alphabetic\":\"A\"},null,{\"Alphabetic\":\"B\"}]}}");
}

TEST(names_are_objects_of_their_groups)
{
    struct bytes bytes = explicit_bytes();
    put_text(&bytes, 0x00080005, "CS", "\\ISO 2022 IR 87");
    put_text(
        &bytes, 0x00100010, "PN",
        "Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B=\x1B$B$d$^$@\x1B(B^\x1B$B$?$m$&\x1B(B");
    CHECK_TEXT(write_all(&bytes),
               "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},"
               "\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Yamada^Tarou\","
               "\"Ideographic\":\"山田^太郎\",\"Phonetic\":\"やまだ^たろう\"}]}}");
    CHECK_TEXT(write_text("PN", "=B"), "PN\",\"Value\":[{\"Ideographic\":\"B\"}]}}");
    CHECK_TEXT(write_text("PN", "A==C=D"),
               "PN\",\"Value\":[{\"Alphabetic\":\"A\",\"Phonetic\":\"C=D\"}]}}");
    CHECK_TEXT(write_text("PN", "=="), "PN\",\"Value\":[null]}}");
}

TEST(an_item_has_the_character_set_that_it_states)
{
    struct bytes bytes = explicit_bytes();
    put_text(&bytes, 0x00080005, "CS", "ISO_IR 100");
    BEGIN_SEQUENCE(&bytes, 0x00101002);
    BEGIN_ITEM(&bytes);
    put_text(&bytes, 0x00080005, "CS", "ISO_IR 144");
    put_text(&bytes, 0x00100020, "LO", "\xBB\xEE\xDA ");
    END_ITEM(&bytes);
    BEGIN_ITEM(&bytes);
    put_text(&bytes, 0x00100020, "LO", "\xE9 ");
    END_ITEM(&bytes);
    END_SEQUENCE(&bytes);
    CHECK_TEXT(write_all(&bytes), "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},"
                                  "\"00101002\":{\"vr\":\"SQ\",\"Value\":["
                                  "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},"
                                  "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"Люк\"]}},"
                                  "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"é\"]}}]}}");
}

TEST(text_beyond_ascii_without_a_stated_set_gets_the_statement)
{
    struct bytes bytes = explicit_bytes();
    put_text(&bytes, 0x00080060, "CS", "CT");
    put_text(&bytes, 0x00100010, "PN", "M\xFCller");
    CHECK_TEXT(write_all(&bytes),
               "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},"
               "\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]},"
               "\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Müller\"}]}}");
}

TEST(group_lengths_and_file_meta_are_left_out)
{
    struct bytes bytes = explicit_bytes();
    put_bytes(&bytes, 0x00020000, "UL", "\0\0\0\0", 4);
    put_text(&bytes, 0x00020010, "UI", "1.2.3");
    put_bytes(&bytes, 0x00080000, "UL", "\0\0\0\0", 4);
    BEGIN_SEQUENCE(&bytes, 0x00081140);
    BEGIN_ITEM(&bytes);
    put_bytes(&bytes, 0x00080000, "UL", "\0\0\0\0", 4);
    END_ITEM(&bytes);
    END_SEQUENCE(&bytes);
    CHECK_TEXT(write_all(&bytes), "{\"00081140\":{\"vr\":\"SQ\",\"Value\":[{}]}}");
}

TEST(sequences_are_arrays_of_objects)
{
    struct bytes bytes = explicit_bytes();
    BEGIN_SEQUENCE(&bytes, 0x00081140);
    BEGIN_ITEM(&bytes);
    BEGIN_SEQUENCE(&bytes, 0x00081199);
    END_SEQUENCE(&bytes);
    put_text(&bytes, 0x00100020, "LO", "x");
    END_ITEM(&bytes);
    BEGIN_ITEM(&bytes);
    END_ITEM(&bytes);
    END_SEQUENCE(&bytes);
    put_text(&bytes, 0x00100020, "LO", "y");
    CHECK_TEXT(write_all(&bytes),
               "{\"00081140\":{\"vr\":\"SQ\",\"Value\":[{\"00081199\":{\"vr\":\"SQ\"},"
               "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"x\"]}},{}]},"
               "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"y\"]}}");
}

TEST(sequences_nest_to_the_limit)
{
    struct bytes bytes = explicit_bytes();
    for (int i = 0; i < DATASET_MAX_DEPTH; i++) {
        BEGIN_SEQUENCE(&bytes, 0x00081140);
        BEGIN_ITEM(&bytes);
    }
    put_text(&bytes, 0x00100020, "LO", "deep");
    for (int i = 0; i < DATASET_MAX_DEPTH; i++) {
        END_ITEM(&bytes);
        END_SEQUENCE(&bytes);
    }
    const char *json = write_all(&bytes);
    CHECK(strstr(json, "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"deep\"]}}]}}]}}") != NULL);
    int depth = 0, deepest = 0;
    for (; *json; json++) {
        depth += (*json == '[') - (*json == ']');
        deepest = depth > deepest ? depth : deepest;
    }
    CHECK_INT(depth, 0);
    CHECK_INT(deepest, DATASET_MAX_DEPTH + 1);
}

TEST(keys_ascend_and_are_unique_whatever_the_order_of_the_bytes)
{
    struct bytes bytes = explicit_bytes();
    put_text(&bytes, 0x00100020, "LO", "second");
    put_text(&bytes, 0x00080060, "CS", "CT");
    BEGIN_SEQUENCE(&bytes, 0x00081140);
    BEGIN_ITEM(&bytes);
    put_text(&bytes, 0x00100030, "DA", "20000101");
    put_text(&bytes, 0x00100020, "LO", "b");
    put_text(&bytes, 0x00100020, "LO", "other");
    END_ITEM(&bytes);
    END_SEQUENCE(&bytes);
    put_text(&bytes, 0x00080060, "CS", "MR");
    CHECK_TEXT(write_all(&bytes), "{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]},"
                                  "\"00081140\":{\"vr\":\"SQ\",\"Value\":[{"
                                  "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"b\"]},"
                                  "\"00100030\":{\"vr\":\"DA\",\"Value\":[\"20000101\"]}}]},"
                                  "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"second\"]}}");
}

TEST(integers_in_text_are_numbers_when_they_are_ones)
{
    CHECK_TEXT(write_text("IS", "7\\007\\+7\\-7\\0\\-0"), "IS\",\"Value\":[7,7,7,-7,0,-0]}}");
    CHECK_TEXT(write_text("IS", "1.0\\1e3\\x\\--1\\-\\+\\1 2"),
               "IS\",\"Value\":[\"1.0\",\"1e3\",\"x\",\"--1\",\"-\",\"+\",\"1 2\"]}}");
    CHECK_TEXT(write_text("IS", "1234567890123456"), "IS\",\"Value\":[\"1234567890123456\"]}}");
}

TEST(decimals_in_text_keep_their_digits)
{
    CHECK_TEXT(write_text("DS", "1.50\\ +0.25\\.5\\5.\\-.5\\00.10\\1E3\\1.5e-10\\1.5e+2"),
               "DS\",\"Value\":[1.50,0.25,0.5,5,-0.5,0.10,1e+3,1.5e-10,1.5e+2]}}");
    CHECK_TEXT(write_text("DS", "1e400\\nan\\.\\1e\\1,5\\0x10\\123456789012345678"),
               "DS\",\"Value\":[\"1e400\",\"nan\",\".\",\"1e\",\"1,5\",\"0x10\","
               "\"123456789012345678\"]}}");
}

TEST(binary_integers_are_numbers_within_what_json_readers_hold)
{
    CHECK_TEXT(write_one("US", "\x01\x00\xFF\xFF", 4), "US\",\"Value\":[1,65535]}}");
    CHECK_TEXT(write_one("SS", "\xFF\xFF", 2), "SS\",\"Value\":[-1]}}");
    CHECK_TEXT(write_one("UL", "\xFF\xFF\xFF\xFF", 4), "UL\",\"Value\":[4294967295]}}");
    CHECK_TEXT(write_one("SL", "\0\0\0\x80", 4), "SL\",\"Value\":[-2147483648]}}");
    CHECK_TEXT(write_one("SV", "\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\0\x80", 16),
               "SV\",\"Value\":[9007199254740992,\"-9223372036854775808\"]}}");
    CHECK_TEXT(write_one("UV", "\1\0\0\0\0\0\x20\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 16),
               "UV\",\"Value\":[\"9007199254740993\",\"18446744073709551615\"]}}");
    CHECK_TEXT(write_one("AT", "\x10\x00\x20\x00\x0C\x30\xAB\xCD", 8),
               "AT\",\"Value\":[\"00100020\",\"300CCDAB\"]}}");
}

static const char *write_doubles(const double *numbers, size_t count)
{
    uint8_t bytes[64];
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &numbers[i], sizeof(bits));
        put_u64le(bytes + 8 * i, bits);
    }
    return write_one("FD", bytes, 8 * count);
}

TEST(floats_have_the_fewest_digits_that_read_back)
{
    CHECK_TEXT(write_doubles((double[]){ 0.1, 1, -2.5, 1e300, 1.0 / 3, -0.0, 5e-324 }, 7),
               "FD\",\"Value\":[0.1,1,-2.5,1e+300,0.3333333333333333,-0,4.94065645841247e-324]}}");
    CHECK_TEXT(write_one("FL", "\xCD\xCC\xCC\x3D\xDB\x0F\x49\x40", 8),
               "FL\",\"Value\":[0.1,3.1415927]}}");
}

TEST(what_json_has_no_number_for_is_a_string)
{
    CHECK_TEXT(write_doubles((double[]){ 0.0 / 0.0, 1.0 / 0.0, -1.0 / 0.0 }, 3),
               "FD\",\"Value\":[\"NaN\",\"Infinity\",\"-Infinity\"]}}");
    CHECK_TEXT(write_one("FL", "\0\0\xC0\x7F\0\0\x80\x7F", 8),
               "FL\",\"Value\":[\"NaN\",\"Infinity\"]}}");
}

TEST(binary_values_are_one_base64_string)
{
    CHECK_TEXT(write_one("OB", "\0", 1), "OB\",\"InlineBinary\":\"AA==\"}}");
    CHECK_TEXT(write_one("OB", "\0\1", 2), "OB\",\"InlineBinary\":\"AAE=\"}}");
    CHECK_TEXT(write_one("UN", "\xFB\xFF\xFE", 3), "UN\",\"InlineBinary\":\"+//+\"}}");
    CHECK_TEXT(write_one("OW", "\1\2\3\4", 4), "OW\",\"InlineBinary\":\"AQIDBA==\"}}");
}

TEST(big_endian_values_are_turned)
{
    struct bytes bytes = explicit_bytes();
    bytes.big_endian = true;
    put_bytes(&bytes, 0x00091001, "US", "\x01\x02", 2);
    put_bytes(&bytes, 0x00091002, "OW", "\2\1\4\3", 4);
    put_bytes(&bytes, 0x00091003, "OB", "\1\2\3\4", 4);
    put_bytes(&bytes, 0x00091004, "OD", "\x8\7\6\5\4\3\2\1", 8);
    put_bytes(&bytes, 0x00091005, "AT", "\0\x10\0\x20", 4);
    put_bytes(&bytes, 0x00091006, "FL", "\x3D\xCC\xCC\xCD", 4);
    CHECK_TEXT(write_all(&bytes), "{\"00091001\":{\"vr\":\"US\",\"Value\":[258]},"
                                  "\"00091002\":{\"vr\":\"OW\",\"InlineBinary\":\"AQIDBA==\"},"
                                  "\"00091003\":{\"vr\":\"OB\",\"InlineBinary\":\"AQIDBA==\"},"
                                  "\"00091004\":{\"vr\":\"OD\",\"InlineBinary\":\"AQIDBAUGBwg=\"},"
                                  "\"00091005\":{\"vr\":\"AT\",\"Value\":[\"00100020\"]},"
                                  "\"00091006\":{\"vr\":\"FL\",\"Value\":[0.1]}}");
}

TEST(long_big_endian_values_are_turned_unit_by_unit)
{
    char words[1002], turned[1002];
    for (int i = 0; i < 1002; i++)
        words[i] = turned[i ^ 1] = (char)(i * 7);
    struct bytes bytes = explicit_bytes();
    put_bytes(&bytes, 0x00091002, "OW", words, sizeof(words));
    char *little = strdup(write_all(&bytes));
    bytes = explicit_bytes();
    bytes.big_endian = true;
    put_bytes(&bytes, 0x00091002, "OW", turned, sizeof(turned));
    CHECK_TEXT(write_all(&bytes), little);
    free(little);
}

TEST(implicit_and_unknown_vrs_are_shown_as_the_dictionary_has_them)
{
    struct bytes bytes = explicit_bytes();
    bytes.implicit = true;
    put_text(&bytes, 0x00100020, NULL, "id");
    put_bytes(&bytes, 0x00280010, NULL, "\x00\x02", 2);
    CHECK_TEXT(write_all(&bytes), "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"id\"]},"
                                  "\"00280010\":{\"vr\":\"US\",\"Value\":[512]}}");
    bytes = explicit_bytes();
    put_text(&bytes, 0x00100020, "UN", "id");
    put_bytes(&bytes, 0x00280010, "UN", "\x00\x02\x01", 3);
    put_text(&bytes, 0x00291010, "UN", "id");
    CHECK_TEXT(write_all(&bytes), "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"id\"]},"
                                  "\"00280010\":{\"vr\":\"UN\",\"InlineBinary\":\"AAIB\"},"
                                  "\"00291010\":{\"vr\":\"UN\",\"InlineBinary\":\"aWQ=\"}}");
}

TEST(what_is_large_or_left_out_has_a_uri_of_its_path)
{
    struct bytes bytes = explicit_bytes();
    char large[2048] = { 0 };
    BEGIN_SEQUENCE(&bytes, 0x54000100);
    BEGIN_ITEM(&bytes);
    END_ITEM(&bytes);
    BEGIN_ITEM(&bytes);
    put_bytes(&bytes, 0x54001010, "OW", large, sizeof(large));
    END_ITEM(&bytes);
    END_SEQUENCE(&bytes);
    put_header(&bytes, TAG_PIXEL_DATA, "OW", 100000);
    struct elision elision = { bytes.out.size, 100000 };
    CHECK_TEXT(write_with(&bytes, &all, &elision, 1),
               "{\"54000100\":{\"vr\":\"SQ\",\"Value\":[{},{\"54001010\":{\"vr\":\"OW\","
               "\"BulkDataURI\":\"/bulk/54000100.1.54001010\"}}]},"
               "\"7FE00010\":{\"vr\":\"OW\",\"BulkDataURI\":\"/bulk/7FE00010\"}}");
}

TEST(the_inline_limit_is_the_callers)
{
    const struct json_options options = { .bulk_data_prefix = "\"", .inline_binary_limit = 3 };
    struct bytes bytes = explicit_bytes();
    put_bytes(&bytes, 0x00091001, "OB", "123", 3);
    put_bytes(&bytes, 0x00091002, "OB", "1234", 4);
    CHECK_TEXT(write_with(&bytes, &options, NULL, 0),
               "{\"00091001\":{\"vr\":\"OB\",\"InlineBinary\":\"MTIz\"},"
               "\"00091002\":{\"vr\":\"OB\",\"BulkDataURI\":\"\\\"00091002\"}}");
}

TEST(without_a_prefix_bulk_data_is_left_out)
{
    const struct json_options options = { .bulk_data_prefix = NULL };
    char large[2048] = { 0 };
    struct bytes bytes = explicit_bytes();
    put_bytes(&bytes, 0x00091001, "OB", large, sizeof(large));
    put_bytes(&bytes, TAG_PIXEL_DATA, "OW", "\0\0", 2);
    CHECK_TEXT(write_with(&bytes, &options, NULL, 0), "{}");
}

TEST(only_the_wanted_tags_are_written)
{
    static const uint32_t tags[] = { 0x00080060, 0x00081140, 0x00100010, 0x00100030 };
    const struct json_options options = { .tags = tags, .tag_count = 4 };
    struct bytes bytes = explicit_bytes();
    put_text(&bytes, 0x00080005, "CS", "ISO_IR 100");
    put_text(&bytes, 0x00080060, "CS", "CT");
    BEGIN_SEQUENCE(&bytes, 0x00081140);
    BEGIN_ITEM(&bytes);
    put_text(&bytes, 0x00100020, "LO", "in");
    END_ITEM(&bytes);
    END_SEQUENCE(&bytes);
    BEGIN_SEQUENCE(&bytes, 0x00081199);
    BEGIN_ITEM(&bytes);
    END_ITEM(&bytes);
    END_SEQUENCE(&bytes);
    put_text(&bytes, 0x00100010, "PN", "\xC4");
    CHECK_TEXT(write_with(&bytes, &options, NULL, 0),
               "{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]},"
               "\"00081140\":{\"vr\":\"SQ\",\"Value\":[{\"00100020\":{\"vr\":\"LO\","
               "\"Value\":[\"in\"]}}]},"
               "\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Ä\"}]}}");
}

TEST(control_characters_and_quotes_are_escaped)
{
    CHECK_TEXT(write_text("LT", "\"a\\b\"\r\n\t\f\b\x01"),
               "LT\",\"Value\":[\"\\\"a\\\\b\\\"\\r\\n\\t\\f\\b\\u0001\"]}}");
}

TEST(strings_are_valid_utf8_whatever_the_bytes)
{
    struct buffer json = buffer_up_to(1000);
    json_write_string(slice_text("a\xFFü\xE7\x8E\"\xED\xA0\x80"), &json);
    CHECK_TEXT(buffer_text(&json),
               "\"a\xEF\xBF\xBDü\xEF\xBF\xBD\\\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    buffer_release(&json);
}

TEST(bytes_that_break_off_in_a_sequence_leave_a_closed_document)
{
    struct bytes bytes = explicit_bytes();
    put_header(&bytes, 0x00081140, "SQ", 8 + 12);
    put_header(&bytes, TAG_ITEM, NULL, 12);
    put_text(&bytes, 0x00100020, "LO", "a");
    buffer_append(&bytes.out, slice_of("\x10\0\x30", 3));
    CHECK_TEXT(write_all(&bytes), "{\"00081140\":{\"vr\":\"SQ\",\"Value\":[{"
                                  "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"a\"]}}]}}");
}

TEST(a_document_beyond_its_limit_is_told)
{
    struct bytes bytes = explicit_bytes();
    for (uint32_t i = 0; i < 100; i++)
        put_text(&bytes, 0x00091000 + i, "LO", "value");
    struct dataset *dataset = NULL;
    struct error err = { 0 };
    CHECK_OK(dataset_open(buffer_slice(&bytes.out),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &dataset, &err),
             err);
    struct buffer json = buffer_up_to(500);
    json_write_dataset(dataset, &all, &json);
    CHECK(json.overflowed && json.size <= 500);
    CHECK(!buffer_check(&json, "metadata", &err) && err.code == ERROR_LIMIT);
    buffer_release(&json);
    dataset_close(dataset);
    buffer_release(&bytes.out);
}
