/* SPDX-License-Identifier: MIT */
#pragma once
/* The key of an instance's blob: what a rebuild of the index must know of it and its bytes do not
 * say. docs/index-format.md. Pure functions. */

#include "archive/keys.h"

/* What a key says of its blob besides the place. */
struct blob_facts {
    int64_t stored_at_us; /* 0: unknown */
    bool replaces;        /* takes the place of what was stored before under the same UID */
    bool amends;          /* likewise, and may say another patient (archive/registration.h) */
};

void blob_key_encode(struct key *key, const struct identity *identity,
                     const struct blob_facts *facts);
/* All forms. sop_class is not filled in. False when it is no such key. */
bool blob_key_decode(struct slice key, struct identity *identity, struct blob_facts *facts);
