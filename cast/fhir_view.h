/* SPDX-License-Identifier: MIT */
#pragma once
/* The archive as a read-only FHIR endpoint (R4 and R5): the same mapping that the follower sends,
 * with ids that are stable and can be resolved without a table. Thread-safe. */

#include "archive/archive.h"
#include "cast/mapping.h"
#include "http/server.h"

struct fhir_view;

/* The options' strings must outlive the view. `orders`: somebody else takes ServiceRequests below
 * the same prefix, which the view tells of. */
struct fhir_view *fhir_view_new(struct archive *archive, const struct mapping_options *mapping,
                                enum fhir_version version, bool orders);
void fhir_view_free(struct fhir_view *view);
struct route_table fhir_view_routes(struct fhir_view *view, const char *prefix);
