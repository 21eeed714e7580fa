/* SPDX-License-Identifier: MIT */
#pragma once
/* A web viewer that was built elsewhere (OHIF, or another application of one page) at /viewer: the
 * files of its folder, its page for the paths that it knows itself, and app-config.js that points
 * it at our DICOMweb service. What else its files ask for at the root, where such builds want to
 * live, they get there, unless it is ours. Immutable. */

#include "base/error.h"
#include "http/server.h"
#include "server/settings.h"

struct viewer;

/* Fails when http.viewerDirectory holds no index.html. NULL in *out when none is set. The settings
 * are borrowed. */
bool viewer_new(const struct settings *settings, struct viewer **out, struct error *err);
void viewer_free(struct viewer *viewer);
/* Borrows `viewer` as context; without one, an empty table. */
struct route_table viewer_routes(struct viewer *viewer);
