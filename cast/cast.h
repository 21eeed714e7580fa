/* SPDX-License-Identifier: MIT */
#pragma once
/* What FHIR sees: a follower of the change feed that keeps a FHIR R4 server in step, and the
 * read-only /fhir view of the same mapping. */

#include "archive/archive.h"
#include "http/server.h"

struct cast_options {
    const char *fhir_url;     /* base URL of the FHIR server; NULL or "": no follower */
    const char *bearer_token; /* or */
    const char *user;         /* Basic, with */
    const char *password;
    double quiet_seconds;          /* a study must be quiet for so long, default 5 */
    double maximum_age_seconds;    /* but is cast at the latest after this, default 60 */
    const char *dicomweb_url;      /* public DICOMweb base for Endpoint.address, e.g.
                                      "http://host:8080/dicomweb" */
    const char *identifier_system; /* prefix for identifiers without an issuer, default
                                      "urn:hounsfield:<ae title>" */
    const char *ae_title;
    const char *timezone; /* "+01:00": for studies that do not say theirs; NULL: date only */
    bool strict;          /* park a study that cannot be mapped whole; else its rest is cast, with a
                             note */
};

struct cast;

/* Starts the follower's thread if there is a URL. Options are copied. */
bool cast_open(struct archive *archive, const struct cast_options *options, struct cast **out,
               struct error *err);
/* Ends the request in flight within seconds; nothing is lost. */
void cast_close(struct cast *cast);

/* GET /metadata, /{ImagingStudy,Patient,Endpoint}/{id}, searches. Borrowed; the prefix ("/fhir") is
 * copied. */
struct route_table cast_routes(struct cast *cast, const char *prefix);
