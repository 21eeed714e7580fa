/* SPDX-License-Identifier: MIT */
#pragma once
/* What the registration tells of patients (IHE RAD-12): their names and dates, and which Patient
 * IDs are one person's. It is kept, and what is stored follows in the background, as does what
 * comes later: each instance that says otherwise is stored anew with the present values and an item
 * of Original Attributes Sequence (PS3.3 C.12.1.1.9), by way of an edit of its bytes; what was
 * received stays as its first version (archive/versions.h). So queries, retrieves, the change feed,
 * and an index that is made anew agree. Thread-safe. */

#include "archive/archive.h"
#include "base/slice.h"
#include "dicom/patient_chain.h"

enum { PATIENT_TEXT_SIZE = 1024 };

/* UTF-8, as in (0010,0020) and (0010,0021). An empty issuer: none was named. */
struct patient_identifier {
    struct slice id;
    struct slice issuer;
};

/* UTF-8, as in (0010,0010), (0010,0030), (0010,0040). What is empty was not told. */
struct patient_demographics {
    struct slice name;
    struct slice birth_date;
    struct slice sex;
};

struct registration_change {
    struct patient_identifier patient;  /* of a merge: the one that goes */
    struct patient_identifier survivor; /* its id empty: no merge */
    struct patient_demographics told;   /* of the patient; of a merge: of the survivor */
    int64_t at_ms; /* Unix time at which it was so, as the message says: an older change never
                      takes the place of a newer one */
};

enum registration_outcome {
    REGISTRATION_CHANGED,
    REGISTRATION_SAME,  /* it was known already */
    REGISTRATION_STALE, /* something newer is known; a merge of a later one into this */
};

/* Durable when it returns; what is stored follows. A merge of B into A after one of A into B takes
 * the first one back; one of A into C after one of A into B, too. ERROR_INVALID without Patient ID,
 * of a patient merged into itself, for texts that are no UTF-8 or hold a backslash or a control
 * character; ERROR_LIMIT for too long ones. */
bool registration_take(struct archive *archive, const struct registration_change *change,
                       enum registration_outcome *outcome, struct error *err);

/* A merge was a mistake (ADT^A37): what comes of this patient from now on is its own again, and so
 * is what was received of it and amended since, with what is told of it now and else what it said
 * when it came. REGISTRATION_SAME when it was not merged; REGISTRATION_STALE when it was merged
 * later. Durable when it returns; what is stored follows. */
bool registration_separate(struct archive *archive, const struct patient_identifier *patient,
                           int64_t at_ms, enum registration_outcome *outcome, struct error *err);

/* Whom this patient was merged into, at the end of the chain: fills `id` and `issuer` (cleared
 * first). *merged false: nobody, and they stay empty. */
struct buffer;
bool registration_survivor(struct archive *archive, const struct patient_identifier *patient,
                           struct buffer *id, struct buffer *issuer, bool *merged,
                           struct error *err);

/* Is there a study with this Patient ID, and none that names this issuer or no issuer at all? Then
 * nothing that is told of the patient reaches what is stored. */
bool registration_is_strange(struct archive *archive, const struct patient_identifier *patient,
                             bool *is_strange, struct error *err);

/* Studies that still wait for the background; those of one patient that are not known yet count as
 * one. */
bool registration_pending(struct archive *archive, uint64_t *studies, struct error *err);

/* The thread that brings what is stored up to date. */
struct amender;
bool amender_open(struct archive *archive, struct amender **out, struct error *err);
void amender_close(struct amender *amender);
