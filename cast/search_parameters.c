/* SPDX-License-Identifier: MIT */
#include "cast/search_parameters.h"

#include <string.h>

#define COMMON                                                                                     \
    { "_id", SEARCH_TOKEN, "id", "The id of the resource", NULL, FHIR_UNKNOWN },                   \
        { "_lastUpdated",                                                                          \
          SEARCH_DATE,                                                                             \
          "meta.lastUpdated",                                                                      \
          "When what it is made of was last stored or changed",                                    \
          NULL,                                                                                    \
          FHIR_UNKNOWN },                                                                          \
        { "_tag", SEARCH_TOKEN, "meta.tag", "Tags of the resource", NULL, FHIR_UNKNOWN },          \
    {                                                                                              \
        "_source", SEARCH_URI, "meta.source", "The archive, by its AE title", NULL, FHIR_UNKNOWN   \
    }

static const struct search_parameter imaging_study_parameters[] = {
    COMMON,
    { "identifier", SEARCH_TOKEN, "identifier",
      "urn:dicom:uid|urn:oid:<Study Instance UID>, or an accession number or study ID", NULL,
      FHIR_UNKNOWN },
    { "patient", SEARCH_REFERENCE, "subject", "The Patient", "Patient", FHIR_UNKNOWN },
    { "subject", SEARCH_REFERENCE, "subject", "The Patient", "Patient", FHIR_UNKNOWN },
    { "started", SEARCH_DATE, "started", "When the study began", NULL, FHIR_UNKNOWN },
    { "modality", SEARCH_TOKEN, "series.modality", "Modality of a series", NULL, FHIR_UNKNOWN },
    { "series", SEARCH_TOKEN, "series.uid", "Series Instance UID", NULL, FHIR_UNKNOWN },
    { "instance", SEARCH_TOKEN, "series.instance.uid", "SOP Instance UID", NULL, FHIR_UNKNOWN },
    { "dicom-class", SEARCH_TOKEN, "series.instance.sopClass",
      "SOP Class UID of an instance, as urn:oid:<UID>", NULL, FHIR_UNKNOWN },
    { "endpoint", SEARCH_REFERENCE, "endpoint", "The Endpoint", "Endpoint", FHIR_UNKNOWN },
    { "status", SEARCH_TOKEN, "status", "Always available", NULL, FHIR_UNKNOWN },
    { "bodysite", SEARCH_TOKEN, "series.bodySite", "Body site of a series", NULL, FHIR_R4 },
    { "body-site", SEARCH_TOKEN, "series.bodySite", "Body site of a series", NULL, FHIR_R5 },
    { "basedon", SEARCH_REFERENCE, "basedOn", "The order, as basedon:identifier", NULL, FHIR_R4 },
    { "based-on", SEARCH_REFERENCE, "basedOn", "The order, as based-on:identifier", NULL, FHIR_R5 },
    { "encounter", SEARCH_REFERENCE, "encounter", "The admission, as encounter:identifier", NULL,
      FHIR_UNKNOWN },
    { "reason", SEARCH_TOKEN, "reasonCode", "Why the study was made", NULL, FHIR_UNKNOWN },
};

static const struct search_parameter patient_parameters[] = {
    COMMON,
    { "identifier", SEARCH_TOKEN, "identifier", "A Patient ID, with or without its system", NULL,
      FHIR_UNKNOWN },
    { "name", SEARCH_STRING, "name.family name.given name.text name.prefix name.suffix",
      "A part of the name", NULL, FHIR_UNKNOWN },
    { "family", SEARCH_STRING, "name.family", "The family name", NULL, FHIR_UNKNOWN },
    { "given", SEARCH_STRING, "name.given", "A given name", NULL, FHIR_UNKNOWN },
    { "birthdate", SEARCH_DATE, "birthDate", "The date of birth", NULL, FHIR_UNKNOWN },
    { "gender", SEARCH_TOKEN, "gender", "male, female or other", NULL, FHIR_UNKNOWN },
};

static const struct search_parameter endpoint_parameters[] = {
    COMMON,
    { "identifier", SEARCH_TOKEN, "identifier", "The service with its address", NULL,
      FHIR_UNKNOWN },
    { "connection-type", SEARCH_TOKEN, "connectionType", "dicom-wado-rs or dicom-qido-rs", NULL,
      FHIR_UNKNOWN },
    { "payload-type", SEARCH_TOKEN, "payloadType", "any", NULL, FHIR_UNKNOWN },
    { "name", SEARCH_STRING, "name", "The service", NULL, FHIR_UNKNOWN },
    { "status", SEARCH_TOKEN, "status", "Always active", NULL, FHIR_UNKNOWN },
};

#define OF_DOCUMENT                                                                                \
    COMMON, { "identifier", SEARCH_TOKEN,                                                          \
              "identifier", "urn:oid:<UID> of the document, of what it says, or of the study",     \
              NULL,         FHIR_UNKNOWN },                                                        \
        { "patient", SEARCH_REFERENCE, "subject", "The Patient", "Patient", FHIR_UNKNOWN },        \
        { "subject", SEARCH_REFERENCE, "subject", "The Patient", "Patient", FHIR_UNKNOWN },        \
    {                                                                                              \
        "status", SEARCH_TOKEN, "status", "final, preliminary ...", NULL, FHIR_UNKNOWN             \
    }

static const struct search_parameter observation_parameters[] = {
    OF_DOCUMENT,
    { "code", SEARCH_TOKEN, "code", "What was observed", NULL, FHIR_UNKNOWN },
    { "category", SEARCH_TOKEN, "category", "Always imaging", NULL, FHIR_UNKNOWN },
    { "date", SEARCH_DATE, "effectiveDateTime effectivePeriod.start", "When it was observed", NULL,
      FHIR_UNKNOWN },
    { "value-concept", SEARCH_TOKEN, "valueCodeableConcept", "What was found, when it is a code",
      NULL, FHIR_UNKNOWN },
    { "component-code", SEARCH_TOKEN, "component.code", "A part of what was observed", NULL,
      FHIR_UNKNOWN },
    { "derived-from", SEARCH_REFERENCE, "derivedFrom", "The ImagingStudy that was measured",
      "ImagingStudy", FHIR_UNKNOWN },
    { "part-of", SEARCH_REFERENCE, "partOf", "The ImagingStudy that gave the dose", "ImagingStudy",
      FHIR_UNKNOWN },
    { "has-member", SEARCH_REFERENCE, "hasMember", "An Observation of the group", "Observation",
      FHIR_UNKNOWN },
};

static const struct search_parameter report_parameters[] = {
    OF_DOCUMENT,
    { "code", SEARCH_TOKEN, "code", "The title of the report", NULL, FHIR_UNKNOWN },
    { "category", SEARCH_TOKEN, "category", "Always imaging", NULL, FHIR_UNKNOWN },
    { "date", SEARCH_DATE, "effectiveDateTime", "When it was written", NULL, FHIR_UNKNOWN },
    { "issued", SEARCH_DATE, "issued", "When it was verified", NULL, FHIR_UNKNOWN },
    { "conclusion", SEARCH_TOKEN, "conclusionCode", "A coded conclusion", NULL, FHIR_UNKNOWN },
    { "result", SEARCH_REFERENCE, "result", "An Observation of the report", "Observation",
      FHIR_UNKNOWN },
    { "study", SEARCH_REFERENCE, "imagingStudy", "The ImagingStudy", "ImagingStudy", FHIR_R5 },
};

static const struct search_parameter document_parameters[] = {
    OF_DOCUMENT,
    { "type", SEARCH_TOKEN, "type", "The title of the document", NULL, FHIR_UNKNOWN },
    { "date", SEARCH_DATE, "date", "When it was made", NULL, FHIR_UNKNOWN },
    { "contenttype", SEARCH_TOKEN, "content.attachment.contentType", "application/dicom", NULL,
      FHIR_R4 },
    { "format", SEARCH_TOKEN, "content.format", "SOP Class UID of the document", NULL, FHIR_R4 },
};

static const struct search_parameter selection_parameters[] = {
    OF_DOCUMENT,
    { "code", SEARCH_TOKEN, "code", "Why these were chosen", NULL, FHIR_UNKNOWN },
    { "issued", SEARCH_DATE, "issued", "When they were chosen", NULL, FHIR_UNKNOWN },
    { "study-uid", SEARCH_TOKEN, "studyUid", "Study Instance UID", NULL, FHIR_UNKNOWN },
    { "derived-from", SEARCH_REFERENCE, "derivedFrom", "The ImagingStudy", "ImagingStudy",
      FHIR_UNKNOWN },
};

static const struct search_parameter device_parameters[] = {
    COMMON,
    { "identifier", SEARCH_TOKEN, "identifier", "urn:oid:<Device UID>, or a serial number", NULL,
      FHIR_UNKNOWN },
    { "manufacturer", SEARCH_STRING, "manufacturer", "The manufacturer", NULL, FHIR_UNKNOWN },
    { "model", SEARCH_STRING, "modelNumber", "The model", NULL, FHIR_UNKNOWN },
    { "device-name", SEARCH_STRING, "deviceName.name", "The station", NULL, FHIR_UNKNOWN },
    { "status", SEARCH_TOKEN, "status", "Always active", NULL, FHIR_UNKNOWN },
};

#define PARAMETERS(table) table, sizeof(table) / sizeof *(table)

const struct search_type search_types[] = {
    { "ImagingStudy",
      PARAMETERS(imaging_study_parameters),
      { "ImagingStudy:patient", "ImagingStudy:subject", "ImagingStudy:endpoint" },
      { NULL },
      " status subject ",
      " ",
      " _id _lastUpdated started ",
      false,
      FHIR_UNKNOWN },
    { "Patient",
      PARAMETERS(patient_parameters),
      { NULL },
      { "ImagingStudy:patient", "ImagingStudy:subject" },
      " ",
      " extension ",
      " _lastUpdated ",
      false,
      FHIR_UNKNOWN },
    { "Endpoint",
      PARAMETERS(endpoint_parameters),
      { NULL },
      { NULL },
      " status connectionType payloadType address ",
      " ",
      " ",
      false,
      FHIR_UNKNOWN },
    { "Observation",
      PARAMETERS(observation_parameters),
      { "Observation:patient", "Observation:subject" },
      { NULL },
      " status code ",
      " category dataAbsentReason interpretation note bodySite method specimen device "
      "referenceRange ",
      " _lastUpdated ",
      true,
      FHIR_UNKNOWN },
    { "DiagnosticReport",
      PARAMETERS(report_parameters),
      { "DiagnosticReport:patient", "DiagnosticReport:subject" },
      { NULL },
      " status code ",
      " specimen result imagingStudy study conclusion conclusionCode presentedForm ",
      " _lastUpdated ",
      true,
      FHIR_UNKNOWN },
    { "DocumentReference",
      PARAMETERS(document_parameters),
      { "DocumentReference:patient", "DocumentReference:subject" },
      { NULL },
      " status content ",
      " extension ",
      " _lastUpdated ",
      true,
      FHIR_UNKNOWN },
    { "ImagingSelection",
      PARAMETERS(selection_parameters),
      { "ImagingSelection:patient", "ImagingSelection:subject" },
      { NULL },
      " status code ",
      " extension ",
      " _lastUpdated ",
      true,
      FHIR_R5 },
    { "Device",
      PARAMETERS(device_parameters),
      { NULL },
      { NULL },
      " ",
      " manufacturer serialNumber deviceName modelNumber version ",
      " _lastUpdated ",
      true,
      FHIR_UNKNOWN },
};
const size_t search_type_count = sizeof search_types / sizeof *search_types;

bool search_type_is_of(const struct search_type *type, enum fhir_version version)
{
    return type->version == FHIR_UNKNOWN || type->version == version;
}

const struct search_type *search_type_find(const char *name, enum fhir_version version)
{
    for (size_t i = 0; i < search_type_count; i++)
        if (strcmp(search_types[i].name, name) == 0 && search_type_is_of(&search_types[i], version))
            return &search_types[i];
    return NULL;
}

const struct search_parameter *search_parameter_find(const struct search_type *type,
                                                     const char *name, size_t size,
                                                     enum fhir_version version)
{
    for (size_t i = 0; i < type->parameter_count; i++) {
        const struct search_parameter *parameter = &type->parameters[i];
        if (strlen(parameter->name) == size && memcmp(parameter->name, name, size) == 0 &&
            (parameter->version == FHIR_UNKNOWN || parameter->version == version))
            return parameter;
    }
    return NULL;
}

bool search_order_find(const struct search_type *type, const char *name, enum search_order *order)
{
    static const char *const names[] = {
        [ORDER_ID] = "_id", [ORDER_LAST_UPDATED] = "_lastUpdated", [ORDER_STARTED] = "started"
    };
    for (size_t i = ORDER_ID; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0 && strstr(type->orders, name)) {
            *order = (enum search_order)i;
            return true;
        }
    return false;
}

const char *search_kind_name(enum search_kind kind)
{
    static const char *const names[] = { "token", "reference", "date", "string", "uri" };
    return names[kind];
}
