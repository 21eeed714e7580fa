/* SPDX-License-Identifier: MIT */
#pragma once
/* Studies that the FHIR server does not take, with the reason, kept durably among the follower's
 * state. UIDs, codes and times alone: nothing of a patient. Thread-safe. */

#include "archive/changes.h"
#include "cast/json.h"

/* What is kept of the cast is kept under this name. */
#define CAST_FOLLOWER "cast"

struct parked_reason {
    int status; /* HTTP; 0: it was never sent */
    const char *reason;
    unsigned attempts;
};
bool parked_put(struct archive *archive, const char *study, const struct parked_reason *reason,
                struct error *err);
/* *was false when it was not parked. */
bool parked_remove(struct archive *archive, const char *study, bool *was, struct error *err);
/* The next one behind `study` ("" for the first), which is changed: *found false at the end. */
bool parked_next(struct archive *archive, char study[UID_SIZE], bool *found, struct error *err);
/* {"study", "at", "status", "reason"}; NULL when it is not parked. */
bool parked_describe(struct archive *archive, const char *study, cJSON **out, struct error *err);
