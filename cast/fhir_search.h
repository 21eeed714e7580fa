/* SPDX-License-Identifier: MIT */
#pragma once
/* Searches of the view: parameters read, resources found, a searchset made. */

#include "cast/view_source.h"
#include "http/server.h"

/* The searchset; an error has the code of an HTTP status (http_status_of). `base` is the view's own
 * URL, for links. */
bool fhir_search(const struct view_source *source, const char *base, const char *type,
                 const struct request *request, cJSON **out, struct error *err);
/* The search parameters of a type, and how many: for the CapabilityStatement. */
struct search_parameter {
    const char *name;
    const char *kind; /* token, reference ... */
    const char *documentation;
};
const struct search_parameter *fhir_search_parameters(const char *type, size_t *count);
