/* SPDX-License-Identifier: MIT */
#pragma once
/* What the worklist needs now and then: what was done long ago is deleted, and events that all have
 * heard are forgotten. Tells subscribers that the server has begun and is about to end. */

#include "base/error.h"

struct worklist;
struct keeper;

bool keeper_open(struct worklist *worklist, struct keeper **out, struct error *err);
/* Tells the subscribers of the end, before what delivers it is closed. */
void keeper_announce_end(struct keeper *keeper);
void keeper_close(struct keeper *keeper); /* NULL does nothing */
