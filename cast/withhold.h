/* SPDX-License-Identifier: MIT */
#pragma once
/* What the operator chooses not to tell: groups of elements, or whole resources, that are mapped
 * and then taken out again, so that nobody who maps has to think of it. Immutable, thread-safe. */

#include "base/error.h"
#include "cast/json.h"

enum withhold {
    WITHHOLD_PATIENT = 1 << 0, /* no Patient is made or filled in; the subject is its identifier */
    WITHHOLD_ENDPOINT = 1 << 1,
    WITHHOLD_PATIENT_NAMES = 1 << 2,
    WITHHOLD_BIRTH_DATE = 1 << 3,
    WITHHOLD_SEX = 1 << 4,
    WITHHOLD_OTHER_PATIENT_IDS = 1 << 5,
    WITHHOLD_ORDERS = 1 << 6,
    WITHHOLD_PRACTITIONERS = 1 << 7,
    WITHHOLD_DEVICES = 1 << 8,
    WITHHOLD_LOCATION = 1 << 9,
    WITHHOLD_PROCEDURES = 1 << 10,
    WITHHOLD_REASONS = 1 << 11,
    WITHHOLD_DESCRIPTIONS = 1 << 12,
    WITHHOLD_INSTANCES = 1 << 13,
    WITHHOLD_SPECIES = 1 << 14,
    WITHHOLD_OBSERVATION = 1 << 15, /* these three: what documents say */
    WITHHOLD_DIAGNOSTIC_REPORT = 1 << 16,
    WITHHOLD_DOCUMENT_REFERENCE = 1 << 17,
};

/* A set of the values above, of the names that the settings use (NULL-terminated; NULL: none).
 * ERROR_INVALID names one that is no group. */
bool withhold_read(const char *const *names, unsigned *set, struct error *err);
/* Takes what the set says out of a mapped resource. What stood at its top level is returned, as a
 * resource of this type with nothing else in it: what we may have told before. Free it. */
cJSON *withhold_apply(unsigned set, cJSON *resource);
/* Is the whole of it withheld? Of resources that documents become, and Device. */
bool withhold_whole(unsigned set, const cJSON *resource);
/* The names of all groups, NULL-terminated. */
const char *const *withhold_names(void);
