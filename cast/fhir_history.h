/* SPDX-License-Identifier: MIT */
#pragma once
/* ImagingStudies by when they changed, the latest first (R4 3.1.0.9): of each its present version,
 * or that it was deleted. What a follower polls. */

#include "cast/search_request.h"
#include "cast/view_source.h"

/* `study_uid` NULL: all; else of this one alone, ERROR_NOT_FOUND. Heeds _since, _count and _page.
 */
bool fhir_history(const struct view_source *source, const struct search_input *input,
                  const char *study_uid, cJSON **out, struct error *err);
