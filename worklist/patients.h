/* SPDX-License-Identifier: MIT */
#pragma once
/* Who the steps, performed steps and work items are of: demographics by Patient ID and Issuer of
 * Patient ID, told with the time of a message, and flowing to all of these objects in the same
 * transaction. A merge leaves the ID that goes as a pointer to the one that survives; objects keep
 * whom they were told of first, so a merge can be undone. What is stored in the archive is not
 * touched here: archive/ has its own, and who drives both (hl7/, server/) tells both.
 *
 * Thread-safe. */

#include "dicom/patient_chain.h"
#include "worklist/objects.h"

/* The key of OBJECT_PATIENT: Patient ID, backslash, issuer ("" when there is none), padding off.
 * Two authorities' patients of one number are two. False with ERROR_INVALID when there is no ID or
 * it is too long. */
bool patient_key_make(struct slice patient_id, struct slice issuer, char key[OBJECT_KEY_SIZE],
                      struct error *err);
/* (0010,0020) and (0010,0021) of a data set. */
bool patient_key_of(const struct dataset *dataset, char key[OBJECT_KEY_SIZE], struct error *err);

enum patient_state {
    PATIENT_ACTIVE = 1,
    PATIENT_MERGED, /* into another one: patient_survivor tells */
};

enum patient_result {
    PATIENT_CREATED, /* not known before */
    PATIENT_UPDATED,
    PATIENT_UNCHANGED, /* the same as before, or merged so already */
    PATIENT_STALE,     /* a newer message was heard before: nothing was changed */
};
struct patient_outcome {
    enum patient_result result;
    size_t objects;            /* steps, performed steps and work items that were changed with it */
    char key[OBJECT_KEY_SIZE]; /* of the patient that has it now (behind merges) */
};

/* ADT A01, A04, A05, A08, A28, A31 and the patient of an order: the attributes of the patient
 * modules that `demographics` has (groups 0010 and 0038) replace those that were known, others
 * stay; one with no value becomes empty. What is told of an ID that was merged is kept with that ID
 * and does not flow. `message_us`: Unix time in µs, 0: now. `source` as in struct step_order. */
bool patients_update(struct worklist *worklist, const struct dataset *demographics,
                     int64_t message_us, const char *source, struct patient_outcome *outcome,
                     struct error *err);

/* What is told of a patient of many objects comes into the first of them with it, into the others
 * in turns that follow; all have it when the functions here return. When the process ended in
 * between, or the disk failed, this does what is left. Call it at the start, and now and then. */
bool patients_settle(struct worklist *worklist, size_t *objects, struct error *err);

/* A40, A18 ...: `gone` (a key) is `survivor` from now on; both may be unknown yet, and one of them
 * may have been merged before (a chain A -> B -> C ends at C). Repeated: PATIENT_UNCHANGED.
 * ERROR_INVALID when both are one; ERROR_CONFLICT when it would close a circle; ERROR_LIMIT when
 * the chain would have more than PATIENT_CHAIN_MAX merges. */
bool patients_merge(struct worklist *worklist, const char *gone, const char *survivor,
                    int64_t message_us, const char *source, struct patient_outcome *outcome,
                    struct error *err);
/* Would it be refused? Nothing is changed. */
bool patients_check_merge(struct worklist *worklist, const char *gone, const char *survivor,
                          struct error *err);
/* A37: what was told of `gone` is its own again. PATIENT_UNCHANGED when it was not merged;
 * ERROR_NOT_FOUND when it is not known. */
bool patients_unmerge(struct worklist *worklist, const char *gone, int64_t message_us,
                      const char *source, struct patient_outcome *outcome, struct error *err);

/* The key of who has this ID now, behind all merges; `key` itself when nothing is known of it. */
bool patients_resolve(struct worklist *worklist, const char *key, char current[OBJECT_KEY_SIZE],
                      struct error *err);
/* The same in a turn. */
bool patients_resolve_in(struct turn *turn, const char *key, char current[OBJECT_KEY_SIZE],
                         struct error *err);
/* Who has this object: behind the merges of whom it was told of first. The index may say so a
 * little later: see patients_settle. */
bool patients_holder(struct worklist *worklist, const struct object *object,
                     char current[OBJECT_KEY_SIZE], struct error *err);
bool patients_holder_in(struct turn *turn, const struct object *object,
                        char current[OBJECT_KEY_SIZE], struct error *err);
/* Its key ("": it has no Patient ID). */
void patient_first_of(const struct object *object, char key[OBJECT_KEY_SIZE]);
/* For who makes objects (steps, performed.c, work items), before turn_put: takes (0010,0020/0021)
 * of the object's data set, links the object to its patient ('i' to who has the ID now, 'o' to the
 * ID itself), and if the ID was merged writes the survivor's demographics into the data set. An
 * object without a Patient ID is not linked. */
bool patients_claim(struct turn *turn, struct object *object, struct error *err);
/* Of a PATIENT_MERGED object the key of the next in the chain; "" else. */
bool patient_survivor(const struct object *patient, char key[OBJECT_KEY_SIZE], struct error *err);
