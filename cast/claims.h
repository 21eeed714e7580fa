/* SPDX-License-Identifier: MIT */
#pragma once
/* Who writes what: one writer at a time for a name (a Patient's identifier, a service's Endpoints).
 * Thread-safe. */

#include <stdbool.h>

struct claims;

struct claims *claims_new(void);
void claims_free(struct claims *claims);
/* Waits until nobody else has the name. False when claims_stop was called. Whoever enters a second
 * name while he has one does so in the order: Patient, Endpoints, Devices. */
bool claims_enter(struct claims *claims, const char *name);
void claims_leave(struct claims *claims, const char *name);
void claims_stop(struct claims *claims); /* ends every wait */
