/* SPDX-License-Identifier: MIT */
#pragma once
/* UUIDs made from names (RFC 4122 4.3, version 5): the same name gives the same UUID, so that a
 * bundle sent twice is the same twice. */

#include "base/slice.h"

enum { UUID_SIZE = 37, SHA1_SIZE = 20 };

/* In a namespace of ours. Lower case, 36 characters and a NUL. */
void uuid_of_name(struct slice name, char text[UUID_SIZE]);
/* SHA-1 of two pieces, one behind the other. As a name's fingerprint, not against forgery. */
void sha1(struct slice first, struct slice second, uint8_t digest[SHA1_SIZE]);
