/* SPDX-License-Identifier: MIT */
#pragma once
/* What the view can do, as a CapabilityStatement. */

#include "cast/json.h"

cJSON *capability_statement(const char *base);
