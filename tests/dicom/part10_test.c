/* SPDX-License-Identifier: MIT */
#include "dicom/part10.h"

#include "base/bytes.h"
#include "tests/dicom/scanned.h"

static const struct file_meta ct = { .sop_class = "1.2.840.10008.5.1.4.1.1.2",
                                     .sop_instance = "1.2.3.4.5",
                                     .transfer_syntax = UID_EXPLICIT_LITTLE_ENDIAN,
                                     .source_ae = "SCANNER 1" };

static struct buffer written(void)
{
    struct buffer file = buffer_up_to(4096);
    file_meta_write(&ct, &file);
    return file;
}

TEST(file_meta_reads_back_as_written)
{
    struct buffer file = written();
    struct file_meta meta;
    bool complete;
    struct error err;
    CHECK_INT(get_u32le(file.data + 140), file.size - 144); /* the group length */
    CHECK_OK(file_meta_read(buffer_slice(&file), &meta, &complete, &err), err);
    CHECK(complete);
    CHECK_INT(meta.size, file.size);
    CHECK_TEXT(meta.sop_class, ct.sop_class);
    CHECK_TEXT(meta.sop_instance, ct.sop_instance);
    CHECK_TEXT(meta.transfer_syntax, ct.transfer_syntax);
    CHECK_TEXT(meta.source_ae, "SCANNER 1");
    buffer_release(&file);
}

TEST(file_meta_asks_for_more_bytes_until_it_is_whole)
{
    struct buffer file = written();
    struct file_meta meta;
    bool complete;
    struct error err;
    for (size_t size = 0; size < file.size; size++) {
        CHECK_OK(file_meta_read(slice_take(buffer_slice(&file), size), &meta, &complete, &err),
                 err);
        CHECK(!complete);
    }
    buffer_release(&file);
}

TEST(file_meta_ends_where_another_group_begins_when_its_length_is_wrong)
{
    struct buffer file = written();
    size_t size = file.size;
    file.data[140]++;
    struct file_meta meta;
    bool complete;
    struct error err;
    CHECK_OK(file_meta_read(buffer_slice(&file), &meta, &complete, &err), err);
    CHECK(!complete);
    buffer_append(&file, BYTES("\x08\x00"));
    CHECK_OK(file_meta_read(buffer_slice(&file), &meta, &complete, &err), err);
    CHECK(complete);
    CHECK_INT(meta.size, size);
    buffer_release(&file);
}

static void check_file_refused(const struct buffer *file, enum error_code code)
{
    struct file_meta meta;
    bool complete;
    struct error err;
    CHECK(!file_meta_read(buffer_slice(file), &meta, &complete, &err));
    CHECK_INT(err.code, code);
    CHECK(!complete);
}

TEST(file_meta_refuses_what_is_no_file)
{
    struct buffer file = written();
    file.data[128] = 'X';
    check_file_refused(&file, ERROR_INVALID);
    file.data[128] = 'D';
    file.data[136] = 'x'; /* the VR of the first element */
    check_file_refused(&file, ERROR_INVALID);
    buffer_release(&file);
}

TEST(file_meta_refuses_a_missing_transfer_syntax_and_an_unsafe_uid)
{
    static const uint8_t preamble[128];
    struct buffer file = buffer_up_to(4096);
    struct encoder encoder = { &file, .explicit_vr = true };
    buffer_append(&file, slice_of(preamble, sizeof(preamble)));
    buffer_append_text(&file, "DICM");
    encode_text(&encoder, 0x00020003, VR_UI, "1.2");
    size_t size = file.size;
    encode_text(&encoder, TAG_MODALITY, VR_CS, "CT");
    check_file_refused(&file, ERROR_INVALID);
    file.size = size;
    encode_text(&encoder, 0x00020010, VR_UI, "../../etc");
    encode_text(&encoder, TAG_MODALITY, VR_CS, "CT");
    check_file_refused(&file, ERROR_INVALID);
    buffer_release(&file);
}

TEST(file_meta_is_bounded)
{
    static const uint8_t zeroes[1000];
    struct buffer file = buffer_up_to(1 << 20);
    struct encoder encoder = { &file, .explicit_vr = true };
    buffer_append(&file, slice_of(zeroes, 128));
    buffer_append_text(&file, "DICM");
    size_t start = file.size;
    encode_bytes(&encoder, 0x00020102, VR_OB, slice_of(zeroes, 1000));
    file.data[start + 8] = 0;
    file.data[start + 9] = 0;
    file.data[start + 10] = 0xFF; /* 16 MB */
    check_file_refused(&file, ERROR_LIMIT);
    file.size = start;
    while (file.size < PART10_META_LIMIT)
        encode_bytes(&encoder, 0x00020102, VR_OB, slice_of(zeroes, 1000));
    check_file_refused(&file, ERROR_LIMIT);
    buffer_release(&file);
}
