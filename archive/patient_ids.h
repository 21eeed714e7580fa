/* SPDX-License-Identifier: MIT */
#pragma once
/* A walk over the Patient IDs of the archive, in the order of their bytes. Holds nothing open
 * between the calls. Thread-safe. */

#include "archive/archive.h"
#include "base/buffer.h"

/* The next Patient ID after the one that `after` stands for (empty: the first), and its newest
 * study by the first of its issuers; each study without a Patient ID comes by itself, before all
 * others. `next` stands for it from now on (bytes that mean nothing to others, PATIENT_IDS_KEY_MAX
 * at most); it may stand in for `after` when the patient is gone. *found false at the end. */
enum { PATIENT_IDS_KEY_MAX = 520 };
bool patient_ids_next(struct archive *archive, struct slice after, struct buffer *next,
                      char study_uid[UID_SIZE], bool *found, struct error *err);
