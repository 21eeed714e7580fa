/* SPDX-License-Identifier: MIT */
#include "dicom/uid.h"

#include "tests/dicom/scanned.h"

TEST(uid_is_valid_by_the_rules_of_part_5)
{
    CHECK(uid_is_valid("1.2.840.10008.1.1"));
    CHECK(uid_is_valid("0.0"));
    CHECK(uid_is_valid(UID_IMPLEMENTATION_CLASS));
    CHECK(!uid_is_valid(""));
    CHECK(!uid_is_valid("1."));
    CHECK(!uid_is_valid(".1"));
    CHECK(!uid_is_valid("1..2"));
    CHECK(!uid_is_valid("1.02"));
    CHECK(!uid_is_valid("1.2.00"));
    CHECK(!uid_is_valid("1.2/../../x"));
    CHECK(uid_is_valid("1.234567890.234567890.234567890.234567890.234567890.234567890123"));
    CHECK(!uid_is_valid("1.234567890.234567890.234567890.234567890.234567890.2345678901234"));
}

TEST(uid_with_leading_zeroes_is_safe_though_illegal)
{
    CHECK(uid_is_safe(slice_text("1.02.003")));
    CHECK(!uid_is_safe(slice_text("1.2 ")));
    CHECK(!uid_is_safe(slice_text("../1")));
    CHECK(!uid_is_safe(slice_text("1.2a")));
}

TEST(uid_value_is_taken_off_its_padding)
{
    char uid[UID_SIZE];
    CHECK(uid_copy(BYTES("1.2.3\0"), uid));
    CHECK_TEXT(uid, "1.2.3");
    CHECK(uid_copy(BYTES(" 1.2.3  \0\0"), uid));
    CHECK_TEXT(uid, "1.2.3");
    CHECK(!uid_copy(BYTES("\0\0"), uid));
    CHECK(!uid_copy(BYTES("1.2\\1.3"), uid));
    CHECK(!uid_copy(BYTES("1.2.3.../etc"), uid));
    CHECK_TEXT(uid, "");
}

TEST(transfer_syntaxes_say_how_a_data_set_is_encoded)
{
    const struct transfer_syntax *syntax = IMPLICIT;
    CHECK(!syntax->explicit_vr && !syntax->big_endian && !syntax->encapsulated &&
          !syntax->media_type);
    syntax = BIG_ENDIAN_SYNTAX;
    CHECK(syntax->explicit_vr && syntax->big_endian);
    syntax = DEFLATED;
    CHECK(syntax->deflated && !syntax->encapsulated);
    syntax = transfer_syntax_find(slice_text("1.2.840.10008.1.2.4.110"));
    CHECK(syntax && syntax->encapsulated && !syntax->lossy);
    CHECK_TEXT(syntax->media_type, "image/jxl");
    syntax = transfer_syntax_find(slice_text("1.2.840.10008.1.2.4.203"));
    CHECK(syntax && syntax->lossy);
    CHECK_TEXT(syntax->media_type, "image/jphc");
    CHECK_TEXT(transfer_syntax_find(slice_text("1.2.840.10008.1.2.4.102.1"))->media_type,
               "video/mp4");
    CHECK_TEXT(transfer_syntax_find(slice_text("1.2.840.10008.1.2.5"))->media_type,
               "image/dicom-rle");
    CHECK(transfer_syntax_find(slice_text("1.2.840.10008.1.2.8.1"))->encapsulated);
}

TEST(unknown_transfer_syntax_is_taken_as_explicit_little_endian_and_encapsulated)
{
    struct slice uid = slice_text("1.3.6.1.4.1.99999.1");
    CHECK(!transfer_syntax_find(uid));
    const struct transfer_syntax *syntax = transfer_syntax_or_private(uid);
    CHECK(syntax->explicit_vr && syntax->encapsulated && !syntax->big_endian && !syntax->deflated);
    CHECK(!transfer_syntax_or_private(slice_text("1.2.840.113619.5.2"))->explicit_vr);
}

TEST(transfer_syntaxes_are_all_found_by_their_uid)
{
    size_t count;
    const struct transfer_syntax *all = transfer_syntax_all(&count);
    CHECK(count > 50);
    for (size_t i = 0; i < count; i++) {
        CHECK(uid_is_valid(all[i].uid));
        CHECK(transfer_syntax_find(slice_text(all[i].uid)) == &all[i]);
        CHECK(all[i].encapsulated == (all[i].media_type != NULL));
        CHECK(!all[i].encapsulated || all[i].explicit_vr);
    }
}

TEST(sop_classes_are_found_and_have_a_kind)
{
    size_t count;
    const struct sop_class *all = sop_class_all(&count);
    size_t storage = 0;
    for (size_t i = 0; i < count; i++) {
        CHECK(uid_is_valid(all[i].uid));
        CHECK(sop_class_find(slice_text(all[i].uid)) == &all[i]);
        storage += all[i].kind == SOP_CLASS_STORAGE || all[i].kind == SOP_CLASS_STORAGE_RETIRED;
    }
    CHECK(storage > 180);
    CHECK(!sop_class_find(slice_text("1.2.840.10008.5.1.4.1.1.")));
    CHECK(!sop_class_find(slice_text("2.25.1")));
}

static enum sop_class_kind kind_of(const char *uid)
{
    const struct sop_class *class = sop_class_find(slice_text(uid));
    return class ? class->kind : SOP_CLASS_UNKNOWN;
}

TEST(storage_classes_without_a_patient_and_retired_ones_are_storage_classes)
{
    CHECK_INT(kind_of("1.2.840.10008.5.1.4.1.1.2"), SOP_CLASS_STORAGE);
    CHECK_INT(kind_of("1.2.840.10008.5.1.4.34.7"), SOP_CLASS_STORAGE);
    CHECK_INT(kind_of("1.2.840.10008.5.1.4.34.10"), SOP_CLASS_STORAGE);
    CHECK_INT(kind_of("1.2.840.10008.5.1.4.38.1"), SOP_CLASS_STORAGE);
    CHECK_INT(kind_of("1.2.840.10008.5.1.4.39.1"), SOP_CLASS_STORAGE);
    CHECK_INT(kind_of("1.2.840.10008.5.1.4.43.1"), SOP_CLASS_STORAGE);
    CHECK_INT(kind_of("1.2.840.10008.5.1.4.45.1"), SOP_CLASS_STORAGE);
    CHECK_INT(kind_of("1.2.840.10008.5.1.4.1.1.201.1"), SOP_CLASS_STORAGE);
    CHECK_INT(kind_of("1.2.840.10008.5.1.4.1.1.5"), SOP_CLASS_STORAGE_RETIRED);
    CHECK_INT(kind_of("1.2.840.10008.5.1.1.29"), SOP_CLASS_STORAGE_RETIRED);
    CHECK_INT(kind_of("1.2.840.10008.5.1.4.1.1.201.2"), SOP_CLASS_OTHER);
    CHECK_INT(kind_of("1.2.840.10008.5.1.4.38.2"), SOP_CLASS_OTHER);
    CHECK_INT(kind_of("1.2.840.10008.1.3.10"), SOP_CLASS_OTHER);
    CHECK_INT(kind_of(UID_STUDY_ROOT_FIND), SOP_CLASS_QUERY_RETRIEVE);
    CHECK_INT(kind_of(UID_VERIFICATION), SOP_CLASS_VERIFICATION);
}
