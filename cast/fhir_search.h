/* SPDX-License-Identifier: MIT */
#pragma once
/* Searches of the view: where to look, what fits, and the searchset that is made of it. */

#include "cast/search_request.h"
#include "cast/view_source.h"

/* The searchset; an error has the code of an HTTP status (http_status_of). */
bool fhir_search(const struct view_source *source, const struct search_request *request,
                 cJSON **out, struct error *err);
