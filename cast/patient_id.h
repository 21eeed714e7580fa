/* SPDX-License-Identifier: MIT */
#pragma once
/* FHIR ids for the view, of Patients above all: they are made from identifiers and readable back,
 * so that no table is needed: 64 characters of [A-Za-z0-9.-] hold the Patient ID and a fingerprint
 * of its system; one that is too long is held as a fingerprint and must be searched for. A Patient
 * that only its study tells of has the packed Study Instance UID. */

#include "cast/json.h"

enum { FHIR_ID_SIZE = 65, PATIENT_ID_MAX = 42 };

/* Of a mapped Patient: by its first identifier. */
void patient_id_make(const cJSON *patient, char id[FHIR_ID_SIZE]);

enum patient_id_kind {
    PATIENT_ID_NONE,  /* no id of ours */
    PATIENT_ID_VALUE, /* `value` is the identifier's value */
    PATIENT_ID_HASH,  /* the value is longer than PATIENT_ID_MAX bytes */
    PATIENT_ID_STUDY, /* `value` is the UID of the study that has no Patient ID */
};
enum patient_id_kind patient_id_read(const char *id, char value[FHIR_ID_SIZE]);

/* The same for what a study's documents say: a fingerprint of the first identifier, and the packed
 * UID of the study, where it is to be looked for. False when that cannot be packed. */
bool document_id_make(const cJSON *resource, const char *study_uid, char id[FHIR_ID_SIZE]);
bool document_id_read(const char *id, char study_uid[FHIR_ID_SIZE]);
