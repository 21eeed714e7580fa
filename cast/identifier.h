/* SPDX-License-Identifier: MIT */
#pragma once
/* Identifiers: issuers as systems, and the one spelling of a search for an identifier. */

#include "cast/attributes.h"
#include "cast/json.h"

#define SYSTEM_DICOM_UID "urn:dicom:uid"
#define SYSTEM_V2_0203   "http://terminology.hl7.org/CodeSystem/v2-0203"

/* The system of ours, below the prefix, for Patients that only their study tells of. */
#define IDENTIFIER_NO_PATIENT_ID "no-pid"

enum { IDENTIFIER_MAX = 1024 }; /* longest system or value that we send */

/* A system of ours: prefix, prefix/branch or prefix/branch/text with the text percent-encoded. */
void identifier_own_system(const char *prefix, const char *branch, const char *text,
                           struct buffer *system);

/* Who issued: an HL7 v2 hierarchic designator macro (PS3.3 10.14) in `item`, or a mere text. */
struct issuer {
    struct buffer system; /* empty: nobody is named */
    char display[256];    /* for Identifier.assigner; "" when there is nothing to read */
};
struct issuer issuer_of_item(const struct dataset *item, const char *prefix);
struct issuer issuer_of_text(const char *text, const char *prefix);
/* Of the first item of a sequence; nobody when there is none. */
struct issuer issuer_of_sequence(const struct attributes *attributes, uint32_t tag,
                                 const char *prefix);
void issuer_release(struct issuer *issuer);

/* `use` and `type_code` (of v2-0203) may be NULL. `branch`: the system of ours for a value that
 * nobody issued. */
cJSON *identifier_new(const char *use, const char *type_code, struct issuer *issuer,
                      const char *prefix, const char *branch, const char *value);
cJSON *identifier_of_system(const char *use, const char *system, const char *value);
cJSON *identifier_of_uid(const char *use, const char *uid);

/* The identity of a resource: its first identifier. */
const cJSON *identifier_of_resource(const cJSON *resource);
bool identifier_equal(const cJSON *a, const cJSON *b); /* system and value */
bool identifier_carried(const cJSON *resource, const cJSON *identifier);

/* "urn:uuid:..." made of type and first identifier: the same resource has the same one wherever it
 * is named before it stands anywhere. */
enum { IDENTIFIER_URN_SIZE = 48 };
void identifier_urn(const cJSON *resource, char text[IDENTIFIER_URN_SIZE]);

/* "identifier=system%7Cvalue": escaped for FHIR (R4 3.1.1.4.1), then percent-encoded, always in
 * this one way: servers hold two spellings of an ifNoneExist for two conditions. */
void identifier_query(const cJSON *identifier, struct buffer *query);
