/* SPDX-License-Identifier: MIT */
#pragma once
/* The daemon: everything opened in order, run until SIGTERM or SIGINT, closed in the opposite
 * order. */

#include "base/error.h"
#include "server/settings.h"

bool serve(const struct settings *settings, struct error *err);
