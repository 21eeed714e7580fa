/* SPDX-License-Identifier: MIT */
#include "dicom/dataset.h"

#include <stdio.h>

#include "base/bytes.h"
#include "tests/dicom/scanned.h"

static struct dataset *open_bytes(struct slice bytes, const struct transfer_syntax *syntax)
{
    struct error err;
    struct dataset *dataset;
    CHECK_OK(dataset_open(bytes, syntax, NULL, 0, &dataset, &err), err);
    return dataset;
}

/* The text of an attribute, or "(none)". Borrowed until the next call. */
static const char *text_of(const struct dataset *dataset, uint32_t tag)
{
    static struct buffer text;
    buffer_release(&text);
    text = buffer_up_to(1 << 16);
    return dataset_text(dataset, tag, &text) ? buffer_text(&text) : "(none)";
}

TEST(dataset_finds_attributes_whatever_their_order)
{
    struct dataset *dataset = open_bytes(BYTES("\x10\x00\x20\x00"
                                               "LO\x02\x00"
                                               "P1"
                                               "\x08\x00\x60\x00"
                                               "CS\x02\x00"
                                               "CT"
                                               "\x08\x00\x60\x00"
                                               "CS\x02\x00"
                                               "MR"
                                               "\x20\x00\x13\x00"
                                               "IS\x02\x00"
                                               "7 "),
                                         EXPLICIT);
    struct element element;
    CHECK(dataset_find(dataset, TAG_MODALITY, &element));
    CHECK(slice_equals_text(element.value, "CT")); /* of two, the first */
    CHECK_INT(element.vr, VR_CS);
    CHECK_INT(element.offset, 18);
    CHECK_TEXT(text_of(dataset, TAG_PATIENT_ID), "P1");
    CHECK_TEXT(text_of(dataset, TAG_INSTANCE_NUMBER), "7");
    CHECK(!dataset_find(dataset, TAG_PATIENT_NAME, &element));
    CHECK(!dataset_find(dataset, 0, &element));
    CHECK(!dataset_find(dataset, 0xFFFFFFFF, &element));
    dataset_close(dataset);
}

TEST(dataset_refuses_bytes_that_are_no_elements)
{
    struct error err;
    struct dataset *dataset;
    CHECK(!dataset_open(BYTES("\x08\x00\x60\x00"
                              "CS\x04\x00"
                              "CT"),
                        EXPLICIT, NULL, 0, &dataset, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    CHECK(!dataset);
    CHECK(!dataset_open(BYTES("\x08\x00\x60"), EXPLICIT, NULL, 0, &dataset, &err));
    CHECK(!dataset_open(BYTES("\xfe\xff\x0d\xe0\0\0\0\0"), EXPLICIT, NULL, 0, &dataset, &err));
    CHECK(!dataset_open(BYTES("\x40\x00\x75\x02"
                              "SQ\0\0\xff\xff\xff\xff"),
                        EXPLICIT, NULL, 0, &dataset, &err));
    /* A value said to be left out that cannot be. */
    struct elision elision = { 100, 5 };
    CHECK(!dataset_open(BYTES(""), EXPLICIT, &elision, 1, &dataset, &err));
}

TEST(HOS_21_dataset_refuses_elements_without_end)
{
    enum { LIMIT = 100000 };
    static const char element[] = "\x21\x00\x10\x00"
                                  "SH\x00\x00";
    struct buffer bytes = buffer_up_to(1 << 20);
    struct dataset *dataset;
    struct error err;
    for (int i = 0; i < LIMIT; i++)
        buffer_append(&bytes, slice_of((const uint8_t *)element, 8));
    dataset_close(open_bytes(buffer_slice(&bytes), EXPLICIT));
    buffer_append(&bytes, slice_of((const uint8_t *)element, 8));
    CHECK(!dataset_open(buffer_slice(&bytes), EXPLICIT, NULL, 0, &dataset, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    buffer_release(&bytes);
}

TEST(dataset_text_is_without_padding_and_keeps_all_values)
{
    struct dataset *dataset = open_bytes(BYTES("\x08\x00\x08\x00"
                                               "CS\x13\x00"
                                               " ORIGINAL \\PRIMARY "
                                               "\x08\x00\x16\x00"
                                               "UI\x04\x00"
                                               "1.2\0"
                                               "\x08\x00\x30\x10"
                                               "LO\x04\x00"
                                               "A \0 "
                                               "\x08\x00\x50\x00"
                                               "SH\x02\x00"
                                               "  "
                                               "\x08\x00\x80\x00"
                                               "LO\x00\x00"
                                               "\x20\x00\x00\x40"
                                               "LT\x06\x00"
                                               " a\\b  "
                                               "\x28\x00\x30\x00"
                                               "DS\x09\x00"
                                               "0.5 \\0.25"),
                                         EXPLICIT);
    CHECK_TEXT(text_of(dataset, TAG_IMAGE_TYPE), "ORIGINAL\\PRIMARY");
    CHECK_TEXT(text_of(dataset, TAG_SOP_CLASS_UID), "1.2");
    CHECK_TEXT(text_of(dataset, TAG_STUDY_DESCRIPTION), "A");
    CHECK_TEXT(text_of(dataset, TAG_ACCESSION_NUMBER), "(none)");
    CHECK_TEXT(text_of(dataset, TAG_INSTITUTION_NAME), "(none)");
    CHECK_TEXT(text_of(dataset, 0x00204000), " a\\b");
    char text[16];
    CHECK(dataset_string(dataset, TAG_IMAGE_TYPE, text, sizeof(text)));
    CHECK_TEXT(text, "ORIGINAL");
    CHECK(dataset_string(dataset, TAG_IMAGE_TYPE, text, 5));
    CHECK_TEXT(text, "ORIG");
    CHECK(!dataset_string(dataset, TAG_PATIENT_NAME, text, sizeof(text)));
    CHECK_TEXT(text, "");
    dataset_close(dataset);
}

TEST(dataset_reads_text_in_its_character_set)
{
    struct dataset *dataset = open_bytes(BYTES("\x08\x00\x05\x00"
                                               "CS\x0a\x00"
                                               "ISO_IR 100"
                                               "\x10\x00\x10\x00"
                                               "PN\x06\x00"
                                               "M\xfcller"),
                                         EXPLICIT);
    CHECK_TEXT(text_of(dataset, TAG_PATIENT_NAME), "M\xc3\xbcller");
    char text[4];
    CHECK(dataset_string(dataset, TAG_PATIENT_NAME, text, 3)); /* no character cut */
    CHECK_TEXT(text, "M");
    dataset_close(dataset);
}

TEST(dataset_numbers_are_decimal_in_either_byte_order)
{
    struct buffer little = buffer_up_to(1024);
    struct encoder encoder = { &little, .explicit_vr = true };
    encode_bytes(&encoder, 0x00280106, VR_SS, BYTES("\xfe\xff\x05\x00"));
    encode_u16(&encoder, TAG_ROWS, 512);
    encode_u32(&encoder, 0x00081161, 4000000000u);
    encode_bytes(&encoder, 0x00189318, VR_FD, BYTES("\0\0\0\0\0\0\xd0\x3f"));
    encode_bytes(&encoder, 0x00189313, VR_FL, BYTES("\xcd\xcc\xcc\x3d"));
    encode_bytes(&encoder, 0x00000901, VR_AT, BYTES("\x10\x00\x20\x00\x08\x00\x60\x00"));
    struct dataset *dataset = open_bytes(buffer_slice(&little), EXPLICIT);
    int64_t number;
    CHECK_TEXT(text_of(dataset, 0x00280106), "-2\\5");
    CHECK_TEXT(text_of(dataset, TAG_ROWS), "512");
    CHECK_TEXT(text_of(dataset, 0x00081161), "4000000000");
    CHECK_TEXT(text_of(dataset, 0x00189318), "0.25");
    CHECK_TEXT(text_of(dataset, 0x00189313), "0.1");
    CHECK_TEXT(text_of(dataset, 0x00000901), "00100020\\00080060");
    CHECK(dataset_integer(dataset, 0x00280106, &number));
    CHECK_INT(number, -2);
    CHECK(!dataset_integer(dataset, 0x00189318, &number));
    dataset_close(dataset);
    buffer_release(&little);

    dataset = open_bytes(BYTES("\x00\x28\x00\x10"
                               "US\x00\x02\x02\x00"
                               "\x00\x20\x00\x13"
                               "IS\x00\x04"
                               " 42 "),
                         BIG_ENDIAN_SYNTAX);
    CHECK_TEXT(text_of(dataset, TAG_ROWS), "512");
    CHECK(dataset_integer(dataset, TAG_ROWS, &number));
    CHECK_INT(number, 512);
    CHECK(dataset_integer(dataset, TAG_INSTANCE_NUMBER, &number));
    CHECK_INT(number, 42);
    dataset_close(dataset);
}

TEST(dataset_integer_refuses_what_is_none)
{
    struct dataset *dataset = open_bytes(BYTES("\x20\x00\x11\x00"
                                               "IS\x04\x00"
                                               "1x  "
                                               "\x20\x00\x13\x00"
                                               "IS\x14\x00"
                                               "99999999999999999999"
                                               "\x28\x00\x08\x00"
                                               "IS\x00\x00"
                                               "\x28\x00\x10\x00"
                                               "US\x01\x00\x05"),
                                         EXPLICIT);
    int64_t number;
    CHECK(!dataset_integer(dataset, TAG_SERIES_NUMBER, &number));
    CHECK(!dataset_integer(dataset, TAG_INSTANCE_NUMBER, &number));
    CHECK(!dataset_integer(dataset, TAG_NUMBER_OF_FRAMES, &number));
    CHECK(!dataset_integer(dataset, TAG_ROWS, &number));
    dataset_close(dataset);
}

TEST(dataset_takes_the_vr_of_unknown_and_implicit_values_from_the_dictionary)
{
    struct dataset *dataset = open_bytes(BYTES("\x10\x00\x10\x00"
                                               "UN\0\0\x04\x00\x00\x00"
                                               "A^B "
                                               "\x28\x00\x06\x01"
                                               "UN\0\0\x02\x00\x00\x00"
                                               "\xff\xff"
                                               "\x28\x00\x03\x01"
                                               "US\x02\x00\x01\x00"
                                               "\x09\x00\x01\x10"
                                               "UN\0\0\x02\x00\x00\x00"
                                               "xx"),
                                         EXPLICIT);
    struct element element;
    CHECK_TEXT(text_of(dataset, TAG_PATIENT_NAME), "A^B");
    CHECK_TEXT(text_of(dataset, 0x00280106), "-1"); /* Pixel Representation is 1 */
    CHECK(dataset_find(dataset, 0x00091001, &element));
    CHECK_INT(element.vr, VR_UN);
    dataset_close(dataset);
    dataset = open_bytes(BYTES("\x28\x00\x06\x01\x02\x00\x00\x00"
                               "\xff\xff"
                               "\x09\x00\x10\x00\x04\x00\x00\x00"
                               "ACME"),
                         IMPLICIT);
    CHECK_TEXT(text_of(dataset, 0x00280106), "65535");
    CHECK_TEXT(text_of(dataset, 0x00090010), "ACME");
    dataset_close(dataset);
}

#define ITEM_OPEN "\xfe\xff\x00\xe0\xff\xff\xff\xff"
#define ITEM_END  "\xfe\xff\x0d\xe0\x00\x00\x00\x00"
#define SEQ_END   "\xfe\xff\xdd\xe0\x00\x00\x00\x00"
#define CT_EXPLICIT                                                                                \
    "\x08\x00\x60\x00"                                                                             \
    "CS\x02\x00"                                                                                   \
    "CT"
#define MR_IMPLICIT                                                                                \
    "\x08\x00\x60\x00\x02\x00\x00\x00"                                                             \
    "MR"

TEST(dataset_items_are_data_sets_of_their_own)
{
    /* Undefined sequence: a defined item, an undefined one that holds another sequence, an empty
     * one. */
    struct dataset *dataset = open_bytes(
        BYTES("\x40\x00\x75\x02"
              "SQ\0\0\xff\xff\xff\xff"
              "\xfe\xff\x00\xe0\x0a\0\0\0" CT_EXPLICIT ITEM_OPEN "\x40\x00\x08\x00"
              "SQ\0\0\x12\0\0\0"
              "\xfe\xff\x00\xe0\x0a\0\0\0" CT_EXPLICIT ITEM_END "\xfe\xff\x00\xe0\0\0\0\0" SEQ_END),
        EXPLICIT);
    CHECK_INT(dataset_item_count(dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE), 3);
    CHECK_INT(dataset_item_count(dataset, TAG_MODALITY), 0);
    struct dataset *item = dataset_item(dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE, 0);
    CHECK_TEXT(text_of(item, TAG_MODALITY), "CT");
    dataset_close(item);
    item = dataset_item(dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE, 1);
    struct dataset *inner = dataset_item(item, 0x00400008, 0);
    CHECK_TEXT(text_of(inner, TAG_MODALITY), "CT");
    struct element element;
    CHECK(dataset_find(inner, TAG_MODALITY, &element));
    CHECK_INT(element.offset, 12 + 18 + 8 + 12 + 8 + 8);
    dataset_close(inner);
    dataset_close(item);
    item = dataset_item(dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE, 2);
    CHECK(item && !dataset_find(item, TAG_MODALITY, &element));
    dataset_close(item);
    CHECK(!dataset_item(dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE, 3));
    CHECK(!dataset_item(dataset, TAG_MODALITY, 0));
    dataset_close(dataset);
}

TEST(dataset_items_come_one_behind_the_other)
{
    enum { MANY = 20000 };
    struct buffer bytes = buffer_up_to(4 << 20);
    struct encoder encoder = { &bytes, .explicit_vr = true };
    encode_sequence_begin(&encoder, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    for (int i = 0; i < MANY; i++) {
        encode_item_begin(&encoder);
        encode_integer(&encoder, TAG_INSTANCE_NUMBER, i);
        encode_item_end(&encoder);
    }
    encode_sequence_end(&encoder);
    encode_text(&encoder, TAG_PATIENT_ID, VR_LO, "P1");
    struct dataset *dataset = open_bytes(buffer_slice(&bytes), EXPLICIT);
    struct dataset_items items = dataset_items(dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    int64_t number, expected = 0;
    for (struct dataset *item; (item = dataset_items_next(&items)); expected++) {
        CHECK(dataset_integer(item, TAG_INSTANCE_NUMBER, &number));
        CHECK_INT(number, expected);
        dataset_close(item);
    }
    CHECK_INT(expected, MANY);
    CHECK(!dataset_items_next(&items));
    items = dataset_items(dataset, TAG_PATIENT_ID);
    CHECK(!dataset_items_next(&items));
    items = dataset_items(dataset, TAG_PATIENT_NAME);
    CHECK(!dataset_items_next(&items));
    dataset_close(dataset);
    buffer_release(&bytes);
}

static void check_index(struct slice bytes, size_t count)
{
    struct dataset *dataset = open_bytes(bytes, EXPLICIT);
    struct item_index *index = item_index_new(dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
    struct dataset *item;
    int64_t number;
    for (size_t i = count; i--;) {
        item = item_index_open(index, i);
        CHECK(item && dataset_integer(item, TAG_INSTANCE_NUMBER, &number));
        CHECK_INT(number, i);
        dataset_close(item);
    }
    for (size_t i = count; i < count + 40; i++)
        CHECK(!item_index_open(index, i));
    CHECK(!item_index_open(index, SIZE_MAX));
    item_index_free(index);
    index = item_index_new(dataset, TAG_PATIENT_ID);
    CHECK(!item_index_open(index, 0));
    item_index_free(index);
    dataset_close(dataset);
}

TEST(an_index_of_items_opens_each_by_its_number)
{
    static const size_t counts[] = { 0, 1, 15, 16, 17, 20000 };
    for (size_t i = 0; i < 2 * sizeof(counts) / sizeof(counts[0]); i++) {
        struct buffer bytes = buffer_up_to(4 << 20);
        struct encoder encoder = { &bytes, .explicit_vr = true };
        bool defined = i % 2;
        encode_sequence_begin(&encoder, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
        for (size_t n = 0; n < counts[i / 2]; n++) {
            size_t begin = bytes.size;
            encode_item_begin(&encoder);
            encode_integer(&encoder, TAG_INSTANCE_NUMBER, (int64_t)n);
            if (defined)
                put_u32le(bytes.data + begin + 4, (uint32_t)(bytes.size - begin - 8));
            else
                encode_item_end(&encoder);
        }
        encode_sequence_end(&encoder);
        encode_text(&encoder, TAG_PATIENT_ID, VR_LO, "P1");
        check_index(buffer_slice(&bytes), counts[i / 2]);
        buffer_release(&bytes);
    }
}

TEST(dataset_path_goes_through_first_items)
{
    struct dataset *dataset = open_bytes(
        BYTES("\x40\x00\x75\x02"
              "SQ\0\0\xff\xff\xff\xff" ITEM_OPEN "\x40\x00\x08\x00"
              "SQ\0\0\x12\0\0\0"
              "\xfe\xff\x00\xe0\x0a\0\0\0" CT_EXPLICIT ITEM_END SEQ_END),
        EXPLICIT);
    static const uint32_t path[] = { TAG_REQUEST_ATTRIBUTES_SEQUENCE, 0x00400008, TAG_MODALITY };
    struct element element;
    CHECK(dataset_find_path(dataset, path, 3, &element));
    CHECK(slice_equals_text(element.value, "CT"));
    CHECK(dataset_find_path(dataset, path, 2, &element));
    CHECK_INT(element.vr, VR_SQ);
    CHECK(!dataset_find_path(dataset, path + 1, 2, &element));
    CHECK(!dataset_find_path(dataset, path, 0, &element));
    dataset_close(dataset);
}

TEST(dataset_items_inherit_the_character_set_and_may_state_their_own)
{
    static const char bytes[] = "\x08\x00\x05\x00"
                                "CS\x0a\x00"
                                "ISO_IR 100"
                                "\x40\x00\x75\x02"
                                "SQ\0\0\xff\xff\xff\xff" ITEM_OPEN "\x10\x00\x10\x00"
                                "PN\x02\x00"
                                "\xfc " ITEM_END ITEM_OPEN "\x08\x00\x05\x00"
                                "CS\x0a\x00"
                                "ISO_IR 192"
                                "\x10\x00\x10\x00"
                                "PN\x02\x00"
                                "\xc3\xbc" ITEM_END SEQ_END "\x10\x00\x10\x00"
                                "PN\x02\x00"
                                "\xfc ";
    struct dataset *dataset = open_bytes(BYTES(bytes), EXPLICIT);
    for (size_t i = 0; i < 2; i++) {
        struct dataset *item = dataset_item(dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE, i);
        CHECK_TEXT(text_of(item, TAG_PATIENT_NAME), "\xc3\xbc");
        dataset_close(item);
    }
    struct walk walk = dataset_walk(dataset);
    struct element element;
    size_t names = 0;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;)
        if (event == WALK_ELEMENT && element.tag == TAG_PATIENT_NAME) {
            struct buffer text = buffer_up_to(64);
            CHECK(dataset_element_text(dataset, &element, &text));
            CHECK_TEXT(buffer_text(&text), "\xc3\xbc");
            buffer_release(&text);
            names++;
        }
    CHECK_INT(names, 3);
    dataset_close(dataset);
}

/* The events of a walk as letters, tags of elements by their last two digits. */
static const char *events_of(const struct dataset *dataset)
{
    static char events[256];
    size_t size = 0;
    struct walk walk = dataset_walk(dataset);
    struct element element;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;)
        size += (size_t)snprintf(events + size, sizeof(events) - size,
                                 event == WALK_ELEMENT    ? "%02X "
                                 : event == WALK_SEQUENCE ? "%02X( "
                                 : event == WALK_ITEM     ? "[ "
                                 : event == WALK_ITEM_END ? "] "
                                                          : ") ",
                                 element.tag & 0xFF);
    snprintf(events + size, sizeof(events) - size, walk.broken ? "broken" : "end");
    return events;
}

TEST(walk_goes_through_all_in_the_order_of_the_bytes)
{
    struct dataset *dataset = open_bytes(
        BYTES(CT_EXPLICIT "\x40\x00\x75\x02"
                          "SQ\0\0\xff\xff\xff\xff"
                          "\xfe\xff\x00\xe0\x0a\0\0\0" CT_EXPLICIT ITEM_OPEN "\x40\x00\x08\x00"
                          "SQ\0\0\x12\0\0\0"
                          "\xfe\xff\x00\xe0\x0a\0\0\0" CT_EXPLICIT ITEM_END
                          "\xfe\xff\x00\xe0\0\0\0\0" SEQ_END "\x40\x00\x75\x02"
                          "SQ\0\0\0\0\0\0" CT_EXPLICIT),
        EXPLICIT);
    CHECK_TEXT(events_of(dataset), "60 75( [ 60 ] [ 08( [ 60 ] ) ] [ ] ) 75( ) 60 end");
    dataset_close(dataset);
}

TEST(walk_reads_unknown_sequences_as_implicit)
{
    /* Undefined length; defined length where the dictionary knows the sequence; defined length
     * where the value is no sequence after all. */
    struct dataset *dataset = open_bytes(
        BYTES("\x09\x00\x01\x10"
              "UN\0\0\xff\xff\xff\xff" ITEM_OPEN MR_IMPLICIT ITEM_END SEQ_END "\x40\x00\x75\x02"
              "UN\0\0\x12\0\0\0"
              "\xfe\xff\x00\xe0\x0a\0\0\0" MR_IMPLICIT "\x40\x00\x75\x02"
              "UN\0\0\x12\0\0\0"
              "\xfe\xff\x00\xe0\x0b\0\0\0" MR_IMPLICIT CT_EXPLICIT),
        EXPLICIT);
    CHECK_TEXT(events_of(dataset), "01( [ 60 ] ) 75( [ 60 ] ) 75 60 end");
    CHECK_INT(dataset_item_count(dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE), 1);
    struct dataset *item = dataset_item(dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE, 0);
    CHECK_TEXT(text_of(item, TAG_MODALITY), "MR");
    dataset_close(item);
    dataset_close(dataset);
}

TEST(walk_does_not_enter_unknown_sequences_that_a_scan_would_refuse)
{
    /* A file meta element in the item. */
    struct dataset *dataset = open_bytes(BYTES("\x40\x00\x75\x02"
                                               "UN\0\0\x12\0\0\0"
                                               "\xfe\xff\x00\xe0\x0a\0\0\0"
                                               "\x02\x00\x60\x00\x02\x00\x00\x00"
                                               "MR"),
                                         EXPLICIT);
    CHECK_TEXT(events_of(dataset), "75 end");
    dataset_close(dataset);
    /* 64 levels in an unknown value are as many as may be, with one around them one too many. */
    struct buffer inner = buffer_up_to(4096);
    for (int depth = 64; depth > 1; depth--) {
        buffer_append(&inner, BYTES("\xfe\xff\x00\xe0"));
        buffer_append_u32le(&inner, (uint32_t)(16 * (depth - 1)));
        buffer_append(&inner, BYTES("\x40\x00\x75\x02"));
        buffer_append_u32le(&inner, (uint32_t)(16 * (depth - 1) - 8));
    }
    buffer_append(&inner, BYTES("\xfe\xff\x00\xe0\0\0\0\0"));
    for (int around = 0; around < 2; around++) {
        struct buffer bytes = buffer_up_to(8192);
        struct encoder encoder = { &bytes, .explicit_vr = true };
        if (around) {
            encode_sequence_begin(&encoder, TAG_REQUEST_ATTRIBUTES_SEQUENCE);
            encode_item_begin(&encoder);
        }
        encode_bytes(&encoder, TAG_REQUEST_ATTRIBUTES_SEQUENCE, VR_UN, buffer_slice(&inner));
        if (around) {
            encode_item_end(&encoder);
            encode_sequence_end(&encoder);
        }
        dataset = open_bytes(buffer_slice(&bytes), EXPLICIT);
        struct walk walk = dataset_walk(dataset);
        struct element element;
        size_t deepest = 0;
        while (walk_next(&walk, &element) != WALK_END)
            deepest = walk.depth > deepest ? walk.depth : deepest;
        CHECK(!walk.broken);
        CHECK_INT(deepest, around ? 1 : 64);
        dataset_close(dataset);
        buffer_release(&bytes);
    }
    buffer_release(&inner);
}

TEST(walk_in_big_endian_reads_unknown_values_as_little_endian)
{
    struct dataset *dataset = open_bytes(BYTES("\x00\x09\x10\x01"
                                               "UN\0\0\xff\xff\xff\xff" ITEM_OPEN
                                               "\x28\x00\x10\x00\x02\0\0\0\x05\0" ITEM_END SEQ_END
                                               "\x00\x28\x00\x10"
                                               "US\x00\x02\x00\x07"),
                                         BIG_ENDIAN_SYNTAX);
    struct dataset *item = dataset_item(dataset, 0x00091001, 0);
    int64_t number;
    CHECK(dataset_integer(item, TAG_ROWS, &number));
    CHECK_INT(number, 5);
    CHECK(dataset_integer(dataset, TAG_ROWS, &number));
    CHECK_INT(number, 7);
    dataset_close(item);
    CHECK_TEXT(events_of(dataset), "01( [ 10 ] ) 10 end");
    dataset_close(dataset);
}

TEST(dataset_uid_takes_only_safe_ones)
{
    struct dataset *dataset = open_bytes(BYTES("\x20\x00\x0d\x00"
                                               "UI\x06\x00"
                                               "1.2.3\0"
                                               "\x20\x00\x0e\x00"
                                               "UI\x06\x00"
                                               "../1.2"),
                                         EXPLICIT);
    char uid[UID_SIZE];
    CHECK(dataset_uid(dataset, TAG_STUDY_INSTANCE_UID, uid));
    CHECK_TEXT(uid, "1.2.3");
    CHECK(!dataset_uid(dataset, TAG_SERIES_INSTANCE_UID, uid));
    CHECK_TEXT(uid, "");
    CHECK(!dataset_uid(dataset, TAG_SOP_INSTANCE_UID, uid));
    dataset_close(dataset);
}
