/* SPDX-License-Identifier: MIT */
#include "dicom/tag.h"

#include <string.h>

#include "tests/test.h"

TEST(dictionary_knows_current_retired_and_repeating_attributes)
{
    CHECK_TEXT(dictionary_find(TAG_PATIENT_NAME)->keyword, "PatientName");
    CHECK_INT(dictionary_find(TAG_PATIENT_NAME)->vr, VR_PN);
    CHECK_TEXT(dictionary_find(0x00000100)->keyword, "CommandField");
    CHECK_TEXT(dictionary_find(0x00020010)->keyword, "TransferSyntaxUID");
    CHECK_TEXT(dictionary_find(0x00081040)->keyword, "InstitutionalDepartmentName");
    CHECK_TEXT(dictionary_find(0x00080040)->keyword, "DataSetType");
    CHECK_TEXT(dictionary_find(0x60003000)->keyword, "OverlayData");
    CHECK_TEXT(dictionary_find(0x601E3000)->keyword, "OverlayData");
    CHECK_INT(dictionary_find(0x60020010)->vr, VR_US);
    CHECK_TEXT(dictionary_find(0x50043000)->keyword, "CurveData");
    CHECK(!dictionary_find(0x00080004));
    CHECK(!dictionary_find(0x00091001));
    CHECK(!dictionary_find(0x60013000));
}

TEST(dictionary_offers_the_vr_of_implicit_data_sets)
{
    CHECK_INT(dictionary_vr(TAG_PIXEL_DATA), VR_OW);
    CHECK_INT(dictionary_vr(0x00280106), VR_US);
    CHECK_INT(dictionary_find(0x00280106)->signed_vr, VR_SS);
    CHECK_INT(dictionary_find(TAG_ROWS)->signed_vr, 0);
    CHECK_INT(dictionary_vr(0x00080000), VR_UL);
    CHECK_INT(dictionary_vr(0x00090010), VR_LO);
    CHECK_INT(dictionary_vr(0x000900FF), VR_LO);
    CHECK_INT(dictionary_vr(0x00091010), VR_UN);
    CHECK_INT(dictionary_vr(0x00080004), VR_UN);
    CHECK_INT(dictionary_vr(0x52009229), VR_SQ);
}

TEST(dictionary_finds_by_keyword_what_it_finds_by_tag)
{
    size_t found = 0;
    for (uint32_t tag = 0x00080000; tag < 0x00500000; tag++) {
        const struct dictionary_entry *entry = dictionary_find(tag);
        if (!entry || !entry->keyword[0])
            continue;
        CHECK(dictionary_find_keyword(entry->keyword) == entry);
        found++;
    }
    CHECK(found > 3000);
    CHECK_INT(dictionary_find_keyword("StudyInstanceUID")->tag, TAG_STUDY_INSTANCE_UID);
    CHECK_INT(dictionary_find_keyword("OverlayData")->tag, 0x60003000);
    CHECK(!dictionary_find_keyword("StudyInstanceUid"));
    CHECK(!dictionary_find_keyword("Aaaa"));
    CHECK(!dictionary_find_keyword("zzzz"));
}

TEST(vr_properties_are_those_of_part_5)
{
    CHECK(vr_has_long_form(VR_OB) && vr_has_long_form(VR_SQ) && vr_has_long_form(VR_UT) &&
          vr_has_long_form(VR_UN) && vr_has_long_form(VR_SV) && vr_has_long_form(VR_UV) &&
          vr_has_long_form(VR_OV) && vr_has_long_form(VR_UC) && vr_has_long_form(VR_UR));
    CHECK(!vr_has_long_form(VR_US) && !vr_has_long_form(VR_LT) && !vr_has_long_form(VR_AT));
    CHECK(vr_uses_character_set(VR_PN) && vr_uses_character_set(VR_UT));
    CHECK(!vr_uses_character_set(VR_CS) && !vr_uses_character_set(VR_UR));
    CHECK(vr_is_multi_valued(VR_LO) && vr_is_multi_valued(VR_UC) && vr_is_multi_valued(VR_UI));
    CHECK(!vr_is_multi_valued(VR_ST) && !vr_is_multi_valued(VR_UR) && !vr_is_multi_valued(VR_US));
    CHECK_INT(vr_unit_size(VR_AT), 2);
    CHECK_INT(vr_unit_size(VR_FD), 8);
    CHECK_INT(vr_unit_size(VR_OL), 4);
    CHECK_INT(vr_unit_size(VR_OB), 1);
    CHECK_INT(vr_unit_size(VR_PN), 1);
    CHECK_INT(vr_padding(VR_UI), 0);
    CHECK_INT(vr_padding(VR_LO), ' ');
    CHECK_INT(vr_padding(VR_OB), 0);
    CHECK(!vr_is_known(VR('Z', 'Z')) && !vr_is_known(0) && !vr_is_known(0xFFFF));
}
