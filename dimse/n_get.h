/* SPDX-License-Identifier: MIT */
#pragma once
/* N-GET of an object of the worklist: the attributes that the request lists, or all; what is not
 * known, and `hidden` (0: none), which is never told, makes it a warning (PS3.7 10.1.2). */

#include "dimse/session.h"
#include "worklist/objects.h"

/* *answered false, with `failure`: the object cannot be read, and the request is still to be
 * answered. False when the association has ended. */
bool n_get_answer(struct session *session, struct message *request, const struct object *object,
                  uint32_t hidden, struct error *failure, bool *answered, struct error *err);
