/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside worklist/: how what is told of a patient comes into all that is planned and performed for
 * it. A few objects follow in the turn in which it is told. When there are more, that turn leaves a
 * note (an OBJECT_FLOW with the patient's key), and they follow in turns of their own, so that
 * nobody else waits long for one. Each object is as it was, or as it is to be; one that follows
 * twice stays as it is: so what a crash has interrupted is taken up by the note. */

#include "worklist/patients.h"

/* All objects that are this patient's by the index get the patient who has them now, behind the
 * merges of whom they were told of first, and what is known of that one. Adds to *changed. */
bool flow_begin(struct turn *turn, const char *patient, size_t *changed, struct error *err);
/* Was a note left in this turn? Who commits it calls flow_finish behind the commit. */
bool flow_is_left(const struct turn *turn);
/* All that notes tell of; patients_settle. Takes no longer than what was left needs. */
bool flow_finish(struct worklist *worklist, size_t *changed, struct error *err);
