/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside worklist/: what of a patient flows into which objects. */

#include "worklist/patients.h"

enum {
    PATIENT_NOW = 'i',   /* links: whose it is now, */
    PATIENT_FIRST = 'o', /* and of whom it was told first */
    PATIENT_EVENT = 'p', /* event of the feed: the patient's doing, not the object's own */
};

/* The patient's data set with what is told of it now, in *out. */
bool demographics_merge(const struct object *patient, const struct dataset *told,
                        struct buffer *out, struct error *err);
/* Patient ID and issuer out of a key. */
bool demographics_of_key(const char *key, struct buffer *out, struct error *err);
/* The object's data set with those of the patient's attributes that flow into it: who it is into
 * all, how the patient is (weight, allergies, location ...) into what is still to be done. An
 * identifying attribute that the patient's data set has not stays as it is. */
bool demographics_apply(const struct object *object, const struct object *patient,
                        struct buffer *out, struct error *err);

/* The same, in the object. *changed becomes true when something is another than before. */
bool demographics_give(struct object *object, const struct object *patient, bool *changed,
                       struct error *err);

/* patients_update in a turn; `message_us` is no 0. */
bool patients_tell(struct turn *turn, const struct dataset *demographics, int64_t message_us,
                   const char *source, struct patient_outcome *outcome, struct error *err);
