/* SPDX-License-Identifier: MIT */
#pragma once
/* Everything at once, as the FHIR Bulk Data Access guide has it: an operation that is begun, asked
 * for its state, and gives files of a resource a line. Nothing is kept between the three: the files
 * are made while they are read, a study at a time, so that an export takes no memory and outlives a
 * restart. */

#include "cast/view_source.h"
#include "http/server.h"

void fhir_export_begin(struct request *request, struct response *response, const char *base,
                       enum fhir_version version);
void fhir_export_status(struct request *request, struct response *response, const char *base,
                        enum fhir_version version);
void fhir_export_output(const struct view_source *source, enum fhir_version version,
                        struct request *request, struct response *response);
