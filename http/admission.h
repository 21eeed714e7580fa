/* SPDX-License-Identifier: MIT */
#pragma once
/* How many connections there may be, in all and of one address. A few above that are let in to be
 * told so (503, RFC 9110 15.6.4), more are closed at once. Thread-safe. */

#include "http/address.h"

struct admission;

struct admission *admission_new(unsigned limit, unsigned limit_per_address);
void admission_free(struct admission *admission);

/* Can another one of this address come, be it only to be told? `exempt`: from the limit of its
 * address. */
bool admission_has_room(struct admission *admission, const struct address *address, bool exempt);
/* Counts a connection. False: it is above a limit. */
bool admission_enter(struct admission *admission, const struct address *address, bool exempt);
/* `within`: what admission_enter said. */
void admission_leave(struct admission *admission, const struct address *address, bool within);
