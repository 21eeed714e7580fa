/* SPDX-License-Identifier: MIT */
#pragma once
/* The daemon: everything opened in order, run until SIGTERM or SIGINT, closed in the opposite
 * order. SIGHUP reads the settings of DICOM again, with the flags that were given. */

#include "base/error.h"
#include "server/settings.h"

/* ERROR_INVALID: the settings are wrong in what only an opening finds, such as a certificate. */
bool serve(const struct settings *settings, int flag_count, char **flags, struct error *err);

/* Associations, connections, segments and tables cost descriptors: takes what we are allowed. */
void raise_descriptor_limit(void);
