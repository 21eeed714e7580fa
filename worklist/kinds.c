/* SPDX-License-Identifier: MIT */
#include "worklist/kinds.h"

#define TOP(tag)                                                                                   \
    {                                                                                              \
        { (tag) }, 1                                                                               \
    }
#define IN(sequence, tag)                                                                          \
    {                                                                                              \
        { (sequence), (tag) }, 2                                                                   \
    }
#define IN_IN(outer, in, tag)                                                                      \
    {                                                                                              \
        { (outer), (in), (tag) }, 3                                                                \
    }

enum {
    STEP = TAG_SCHEDULED_PROCEDURE_STEP_SEQUENCE,
    ATTRIBUTES = TAG_SCHEDULED_STEP_ATTRIBUTES_SEQUENCE,
    REQUEST = TAG_REFERENCED_REQUEST_SEQUENCE,
};

/* The keys of PS3.4 table K.6-1 that a console asks by. */
static const struct object_index step_indexes[] = {
    { 'E', VR_AE, IN(STEP, TAG_SCHEDULED_STATION_AE_TITLE) },
    { 'M', VR_CS, IN(STEP, TAG_MODALITY) },
    { 'P', VR_PN, IN(STEP, TAG_SCHEDULED_PERFORMING_PHYSICIAN_NAME) },
    { 'L', VR_SH, IN(STEP, TAG_SCHEDULED_PROCEDURE_STEP_LOCATION) },
    { 'B', VR_SH, IN(STEP, TAG_SCHEDULED_STATION_NAME) },
    { 'S', VR_CS, IN(STEP, TAG_SCHEDULED_PROCEDURE_STEP_STATUS) },
    { 'W', VR_SH, IN(STEP, TAG_SCHEDULED_PROCEDURE_STEP_ID) },
    { 'N', VR_PN, TOP(TAG_PATIENT_NAME) },
    { 'I', VR_LO, TOP(TAG_PATIENT_ID) },
    { 'A', VR_SH, TOP(TAG_ACCESSION_NUMBER) },
    { 'R', VR_SH, TOP(TAG_REQUESTED_PROCEDURE_ID) },
    { 'V', VR_LO, TOP(TAG_ADMISSION_ID) },
    { 'F', VR_PN, TOP(TAG_REFERRING_PHYSICIAN_NAME) },
    { 'U', VR_UI, TOP(TAG_STUDY_INSTANCE_UID) },
};

static const struct object_index performed_indexes[] = {
    { 'E', VR_AE, TOP(TAG_PERFORMED_STATION_AE_TITLE) },
    { 'M', VR_CS, TOP(TAG_MODALITY) },
    { 'S', VR_CS, TOP(TAG_PERFORMED_PROCEDURE_STEP_STATUS) },
    { 'N', VR_PN, TOP(TAG_PATIENT_NAME) },
    { 'I', VR_LO, TOP(TAG_PATIENT_ID) },
    { 'A', VR_SH, IN(ATTRIBUTES, TAG_ACCESSION_NUMBER) },
    { 'U', VR_UI, IN(ATTRIBUTES, TAG_STUDY_INSTANCE_UID) },
};

/* The keys of PS3.4 table CC.2.5-3. */
static const struct object_index workitem_indexes[] = {
    { 'S', VR_CS, TOP(TAG_PROCEDURE_STEP_STATE) },
    { 'Y', VR_CS, TOP(TAG_SCHEDULED_PROCEDURE_STEP_PRIORITY) },
    { 'L', VR_LO, TOP(TAG_WORKLIST_LABEL) },
    { 'J', VR_LO, TOP(TAG_PROCEDURE_STEP_LABEL) },
    { 'B', VR_SH, IN(TAG_SCHEDULED_STATION_NAME_CODE_SEQUENCE, TAG_CODE_VALUE) },
    { 'C', VR_SH, IN(TAG_SCHEDULED_STATION_CLASS_CODE_SEQUENCE, TAG_CODE_VALUE) },
    { 'G', VR_SH, IN(TAG_SCHEDULED_STATION_GEOGRAPHIC_LOCATION_CODE_SEQUENCE, TAG_CODE_VALUE) },
    { 'H', VR_SH,
      IN_IN(TAG_SCHEDULED_HUMAN_PERFORMERS_SEQUENCE, TAG_HUMAN_PERFORMER_CODE_SEQUENCE,
            TAG_CODE_VALUE) },
    { 'W', VR_SH, IN(TAG_SCHEDULED_WORKITEM_CODE_SEQUENCE, TAG_CODE_VALUE) },
    { 'D', VR_CS, TOP(TAG_INPUT_READINESS_STATE) },
    { 'N', VR_PN, TOP(TAG_PATIENT_NAME) },
    { 'I', VR_LO, TOP(TAG_PATIENT_ID) },
    { 'V', VR_LO, TOP(TAG_ADMISSION_ID) },
    { 'A', VR_SH, IN(REQUEST, TAG_ACCESSION_NUMBER) },
    { 'R', VR_SH, IN(REQUEST, TAG_REQUESTED_PROCEDURE_ID) },
    { 'U', VR_UI, TOP(TAG_STUDY_INSTANCE_UID) },
};

static const struct object_index report_indexes[] = {
    { 'I', VR_LO, TOP(TAG_PATIENT_ID) },
    { 'A', VR_SH, TOP(TAG_ACCESSION_NUMBER) },
    { 'U', VR_UI, TOP(TAG_STUDY_INSTANCE_UID) },
};

static const struct object_index patient_indexes[] = {
    { 'N', VR_PN, TOP(TAG_PATIENT_NAME) },
    { 'I', VR_LO, TOP(TAG_PATIENT_ID) },
};

#define INDEXES(table) (table), sizeof(table) / sizeof((table)[0])
#define NOWHERE                                                                                    \
    {                                                                                              \
        { 0 }, 0                                                                                   \
    }

static const struct object_kind_row rows[] = {
    { OBJECT_PATIENT, "patient", NOWHERE, NOWHERE, INDEXES(patient_indexes) },
    { OBJECT_STEP, "step", IN(STEP, TAG_SCHEDULED_PROCEDURE_STEP_START_DATE),
      IN(STEP, TAG_SCHEDULED_PROCEDURE_STEP_START_TIME), INDEXES(step_indexes) },
    { OBJECT_PERFORMED, "performed-step", TOP(TAG_PERFORMED_PROCEDURE_STEP_START_DATE),
      TOP(TAG_PERFORMED_PROCEDURE_STEP_START_TIME), INDEXES(performed_indexes) },
    { OBJECT_WORKITEM, "workitem", TOP(TAG_SCHEDULED_PROCEDURE_STEP_START_DATE_TIME), NOWHERE,
      INDEXES(workitem_indexes) },
    { OBJECT_SUBSCRIPTION, "subscription", NOWHERE, NOWHERE, NULL, 0 },
    { OBJECT_REPORT, "report", NOWHERE, NOWHERE, INDEXES(report_indexes) },
    { OBJECT_NOTICE, "notice", NOWHERE, NOWHERE, NULL, 0 },
    { OBJECT_FLOW, "flow", NOWHERE, NOWHERE, NULL, 0 },
};

const struct object_kind_row *object_kind_next(size_t number)
{
    return number < sizeof(rows) / sizeof(rows[0]) ? &rows[number] : NULL;
}

const struct object_kind_row *object_kind_row(enum object_kind kind)
{
    const struct object_kind_row *row;
    for (size_t i = 0; (row = object_kind_next(i)); i++) {
        if (row->kind == kind)
            return row;
    }
    return NULL;
}

const struct object_index *object_index_find(const struct object_kind_row *row,
                                             const uint32_t *tags, size_t depth)
{
    for (size_t i = 0; i < row->index_count; i++) {
        const struct attribute_path *path = &row->indexes[i].path;
        if (path->depth == depth && memcmp(path->tags, tags, depth * sizeof(tags[0])) == 0)
            return &row->indexes[i];
    }
    return NULL;
}
