/* SPDX-License-Identifier: MIT */
#pragma once
/* A verification of all that a data directory keeps: what archive_verify looks at, and the
 * worklist, in one report. */

#include "archive/verify.h"

struct storage;

/* `storage` is that of the archive. True when it looked at everything, whatever it found. */
bool verification_run(struct storage *storage, struct archive *archive,
                      const struct verify_options *options, struct job *job,
                      struct verify_report *report, uint64_t *worklist_objects, struct error *err);
