/* SPDX-License-Identifier: MIT */
#pragma once
/* C-FIND of an information model whose entries are objects of the worklist. One thread at a time.
 */

#include "dimse/service.h"
#include "worklist/search.h"

struct object_model {
    enum object_kind kind;
    uint32_t hidden;           /* no key, and never told; 0: none */
    bool combines_date_time;   /* always (PS3.4 K.5.1.2) */
    const uint32_t *state_key; /* path, two deep; who has no key there is given what is live; or
                                  NULL */
};

/* Receives the identifier, answers with the matches. */
bool find_objects(struct session *session, struct message *request,
                  const struct object_model *model, struct error *err);
