/* SPDX-License-Identifier: MIT */
#pragma once
/* A FHIR ServiceRequest (R4 and R5), with its Patient and what plans it, as an order of the
 * worklist: the data set of a Modality Worklist entry and what is to be done with it. Pure
 * functions; docs/fhir-mapping.md. */

#include "cast/json.h"
#include "worklist/steps.h"

/* Resources that belong together. The request may hold its Patient as a contained one. */
struct service_request_parts {
    const cJSON *request;
    const cJSON *patient;     /* NULL: contained, or none */
    const cJSON *appointment; /* planned for it; NULL: none */
};

struct service_request_options {
    const char *modality; /* of a request that does not say one; NULL or "": such ones are no orders
                             of ours */
    const char *station;  /* AE title for those that name none; NULL or "": none */
    const char *const *issuers; /* "system=issuer", NULL-terminated; or NULL: of Patient IDs */
};

struct service_request {
    bool is_order; /* false: nothing that a modality would do, or not asked for yet: `why` tells */
    char why[80];
    enum step_control control;
    enum step_state status; /* of STEP_STATUS */
    char placer[201];
    char filler[201];
    int64_t message_us;    /* the later meta.lastUpdated of request and appointment; 0: not told */
    struct buffer dataset; /* Explicit VR Little Endian, UTF-8 */
};

/* ERROR_INVALID, and says which element is wrong or missing: no values. Release in any case. */
bool service_request_read(const struct service_request_parts *parts,
                          const struct service_request_options *options,
                          struct service_request *out, struct error *err);
void service_request_release(struct service_request *request);

/* The reference (Reference.reference) of the request's patient, "" when it has none. */
const char *service_request_patient(const cJSON *request);

/* "2026-11-21T10:00:00.123+01:00" as Unix time in µs; false when it is no instant. */
bool service_request_instant(const char *text, int64_t *us);
