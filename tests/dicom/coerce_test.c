/* SPDX-License-Identifier: MIT */
#include "dicom/coerce.h"

#include "dicom/encode.h"
#include "dicom/scan.h"
#include "tests/test.h"

static const struct coercion_note note = { "20260102030405.000000+0000", "US", "THEM" };

/* The data set after the edits, read again. */
static struct dataset *apply(struct slice bytes, const char *syntax,
                             const struct coercion *coercions, size_t count, struct buffer *edited,
                             struct scan **scan)
{
    struct error err = { 0 };
    struct dataset *header, *result;
    struct edit_list edits;
    const struct transfer_syntax *transfer_syntax = transfer_syntax_find(slice_text(syntax));
    CHECK_OK(dataset_open(bytes, transfer_syntax, NULL, 0, &header, &err), err);
    CHECK_OK(coerce_edits(header, coercions, count, &note, &edits, &err), err);
    dataset_close(header);
    struct slice inserted = buffer_slice(&edits.bytes);
    size_t at = 0;
    for (size_t i = 0; i < edits.count; i++) {
        const struct edit *edit = &edits.edits[i];
        CHECK(edit->offset >= at);
        buffer_append(edited, slice_of(bytes.data + at, (size_t)edit->offset - at));
        buffer_append(edited, slice_take(inserted, edit->inserted));
        inserted = slice_skip(inserted, edit->inserted);
        at = (size_t)(edit->offset + edit->removed);
    }
    CHECK_INT(inserted.size, 0);
    buffer_append(edited, slice_skip(bytes, at));
    edit_list_release(&edits);
    *scan = scan_new(transfer_syntax, &scan_default_limits);
    CHECK_OK(scan_write(*scan, buffer_slice(edited), &err), err);
    CHECK_OK(scan_finish(*scan, &err), err);
    CHECK_OK(dataset_open(buffer_slice(edited), transfer_syntax, NULL, 0, &result, &err), err);
    return result;
}

static void check_text(const struct dataset *dataset, uint32_t tag, const char *expected)
{
    char text[256];
    dataset_string(dataset, tag, text, sizeof(text));
    CHECK_TEXT(text, expected);
}

static const struct coercion patient_id = { .tag = TAG_PATIENT_ID,
                                            .vr = VR_LO,
                                            .value = { (const uint8_t *)"NEW", 3 } };

static void check_result(const struct dataset *result, size_t items, const char *old)
{
    check_text(result, TAG_PATIENT_ID, "NEW");
    CHECK_INT(dataset_item_count(result, 0x04000561), (long long)items);
    struct dataset *item = dataset_item(result, 0x04000561, items - 1);
    check_text(item, 0x04000565, "COERCE");
    check_text(item, 0x04000563, "US");
    check_text(item, 0x04000564, "THEM");
    struct dataset *modified = dataset_item(item, 0x04000550, 0);
    check_text(modified, TAG_PATIENT_ID, old);
    dataset_close(modified);
    dataset_close(item);
}

TEST(a_value_is_put_where_it_belongs_when_there_was_none)
{
    struct buffer bytes = buffer_up_to(4096), edited = buffer_up_to(8192);
    struct encoder encoder = { &bytes, true };
    struct scan *scan;
    encode_text(&encoder, TAG_PATIENT_NAME, VR_PN, "A^B");
    encode_text(&encoder, 0x00200010, VR_SH, "S1");
    struct dataset *result = apply(buffer_slice(&bytes), UID_EXPLICIT_LITTLE_ENDIAN, &patient_id, 1,
                                   &edited, &scan);
    check_result(result, 1, "");
    check_text(result, TAG_PATIENT_NAME, "A^B");
    check_text(result, 0x00200010, "S1");
    dataset_close(result);
    scan_free(scan);
    buffer_release(&bytes);
    buffer_release(&edited);
}

TEST(an_empty_data_set_gets_its_attributes)
{
    struct buffer edited = buffer_up_to(8192);
    struct scan *scan;
    struct dataset *result = apply(slice_of("", 0), UID_IMPLICIT_LITTLE_ENDIAN, &patient_id, 1,
                                   &edited, &scan);
    check_result(result, 1, "");
    dataset_close(result);
    scan_free(scan);
    buffer_release(&edited);
}

static void append_item(struct buffer *out, uint32_t length)
{
    buffer_append_u16le(out, 0xFFFE);
    buffer_append_u16le(out, 0xE000);
    buffer_append_u32le(out, length);
}

/* (PS3.5 6.2.2) items inside UN are in implicit VR little endian. */
TEST(earlier_items_stay_in_a_sequence_that_came_as_unknown)
{
    static const uint8_t header[] = { 0x00, 0x04, 0x61, 0x05, 'U', 'N', 0, 0 };
    struct buffer bytes = buffer_up_to(4096), edited = buffer_up_to(8192);
    struct buffer inner = buffer_up_to(4096);
    struct encoder encoder = { &bytes, true };
    struct encoder implicit = { &inner, false };
    struct scan *scan;
    encode_text(&encoder, TAG_PATIENT_ID, VR_LO, "OLD");
    encode_text(&implicit, 0x04000565, VR_CS, "CORRECT");
    buffer_append(&bytes, slice_of(header, sizeof(header)));
    buffer_append_u32le(&bytes, (uint32_t)inner.size + 8);
    append_item(&bytes, (uint32_t)inner.size);
    buffer_append(&bytes, buffer_slice(&inner));
    encode_text(&encoder, 0x20500020, VR_CS, "IDENTITY");
    struct dataset *result = apply(buffer_slice(&bytes), UID_EXPLICIT_LITTLE_ENDIAN, &patient_id, 1,
                                   &edited, &scan);
    check_result(result, 2, "OLD");
    struct dataset *first = dataset_item(result, 0x04000561, 0);
    check_text(first, 0x04000565, "CORRECT");
    check_text(result, 0x20500020, "IDENTITY");
    dataset_close(first);
    dataset_close(result);
    scan_free(scan);
    buffer_release(&bytes);
    buffer_release(&inner);
    buffer_release(&edited);
}

TEST(what_cannot_be_coerced_is_refused)
{
    struct buffer bytes = buffer_up_to(64 << 10);
    struct encoder encoder = { &bytes, true };
    struct error err = { 0 };
    struct dataset *header;
    struct edit_list edits;
    static uint8_t name[5000];
    memset(name, 'x', sizeof(name));
    encode_bytes(&encoder, TAG_PATIENT_ID, VR_LO, slice_of(name, sizeof(name)));
    CHECK_OK(dataset_open(buffer_slice(&bytes),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &header, &err),
             err);
    CHECK(!coerce_edits(header, &patient_id, 1, &note, &edits, &err));
    CHECK_INT(err.tag, TAG_PATIENT_ID);
    edit_list_release(&edits);
    dataset_close(header);
    buffer_clear(&bytes);
    const struct coercion two[] = { { 0x00080080, VR_LO, false, slice_text("A") }, patient_id };
    encode_text(&encoder, TAG_PATIENT_ID, VR_LO, "OLD"); /* in disorder */
    encode_text(&encoder, 0x00080080, VR_LO, "EAST");
    CHECK_OK(dataset_open(buffer_slice(&bytes),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &header, &err),
             err);
    CHECK(!coerce_edits(header, two, 2, &note, &edits, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    edit_list_release(&edits);
    dataset_close(header);
    buffer_release(&bytes);
}
