/* SPDX-License-Identifier: MIT */
#include "archive/attributes.h"

#include <stdlib.h>

#include "dicom/encode.h"

struct attribute {
    uint32_t tag;
    enum level level;
};

/* PS3.4 C.6.1.1 and C.6.2.1, PS3.18 10.6.3.3, and what the modules of PS3.3 C.7.1 to C.7.5 hold at
 * each level. Ascending. */
static const struct attribute attributes[] = {
    { 0x00080008, LEVEL_INSTANCE }, /* Image Type */
    { 0x00080012, LEVEL_INSTANCE }, /* Instance Creation Date */
    { 0x00080013, LEVEL_INSTANCE }, /* Instance Creation Time */
    { 0x00080016, LEVEL_INSTANCE }, /* SOP Class UID */
    { 0x00080018, LEVEL_INSTANCE }, /* SOP Instance UID */
    { 0x00080020, LEVEL_STUDY },    /* Study Date */
    { 0x00080021, LEVEL_SERIES },   /* Series Date */
    { 0x00080022, LEVEL_INSTANCE }, /* Acquisition Date */
    { 0x00080023, LEVEL_INSTANCE }, /* Content Date */
    { 0x0008002A, LEVEL_INSTANCE }, /* Acquisition DateTime */
    { 0x00080030, LEVEL_STUDY },    /* Study Time */
    { 0x00080031, LEVEL_SERIES },   /* Series Time */
    { 0x00080032, LEVEL_INSTANCE }, /* Acquisition Time */
    { 0x00080033, LEVEL_INSTANCE }, /* Content Time */
    { 0x00080050, LEVEL_STUDY },    /* Accession Number */
    { 0x00080051, LEVEL_STUDY },    /* Issuer of Accession Number Sequence */
    { 0x00080060, LEVEL_SERIES },   /* Modality */
    { 0x00080064, LEVEL_SERIES },   /* Conversion Type */
    { 0x00080068, LEVEL_SERIES },   /* Presentation Intent Type */
    { 0x00080070, LEVEL_SERIES },   /* Manufacturer */
    { 0x00080080, LEVEL_SERIES },   /* Institution Name */
    { 0x00080082, LEVEL_SERIES },   /* Institution Code Sequence */
    { 0x00080090, LEVEL_STUDY },    /* Referring Physician's Name */
    { 0x00080096, LEVEL_STUDY },    /* Referring Physician Identification Sequence */
    { 0x0008009C, LEVEL_STUDY },    /* Consulting Physician's Name */
    { 0x00080201, LEVEL_STUDY },    /* Timezone Offset From UTC */
    { 0x00081010, LEVEL_SERIES },   /* Station Name */
    { 0x00081030, LEVEL_STUDY },    /* Study Description */
    { 0x00081032, LEVEL_STUDY },    /* Procedure Code Sequence */
    { 0x0008103E, LEVEL_SERIES },   /* Series Description */
    { 0x0008103F, LEVEL_SERIES },   /* Series Description Code Sequence */
    { 0x00081040, LEVEL_SERIES },   /* Institutional Department Name */
    { 0x00081048, LEVEL_STUDY },    /* Physician(s) of Record */
    { 0x00081049, LEVEL_STUDY },    /* Physician(s) of Record Identification Sequence */
    { 0x00081050, LEVEL_SERIES },   /* Performing Physician's Name */
    { 0x00081052, LEVEL_SERIES },   /* Performing Physician Identification Sequence */
    { 0x00081060, LEVEL_STUDY },    /* Name of Physician(s) Reading Study */
    { 0x00081070, LEVEL_SERIES },   /* Operators' Name */
    { 0x00081080, LEVEL_STUDY },    /* Admitting Diagnoses Description */
    { 0x00081084, LEVEL_STUDY },    /* Admitting Diagnoses Code Sequence */
    { 0x00081090, LEVEL_SERIES },   /* Manufacturer's Model Name */
    { 0x00081110, LEVEL_STUDY },    /* Referenced Study Sequence */
    { 0x00081111, LEVEL_SERIES },   /* Referenced Performed Procedure Step Sequence */
    { 0x00100010, LEVEL_PATIENT },  /* Patient's Name */
    { 0x00100020, LEVEL_PATIENT },  /* Patient ID */
    { 0x00100021, LEVEL_PATIENT },  /* Issuer of Patient ID */
    { 0x00100022, LEVEL_PATIENT },  /* Type of Patient ID */
    { 0x00100024, LEVEL_PATIENT },  /* Issuer of Patient ID Qualifiers Sequence */
    { 0x00100030, LEVEL_PATIENT },  /* Patient's Birth Date */
    { 0x00100032, LEVEL_PATIENT },  /* Patient's Birth Time */
    { 0x00100040, LEVEL_PATIENT },  /* Patient's Sex */
    { 0x00101000, LEVEL_PATIENT },  /* Other Patient IDs */
    { 0x00101001, LEVEL_PATIENT },  /* Other Patient Names */
    { 0x00101002, LEVEL_PATIENT },  /* Other Patient IDs Sequence */
    { 0x00101010, LEVEL_STUDY },    /* Patient's Age */
    { 0x00101020, LEVEL_STUDY },    /* Patient's Size */
    { 0x00101030, LEVEL_STUDY },    /* Patient's Weight */
    { 0x00102000, LEVEL_STUDY },    /* Medical Alerts */
    { 0x00102110, LEVEL_STUDY },    /* Allergies */
    { 0x00102160, LEVEL_PATIENT },  /* Ethnic Group */
    { 0x00102180, LEVEL_STUDY },    /* Occupation */
    { 0x001021B0, LEVEL_STUDY },    /* Additional Patient History */
    { 0x001021C0, LEVEL_STUDY },    /* Pregnancy Status */
    { 0x00102201, LEVEL_PATIENT },  /* Patient Species Description */
    { 0x00102202, LEVEL_PATIENT },  /* Patient Species Code Sequence */
    { 0x00102297, LEVEL_PATIENT },  /* Responsible Person */
    { 0x00102299, LEVEL_PATIENT },  /* Responsible Organization */
    { 0x00104000, LEVEL_PATIENT },  /* Patient Comments */
    { 0x00120010, LEVEL_PATIENT },  /* Clinical Trial Sponsor Name */
    { 0x00120020, LEVEL_PATIENT },  /* Clinical Trial Protocol ID */
    { 0x00120030, LEVEL_PATIENT },  /* Clinical Trial Site ID */
    { 0x00120040, LEVEL_PATIENT },  /* Clinical Trial Subject ID */
    { 0x00120050, LEVEL_STUDY },    /* Clinical Trial Time Point ID */
    { 0x00120062, LEVEL_PATIENT },  /* Patient Identity Removed */
    { 0x00180015, LEVEL_SERIES },   /* Body Part Examined */
    { 0x00181000, LEVEL_SERIES },   /* Device Serial Number */
    { 0x00181020, LEVEL_SERIES },   /* Software Versions */
    { 0x00181030, LEVEL_SERIES },   /* Protocol Name */
    { 0x00185100, LEVEL_SERIES },   /* Patient Position */
    { 0x0020000D, LEVEL_STUDY },    /* Study Instance UID */
    { 0x0020000E, LEVEL_SERIES },   /* Series Instance UID */
    { 0x00200010, LEVEL_STUDY },    /* Study ID */
    { 0x00200011, LEVEL_SERIES },   /* Series Number */
    { 0x00200012, LEVEL_INSTANCE }, /* Acquisition Number */
    { 0x00200013, LEVEL_INSTANCE }, /* Instance Number */
    { 0x00200052, LEVEL_SERIES },   /* Frame of Reference UID */
    { 0x00200060, LEVEL_SERIES },   /* Laterality */
    { 0x00201040, LEVEL_SERIES },   /* Position Reference Indicator */
    { 0x00204000, LEVEL_INSTANCE }, /* Image Comments */
    { 0x00280002, LEVEL_INSTANCE }, /* Samples per Pixel */
    { 0x00280004, LEVEL_INSTANCE }, /* Photometric Interpretation */
    { 0x00280008, LEVEL_INSTANCE }, /* Number of Frames */
    { 0x00280010, LEVEL_INSTANCE }, /* Rows */
    { 0x00280011, LEVEL_INSTANCE }, /* Columns */
    { 0x00280100, LEVEL_INSTANCE }, /* Bits Allocated */
    { 0x00280101, LEVEL_INSTANCE }, /* Bits Stored */
    { 0x00282110, LEVEL_INSTANCE }, /* Lossy Image Compression */
    { 0x00321032, LEVEL_STUDY },    /* Requesting Physician */
    { 0x00321033, LEVEL_STUDY },    /* Requesting Service */
    { 0x00321060, LEVEL_STUDY },    /* Requested Procedure Description */
    { 0x00321064, LEVEL_STUDY },    /* Requested Procedure Code Sequence */
    { 0x00380010, LEVEL_STUDY },    /* Admission ID */
    { 0x00380014, LEVEL_STUDY },    /* Issuer of Admission ID Sequence */
    { 0x00380060, LEVEL_STUDY },    /* Service Episode ID */
    { 0x00400244, LEVEL_SERIES },   /* Performed Procedure Step Start Date */
    { 0x00400245, LEVEL_SERIES },   /* Performed Procedure Step Start Time */
    { 0x00400250, LEVEL_SERIES },   /* Performed Procedure Step End Date */
    { 0x00400251, LEVEL_SERIES },   /* Performed Procedure Step End Time */
    { 0x00400253, LEVEL_SERIES },   /* Performed Procedure Step ID */
    { 0x00400254, LEVEL_SERIES },   /* Performed Procedure Step Description */
    { 0x00400260, LEVEL_SERIES },   /* Performed Protocol Code Sequence */
    { 0x00400275, LEVEL_SERIES },   /* Request Attributes Sequence */
    { 0x00400280, LEVEL_SERIES },   /* Comments on the Performed Procedure Step */
    { 0x00401012, LEVEL_STUDY },    /* Reason For Performed Procedure Code Sequence */
    { 0x0040A043, LEVEL_INSTANCE }, /* Concept Name Code Sequence */
    { 0x0040A370, LEVEL_INSTANCE }, /* Referenced Request Sequence */
    { 0x0040A491, LEVEL_INSTANCE }, /* Completion Flag */
    { 0x0040A493, LEVEL_INSTANCE }, /* Verification Flag */
    { 0x00420010, LEVEL_INSTANCE }, /* Document Title */
    { 0x00420012, LEVEL_INSTANCE }, /* MIME Type of Encapsulated Document */
    { 0x00700080, LEVEL_INSTANCE }, /* Content Label */
    { 0x00700081, LEVEL_INSTANCE }, /* Content Description */
    { 0x00700082, LEVEL_INSTANCE }, /* Presentation Creation Date */
    { 0x00700083, LEVEL_INSTANCE }, /* Presentation Creation Time */
    { 0x00700084, LEVEL_INSTANCE }, /* Content Creator's Name */
};

enum { ATTRIBUTE_COUNT = sizeof(attributes) / sizeof(attributes[0]) };

static int compare_tag(const void *key, const void *member)
{
    uint32_t tag = *(const uint32_t *)key;
    uint32_t other = ((const struct attribute *)member)->tag;
    return tag < other ? -1 : tag > other;
}

bool attribute_level(uint32_t tag, enum level *level)
{
    const struct attribute *found = bsearch(&tag, attributes, ATTRIBUTE_COUNT,
                                            sizeof(attributes[0]), compare_tag);
    if (found)
        *level = found->level;
    return found != NULL;
}

bool attribute_next(enum level level, size_t *position, uint32_t *tag)
{
    while (*position < ATTRIBUTE_COUNT) {
        const struct attribute *attribute = &attributes[(*position)++];
        if (attribute->level == level) {
            *tag = attribute->tag;
            return true;
        }
    }
    return false;
}

/* The patient's attributes stand in the study's summary. */
static bool stands_in(const struct attribute *attribute, enum level level)
{
    return attribute->level == level || (level == LEVEL_STUDY && attribute->level == LEVEL_PATIENT);
}

struct summary summary_init(void)
{
    struct summary summary = { 0, false, buffer_up_to(SUMMARY_SIZE) };
    return summary;
}

void summary_release(struct summary *summary)
{
    buffer_release(&summary->bytes);
}

/* Of these, terms, keys and orders are made: they must be in the summary. */
static bool is_essential(uint32_t tag)
{
    switch (tag) {
    case TAG_STUDY_DATE:
    case TAG_STUDY_TIME:
    case TAG_ACCESSION_NUMBER:
    case TAG_MODALITY:
    case TAG_REFERRING_PHYSICIAN_NAME:
    case TAG_PATIENT_NAME:
    case TAG_PATIENT_ID:
    case TAG_ISSUER_OF_PATIENT_ID:
    case TAG_STUDY_INSTANCE_UID:
    case TAG_SERIES_INSTANCE_UID:
    case TAG_STUDY_ID:
    case TAG_SERIES_NUMBER:
        return true;
    default:
        return false;
    }
}

static bool has_value(const struct dataset *dataset, uint32_t tag)
{
    struct element element;
    return dataset && dataset_find(dataset, tag, &element) && element.size > 0;
}

uint64_t summary_presence(const struct dataset *header, enum level level)
{
    uint64_t present = 0;
    unsigned bit = 0;
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        if (!stands_in(&attributes[i], level))
            continue;
        if (has_value(header, attributes[i].tag))
            present |= (uint64_t)1 << bit;
        bit++;
    }
    return present;
}

void summary_build(struct summary *summary, enum level level, const struct dataset *first,
                   const struct dataset *second)
{
    struct buffer *bytes = &summary->bytes;
    struct encoder encoder = { bytes, true };
    unsigned bit = 0;
    summary->present = 0;
    summary->partial = false;
    buffer_clear(bytes);
    encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
        if (!stands_in(&attributes[i], level))
            continue;
        uint32_t tag = attributes[i].tag;
        const struct dataset *source = has_value(first, tag) ? first : second;
        size_t before = bytes->size;
        if (has_value(source, tag)) {
            encode_copy(&encoder, source, tag);
            summary->present |= (uint64_t)1 << bit;
        }
        if (bytes->overflowed ||
            (bytes->size > before && bytes->size > SUMMARY_SOFT_SIZE && !is_essential(tag))) {
            bytes->size = before;
            bytes->overflowed = false;
            summary->partial = true;
        }
        bit++;
    }
}
