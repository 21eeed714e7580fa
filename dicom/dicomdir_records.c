/* SPDX-License-Identifier: MIT */
#include "dicom/dicomdir_records.h"

#include <string.h>

enum {
    TAG_INSTANCE_CREATION_DATE = 0x00080012,
    TAG_INSTANCE_CREATION_TIME = 0x00080013,
    TAG_REFERENCED_IMAGE_EVIDENCE_SEQUENCE = 0x00089092,
    TAG_DATA_POINT_ROWS = 0x00289001,
    TAG_DATA_POINT_COLUMNS = 0x00289002,
    TAG_VERIFICATION_DATE_TIME = 0x0040A030,
    TAG_CONCEPT_NAME_CODE_SEQUENCE = 0x0040A043,
    TAG_COMPLETION_FLAG = 0x0040A491,
    TAG_VERIFICATION_FLAG = 0x0040A493,
    TAG_CONTENT_SEQUENCE = 0x0040A730,
    TAG_HL7_INSTANCE_IDENTIFIER = 0x0040E001,
    TAG_DOCUMENT_TITLE = 0x00420010,
    TAG_ENCAPSULATED_DOCUMENT = 0x00420011,
    TAG_MIME_TYPE_OF_ENCAPSULATED_DOCUMENT = 0x00420012,
    TAG_CONTENT_LABEL = 0x00700080,
    TAG_CONTENT_DESCRIPTION = 0x00700081,
    TAG_PRESENTATION_CREATION_DATE = 0x00700082,
    TAG_PRESENTATION_CREATION_TIME = 0x00700083,
    TAG_CONTENT_CREATOR_NAME = 0x00700084,
    TAG_BLENDING_SEQUENCE = 0x00700402,
    TAG_DOSE_SUMMATION_TYPE = 0x3004000A,
    TAG_STRUCTURE_SET_LABEL = 0x30060002,
    TAG_STRUCTURE_SET_DATE = 0x30060008,
    TAG_STRUCTURE_SET_TIME = 0x30060009,
    TAG_TREATMENT_DATE = 0x30080250,
    TAG_TREATMENT_TIME = 0x30080251,
    TAG_RT_PLAN_LABEL = 0x300A0002,
    TAG_RT_PLAN_DATE = 0x300A0006,
    TAG_RT_PLAN_TIME = 0x300A0007,
    TAG_USER_CONTENT_LABEL = 0x30100033,
    TAG_USER_CONTENT_LONG_LABEL = 0x30100034,
};

#define NO_DATE "19000101"
#define NO_TIME "000000"
#define NO_TEXT "UNKNOWN"

#define REQUIRED(tag, fallback)                                                                    \
    {                                                                                              \
        tag, RECORD_REQUIRED, fallback                                                             \
    }
#define EMPTY(tag)                                                                                 \
    {                                                                                              \
        tag, RECORD_EMPTY, NULL                                                                    \
    }
#define IF_THERE(tag)                                                                              \
    {                                                                                              \
        tag, RECORD_IF_THERE, NULL                                                                 \
    }
#define NUMBER         REQUIRED(TAG_INSTANCE_NUMBER, "0")
#define CONTENT_MOMENT REQUIRED(TAG_CONTENT_DATE, NO_DATE), REQUIRED(TAG_CONTENT_TIME, NO_TIME)
/* The Content Identification Macro, behind Instance Number. */
#define CONTENT_NAMES                                                                              \
    REQUIRED(TAG_CONTENT_LABEL, NO_TEXT), EMPTY(TAG_CONTENT_DESCRIPTION),                          \
        EMPTY(TAG_CONTENT_CREATOR_NAME)

static const struct record_type levels[] = {
    [RECORD_OF_PATIENT] = { "PATIENT",
                            { EMPTY(TAG_PATIENT_NAME), REQUIRED(TAG_PATIENT_ID, NULL) } },
    [RECORD_OF_STUDY] = { "STUDY",
                          { REQUIRED(TAG_STUDY_DATE, NO_DATE), REQUIRED(TAG_STUDY_TIME, NO_TIME),
                            EMPTY(TAG_ACCESSION_NUMBER), EMPTY(TAG_STUDY_DESCRIPTION),
                            REQUIRED(TAG_STUDY_INSTANCE_UID, NULL),
                            REQUIRED(TAG_STUDY_ID, NO_TEXT) } },
    [RECORD_OF_SERIES] = { "SERIES",
                           { REQUIRED(TAG_MODALITY, "OT"), IF_THERE(TAG_SERIES_DESCRIPTION),
                             REQUIRED(TAG_SERIES_INSTANCE_UID, NULL),
                             REQUIRED(TAG_SERIES_NUMBER, "0") } },
};

static const struct record_type image = { "IMAGE",
                                          { IF_THERE(TAG_IMAGE_TYPE), NUMBER,
                                            IF_THERE(TAG_NUMBER_OF_FRAMES), IF_THERE(TAG_ROWS),
                                            IF_THERE(TAG_COLUMNS) } };
static const struct record_type rt_dose = {
    "RT DOSE", { NUMBER, REQUIRED(TAG_DOSE_SUMMATION_TYPE, NO_TEXT) }
};
static const struct record_type rt_structure_set = {
    "RT STRUCTURE SET",
    { NUMBER, REQUIRED(TAG_STRUCTURE_SET_LABEL, NO_TEXT), EMPTY(TAG_STRUCTURE_SET_DATE),
      EMPTY(TAG_STRUCTURE_SET_TIME) }
};
static const struct record_type rt_plan = { "RT PLAN",
                                            { NUMBER, REQUIRED(TAG_RT_PLAN_LABEL, NO_TEXT),
                                              EMPTY(TAG_RT_PLAN_DATE), EMPTY(TAG_RT_PLAN_TIME) } };
static const struct record_type rt_treatment = {
    "RT TREAT RECORD", { NUMBER, EMPTY(TAG_TREATMENT_DATE), EMPTY(TAG_TREATMENT_TIME) }
};
static const struct record_type presentation = {
    "PRESENTATION",
    { IF_THERE(TAG_REFERENCED_SERIES_SEQUENCE), NUMBER, REQUIRED(TAG_CONTENT_LABEL, NO_TEXT),
      EMPTY(TAG_CONTENT_DESCRIPTION), REQUIRED(TAG_PRESENTATION_CREATION_DATE, NO_DATE),
      REQUIRED(TAG_PRESENTATION_CREATION_TIME, NO_TIME), EMPTY(TAG_CONTENT_CREATOR_NAME),
      IF_THERE(TAG_BLENDING_SEQUENCE) }
};
static const struct record_type waveform = { "WAVEFORM", { CONTENT_MOMENT, NUMBER } };
static const struct record_type sr_document = {
    "SR DOCUMENT",
    { CONTENT_MOMENT, NUMBER, IF_THERE(TAG_VERIFICATION_DATE_TIME),
      REQUIRED(TAG_CONCEPT_NAME_CODE_SEQUENCE, ""), REQUIRED(TAG_COMPLETION_FLAG, "PARTIAL"),
      REQUIRED(TAG_VERIFICATION_FLAG, "UNVERIFIED"), IF_THERE(TAG_CONTENT_SEQUENCE) }
};
static const struct record_type key_object = { "KEY OBJECT DOC",
                                               { CONTENT_MOMENT, NUMBER,
                                                 REQUIRED(TAG_CONCEPT_NAME_CODE_SEQUENCE, ""),
                                                 IF_THERE(TAG_CONTENT_SEQUENCE) } };
static const struct record_type spectroscopy = {
    "SPECTROSCOPY",
    { REQUIRED(TAG_IMAGE_TYPE, "ORIGINAL\\PRIMARY"), CONTENT_MOMENT,
      IF_THERE(TAG_REFERENCED_IMAGE_EVIDENCE_SEQUENCE), NUMBER, REQUIRED(TAG_NUMBER_OF_FRAMES, "1"),
      IF_THERE(TAG_ROWS), IF_THERE(TAG_COLUMNS), IF_THERE(TAG_DATA_POINT_ROWS),
      IF_THERE(TAG_DATA_POINT_COLUMNS) }
};
static const struct record_type raw_data = { "RAW DATA", { CONTENT_MOMENT, NUMBER } };
static const struct record_type registration = { "REGISTRATION",
                                                 { CONTENT_MOMENT, NUMBER, CONTENT_NAMES } };
static const struct record_type fiducial = { "FIDUCIAL",
                                             { CONTENT_MOMENT, NUMBER, CONTENT_NAMES } };
static const struct record_type document = {
    "ENCAP DOC",
    { EMPTY(TAG_CONTENT_DATE), EMPTY(TAG_CONTENT_TIME), NUMBER,
      EMPTY(TAG_CONCEPT_NAME_CODE_SEQUENCE), IF_THERE(TAG_HL7_INSTANCE_IDENTIFIER),
      EMPTY(TAG_DOCUMENT_TITLE),
      REQUIRED(TAG_MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, "application/octet-stream") }
};
static const struct record_type value_map = { "VALUE MAP",
                                              { CONTENT_MOMENT, NUMBER, CONTENT_NAMES } };
static const struct record_type stereometric = { "STEREOMETRIC",
                                                 { IF_THERE(TAG_INSTANCE_NUMBER) } };
static const struct record_type measurement = { "MEASUREMENT", { CONTENT_MOMENT, NUMBER } };
static const struct record_type surface = { "SURFACE", { CONTENT_MOMENT, NUMBER, CONTENT_NAMES } };
static const struct record_type surface_scan = { "SURFACE SCAN", { CONTENT_MOMENT } };
static const struct record_type tract = { "TRACT", { CONTENT_MOMENT, NUMBER, CONTENT_NAMES } };
static const struct record_type assessment = { "ASSESSMENT",
                                               { REQUIRED(TAG_INSTANCE_CREATION_DATE, NO_DATE),
                                                 EMPTY(TAG_INSTANCE_CREATION_TIME), NUMBER } };
static const struct record_type radiotherapy = {
    "RADIOTHERAPY",
    { NUMBER, EMPTY(TAG_CONTENT_DESCRIPTION), EMPTY(TAG_CONTENT_CREATOR_NAME),
      IF_THERE(TAG_USER_CONTENT_LABEL), IF_THERE(TAG_USER_CONTENT_LONG_LABEL) }
};

static const struct record_type plan = { "PLAN", { IF_THERE(TAG_INSTANCE_NUMBER) } };

#define STORAGE "1.2.840.10008.5.1.4.1.1."

/* SOP classes whose instances are no images (PS3.3 F.4), by what their UIDs begin with. The first
 * row that fits counts; one that ends with a dot fits what is below it, others only themselves. */
static const struct {
    const char *uid;
    const struct record_type *type;
} classes[] = {
    { STORAGE "481.2", &rt_dose },
    { STORAGE "481.3", &rt_structure_set },
    { STORAGE "481.5", &rt_plan },
    { STORAGE "481.8", &rt_plan },
    { STORAGE "481.4", &rt_treatment },
    { STORAGE "481.6", &rt_treatment },
    { STORAGE "481.7", &rt_treatment },
    { STORAGE "481.9", &rt_treatment },
    { STORAGE "481.1", &image },
    { STORAGE "481.23", &image }, /* Enhanced RT Image */
    { STORAGE "481.24", &image }, /* Enhanced Continuous RT Image */
    { STORAGE "481.", &radiotherapy },
    { STORAGE "11.", &presentation },
    { STORAGE "131", &presentation }, /* Basic Structured Display */
    { STORAGE "9.1.", &waveform },
    { STORAGE "9.2.", &waveform },
    { STORAGE "9.3.", &waveform },
    { STORAGE "9.4.", &waveform },
    { STORAGE "9.5.", &waveform },
    { STORAGE "9.6.", &waveform },
    { STORAGE "9.7.", &waveform },
    { STORAGE "9.8.", &waveform },
    { STORAGE "9.100.", &presentation },
    { STORAGE "88.59", &key_object },
    { STORAGE "88.", &sr_document },
    { STORAGE "78.6", &sr_document }, /* Spectacle Prescription Report */
    { STORAGE "79.1", &sr_document }, /* Macular Grid Thickness and Volume Report */
    { STORAGE "4.2", &spectroscopy },
    { STORAGE "66", &raw_data },
    { STORAGE "66.1", &registration },
    { STORAGE "66.2", &fiducial },
    { STORAGE "66.3", &registration },
    { STORAGE "66.5", &surface },
    { STORAGE "66.6", &tract },
    { STORAGE "67", &value_map },
    { STORAGE "68.", &surface_scan },
    { STORAGE "77.1.5.3", &stereometric },
    { STORAGE "78.", &measurement },
    { STORAGE "80.1", &measurement },
    { STORAGE "90.1", &assessment },
    { STORAGE "104.", &document },
    { "1.2.840.10008.5.1.4.34.", &plan }, /* delivery instructions */
};

const struct record_type *record_type_of_level(enum record_level level)
{
    return &levels[level];
}

static bool fits(const char *row, const char *sop_class)
{
    size_t size = strlen(row);
    return row[size - 1] == '.' ? !strncmp(row, sop_class, size) : !strcmp(row, sop_class);
}

const struct record_type *record_type_of_instance(const struct dataset *header,
                                                  const char *sop_class)
{
    struct element element;
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (fits(classes[i].uid, sop_class))
            return classes[i].type;
    return dataset_find(header, TAG_ENCAPSULATED_DOCUMENT, &element) ? &document : &image;
}
