/* SPDX-License-Identifier: MIT */
#pragma once
/* Attribute tags as ggggeeee, and value representations (PS3.5 6.2, PS3.6). Only the tags that code
 * names. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TAG_SPECIFIC_CHARACTER_SET = 0x00080005,
    TAG_IMAGE_TYPE = 0x00080008,
    TAG_SOP_CLASS_UID = 0x00080016,
    TAG_SOP_INSTANCE_UID = 0x00080018,
    TAG_STUDY_DATE = 0x00080020,
    TAG_SERIES_DATE = 0x00080021,
    TAG_CONTENT_DATE = 0x00080023,
    TAG_STUDY_TIME = 0x00080030,
    TAG_SERIES_TIME = 0x00080031,
    TAG_CONTENT_TIME = 0x00080033,
    TAG_ACCESSION_NUMBER = 0x00080050,
    TAG_ISSUER_OF_ACCESSION_NUMBER_SEQUENCE = 0x00080051,
    TAG_QUERY_RETRIEVE_LEVEL = 0x00080052,
    TAG_RETRIEVE_AE_TITLE = 0x00080054,
    TAG_INSTANCE_AVAILABILITY = 0x00080056,
    TAG_FAILED_SOP_INSTANCE_UID_LIST = 0x00080058,
    TAG_MODALITY = 0x00080060,
    TAG_MODALITIES_IN_STUDY = 0x00080061,
    TAG_SOP_CLASSES_IN_STUDY = 0x00080062,
    TAG_MANUFACTURER = 0x00080070,
    TAG_INSTITUTION_NAME = 0x00080080,
    TAG_REFERRING_PHYSICIAN_NAME = 0x00080090,
    TAG_TIMEZONE_OFFSET_FROM_UTC = 0x00080201,
    TAG_STUDY_DESCRIPTION = 0x00081030,
    TAG_PROCEDURE_CODE_SEQUENCE = 0x00081032,
    TAG_SERIES_DESCRIPTION = 0x0008103E,
    TAG_STATION_NAME = 0x00081010,
    TAG_SIMPLE_FRAME_LIST = 0x00081161,
    TAG_CALCULATED_FRAME_LIST = 0x00081162,
    TAG_TIME_RANGE = 0x00081163,
    TAG_FRAME_EXTRACTION_SEQUENCE = 0x00081164,
    TAG_MULTI_FRAME_SOURCE_SOP_INSTANCE_UID = 0x00081167,
    TAG_RETRIEVE_URL = 0x00081190,
    TAG_REFERENCED_SOP_CLASS_UID = 0x00081150,
    TAG_REFERENCED_SOP_INSTANCE_UID = 0x00081155,
    TAG_WARNING_REASON = 0x00081196,
    TAG_TRANSACTION_UID = 0x00081195,
    TAG_FAILURE_REASON = 0x00081197,
    TAG_FAILED_SOP_SEQUENCE = 0x00081198,
    TAG_REFERENCED_SOP_SEQUENCE = 0x00081199,
    TAG_OTHER_FAILURES_SEQUENCE = 0x0008119A,
    TAG_PATIENT_NAME = 0x00100010,
    TAG_PATIENT_ID = 0x00100020,
    TAG_ISSUER_OF_PATIENT_ID = 0x00100021,
    TAG_ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE = 0x00100024,
    TAG_PATIENT_BIRTH_DATE = 0x00100030,
    TAG_PATIENT_SEX = 0x00100040,
    TAG_OTHER_PATIENT_IDS_SEQUENCE = 0x00101002,
    TAG_BODY_PART_EXAMINED = 0x00180015,
    TAG_FRAME_TIME = 0x00181063,
    TAG_FRAME_TIME_VECTOR = 0x00181065,
    TAG_FRAME_DELAY = 0x00181066,
    TAG_FRAME_ACQUISITION_DATE_TIME = 0x00189074,
    TAG_FRAME_REFERENCE_DATE_TIME = 0x00189151,
    TAG_CONTRIBUTING_EQUIPMENT_SEQUENCE = 0x0018A001,
    TAG_CONTRIBUTION_DATE_TIME = 0x0018A002,
    TAG_PROTOCOL_NAME = 0x00181030,
    TAG_STUDY_INSTANCE_UID = 0x0020000D,
    TAG_SERIES_INSTANCE_UID = 0x0020000E,
    TAG_STUDY_ID = 0x00200010,
    TAG_SERIES_NUMBER = 0x00200011,
    TAG_INSTANCE_NUMBER = 0x00200013,
    TAG_LATERALITY = 0x00200060,
    TAG_NUMBER_OF_PATIENT_RELATED_STUDIES = 0x00201200,
    TAG_NUMBER_OF_PATIENT_RELATED_SERIES = 0x00201202,
    TAG_NUMBER_OF_PATIENT_RELATED_INSTANCES = 0x00201204,
    TAG_NUMBER_OF_STUDY_RELATED_SERIES = 0x00201206,
    TAG_NUMBER_OF_STUDY_RELATED_INSTANCES = 0x00201208,
    TAG_NUMBER_OF_SERIES_RELATED_INSTANCES = 0x00201209,
    TAG_SAMPLES_PER_PIXEL = 0x00280002,
    TAG_PHOTOMETRIC_INTERPRETATION = 0x00280004,
    TAG_PLANAR_CONFIGURATION = 0x00280006,
    TAG_FRAME_CONTENT_SEQUENCE = 0x00209111,
    TAG_NUMBER_OF_FRAMES = 0x00280008,
    TAG_FRAME_INCREMENT_POINTER = 0x00280009,
    TAG_ROWS = 0x00280010,
    TAG_COLUMNS = 0x00280011,
    TAG_PIXEL_SPACING = 0x00280030,
    TAG_PIXEL_ASPECT_RATIO = 0x00280034,
    TAG_BITS_ALLOCATED = 0x00280100,
    TAG_BITS_STORED = 0x00280101,
    TAG_HIGH_BIT = 0x00280102,
    TAG_PIXEL_REPRESENTATION = 0x00280103,
    TAG_PIXEL_PADDING_VALUE = 0x00280120,
    TAG_PIXEL_PADDING_RANGE_LIMIT = 0x00280121,
    TAG_WINDOW_CENTER = 0x00281050,
    TAG_WINDOW_WIDTH = 0x00281051,
    TAG_RESCALE_INTERCEPT = 0x00281052,
    TAG_RESCALE_SLOPE = 0x00281053,
    TAG_VOI_LUT_FUNCTION = 0x00281056,
    TAG_RED_PALETTE_DESCRIPTOR = 0x00281101,
    TAG_RED_PALETTE_DATA = 0x00281201,
    TAG_SEGMENTED_RED_PALETTE_DATA = 0x00281221,
    TAG_LOSSY_IMAGE_COMPRESSION = 0x00282110,
    TAG_MODALITY_LUT_SEQUENCE = 0x00283000,
    TAG_LUT_DESCRIPTOR = 0x00283002,
    TAG_LUT_DATA = 0x00283006,
    TAG_VOI_LUT_SEQUENCE = 0x00283010,
    TAG_REPRESENTATIVE_FRAME_NUMBER = 0x00286010,
    TAG_FRAME_VOI_LUT_SEQUENCE = 0x00289132,
    TAG_PIXEL_VALUE_TRANSFORMATION_SEQUENCE = 0x00289145,
    TAG_REQUEST_ATTRIBUTES_SEQUENCE = 0x00400275,
    TAG_SCHEDULED_PROCEDURE_STEP_ID = 0x00400009,
    TAG_REQUESTED_PROCEDURE_ID = 0x00401001,
    TAG_PERFORMED_PROCEDURE_STEP_START_DATE = 0x00400244,
    TAG_PERFORMED_PROCEDURE_STEP_START_TIME = 0x00400245,
    TAG_PRESENTATION_LUT_SHAPE = 0x20500020,
    TAG_SHARED_FUNCTIONAL_GROUPS_SEQUENCE = 0x52009229,
    TAG_PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE = 0x52009230,
    TAG_EXTENDED_OFFSET_TABLE = 0x7FE00001,
    TAG_EXTENDED_OFFSET_TABLE_LENGTHS = 0x7FE00002,
    TAG_FLOAT_PIXEL_DATA = 0x7FE00008,
    TAG_DOUBLE_FLOAT_PIXEL_DATA = 0x7FE00009,
    TAG_PIXEL_DATA = 0x7FE00010,
};
/* Above INT_MAX, so not enumerators. */
#define TAG_ITEM               0xFFFEE000u
#define TAG_ITEM_DELIMITER     0xFFFEE00Du
#define TAG_SEQUENCE_DELIMITER 0xFFFEE0DDu

enum { LENGTH_UNDEFINED_SIZE = 4 };
#define LENGTH_UNDEFINED 0xFFFFFFFFu

/* A value representation is its two letters: 'P' << 8 | 'N'. */
typedef uint16_t vr_code;
#define VR(a, b) ((uint16_t)((a) << 8 | (b)))
enum {
    VR_AE = VR('A', 'E'),
    VR_AS = VR('A', 'S'),
    VR_AT = VR('A', 'T'),
    VR_CS = VR('C', 'S'),
    VR_DA = VR('D', 'A'),
    VR_DS = VR('D', 'S'),
    VR_DT = VR('D', 'T'),
    VR_FD = VR('F', 'D'),
    VR_FL = VR('F', 'L'),
    VR_IS = VR('I', 'S'),
    VR_LO = VR('L', 'O'),
    VR_LT = VR('L', 'T'),
    VR_OB = VR('O', 'B'),
    VR_OD = VR('O', 'D'),
    VR_OF = VR('O', 'F'),
    VR_OL = VR('O', 'L'),
    VR_OV = VR('O', 'V'),
    VR_OW = VR('O', 'W'),
    VR_PN = VR('P', 'N'),
    VR_SH = VR('S', 'H'),
    VR_SL = VR('S', 'L'),
    VR_SQ = VR('S', 'Q'),
    VR_SS = VR('S', 'S'),
    VR_ST = VR('S', 'T'),
    VR_SV = VR('S', 'V'),
    VR_TM = VR('T', 'M'),
    VR_UC = VR('U', 'C'),
    VR_UI = VR('U', 'I'),
    VR_UL = VR('U', 'L'),
    VR_UN = VR('U', 'N'),
    VR_UR = VR('U', 'R'),
    VR_US = VR('U', 'S'),
    VR_UT = VR('U', 'T'),
    VR_UV = VR('U', 'V'),
};

/* What the encoding rules ask about a VR (PS3.5 7.1.2, 6.2). */
bool vr_is_known(uint16_t vr);
bool vr_has_long_form(uint16_t vr);      /* explicit: 2 reserved bytes and a 32-bit length */
bool vr_is_text(uint16_t vr);            /* characters of some kind, numbers in text among them */
bool vr_uses_character_set(uint16_t vr); /* SH LO ST LT PN UC UT: (0008,0005) applies */
bool vr_is_multi_valued(uint16_t vr);    /* backslash separates values: text VRs but ST LT UT UR */
/* Bytes to swap together and to divide binary values by; 1 for text. */
size_t vr_unit_size(uint16_t vr);
uint8_t vr_padding(uint16_t vr); /* ' ' for text, 0 for UI and binary */

/* The data dictionary (PS3.6), made from public facts by dicom/dictionary.awk; private tags are not
 * in it. */
struct dictionary_entry {
    uint32_t tag;       /* of a repeating group: the first of them */
    uint16_t vr;        /* where PS3.6 offers several: the first one, but OW for "OB or OW", as
                           implicit VR has it (PS3.5 A.1) */
    uint16_t signed_vr; /* SS for "US or SS": the VR when Pixel Representation is 1; else 0 */
    const char *keyword;
};
/* Repeating groups (50xx, 60xx) too. NULL when unknown. */
const struct dictionary_entry *dictionary_find(uint32_t tag);
const struct dictionary_entry *dictionary_find_keyword(const char *keyword);
/* UN when unknown; UL for group lengths, LO for private creators. */
uint16_t dictionary_vr(uint32_t tag);

static inline bool tag_is_private(uint32_t tag)
{
    return tag >> 16 & 1;
}
