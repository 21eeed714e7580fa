/* SPDX-License-Identifier: MIT */
#pragma once
/* How instances are made for retrieve.h. */

#include "archive/records.h"
#include "archive/retrieve.h"

/* *instance NULL when it is not (any more) there. */
bool instance_load(struct archive *archive, const struct identity *identity,
                   struct instance **instance, struct error *err);

/* Were its bytes made here of what was received (archive/registration.h)? */
bool instance_is_amended(const struct instance *instance);
struct archive *instance_archive(const struct instance *instance);
