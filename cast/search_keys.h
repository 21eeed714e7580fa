/* SPDX-License-Identifier: MIT */
#pragma once
/* What the archive can be asked of a search, so that it need not look at every study: never less
 * than what fits. */

#include "cast/search_request.h"
#include "cast/view_source.h"

enum { SEARCH_KEY_TEXT = 160 };

struct search_keys {
    struct view_key keys[VIEW_KEYS];
    char texts[VIEW_KEYS][SEARCH_KEY_TEXT]; /* what their values point into */
    size_t count;
};
void search_keys_init(struct search_keys *keys, const struct search_request *request);
