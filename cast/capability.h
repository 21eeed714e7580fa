/* SPDX-License-Identifier: MIT */
#pragma once
/* What the view says of itself, made of the tables that it works by. */

#include "cast/fhir_version.h"

/* `orders`: a ServiceRequest may be posted. */
cJSON *capability_statement(const char *base, enum fhir_version version, bool orders);
