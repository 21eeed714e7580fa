/* SPDX-License-Identifier: MIT */
#pragma once
/* The options as an immutable, counted copy. An association keeps the one it began with, so that a
 * reload changes nothing under it; newcomers see the one that is current. Thread-safe. */

#include "dimse/negotiate.h"
#include "dimse/server.h"

struct configuration {
    struct dimse_options options; /* complete: no zeroes that stand for defaults */
    struct policy policy;         /* what of it negotiation needs */
};

/* Copies the options and all they point to, and loads what TLS needs. */
bool configuration_new(const struct dimse_options *options, const struct configuration **out,
                       struct error *err);
const struct configuration *configuration_hold(const struct configuration *configuration);
/* The last one frees. NULL does nothing. */
void configuration_release(const struct configuration *configuration);

/* Where the current one is. */
struct configuration_place;
struct configuration_place *configuration_place_new_take(const struct configuration *first);
void configuration_place_free(struct configuration_place *place);
/* The caller's to release. */
const struct configuration *configuration_current(struct configuration_place *place);
void configuration_replace_take(struct configuration_place *place,
                                const struct configuration *next);
