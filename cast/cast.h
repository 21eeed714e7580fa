/* SPDX-License-Identifier: MIT */
#pragma once
/* What FHIR sees: a follower of the change feed that keeps a FHIR server (R4 or R5) in step, and
 * the read-only /fhir view of the same mapping. */

#include <cjson/cJSON.h>

#include "archive/archive.h"
#include "base/job.h"
#include "http/server.h"

struct worklist;

struct cast_options {
    const char *fhir_url; /* base URL of the FHIR server; NULL or "": no follower */
    const char *user;     /* Basic, with */
    const char *password;
    const char *bearer_token; /* or one of these, or an OAuth 2.0 token endpoint */
    const char *bearer_token_file;
    struct {
        const char *token_url;
        const char *client_id;
        const char *client_secret;
        const char *client_secret_file;
        const char *key_file;
        const char *key_id;
        const char *scope;
    } oauth;
    const char *tls_ca; /* of the FHIR server and the token endpoint; NULL: the system's */
    const char *tls_certificate;
    const char *tls_key;
    const char *proxy;
    double quiet_seconds;          /* a study must be quiet for so long, default 5 */
    double maximum_age_seconds;    /* but is cast at the latest after this, default 60 */
    const char *dicomweb_url;      /* public DICOMweb base for Endpoint.address, e.g.
                                      "http://host:8080/dicomweb" */
    const char *identifier_system; /* prefix for identifiers without an issuer, default
                                      "urn:hounsfield:<ae title>" */
    const char *ae_title;
    double timeout_seconds; /* of a request, 0: 120 */
    unsigned workers;       /* studies in flight; 0: 4 */
    const char *removal;    /* what becomes of the ImagingStudy of a study that is gone: "delete",
                               "cancelled" or "entered-in-error"; NULL: "delete" */
    const char *version;    /* of FHIR: "R4", "R5", or "auto" (NULL): what the server says, and R4
                               for the view */
    const char *timezone;   /* "+01:00": for studies that do not say theirs; NULL: date only */
    const char *const *withhold;      /* groups that are not cast (cast/withhold.h),
                                         NULL-terminated; or NULL */
    const char *const *view_withhold; /* so too: what the view does not show */
    struct worklist *worklist;        /* where orders go; it must outlive the cast; or NULL */
    struct {
        double every_seconds; /* 0: the FHIR server is not asked for orders */
        const char *modality;
        const char *station;
        const char *const
            *issuers; /* as in struct service_request_options; must outlive the cast */
    } orders;
    bool looks_up; /* Practitioners, orders and visits that the FHIR server has are referred to */
    bool strict;   /* park a study that cannot be mapped whole; else its rest is cast, with a
                      note */
};

struct cast;

/* Starts the follower's thread if there is a URL. Options are copied. */
bool cast_open(struct archive *archive, const struct cast_options *options, struct cast **out,
               struct error *err);
/* Ends the requests in flight and what an operator asked for, so that nobody waits for them. From
 * any thread. */
void cast_stop(struct cast *cast);
/* Ends within seconds; nothing is lost. */
void cast_close(struct cast *cast);

/* Sets the gauges of the cast to how it is now. From any thread. */
void cast_tell_metrics(struct cast *cast);

/* What an operator asks for; ERROR_UNSUPPORTED without a FHIR server. Answers hold UIDs and codes,
 * nothing of patients. Any thread. */
bool cast_status(struct cast *cast, cJSON *result, struct error *err);
/* "parked": the studies that the FHIR server does not take, with the reason. */
bool cast_parked(struct cast *cast, cJSON *result, struct error *err);
/* Tries this study again, or with NULL all that are parked, and ends the server's pause. */
bool cast_replay(struct cast *cast, const char *study, cJSON *result, struct error *err);
/* Goes on in the feed behind `position`. */
bool cast_reset(struct cast *cast, uint64_t position, cJSON *result, struct error *err);
bool cast_reconcile(struct cast *cast, bool dry_run, struct job *job, cJSON *result,
                    struct error *err);

/* GET /metadata, /{ImagingStudy,Patient,Endpoint ...}/{id}, searches. Borrowed; the prefix
 * ("/fhir") is copied. */
struct route_table cast_routes(struct cast *cast, const char *prefix);
/* POST /ServiceRequest: orders for the worklist; none without one. Likewise. */
struct route_table cast_order_routes(struct cast *cast, const char *prefix);
