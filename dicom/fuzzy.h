/* SPDX-License-Identifier: MIT */
#pragma once
/* Fuzzy matching of names (PS3.4 C.2.2.2.1.1, which leaves the rule to us): each word of the key is
 * like some word of the value, in whatever order and component. Two words are alike when they are
 * equal, begin alike where the key's word ends with `*`, differ by one slip of the pen (two from
 * eight letters on; a letter left out, put in, changed, or two that changed places), or sound alike
 * in Latin letters (Meier and Mayer, Smith and Schmidt). Immutable, thread-safe. */

#include <stdbool.h>

#include "base/slice.h"

/* Both folded by fold_text. False for a key without words. */
bool fuzzy_name_matches(struct slice key, struct slice value);
