/* SPDX-License-Identifier: MIT */
#pragma once
/* What the view says of itself, made of the tables that it works by. */

#include "cast/fhir_version.h"

cJSON *capability_statement(const char *base, enum fhir_version version);
