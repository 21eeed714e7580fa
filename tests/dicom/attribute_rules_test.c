/* SPDX-License-Identifier: MIT */
#include "dicom/attribute_rules.h"

#include "dicom/encode.h"
#include "tests/test.h"

static const struct attribute_rule rules[] = {
    { 0, ATTRIBUTE_1, TAG_STUDY_INSTANCE_UID },
    { 0, ATTRIBUTE_2, TAG_REFERENCED_SERIES_SEQUENCE },
    { 1, ATTRIBUTE_1, TAG_REFERENCED_SOP_SEQUENCE },
    { 2, ATTRIBUTE_1, TAG_REFERENCED_SOP_CLASS_UID },
    { 1, ATTRIBUTE_1C, TAG_SERIES_INSTANCE_UID },
    { 0, ATTRIBUTE_3, TAG_PATIENT_NAME },
};

static bool check(const struct buffer *bytes, struct rules_result *result)
{
    struct dataset *dataset = NULL;
    struct error err;
    const struct transfer_syntax *syntax = transfer_syntax_or_private(
        slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    CHECK_OK(dataset_open(buffer_slice(bytes), syntax, NULL, 0, &dataset, &err), err);
    bool ok = rules_check(dataset, rules, sizeof(rules) / sizeof(rules[0]), result);
    dataset_close(dataset);
    return ok;
}

TEST(what_is_missing_and_what_is_empty_is_told_at_every_depth)
{
    struct buffer bytes = buffer_up_to(4096);
    struct encoder encoder = { &bytes, true };
    struct rules_result result;
    encode_sequence_begin(&encoder, TAG_REFERENCED_SERIES_SEQUENCE);
    encode_item_begin(&encoder);
    encode_sequence_begin(&encoder, TAG_REFERENCED_SOP_SEQUENCE);
    encode_sequence_end(&encoder);
    encode_text(&encoder, TAG_SERIES_INSTANCE_UID, VR_UI, "");
    encode_item_end(&encoder);
    encode_item_begin(&encoder);
    encode_sequence_begin(&encoder, TAG_REFERENCED_SOP_SEQUENCE);
    encode_item_begin(&encoder);
    encode_item_end(&encoder);
    encode_sequence_end(&encoder);
    encode_item_end(&encoder);
    encode_sequence_end(&encoder);
    CHECK(!check(&bytes, &result));
    CHECK_INT(result.missing_count, 2);
    CHECK_INT(result.missing[0], TAG_STUDY_INSTANCE_UID);
    CHECK_INT(result.missing[1], TAG_REFERENCED_SOP_CLASS_UID);
    CHECK_INT(result.empty_count, 2);
    CHECK_INT(result.empty[0], TAG_REFERENCED_SOP_SEQUENCE);
    CHECK_INT(result.empty[1], TAG_SERIES_INSTANCE_UID);
    buffer_release(&bytes);
}

TEST(a_sequence_that_may_be_empty_and_an_attribute_that_may_be_missing_are_no_fault)
{
    struct buffer bytes = buffer_up_to(4096);
    struct encoder encoder = { &bytes, true };
    struct rules_result result;
    encode_sequence_begin(&encoder, TAG_REFERENCED_SERIES_SEQUENCE);
    encode_sequence_end(&encoder);
    encode_text(&encoder, TAG_STUDY_INSTANCE_UID, VR_UI, "1.2.3");
    CHECK(check(&bytes, &result));
    buffer_release(&bytes);
}
