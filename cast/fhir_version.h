/* SPDX-License-Identifier: MIT */
#pragma once
/* The releases of FHIR that are spoken. Resources are mapped as R4 has them; what R5 says otherwise
 * is said here and nowhere else. */

#include "cast/json.h"

enum fhir_version {
    FHIR_UNKNOWN, /* to be asked for; resources are then those of R4 */
    FHIR_R4,
    FHIR_R5
};

/* "R4", "R5", "auto": as the settings name them. */
bool fhir_version_named(const char *name, enum fhir_version *version);
/* "4.0.1", "4.0": what a CapabilityStatement, or the MIME type parameter fhirVersion, says. R4B
 * (4.3) has ImagingStudy, Patient and Endpoint as R4 has them. False for other releases. */
bool fhir_version_of(const char *text, enum fhir_version *version);
/* "4.0.1", "5.0.0" */
const char *fhir_version_number(enum fhir_version version);
/* The same resource as the release has it; from R4, once. */
void fhir_version_shape(cJSON *resource, enum fhir_version version);
/* A server that checks codes by the copy of DCM that came with R4 refuses modalities that are
 * newer. Are there any in this ImagingStudy of R4? `name`: they are told by their name from now on.
 */
bool fhir_version_newer_modalities(cJSON *imaging_study, bool name);
