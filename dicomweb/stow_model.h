/* SPDX-License-Identifier: MIT */
#pragma once
/* STOW-RS with metadata and bulk data apart (PS3.18 10.5.1.4): data sets come as DICOM JSON or
 * Native DICOM Models, their big values in parts of their own that are matched by Content-Location.
 * As parts come in any order, everything waits in a spool until the request is complete; memory
 * holds only where it is. One thread at a time.
 *
 * An instance of which a value is missing fails, and so does one whose image contradicts its
 * attributes. A part that nobody refers to is a failure of its own; of the instance, when there is
 * only one. */

#include "dicom/model_reader.h"
#include "dicomweb/routes.h"
#include "dicomweb/stow_commit.h"

struct stow_model;

/* `study` must be that of all instances; "" for any. Borrowed. */
struct stow_model *stow_model_new(struct dicomweb *dicomweb, enum model_document document,
                                  const char *study);
void stow_model_free(struct stow_model *model);

/* One part: `content_type` and `location` (its Content-Location) may be NULL. What fails here is
 * the request. */
bool stow_model_begin_part(struct stow_model *model, const char *content_type, const char *location,
                           struct error *err);
bool stow_model_write(struct stow_model *model, struct slice bytes, struct error *err);
bool stow_model_end_part(struct stow_model *model, struct error *err);

/* The request is complete: puts the instances together, and tells `commit` of each. */
void stow_model_commit(struct stow_model *model, struct stow_commit *commit);
