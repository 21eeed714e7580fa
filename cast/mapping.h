/* SPDX-License-Identifier: MIT */
#pragma once
/* A study as FHIR R4 (4.0.1) sees it: a pure function of its tree and the options. The tables are
 * in docs/fhir-mapping.md. What comes out is always valid: what FHIR cannot say is left out, and
 * told in a note of the ImagingStudy. */

#include "archive/study.h"
#include "cast/fhir_version.h"
#include "cast/json.h"
#include "cast/withhold.h"

/* Marks what we made. */
#define MAPPING_TAG_SYSTEM "urn:hounsfield"
#define MAPPING_TAG_CODE   "dicom-cast"
/* The system of what has no UID: items of a document's content, "<SOP Instance UID>#1.2.3". The
 * same for all archives, as the documents are. */
#define MAPPING_ITEM_SYSTEM "urn:hounsfield:content-item"
/* Annotation.authorString of our notes. */
#define MAPPING_AUTHOR "dicom-cast"

struct mapping_options {
    const char *prefix;       /* of systems of ours; never empty */
    const char *source;       /* meta.source; NULL: none */
    const char *dicomweb_url; /* NULL or "": no Endpoint */
    const char *timezone;     /* "+01:00"; NULL: none */
    unsigned withhold;        /* set of enum withhold: what is left out */
};

enum { MAPPING_ENDPOINTS = 2, MAPPING_FORMERS = 8 };

/* A patient as the study told of before (PS3.3 C.12.1.1.9, Original Attributes Sequence). */
struct mapping_former {
    cJSON *patient; /* what was said otherwise, of name, birth date and sex */
    /* Not NULL: it was another Patient ID, and this is its identifier. */
    cJSON *identifier;
    char *id; /* as in (0010,0020) and (0010,0021), for archive/registration.h */
    char *issuer;
};

struct mapping {
    cJSON *patient;
    cJSON *endpoints[MAPPING_ENDPOINTS];
    size_t endpoint_count;
    cJSON *imaging_study; /* subject and endpoint are set by mapping_set_references */
    /* What is withheld of these two, as resources. */
    cJSON *withheld_patient;
    cJSON *withheld_imaging_study;
    cJSON *withheld_documents; /* array: of each of `documents` */
    cJSON *devices;            /* array: those that have an identifier */
    /* Array: what the study's documents say, as Observation, DiagnosticReport, DocumentReference.
     * They refer to each other, to Patient, ImagingStudy and Devices by identifier (cast/links.h).
     * Their second identifier is the Study Instance UID. */
    cJSON *documents;
    /* Array: key objects as ImagingSelection, which R4 does not have. mapping_shape puts them among
     * the documents of R5. */
    cJSON *selections;
    size_t note_count;
    char *patient_id; /* as in (0010,0020); NULL when there is none */
    struct mapping_former formers[MAPPING_FORMERS];
    size_t former_count;
};

/* The first identifier of each resource is the one that it is found by. */
void mapping_init(struct mapping *mapping, const struct study *study,
                  const struct mapping_options *options);
void mapping_release(struct mapping *mapping);
/* All of its resources as this release has them; once. */
void mapping_shape(struct mapping *mapping, enum fhir_version version);

/* The parts alone. */
cJSON *mapping_patient(const struct study *study, const struct mapping_options *options);
size_t mapping_endpoints(const struct mapping_options *options,
                         cJSON *endpoints[MAPPING_ENDPOINTS]);

/* `patient` NULL: there is none to refer to, see mapping_set_logical_subject. */
void mapping_set_references(cJSON *imaging_study, const char *patient, const char *const *endpoints,
                            size_t endpoint_count);
/* The subject is who has the first identifier of `patient`. */
void mapping_set_logical_subject(cJSON *imaging_study, const cJSON *patient);
/* Did we make this resource? */
bool mapping_is_ours(const cJSON *resource);
/* Did we, and not another archive that casts to the same server? One that does not say its source
 * is anybody's. `source` NULL: any. */
bool mapping_is_of(const cJSON *resource, const char *source);
