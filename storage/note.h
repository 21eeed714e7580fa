/* SPDX-License-Identifier: MIT */
#pragma once
/* Small files of the caller's beside index and segments, for what an index that is made anew cannot
 * find in the segments. One thread at a time for a name. */

#include "storage/storage.h"

enum { STORAGE_NOTE_SIZE = 4 << 20 };

/* Whole or as it was before, also after a power cut. */
bool storage_note_put(struct storage *storage, const char *name, struct slice bytes,
                      struct error *err);
/* `bytes` is filled; empty when there is none. */
bool storage_note_get(struct storage *storage, const char *name, struct buffer *bytes, bool *found,
                      struct error *err);
