/* SPDX-License-Identifier: MIT */
#include "dicom/model_reader.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "dicom/encode.h"
#include "dicom/json.h"
#include "dicom/scan.h"
#include "dicom/xml.h"
#include "tests/test.h"

#define UID "\"00080018\":{\"vr\":\"UI\",\"Value\":[\"1.2.3\"]}"

/* What became of a document. */
struct told {
    size_t count;
    size_t faults; /* data sets that are unreadable */
    char fault[256];
    char broken[256]; /* why the document is none */
    struct model_dataset last;
    struct buffer bytes; /* of the last data set, with "<uri>" for bulk data */
    size_t references;
};

static void put_spliced(struct told *told, const struct model_dataset *dataset)
{
    size_t at = 0;
    buffer_clear(&told->bytes);
    for (size_t i = 0; i < dataset->reference_count; i++) {
        const struct model_reference *reference = &dataset->references[i];
        CHECK(reference->offset >= at + 4 && reference->offset <= dataset->bytes.size);
        CHECK_INT((uint32_t)get_u16le(dataset->bytes.data + reference->offset - 4) << 16 |
                      get_u16le(dataset->bytes.data + reference->offset - 2),
                  reference->tag);
        buffer_append(&told->bytes, slice_of(dataset->bytes.data + at, reference->offset - at));
        buffer_append_byte(&told->bytes, (uint8_t)(reference->vr >> 8));
        buffer_append_byte(&told->bytes, (uint8_t)reference->vr);
        buffer_append_u16le(&told->bytes, 0);
        buffer_append_u32le(&told->bytes,
                            (uint32_t)(reference->uri.size + reference->uri.size % 2));
        buffer_append(&told->bytes, reference->uri);
        if (reference->uri.size % 2)
            buffer_append_byte(&told->bytes, 0);
        at = reference->offset;
    }
    buffer_append(&told->bytes, slice_skip(dataset->bytes, at));
}

static void take(struct told *told, const struct model_dataset *dataset)
{
    told->count++;
    told->last = *dataset;
    told->references = dataset->reference_count;
    if (dataset->error.code != ERROR_NONE) {
        told->faults++;
        memcpy(told->fault, dataset->error.message, sizeof(told->fault));
    } else {
        put_spliced(told, dataset);
    }
}

static struct told read_in_steps(enum model_document document, struct slice text, size_t step,
                                 const struct model_limits *limits)
{
    struct told told = { .bytes = buffer_up_to(1 << 26) };
    struct model_reader *reader = model_reader_new(document, limits);
    struct model_dataset dataset;
    struct error err = { 0 };
    enum model_event event;
    bool finished = false;
    while (model_reader_next(reader, &event, &dataset, &err) && event != MODEL_END) {
        if (event == MODEL_DATASET) {
            take(&told, &dataset);
        } else if (text.size) {
            model_reader_feed(reader, slice_take(text, step));
            text = slice_skip(text, step);
        } else {
            CHECK(!finished);
            finished = true;
            model_reader_finish(reader);
        }
    }
    memcpy(told.broken, err.message, sizeof(told.broken));
    model_reader_free(reader);
    return told;
}

static struct told read_json(const char *json)
{
    return read_in_steps(MODEL_JSON, slice_text(json), SIZE_MAX, NULL);
}

/* The attributes of one data set, without its braces. */
static struct told read_attributes(const char *attributes)
{
    char *json = mem_format("[{%s}]", attributes);
    struct told told = read_json(json);
    free(json);
    return told;
}

static struct dataset *open_bytes(const struct told *told)
{
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    struct scan *scan = scan_new(syntax, &scan_default_limits);
    struct dataset *dataset = NULL;
    struct error err = { 0 };
    CHECK_OK(scan_write(scan, buffer_slice(&told->bytes), &err) && scan_finish(scan, &err), err);
    scan_free(scan);
    CHECK_OK(dataset_open(buffer_slice(&told->bytes), syntax, NULL, 0, &dataset, &err), err);
    return dataset;
}

/* What is read, written again. */
static const char *rewrite(const struct told *told)
{
    static struct buffer json;
    const struct json_options options = { .bulk_data_prefix = "/b/",
                                          .inline_binary_limit = 1 << 20 };
    buffer_release(&json);
    json = buffer_up_to(1 << 26);
    struct dataset *dataset = open_bytes(told);
    json_write_dataset(dataset, &options, &json);
    dataset_close(dataset);
    return buffer_text(&json);
}

static void check_same(const char *attributes)
{
    struct told told = read_attributes(attributes);
    char *json = mem_format("{%s}", attributes);
    CHECK_TEXT(told.fault, "");
    CHECK_TEXT(told.broken, "");
    CHECK_TEXT(rewrite(&told), json);
    free(json);
    buffer_release(&told.bytes);
}

static void check_becomes(const char *attributes, const char *json)
{
    struct told told = read_attributes(attributes);
    CHECK_TEXT(told.fault, "");
    CHECK_TEXT(told.broken, "");
    CHECK_TEXT(rewrite(&told), json);
    buffer_release(&told.bytes);
}

static void check_faulty(const char *attributes)
{
    char *json = mem_format("[{%s},{%s}]", attributes, UID);
    struct told told = read_json(json);
    if (told.count != 2 || told.faults != 1 || told.broken[0])
        printf("%s\n", json);
    CHECK_INT(told.count, 2);
    CHECK_INT(told.faults, 1);
    CHECK_TEXT(told.broken, "");
    CHECK_TEXT(told.last.instance, "1.2.3");
    free(json);
    buffer_release(&told.bytes);
}

static void check_broken(enum model_document document, const char *text)
{
    struct told told = read_in_steps(document, slice_text(text), SIZE_MAX, NULL);
    if (!told.broken[0])
        printf("%s\n", text);
    CHECK(told.broken[0]);
    buffer_release(&told.bytes);
}

TEST(JSN_06_what_the_writer_writes_is_read_as_the_same)
{
    check_same(UID);
    check_same("\"00080008\":{\"vr\":\"CS\",\"Value\":[\"ORIGINAL\",null,\"AXIAL\"]},"
               "\"00081030\":{\"vr\":\"LO\"}");
    check_same(
        "\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},\"00100010\":{\"vr\":\"PN\","
        "\"Value\":[{\"Alphabetic\":\"Yamada^Tarou\",\"Ideographic\":\"\xE5\xB1\xB1^\xE5\xA4"
        "\xAA\"},null,{\"Phonetic\":\"x\"}]}");
    check_same("\"00281050\":{\"vr\":\"DS\",\"Value\":[1.50,-2,\"1.00000000000000000001\"]},"
               "\"00282000\":{\"vr\":\"OB\",\"InlineBinary\":\"AQIDBA==\"},"
               "\"00286010\":{\"vr\":\"US\",\"Value\":[65535]}");
    check_same("\"00081032\":{\"vr\":\"SQ\",\"Value\":[{},{\"00080100\":{\"vr\":\"SH\",\"Value\":["
               "\"a\"]},\"0040A730\":{\"vr\":\"SQ\",\"Value\":[{" UID "}]}}]},"
               "\"00081140\":{\"vr\":\"SQ\"}");
    check_same(
        "\"00090010\":{\"vr\":\"LO\",\"Value\":[\"ME\"]},\"00091001\":{\"vr\":\"UN\","
        "\"InlineBinary\":\"AAA=\"},\"00091002\":{\"vr\":\"UV\",\"Value\":["
        "\"18446744073709551615\",9007199254740992]},\"00091003\":{\"vr\":\"SV\",\"Value\":["
        "\"-9223372036854775808\"]},\"00091004\":{\"vr\":\"FD\",\"Value\":[\"NaN\","
        "\"-Infinity\",1e-300,0.1]},\"00091005\":{\"vr\":\"FL\",\"Value\":[\"Infinity\",0.1]}"
        ",\"00091006\":{\"vr\":\"AT\",\"Value\":[\"00181063\",\"7FE00010\"]},\"00091007\":{"
        "\"vr\":\"SS\",\"Value\":[-32768,32767]},\"00091008\":{\"vr\":\"LT\",\"Value\":["
        "\" a\\\\b\\r\\n\"]}");
}

TEST(JSN_02_numbers_are_read_from_numbers_and_from_text)
{
    check_becomes("\"00280010\":{\"vr\":\"US\",\"Value\":[\"512\"]}",
                  "{\"00280010\":{\"vr\":\"US\",\"Value\":[512]}}");
    check_becomes("\"00280010\":{\"vr\":\"US\",\"Value\":[5.12e2]}",
                  "{\"00280010\":{\"vr\":\"US\",\"Value\":[512]}}");
    check_becomes("\"00200013\":{\"vr\":\"IS\",\"Value\":[\"7\",8,-9.0]}",
                  "{\"00200013\":{\"vr\":\"IS\",\"Value\":[7,8,-9]}}");
    check_becomes("\"00281050\":{\"vr\":\"DS\",\"Value\":[0.12345678901234567]}",
                  "{\"00281050\":{\"vr\":\"DS\",\"Value\":[0.12345678901235]}}");
    check_becomes("\"00189087\":{\"vr\":\"FD\",\"Value\":[\"1.5\"]}",
                  "{\"00189087\":{\"vr\":\"FD\",\"Value\":[1.5]}}");
}

TEST(JSN_02_keys_in_any_order_and_of_any_case_come_out_ascending)
{
    check_becomes("\"7fe00009\":{\"BulkDataURI\":\"u\",\"vr\":\"OD\"},\"00280010\":{\"Value\":[1],"
                  "\"vr\":\"US\"},\"00081032\":{\"Value\":[{\"00080104\":{\"vr\":\"LO\"},"
                  "\"00080100\":{\"vr\":\"SH\"}}],\"vr\":\"SQ\"}," UID,
                  "{" UID ",\"00081032\":{\"vr\":\"SQ\",\"Value\":[{\"00080100\":{\"vr\":\"SH\"},"
                  "\"00080104\":{\"vr\":\"LO\"}}]},\"00280010\":{\"vr\":\"US\",\"Value\":[1]},"
                  "\"7FE00009\":{\"vr\":\"OD\",\"BulkDataURI\":\"/b/7FE00009\"}}");
}

TEST(STOW_12_bulk_data_is_told_of_by_its_place_wherever_it_stands)
{
    struct told told = read_attributes(
        "\"7FE00010\":{\"vr\":\"OW\",\"BulkDataURI\":\"pixels\"},"
        "\"00540016\":{\"vr\":\"SQ\",\"Value\":[{\"00420011\":{\"vr\":\"OB\",\"BulkDataURI\":"
        "\"second\"},\"00091001\":{\"vr\":\"UN\",\"BulkDataURI\":\"first\"}}]},"
        "\"00420011\":{\"vr\":\"OB\",\"BulkDataURI\":\"document\"}");
    CHECK_INT(told.references, 4);
    CHECK_TEXT(rewrite(&told),
               "{\"00420011\":{\"vr\":\"OB\",\"InlineBinary\":\"ZG9jdW1lbnQ=\"},\"00540016\":{"
               "\"vr\":\"SQ\",\"Value\":[{\"00091001\":{\"vr\":\"UN\",\"InlineBinary\":"
               "\"Zmlyc3QA\"},\"00420011\":{\"vr\":\"OB\",\"InlineBinary\":\"c2Vjb25k\"}}]},"
               "\"7FE00010\":{\"vr\":\"OW\",\"BulkDataURI\":\"/b/7FE00010\"}}");
    buffer_release(&told.bytes);
}

TEST(WEB_09_text_beyond_ascii_is_stated_to_be_utf8)
{
    check_becomes("\"00081030\":{\"vr\":\"LO\",\"Value\":[\"\\u00e4 \\ud83d\\ude00\"]}",
                  "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},\"00081030\":{\"vr\":"
                  "\"LO\",\"Value\":[\"\xC3\xA4 \xF0\x9F\x98\x80\"]}}");
    check_becomes("\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 100\"]}",
                  "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]}}");
}

TEST(JSN_01_groups_0_and_2_and_group_lengths_are_left_out)
{
    struct told told = read_attributes(
        "\"00020010\":{\"vr\":\"UI\",\"Value\":[\"1.2.840.10008.1.2.4.50\"]},"
        "\"00000002\":{\"vr\":\"UI\",\"BulkDataURI\":\"x\"},"
        "\"00080000\":{\"vr\":\"UL\",\"Value\":[1]}," UID);
    CHECK_TEXT(rewrite(&told), "{" UID "}");
    CHECK_TEXT(told.last.transfer_syntax, "1.2.840.10008.1.2.4.50");
    CHECK_INT(told.references, 0);
    buffer_release(&told.bytes);
}

TEST(STOW_14_what_is_no_attribute_is_the_fault_of_its_data_set_alone)
{
    check_faulty("\"Rows\":{\"vr\":\"US\",\"Value\":[1]}");
    check_faulty("\"0028001G\":{\"vr\":\"US\",\"Value\":[1]}");
    check_faulty("\"00280010\":{\"vr\":\"XX\",\"Value\":[1]}");
    check_faulty("\"00280010\":{\"vr\":\"LO\",\"Value\":[\"1\"]}");
    check_faulty("\"00280010\":{\"Value\":[1]}");
    check_faulty("\"00280010\":{\"vr\":\"US\",\"Value\":1}");
    check_faulty("\"00280010\":{\"vr\":7}");
    check_faulty("\"00280010\":7");
    check_faulty("\"00280010\":[7,{\"a\":[]}]");
    check_faulty("\"00280010\":{\"vr\":\"US\",\"Value\":[65536]}");
    check_faulty("\"00280010\":{\"vr\":\"US\",\"Value\":[-1]}");
    check_faulty("\"00280010\":{\"vr\":\"US\",\"Value\":[1.5]}");
    check_faulty("\"00280010\":{\"vr\":\"US\",\"Value\":[true]}");
    check_faulty("\"00280010\":{\"vr\":\"US\",\"Value\":[{\"00280010\":{\"vr\":\"US\"}}]}");
    check_faulty("\"00280010\":{\"vr\":\"US\",\"Value\":[1],\"InlineBinary\":\"AAA=\"}");
    check_faulty("\"00100010\":{\"vr\":\"PN\",\"Value\":[7]}");
    check_faulty("\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Family\":\"x\"}]}");
    check_faulty("\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"x\",\"Other\":"
                 "\"y\"}]}");
    check_faulty("\"00100020\":{\"vr\":\"LO\",\"Value\":[7]}");
    check_faulty("\"00100020\":{\"vr\":\"LO\",\"Value\":[{\"Alphabetic\":\"x\"}]}");
    check_faulty("\"00104000\":{\"vr\":\"LT\",\"Value\":[\"a\",\"b\"]}");
    check_faulty("\"00420011\":{\"vr\":\"OB\",\"InlineBinary\":\"AA\"}");
    check_faulty("\"00420011\":{\"vr\":\"OB\",\"InlineBinary\":\"AA=A\"}");
    check_faulty("\"00420011\":{\"vr\":\"OB\",\"InlineBinary\":\"AAA=\\n\"}");
    check_faulty("\"00420011\":{\"vr\":\"OB\",\"Value\":[\"AA==\"]}");
    check_faulty("\"00420011\":{\"vr\":\"OB\",\"BulkDataURI\":\"\"}");
    check_faulty("\"00081032\":{\"vr\":\"SQ\",\"BulkDataURI\":\"x\"}");
    check_faulty("\"00081032\":{\"vr\":\"SQ\",\"Value\":[{},7]}");
    check_faulty("\"00081032\":{\"vr\":\"SQ\",\"Value\":[7,{}]}");
    check_faulty("\"00200013\":{\"vr\":\"IS\",\"Value\":[2147483648]}");
    check_faulty("\"00280009\":{\"vr\":\"AT\",\"Value\":[\"0018106\"]}");
    check_faulty("\"00189087\":{\"vr\":\"FD\",\"Value\":[\"1.5x\"]}");
    check_faulty("\"00189073\":{\"vr\":\"FL\",\"Value\":[1e39]}");
}

TEST(STOW_14_empty_values_and_unknown_members_are_accepted)
{
    check_becomes("\"00280010\":{\"vr\":\"US\",\"Value\":[]},\"00100010\":{\"vr\":\"PN\",\"Value\":"
                  "[{}]},\"00420011\":{\"vr\":\"OB\",\"InlineBinary\":\"\"},\"00081140\":{\"vr\":"
                  "\"SQ\",\"Value\":[]}",
                  "{\"00081140\":{\"vr\":\"SQ\"},\"00100010\":{\"vr\":\"PN\"},\"00280010\":{\"vr\":"
                  "\"US\"},\"00420011\":{\"vr\":\"OB\"}}");
    check_becomes("\"00280010\":{\"vr\":\"US\",\"keyword\":[{\"a\":[1,{}]},null],\"Value\":[1]}",
                  "{\"00280010\":{\"vr\":\"US\",\"Value\":[1]}}");
    check_becomes("\"00081032\":{\"vr\":\"SQ\",\"Value\":[null,{}]}",
                  "{\"00081032\":{\"vr\":\"SQ\",\"Value\":[{},{}]}}");
}

TEST(HOS_40_what_is_no_json_is_refused)
{
    static const char *const broken[] = {
        "",
        "{}",
        "7",
        "null",
        "\"a\"",
        "[7]",
        "[[]]",
        "[{}",
        "[{}]]",
        "[{}],",
        "[{},]",
        "[{}{}]",
        "[{\"00280010\"}]",
        "[{\"00280010\":}]",
        "[{\"00280010\":{}},]",
        "[{\"00280010\":{\"vr\":\"US\"},}]",
        "[{,}]",
        "[{'a':1}]",
        "\xEF\xBB\xBF[]",
        "[{\"00280010\":{\"vr\":\"US\",\"Value\":[NaN]}}]",
        "[{\"00280010\":{\"vr\":\"US\",\"Value\":[01]}}]",
        "[{\"00280010\":{\"vr\":\"US\",\"Value\":[1.]}}]",
        "[{\"00280010\":{\"vr\":\"US\",\"Value\":[.5]}}]",
        "[{\"00280010\":{\"vr\":\"US\",\"Value\":[+1]}}]",
        "[{\"00280010\":{\"vr\":\"US\",\"Value\":[1e]}}]",
        "[{\"00280010\":{\"vr\":\"US\",\"Value\":[nul]}}]",
        "[{\"00280010\":{\"vr\":\"US\",\"Value\":[1,]}}]",
        "[{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"\\ud800\"]}}]",
        "[{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"\\ud800x\"]}}]",
        "[{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"\\ud800\\n\"]}}]",
        "[{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"\\udc00\"]}}]",
        "[{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"\\x41\"]}}]",
        "[{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"\\u12g4\"]}}]",
        "[{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"\xC3\"]}}]",
        "[{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"a\nb\"]}}]",
        "[{\"00280010\":{\"vr\":\"US\"},\"00280010\":{\"vr\":\"US\"}}]",
        "[{\"00280010\":{\"vr\":\"US\",\"vr\":\"US\"}}]",
        "[{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"a\",\"Alphabetic\":\"b\"}]}}]",
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        check_broken(MODEL_JSON, broken[i]);
}

/* `count` times one text, then another. */
static char *repeat(const char *begin, const char *text, size_t count, const char *end)
{
    size_t size = strlen(text), at = strlen(begin);
    char *all = mem_alloc(at + size * count + strlen(end) + 1);
    memcpy(all, begin, at);
    for (size_t i = 0; i < count; i++, at += size)
        memcpy(all + at, text, size);
    memcpy(all + at, end, strlen(end));
    return all;
}

TEST(HOS_40_depth_and_sizes_are_bounded)
{
    char *deep = repeat("[{", "\"00081140\":{\"vr\":\"SQ\",\"Value\":[{", 100000, "");
    check_broken(MODEL_JSON, deep);
    free(deep);
    deep = repeat("[{\"00081140\":{\"x\":", "[", 1000000, "");
    check_broken(MODEL_JSON, deep);
    free(deep);
    char *digits = repeat("[{\"00280010\":{\"vr\":\"US\",\"Value\":[", "1", 1000000, "]}}]");
    check_broken(MODEL_JSON, digits);
    free(digits);
    const struct model_limits limits = { .dataset_size = 1 << 20, .references = 10 };
    char *large = repeat("[{\"00104000\":{\"vr\":\"LT\",\"Value\":[\"", "0123456789", 200000,
                         "\"]}}]");
    struct told told = read_in_steps(MODEL_JSON, slice_text(large), 4096, &limits);
    CHECK(strstr(told.broken, "too long"));
    free(large);
    buffer_release(&told.bytes);
    large = repeat("[{\"00081140\":{\"vr\":\"SQ\",\"Value\":[", "{},", 100000, "{}]}}]");
    told = read_in_steps(MODEL_JSON, slice_text(large), 4096, &limits);
    CHECK(strstr(told.broken, "too large"));
    free(large);
    buffer_release(&told.bytes);
    large = repeat("[{\"00081140\":{\"vr\":\"SQ\",\"Value\":[",
                   "{\"00420011\":{\"vr\":\"OB\",\"BulkDataURI\":\"u\"}},", 11, "{}]}}]");
    told = read_in_steps(MODEL_JSON, slice_text(large), 4096, &limits);
    CHECK(strstr(told.broken, "too many"));
    free(large);
    buffer_release(&told.bytes);
}

TEST(a_document_may_be_cut_anywhere)
{
    static const char json[] =
        " [ {\"00080018\" : {\"vr\":\"UI\",\"Value\":[\"1.2.3\"]},\"00081030\""
        ":{\"vr\":\"LO\",\"Value\":[\"a\\u00e4\\ud83d\\ude00\xC3\xA4\",null]"
        "},\"00189087\":{\"vr\":\"FD\",\"Value\":[-1.5e+2, 3 ]}} , {}]\r\n";
    struct told whole = read_json(json);
    CHECK_TEXT(whole.broken, "");
    CHECK_INT(whole.count, 2);
    for (size_t step = 1; step < 20; step++) {
        struct told told = read_in_steps(MODEL_JSON, slice_text(json), step, NULL);
        CHECK_TEXT(told.broken, "");
        CHECK_INT(told.count, 2);
        CHECK_INT(told.faults, 0);
        buffer_release(&told.bytes);
    }
    buffer_release(&whole.bytes);
}

TEST(STOW_13_what_is_known_of_the_pixels_is_told_with_its_place)
{
    struct told told = read_attributes(
        "\"00280010\":{\"vr\":\"US\",\"Value\":[512]},\"00280004\":{\"vr\":\"CS\",\"Value\":["
        "\"RGB\"]},\"00280008\":{\"vr\":\"IS\",\"Value\":[\"12\"]},\"00280100\":{\"vr\":\"US\"}"
        "," UID);
    const struct model_pixels *pixels = &told.last.pixels;
    CHECK_TEXT(told.fault, "");
    CHECK_TEXT(pixels->photometric_interpretation, "RGB");
    CHECK_INT(pixels->attributes[PIXEL_ROWS].number, 512);
    CHECK_INT(pixels->attributes[PIXEL_NUMBER_OF_FRAMES].number, 12);
    CHECK(!pixels->attributes[PIXEL_BITS_ALLOCATED].present);
    CHECK_INT(pixels->attributes[PIXEL_BITS_ALLOCATED].size, 8);
    CHECK_INT(pixels->attributes[PIXEL_BITS_ALLOCATED].place, told.bytes.size - 8);
    CHECK_INT(pixels->attributes[PIXEL_COLUMNS].size, 0);
    CHECK_INT(pixels->attributes[PIXEL_COLUMNS].place, told.bytes.size - 8);
    CHECK_INT(pixels->attributes[PIXEL_SAMPLES_PER_PIXEL].place,
              pixels->attributes[PIXEL_PHOTOMETRIC_INTERPRETATION].place);
    buffer_release(&told.bytes);
}

/* XML. */

#define MODEL(content) "<NativeDicomModel>" content "</NativeDicomModel>"
#define ATTRIBUTE(tag, vr, content)                                                                \
    "<DicomAttribute tag=\"" tag "\" vr=\"" vr "\">" content "</DicomAttribute>"

static void check_xml(const char *xml, const char *json)
{
    for (size_t step = 1; step < 4000; step += step < 8 ? 1 : 1000) {
        struct told told = read_in_steps(MODEL_XML, slice_text(xml), step, NULL);
        CHECK_TEXT(told.fault, "");
        CHECK_TEXT(told.broken, "");
        CHECK_INT(told.count, 1);
        CHECK_TEXT(rewrite(&told), json);
        buffer_release(&told.bytes);
    }
}

static void check_faulty_xml(const char *xml)
{
    struct told told = read_in_steps(MODEL_XML, slice_text(xml), SIZE_MAX, NULL);
    if (told.faults != 1)
        printf("%s\n", xml);
    CHECK_INT(told.faults, 1);
    CHECK_TEXT(told.broken, "");
    buffer_release(&told.bytes);
}

TEST(JSN_05_a_native_dicom_model_is_read)
{
    check_xml(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel xml:space=\"preserve\" "
        "xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\">\n" ATTRIBUTE(
            "00080008", "CS", "<Value number=\"1\">A</Value><Value number=\"3\">B</Value>")
            ATTRIBUTE(
                "00081032", "SQ",
                "<Item number=\"1\">" ATTRIBUTE(
                    "00080104", "LO",
                    "<Value number=\"1\">a &lt; b &#xE4;</Value>") "</Item><Item number=\"2\"/>")
                ATTRIBUTE(
                    "00100010", "PN",
                    "<PersonName number=\"1\"><Alphabetic><FamilyName>Doe"
                    "</FamilyName><NamePrefix>Dr</NamePrefix></Alphabetic><Phonetic><GivenName>"
                    "x</GivenName></Phonetic></PersonName>")
                    ATTRIBUTE("00280010", "US", "<Value number=\"1\">512</Value>")
                        ATTRIBUTE("00420011", "OB", "<InlineBinary>\nAQID\nBA==\n</InlineBinary>")
                            ATTRIBUTE("7FE00010", "OW",
                                      "<BulkData uri=\"a&amp;b\"/>") "</NativeDicomModel>\n",
        "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},\"00080008\":{\"vr\":\"CS\","
        "\"Value\":[\"A\",null,\"B\"]},\"00081032\":{\"vr\":\"SQ\",\"Value\":[{\"00080104\":{"
        "\"vr\":\"LO\",\"Value\":[\"a < b \xC3\xA4\"]}},{}]},\"00100010\":{\"vr\":\"PN\","
        "\"Value\":[{\"Alphabetic\":\"Doe^^^Dr\",\"Phonetic\":\"^x\"}]},\"00280010\":{\"vr\":"
        "\"US\",\"Value\":[512]},\"00420011\":{\"vr\":\"OB\",\"InlineBinary\":\"AQIDBA==\"},"
        "\"7FE00010\":{\"vr\":\"OW\",\"BulkDataURI\":\"/b/7FE00010\"}}");
}

TEST(JSN_05_private_attributes_get_a_block_of_their_creator)
{
    check_xml(MODEL("<DicomAttribute tag=\"00090001\" vr=\"LO\" privateCreator=\"ME\"><Value>x"
                    "</Value></DicomAttribute><DicomAttribute tag=\"00090002\" vr=\"LO\" "
                    "privateCreator=\"YOU\"/><DicomAttribute tag=\"00090003\" vr=\"LO\" "
                    "privateCreator=\"ME\"/>"),
              "{\"00090010\":{\"vr\":\"LO\",\"Value\":[\"ME\"]},\"00090011\":{\"vr\":\"LO\","
              "\"Value\":[\"YOU\"]},\"00091001\":{\"vr\":\"LO\",\"Value\":[\"x\"]},\"00091003\":{"
              "\"vr\":\"LO\"},\"00091102\":{\"vr\":\"LO\"}}");
    check_xml(
        MODEL(ATTRIBUTE("00090042", "LO", "<Value>ME</Value>") "<DicomAttribute tag=\"00090001\" "
                                                               "vr=\"LO\" privateCreator=\"ME\"/>"),
        "{\"00090042\":{\"vr\":\"LO\",\"Value\":[\"ME\"]},\"00094201\":{\"vr\":\"LO\"}}");
}

TEST(JSN_05_what_the_writer_of_xml_writes_is_read_as_the_same)
{
    static const uint8_t large[3000] = { 1, 2, 3 };
    struct buffer bytes = buffer_up_to(1 << 20), xml = buffer_up_to(1 << 20);
    struct encoder encoder = { &bytes, true };
    struct dataset *dataset = NULL;
    struct error err = { 0 };
    encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    encode_text(&encoder, 0x00090011, VR_LO, "ME");
    encode_sequence_begin(&encoder, 0x00091101);
    encode_item_begin(&encoder);
    encode_text(&encoder, TAG_PATIENT_NAME, VR_PN, "A^B==C^D\\\\E^F^G^H^I");
    encode_item_end(&encoder);
    encode_sequence_end(&encoder);
    encode_text(&encoder, 0x00104000, VR_LT, " a\r\n<b>\t\\\"c ");
    encode_text(&encoder, TAG_WINDOW_CENTER, VR_DS, "1.5\\-2.0e+1");
    encode_bytes(&encoder, 0x00420011, VR_OB, slice_of(large, sizeof(large)));
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    CHECK_OK(dataset_open(buffer_slice(&bytes), syntax, NULL, 0, &dataset, &err), err);
    const struct json_options options = { .inline_binary_limit = 1 << 20 };
    xml_write_dataset(dataset, &options, &xml);
    dataset_close(dataset);
    struct told told = read_in_steps(MODEL_XML, buffer_slice(&xml), 100, NULL);
    CHECK_TEXT(told.broken, "");
    CHECK_TEXT(told.fault, "");
    CHECK(slice_equal(buffer_slice(&told.bytes), buffer_slice(&bytes)));
    buffer_release(&told.bytes);
    buffer_release(&bytes);
    buffer_release(&xml);
}

TEST(STOW_14_what_is_no_attribute_in_xml_is_the_fault_of_its_data_set)
{
    check_faulty_xml(MODEL("<Other/>"));
    check_faulty_xml(MODEL("text"));
    check_faulty_xml(MODEL("<DicomAttribute vr=\"LO\"/>"));
    check_faulty_xml(MODEL("<DicomAttribute tag=\"0010001\" vr=\"LO\"/>"));
    check_faulty_xml(MODEL(ATTRIBUTE("00100020", "XX", "")));
    check_faulty_xml(MODEL(ATTRIBUTE("00100020", "LO", "text")));
    check_faulty_xml(MODEL(ATTRIBUTE("00100020", "LO", "<Value><b/></Value>")));
    check_faulty_xml(MODEL(ATTRIBUTE("00100020", "LO", "<Other/>")));
    check_faulty_xml(MODEL(ATTRIBUTE("00280010", "US", "<Value>x</Value>")));
    check_faulty_xml(MODEL(ATTRIBUTE("00100020", "LO",
                                     "<Value number=\"2\">x</Value>"
                                     "<Value number=\"1\">x</Value>")));
    check_faulty_xml(MODEL(ATTRIBUTE("00100020", "LO", "<Value number=\"1000000\">x</Value>")));
    check_faulty_xml(MODEL(ATTRIBUTE("00100020", "LO", "<Value number=\"x\">x</Value>")));
    check_faulty_xml(MODEL(ATTRIBUTE("00420011", "OB", "<BulkData/>")));
    check_faulty_xml(MODEL(ATTRIBUTE("00420011", "OB", "<InlineBinary>AA</InlineBinary>")));
    check_faulty_xml(MODEL(ATTRIBUTE("00100010", "PN", "<PersonName><Greek/></PersonName>")));
}

TEST(HOS_40_entities_external_ones_and_instructions_are_refused)
{
    check_broken(MODEL_XML, "");
    check_broken(MODEL_XML, "[]");
    check_broken(MODEL_XML, "<Other/>");
    check_broken(MODEL_XML, "<NativeDicomModel>");
    check_broken(MODEL_XML, MODEL("") "<x/>");
    check_broken(MODEL_XML, MODEL("&amp") "");
    check_broken(MODEL_XML, MODEL("&nbsp;"));
    check_broken(MODEL_XML, "<!DOCTYPE NativeDicomModel [<!ENTITY a \"b\">]>" MODEL("&a;"));
    check_broken(MODEL_XML, "<!DOCTYPE NativeDicomModel SYSTEM \"file:///etc/passwd\">" MODEL(""));
    check_broken(MODEL_XML, "<?php x?>" MODEL(""));
    check_broken(MODEL_XML, MODEL("<?x y?>"));
    check_broken(MODEL_XML, MODEL("\x01"));
    check_broken(MODEL_XML, MODEL(ATTRIBUTE("00280010", "US", "") ATTRIBUTE("00280010", "US", "")));
    char *deep = repeat("<NativeDicomModel>",
                        "<DicomAttribute tag=\"00081140\" vr=\"SQ\"><Item number=\"1\">", 100000,
                        "");
    check_broken(MODEL_XML, deep);
    free(deep);
    deep = repeat("<NativeDicomModel>", "<a>", 100000, "");
    check_broken(MODEL_XML, deep);
    free(deep);
    char *wide = repeat("<NativeDicomModel x=\"", "0123456789", 1000000, "\"/>");
    check_broken(MODEL_XML, wide);
    free(wide);
}

/* A document whose names never repeat, `count` of them by `format`, until it is refused. */
static bool is_refused(const char *format, size_t count)
{
    struct model_reader *reader = model_reader_new(MODEL_XML, NULL);
    struct buffer text = buffer_up_to(1 << 20);
    struct model_dataset dataset;
    enum model_event event;
    struct error err = { 0 };
    bool ok = true;
    buffer_append_text(&text, "<NativeDicomModel>");
    for (size_t i = 0; i < count && ok; i++) {
        char element[64];
        snprintf(element, sizeof(element), format, i);
        buffer_append_text(&text, element);
        if (i % 1000 != 999)
            continue;
        model_reader_feed(reader, buffer_slice(&text));
        ok = model_reader_next(reader, &event, &dataset, &err);
        CHECK(model_reader_memory(reader) < 64 << 20);
        buffer_clear(&text);
    }
    buffer_release(&text);
    model_reader_free(reader);
    return !ok && err.code == ERROR_INVALID;
}

TEST(HOS_40_names_that_never_repeat_take_no_more_memory_than_a_document_may)
{
    CHECK(is_refused("<n%07zu/>", 1500000));
    CHECK(is_refused("<x a%07zu=\"\"/>", 1500000));
    CHECK(!is_refused("<n><!--%zu--></n>", 300000));
}
