/* SPDX-License-Identifier: MIT */
#include "dimse/pdu.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "dicom/uid.h"
#include "tests/test.h"

/* An A-ASSOCIATE-RQ by hand: the fixed part, then items as given. */
static struct buffer request_with(const void *items, size_t size)
{
    struct buffer body = buffer_up_to(1 << 20);
    uint8_t fixed[PDU_ASSOCIATE_LENGTH] = { 0, 1 };
    memset(fixed + 4, ' ', 32);
    memcpy(fixed + 4, "HOUNSFIELD", 10);
    memcpy(fixed + 20, " CT1", 4);
    buffer_append(&body, slice_of(fixed, sizeof(fixed)));
    buffer_append(&body, slice_of(items, size));
    return body;
}

static bool decodes(const void *items, size_t size)
{
    struct associate *associate = mem_alloc(sizeof(*associate));
    struct buffer body = request_with(items, size);
    bool ok = associate_decode(buffer_slice(&body), PDU_ASSOCIATE_RQ, associate, NULL);
    buffer_release(&body);
    free(associate);
    return ok;
}

TEST(an_association_request_survives_encoding_and_decoding)
{
    struct associate *in = mem_alloc(sizeof(*in));
    struct associate *out = mem_alloc(sizeof(*out));
    struct buffer syntaxes = buffer_up_to(1000);
    struct buffer pdu = buffer_up_to(10000);
    struct error err;
    struct slice uid;
    in->protocol_version = 1;
    associate_set_titles(in, "ARCHIVE", "MODALITY");
    in->application_context = slice_text(UID_APPLICATION_CONTEXT);
    pdu_append_syntax(&syntaxes, slice_text(UID_JPEG_BASELINE));
    pdu_append_syntax(&syntaxes, slice_text(UID_IMPLICIT_LITTLE_ENDIAN));
    in->context_count = 1;
    in->contexts[0].id = 7;
    in->contexts[0].abstract_syntax = slice_text(UID_VERIFICATION);
    in->contexts[0].syntaxes = buffer_slice(&syntaxes);
    in->max_length = 131072;
    in->implementation_class = slice_text(UID_IMPLEMENTATION_CLASS);
    in->implementation_version = slice_text("V");
    in->role_count = 1;
    in->roles[0] = (struct associate_role){ slice_text(UID_VERIFICATION), true, false };
    associate_encode(in, PDU_ASSOCIATE_RQ, &pdu);
    CHECK_INT(get_u32be(pdu.data + 2), pdu.size - PDU_HEADER_SIZE);
    CHECK_OK(associate_decode(slice_skip(buffer_slice(&pdu), PDU_HEADER_SIZE), PDU_ASSOCIATE_RQ,
                              out, &err),
             err);
    char title[AE_TITLE_SIZE];
    associate_called_ae(out, title);
    CHECK_TEXT(title, "ARCHIVE");
    associate_calling_ae(out, title);
    CHECK_TEXT(title, "MODALITY");
    CHECK_INT(out->protocol_version, 1);
    CHECK_INT(out->max_length, 131072);
    CHECK(slice_equals_text(out->application_context, UID_APPLICATION_CONTEXT));
    CHECK(slice_equals_text(out->implementation_version, "V"));
    CHECK_INT(out->context_count, 1);
    CHECK_INT(out->contexts[0].id, 7);
    CHECK(slice_equals_text(out->contexts[0].abstract_syntax, UID_VERIFICATION));
    struct slice rest = out->contexts[0].syntaxes;
    CHECK(pdu_next_syntax(&rest, &uid) && slice_equals_text(uid, UID_JPEG_BASELINE));
    CHECK(pdu_next_syntax(&rest, &uid) && slice_equals_text(uid, UID_IMPLICIT_LITTLE_ENDIAN));
    CHECK(!pdu_next_syntax(&rest, &uid));
    CHECK_INT(out->role_count, 1);
    CHECK(out->roles[0].scu && !out->roles[0].scp);
    buffer_release(&pdu);
    buffer_release(&syntaxes);
    free(in);
    free(out);
}

TEST(spaces_around_ae_titles_are_not_significant)
{
    struct associate *associate = mem_alloc(sizeof(*associate));
    struct buffer body = request_with(NULL, 0);
    char title[AE_TITLE_SIZE];
    CHECK(associate_decode(buffer_slice(&body), PDU_ASSOCIATE_RQ, associate, NULL));
    associate_called_ae(associate, title);
    CHECK_TEXT(title, "HOUNSFIELD");
    associate_calling_ae(associate, title);
    CHECK_TEXT(title, "CT1");
    buffer_release(&body);
    free(associate);
}

TEST(a_request_shorter_than_its_fixed_part_is_refused)
{
    struct associate *associate = mem_alloc(sizeof(*associate));
    uint8_t bytes[PDU_ASSOCIATE_LENGTH] = { 0, 1 };
    for (size_t size = 0; size < sizeof(bytes); size++)
        CHECK(!associate_decode(slice_of(bytes, size), PDU_ASSOCIATE_RQ, associate, NULL));
    CHECK(associate_decode(slice_of(bytes, sizeof(bytes)), PDU_ASSOCIATE_RQ, associate, NULL));
    free(associate);
}

TEST(an_item_that_overruns_the_request_is_refused)
{
    CHECK(decodes("\x10\0\0\1x", 5));
    CHECK(!decodes("\x10\0\0\2x", 5));
    CHECK(!decodes("\x10\0\xff\xffx", 5));
    CHECK(!decodes("\x10\0\0", 3));
}

TEST(a_sub_item_that_overruns_its_item_is_refused)
{
    /* context 1 with an abstract syntax of 1 byte, then of 2 where only 1 is */
    CHECK(decodes("\x20\0\0\x09\1\0\0\0\x30\0\0\1x", 13));
    CHECK(!decodes("\x20\0\0\x09\1\0\0\0\x30\0\0\2x", 13));
    CHECK(!decodes("\x50\0\0\5\x51\0\0\4x", 9));
}

TEST(items_that_stand_once_may_not_stand_twice)
{
    CHECK(!decodes("\x10\0\0\1x\x10\0\0\1x", 10));
    CHECK(!decodes("\x50\0\0\0\x50\0\0\0", 8));
    CHECK(!decodes("\x50\0\0\x10\x51\0\0\4\0\0\1\0\x51\0\0\4\0\0\1\0", 20));
    CHECK(!decodes("\x20\0\0\x0e\1\0\0\0\x30\0\0\1x\x30\0\0\1y", 18));
}

TEST(context_ids_are_odd_and_unique)
{
    CHECK(decodes("\x20\0\0\4\1\0\0\0\x20\0\0\4\3\0\0\0", 16));
    CHECK(!decodes("\x20\0\0\4\1\0\0\0\x20\0\0\4\1\0\0\0", 16));
    CHECK(!decodes("\x20\0\0\4\2\0\0\0", 8));
    CHECK(!decodes("\x20\0\0\3\1\0\0", 7));
}

TEST(unknown_items_and_sub_items_are_ignored)
{
    CHECK(decodes("\x77\0\0\1x", 5));
    CHECK(decodes("\x50\0\0\x0d\x99\0\0\1x\x51\0\0\4\0\0\1\0", 17));
}

TEST(a_role_selection_of_the_wrong_length_is_refused)
{
    CHECK(decodes("\x50\0\0\x09\x54\0\0\5\0\1x\1\0", 13));
    CHECK(!decodes("\x50\0\0\x09\x54\0\0\5\0\2x\1\0", 13));
    CHECK(!decodes("\x50\0\0\x07\x54\0\0\3\0\0\1", 11));
}

TEST(headers_are_checked_before_anything_is_read)
{
    CHECK_INT(pdu_check_header(PDU_ASSOCIATE_RQ, 67, 0), ABORT_INVALID_PARAMETER);
    CHECK_INT(pdu_check_header(PDU_ASSOCIATE_RQ, 68, 0), ABORT_NOT_SPECIFIED);
    CHECK_INT(pdu_check_header(PDU_ASSOCIATE_RQ, 0xFFFFFFFF, 0), ABORT_INVALID_PARAMETER);
    CHECK_INT(pdu_check_header(PDU_DATA, 5, 16384), ABORT_INVALID_PARAMETER);
    CHECK_INT(pdu_check_header(PDU_DATA, 16384, 16384), ABORT_NOT_SPECIFIED);
    CHECK_INT(pdu_check_header(PDU_DATA, 16385, 16384), ABORT_INVALID_PARAMETER);
    CHECK_INT(pdu_check_header(PDU_RELEASE_RQ, 5, 0), ABORT_INVALID_PARAMETER);
    CHECK_INT(pdu_check_header(PDU_RELEASE_RQ, 4, 0), ABORT_NOT_SPECIFIED);
    CHECK_INT(pdu_check_header(0, 4, 0), ABORT_UNRECOGNIZED_PDU);
    CHECK_INT(pdu_check_header('G', 4, 0), ABORT_UNRECOGNIZED_PDU);
}

TEST(short_pdus_are_as_the_standard_draws_them)
{
    uint8_t pdu[PDU_SHORT_SIZE];
    reject_encode((struct rejection){ 2, 3, 1 }, pdu);
    CHECK(memcmp(pdu, "\3\0\0\0\0\4\0\2\3\1", sizeof(pdu)) == 0);
    release_encode(PDU_RELEASE_RP, pdu);
    CHECK(memcmp(pdu, "\6\0\0\0\0\4\0\0\0\0", sizeof(pdu)) == 0);
    abort_encode(ABORT_BY_PROVIDER, ABORT_INVALID_PARAMETER, pdu);
    CHECK(memcmp(pdu, "\7\0\0\0\0\4\0\0\2\6", sizeof(pdu)) == 0);
}

TEST(every_sub_item_of_the_user_information_survives_encoding_and_decoding)
{
    struct associate *in = mem_alloc(sizeof(*in));
    struct associate *out = mem_alloc(sizeof(*out));
    struct buffer pdu = buffer_up_to(10000);
    static const uint8_t information[] = { 1, 0, 1 };
    in->has_window = true;
    in->invoked = 7;
    in->performed = 0x0102;
    in->extended_count = 1;
    in->extended[0] = (struct associate_extended){ slice_text(UID_STUDY_ROOT_FIND),
                                                   slice_of(information, 3) };
    in->common_count = 1;
    in->common[0] = (struct associate_common){ slice_text("1.2.3"),
                                               slice_text(UID_STORAGE_SERVICE_CLASS) };
    in->identity = (struct associate_identity){
        .type = IDENTITY_PASSCODE,
        .response_requested = true,
        .primary = slice_text("reader"),
        .secondary = slice_text("secret"),
        .has_response = false,
    };
    associate_encode(in, PDU_ASSOCIATE_RQ, &pdu);
    CHECK(associate_decode(slice_skip(buffer_slice(&pdu), PDU_HEADER_SIZE), PDU_ASSOCIATE_RQ, out,
                           NULL));
    CHECK(out->has_window);
    CHECK_INT(out->invoked, 7);
    CHECK_INT(out->performed, 0x0102);
    CHECK_INT(out->extended_count, 1);
    CHECK(slice_equals_text(out->extended[0].sop_class, UID_STUDY_ROOT_FIND));
    CHECK(slice_equal(out->extended[0].information, slice_of(information, 3)));
    CHECK_INT(out->common_count, 1);
    CHECK(slice_equals_text(out->common[0].service_class, UID_STORAGE_SERVICE_CLASS));
    CHECK_INT(out->identity.type, IDENTITY_PASSCODE);
    CHECK(out->identity.response_requested);
    CHECK(slice_equals_text(out->identity.primary, "reader"));
    CHECK(slice_equals_text(out->identity.secondary, "secret"));
    buffer_release(&pdu);
    free(in);
    free(out);
}

TEST(sub_items_of_the_user_information_that_do_not_fit_are_refused)
{
    static const uint8_t bad[][24] = {
        /* window of three bytes; window twice */
        { 0x50, 0, 0, 7, 0x53, 0, 0, 3, 0, 1, 0 },
        { 0x50, 0, 0, 16, 0x53, 0, 0, 4, 0, 1, 0, 1, 0x53, 0, 0, 4, 0, 1, 0, 1 },
        /* extended: UID length overruns, or is cut */
        { 0x50, 0, 0, 8, 0x56, 0, 0, 4, 0, 9, '1', '.' },
        { 0x50, 0, 0, 5, 0x56, 0, 0, 1, 0 },
        /* common extended: no service class */
        { 0x50, 0, 0, 7, 0x57, 0, 0, 3, 0, 1, '1' },
        /* identity: of no type; overrun; bytes behind; too short */
        { 0x50, 0, 0, 10, 0x58, 0, 0, 6, 0, 0, 0, 0, 0, 0 },
        { 0x50, 0, 0, 10, 0x58, 0, 0, 6, 1, 0, 0, 9, 0, 0 },
        { 0x50, 0, 0, 11, 0x58, 0, 0, 7, 1, 0, 0, 0, 0, 0, 0 },
        { 0x50, 0, 0, 5, 0x58, 0, 0, 1, 1 },
    };
    static const uint8_t good[] = { 0x50, 0, 0, 11, 0x58, 0, 0, 7, 1, 0, 0, 1, 'a', 0, 0 };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK(!decodes(bad[i], 4u + bad[i][3]));
    CHECK(decodes(good, sizeof(good)));
}
