/* SPDX-License-Identifier: MIT */
#pragma once
/* Who hears events now: one channel for each subscriber. A newer one takes the place of the older:
 * that one may hang where nobody sees it. Thread-safe. */

#include <stdint.h>

#include "base/error.h"

struct hearings;
struct hearing;

struct hearings *hearings_new(void);
void hearings_free(struct hearings *hearings);

/* The subscriber is this caller's from now on, and who had it before is replaced. False: too many
 * hear already, or too many of this requester (ERROR_BUSY; dicomweb/places.h). */
bool hearing_open(struct hearings *hearings, uint64_t requester, const char *subscriber,
                  struct hearing **out, struct error *err);
/* Until who had it before is closed. False: it does not let go (ERROR_TIMEOUT). */
bool hearing_wait(struct hearing *hearing, struct error *err);
bool hearing_is_replaced(const struct hearing *hearing);
void hearing_close(struct hearing *hearing);
