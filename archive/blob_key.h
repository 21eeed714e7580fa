/* SPDX-License-Identifier: MIT */
#pragma once
/* The key of an instance's blob: what a rebuild of the index must know of it and its bytes do not
 * say. docs/index-format.md. Pure functions. */

#include "archive/keys.h"

void blob_key_encode(struct key *key, const struct identity *identity, int64_t stored_at_us);
/* Both forms. *stored_at_us is 0 when the key does not tell it; sop_class is not filled in. False
 * when it is no such key. */
bool blob_key_decode(struct slice key, struct identity *identity, int64_t *stored_at_us);
