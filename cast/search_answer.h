/* SPDX-License-Identifier: MIT */
#pragma once
/* What a server finds for an identifier, and which of several it is to be. */

#include "cast/json.h"

struct search_answer {
    cJSON *best;       /* NULL: none carries the identifier */
    cJSON *others;     /* array of the other ones that carry it */
    size_t unverified; /* entries that do not: the server understands the search in another way */
    /* NULL, or an identifier (borrowed) that one must carry, too, to be the one that is to be. */
    const cJSON *beside;
};

/* ERROR_INVALID when it is no searchset. */
bool search_answer_read(struct slice text, const char *type, const cJSON *identifier,
                        struct search_answer *out, struct error *err);
void search_answer_release(struct search_answer *answer);

/* The id of the Patient that this one was merged into ("replaced-by"); NULL: it was not. */
const char *search_answer_survivor(const cJSON *patient);

/* What a page of a search for `type` says about the next one, as a path below the base: the server
 * named is never another one than ours. NULL at the end. Free it. */
char *search_answer_next_page(const cJSON *bundle, const char *type, const char *base);
