/* SPDX-License-Identifier: MIT */
#include "dicom/encode.h"

#include <stdlib.h>

#include "tests/dicom/scanned.h"

TEST(encoder_writes_even_lengths_with_the_padding_of_the_vr)
{
    struct buffer out = buffer_up_to(1024);
    struct encoder encoder = { &out, .explicit_vr = true };
    encode_text(&encoder, TAG_SOP_CLASS_UID, VR_UI, "1.2");
    encode_text(&encoder, TAG_MODALITY, VR_CS, "CTX");
    encode_bytes(&encoder, 0x00091001, VR_OB, slice_text("a"));
    CHECK(slice_equal(buffer_slice(&out), BYTES("\x08\x00\x16\x00"
                                                "UI\x04\x00"
                                                "1.2\0"
                                                "\x08\x00\x60\x00"
                                                "CS\x04\x00"
                                                "CTX "
                                                "\x09\x00\x01\x10"
                                                "OB\0\0\x02\0\0\0"
                                                "a\0")));
    buffer_clear(&out);
    encoder.explicit_vr = false;
    encode_u16(&encoder, TAG_ROWS, 0x0102);
    encode_u32(&encoder, 0x00081161, 7);
    encode_integer(&encoder, TAG_INSTANCE_NUMBER, -12);
    CHECK(slice_equal(buffer_slice(&out), BYTES("\x28\x00\x10\x00\x02\0\0\0\x02\x01"
                                                "\x08\x00\x61\x11\x04\0\0\0\x07\0\0\0"
                                                "\x20\x00\x13\x00\x04\0\0\0"
                                                "-12 ")));
    buffer_release(&out);
}

TEST(encoder_writes_a_value_too_long_for_a_short_vr_as_unknown)
{
    struct buffer out = buffer_up_to(1 << 20);
    struct encoder encoder = { &out, .explicit_vr = true };
    uint8_t *zeroes = calloc(1, 70000);
    encode_bytes(&encoder, 0x00280030, VR_DS, slice_of(zeroes, 65534));
    CHECK(memcmp(out.data + 4, "DS\xfe\xff", 4) == 0);
    buffer_clear(&out);
    encode_bytes(&encoder, 0x00280030, VR_DS, slice_of(zeroes, 65535));
    CHECK(memcmp(out.data + 4, "UN\0\0\0\0\x01\0", 8) == 0);
    struct error err;
    struct scan *scan = scanned(buffer_slice(&out), EXPLICIT, NULL, &err);
    CHECK_OK(scan, err);
    scan_free(scan);
    free(zeroes);
    buffer_release(&out);
}

static const char mixed[] = "\x08\x00\x05\x00"
                            "CS\x0a\x00"
                            "ISO_IR 100"
                            "\x10\x00\x10\x00"
                            "PN\x02\x00"
                            "\xfc "
                            "\x40\x00\x75\x02"
                            "SQ\0\0\x2e\0\0\0"
                            "\xfe\xff\x00\xe0\xff\xff\xff\xff"
                            "\x10\x00\x10\x00"
                            "PN\x02\x00"
                            "\xe4 "
                            "\x40\x00\x08\x00"
                            "SQ\0\0\0\0\0\0"
                            "\xfe\xff\x0d\xe0\0\0\0\0"
                            "\xfe\xff\x00\xe0\0\0\0\0";

TEST(encoder_copies_attributes_as_utf_8)
{
    struct error err;
    struct dataset *dataset;
    CHECK_OK(dataset_open(BYTES(mixed), EXPLICIT, NULL, 0, &dataset, &err), err);
    struct buffer out = buffer_up_to(1024);
    struct encoder encoder = { &out, .explicit_vr = true };
    CHECK(encode_copy(&encoder, dataset, TAG_SPECIFIC_CHARACTER_SET));
    CHECK(encode_copy(&encoder, dataset, TAG_PATIENT_NAME));
    CHECK(encode_copy(&encoder, dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE));
    CHECK(!encode_copy(&encoder, dataset, TAG_PATIENT_ID));
    CHECK(slice_equal(buffer_slice(&out), BYTES("\x08\x00\x05\x00"
                                                "CS\x0a\x00"
                                                "ISO_IR 192"
                                                "\x10\x00\x10\x00"
                                                "PN\x02\x00"
                                                "\xc3\xbc"
                                                "\x40\x00\x75\x02"
                                                "SQ\0\0\xff\xff\xff\xff"
                                                "\xfe\xff\x00\xe0\xff\xff\xff\xff"
                                                "\x10\x00\x10\x00"
                                                "PN\x02\x00"
                                                "\xc3\xa4"
                                                "\x40\x00\x08\x00"
                                                "SQ\0\0\xff\xff\xff\xff"
                                                "\xfe\xff\xdd\xe0\0\0\0\0"
                                                "\xfe\xff\x0d\xe0\0\0\0\0"
                                                "\xfe\xff\x00\xe0\xff\xff\xff\xff"
                                                "\xfe\xff\x0d\xe0\0\0\0\0"
                                                "\xfe\xff\xdd\xe0\0\0\0\0")));
    struct scan *scan = scanned(buffer_slice(&out), EXPLICIT, NULL, &err);
    CHECK_OK(scan, err);
    scan_free(scan);
    dataset_close(dataset);
    buffer_release(&out);
}

TEST(encoder_copies_big_endian_values_in_little_endian)
{
    struct error err;
    struct dataset *dataset;
    CHECK_OK(dataset_open(BYTES("\x00\x28\x00\x10"
                                "US\x00\x02\x01\x02"
                                "\x00\x40\x02\x75"
                                "SQ\0\0\0\0\0\x16"
                                "\xff\xfe\xe0\x00\0\0\0\x0e"
                                "\x00\x09\x10\x01"
                                "FL\0\x06"
                                "\x3f\x80\0\0\xff\xff"),
                          BIG_ENDIAN_SYNTAX, NULL, 0, &dataset, &err),
             err);
    struct buffer out = buffer_up_to(1024);
    struct encoder encoder = { &out, .explicit_vr = true };
    CHECK(encode_copy(&encoder, dataset, TAG_ROWS));
    CHECK(encode_copy(&encoder, dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE));
    CHECK(slice_equal(buffer_slice(&out), BYTES("\x28\x00\x10\x00"
                                                "US\x02\x00\x02\x01"
                                                "\x40\x00\x75\x02"
                                                "SQ\0\0\xff\xff\xff\xff"
                                                "\xfe\xff\x00\xe0\xff\xff\xff\xff"
                                                "\x09\x00\x01\x10"
                                                "FL\x04\x00"
                                                "\0\0\x80\x3f"
                                                "\xfe\xff\x0d\xe0\0\0\0\0"
                                                "\xfe\xff\xdd\xe0\0\0\0\0")));
    dataset_close(dataset);
    buffer_release(&out);
}

TEST(encoder_writes_values_that_were_left_out_as_empty)
{
    struct error err;
    struct dataset *dataset;
    struct elision elision = { 12, 5000 };
    CHECK_OK(dataset_open(BYTES("\x09\x00\x01\x10"
                                "OB\0\0\x88\x13\0\0"),
                          EXPLICIT, &elision, 1, &dataset, &err),
             err);
    struct buffer out = buffer_up_to(1024);
    struct encoder encoder = { &out, .explicit_vr = true };
    CHECK(encode_copy(&encoder, dataset, 0x00091001));
    CHECK(slice_equal(buffer_slice(&out), BYTES("\x09\x00\x01\x10"
                                                "OB\0\0\0\0\0\0")));
    dataset_close(dataset);
    buffer_release(&out);
}

TEST(encoder_writes_fragments_of_an_icon_as_empty)
{
    static const char icon[] = "\x88\x00\x00\x02"
                               "SQ\0\0\xff\xff\xff\xff"
                               "\xfe\xff\x00\xe0\xff\xff\xff\xff"
                               "\xe0\x7f\x10\x00"
                               "OB\0\0\xff\xff\xff\xff"
                               "\xfe\xff\x00\xe0\0\0\0\0"
                               "\xfe\xff\xdd\xe0\0\0\0\0"
                               "\xfe\xff\x0d\xe0\0\0\0\0"
                               "\xfe\xff\xdd\xe0\0\0\0\0";
    struct error err;
    struct dataset *dataset;
    CHECK_OK(dataset_open(BYTES(icon), JPEG, NULL, 0, &dataset, &err), err);
    struct buffer out = buffer_up_to(1024);
    struct encoder encoder = { &out, .explicit_vr = true };
    CHECK(encode_copy(&encoder, dataset, 0x00880200));
    CHECK(slice_equal(buffer_slice(&out), BYTES("\x88\x00\x00\x02"
                                                "SQ\0\0\xff\xff\xff\xff"
                                                "\xfe\xff\x00\xe0\xff\xff\xff\xff"
                                                "\xe0\x7f\x10\x00"
                                                "OB\0\0\0\0\0\0"
                                                "\xfe\xff\x0d\xe0\0\0\0\0"
                                                "\xfe\xff\xdd\xe0\0\0\0\0")));
    dataset_close(dataset);
    buffer_release(&out);
}

TEST(encoder_closes_what_a_broken_sequence_leaves_open)
{
    /* An element in the item claims more bytes than the item has. */
    static const char broken[] = "\x40\x00\x75\x02"
                                 "SQ\0\0\x12\0\0\0"
                                 "\xfe\xff\x00\xe0\x0a\0\0\0"
                                 "\x08\x00\x60\x00"
                                 "CS\x04\x00"
                                 "CT";
    struct error err;
    struct dataset *dataset;
    CHECK_OK(dataset_open(BYTES(broken), EXPLICIT, NULL, 0, &dataset, &err), err);
    struct buffer out = buffer_up_to(1024);
    struct encoder encoder = { &out, .explicit_vr = true };
    CHECK(encode_copy(&encoder, dataset, TAG_REQUEST_ATTRIBUTES_SEQUENCE));
    struct scan *scan = scanned(buffer_slice(&out), EXPLICIT, NULL, &err);
    CHECK_OK(scan, err);
    scan_free(scan);
    dataset_close(dataset);
    buffer_release(&out);
}
