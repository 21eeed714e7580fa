/* SPDX-License-Identifier: MIT */
#pragma once
/* Between the files of performed steps. */

#include "dicom/encode.h"
#include "worklist/performed.h"

static inline void performed_add_tag(struct performed_outcome *outcome, uint32_t tag)
{
    if (outcome->tag_count < PERFORMED_TAGS)
        outcome->tags[outcome->tag_count++] = tag;
}

/* --- performed.c */

/* What is done and old: the UID stays behind for as long again, then goes, too. */
bool performed_forget(struct turn *turn, struct object *performed, struct error *err);

/* --- performed_rules.c: what may stand in a data set. Each sets the code of what is wrong. */

void performed_check_new(const struct dataset *dataset, struct performed_outcome *outcome);
/* `known` is what there is. */
void performed_check_changes(const struct dataset *known, const struct dataset *changes,
                             struct performed_outcome *outcome);
/* Is what a final state wants there? */
void performed_check_final(const struct dataset *dataset, struct performed_outcome *outcome);
/* Appends, as a data set, the attributes of type 2, empty. */
void performed_encode_frame(struct encoder *encoder);

/* --- performed_steps.c: the scheduled steps that it is of. */

/* Finds them by (0040,0270), links both sides, and starts them. */
bool performed_start_steps(struct turn *turn, struct object *performed,
                           const struct dataset *dataset, struct performed_outcome *outcome,
                           struct error *err);
/* Modalities seldom say whose a Patient ID is: without an issuer it is that of the step's patient,
 * when that has, or had first, the same ID. */
bool performed_adopt_issuer(struct turn *turn, struct object *performed, struct error *err);
/* Its state has changed: so does theirs, as far as all that is performed of each says so. */
bool performed_end_steps(struct turn *turn, const struct object *performed, struct error *err);
