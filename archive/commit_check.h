/* SPDX-License-Identifier: MIT */
#pragma once
/* Is an instance held so that its sender may delete it (PS3.4 J.3)? Thread-safe. */

#include "archive/archive.h"

enum commit_state {
    COMMIT_HELD,
    COMMIT_ABSENT,
    COMMIT_OTHER_CLASS, /* held, and not of this SOP class */
    COMMIT_DAMAGED,     /* the index has it, and the bytes cannot be read as they were written */
};

/* What is found from now on, by commit_check, is durable. */
bool commit_settle(struct archive *archive, struct error *err);

/* With `read_bytes` the stored bytes are read and their checksum compared; without, the index alone
 * is asked and damage is not seen. An error tells nothing about the instance. */
bool commit_check(struct archive *archive, const char *sop_class, const char *sop_instance,
                  bool read_bytes, enum commit_state *state, struct error *err);
