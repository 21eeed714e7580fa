/* SPDX-License-Identifier: MIT */
#pragma once
/* How the view speaks: which release and format a request wants, and answers as FHIR has them. */

#include "cast/fhir_version.h"
#include "http/server.h"

/* What is wanted: by _format, else Accept (R4 3.1.0.1.10), each with fhirVersion; `usual` when
 * neither says a release. False: it was answered with 406. */
bool view_negotiate(const struct request *request, struct response *response,
                    enum fhir_version usual, enum fhir_version *version);

/* Takes the resource. */
void view_answer_take(const struct request *request, struct response *response, int status,
                      cJSON *resource);
/* The same with its ETag and Last-Modified; 304 when the client has it (R4 3.1.0.1.5). */
void view_answer_version_take(const struct request *request, struct response *response,
                              cJSON *resource);
/* An OperationOutcome with one issue. */
void view_answer_outcome(const struct request *request, struct response *response, int status,
                         const char *code, const char *text);
void view_answer_error(const struct request *request, struct response *response,
                       const struct error *err);
