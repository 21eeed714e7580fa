/* SPDX-License-Identifier: MIT */
#pragma once
/* Codes: DICOM's code sequences (PS3.3 8) and defined terms as Coding and CodeableConcept. */

#include "cast/attributes.h"
#include "cast/json.h"

#define SYSTEM_DCM     "http://dicom.nema.org/resources/ontology/DCM"
#define SYSTEM_SCT     "http://snomed.info/sct"
#define SYSTEM_RFC3986 "urn:ietf:rfc:3986"

/* What codes are read against: the prefix of systems of ours, and the data set whose Coding Scheme
 * Identification Sequence (0008,0110) tells private schemes (may be NULL). */
struct coding_context {
    const char *prefix;
    const struct dataset *header;
};

cJSON *coding_new(const char *system, const char *code, const char *display);
/* A CodeableConcept of one Coding, whose display is its text. */
cJSON *concept_of_coding_take(cJSON *coding);
/* The URI of a coding scheme designator. */
void coding_system(const struct coding_context *context, const char *designator,
                   struct buffer *system);
/* The designator of a URI, in 16 characters: one of the standard's, or, for those that it does not
 * know, "99" and a hash of the URI (PS3.16 8). */
enum { CODING_SCHEME_SIZE = 17 };
void coding_scheme(const char *system, char designator[CODING_SCHEME_SIZE]);
/* A code sequence's item; NULL when it has neither code nor meaning. */
cJSON *coding_of_item(const struct coding_context *context, const struct dataset *item);
/* The first item of a code sequence; NULL when there is none. */
cJSON *coding_of_sequence(const struct coding_context *context, const struct attributes *attributes,
                          uint32_t tag);
/* A CodeableConcept for each item that is not in `concepts` yet. */
void concepts_append(cJSON *concepts, const struct coding_context *context,
                     const struct attributes *attributes, uint32_t tag);
/* One of text alone, unless a concept there says just this. */
void concepts_append_text(cJSON *concepts, const char *text);

/* Modality (0008,0060) in the DCM ontology, or in a system of ours when it is no defined term. */
cJSON *coding_of_modality(const char *modality, const char *prefix);
/* Does it acquire images (PS3.16 CID 29)? */
bool modality_acquires(const char *modality);
/* Is it a term of DCM that came after R4 was published with a copy of DCM (dicom-dcim)? */
bool modality_is_newer_than_r4(const char *modality);
