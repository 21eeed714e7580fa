/* SPDX-License-Identifier: MIT */
#pragma once
/* Records of archive/registration.h in TABLE_RECORD (docs/index-format.md): what is known of a
 * patient by the identifier that instances carry, and the studies in which something is to be
 * amended. */

#include "archive/core.h"
#include "archive/keys.h"
#include "archive/registration.h"
#include "base/buffer.h"
#include "dicom/dataset.h"
#include "storage/transaction.h"

/* What is known of one patient. */
struct patient_state {
    struct buffer id;
    struct buffer issuer;
    struct buffer survivor_id; /* empty: not merged into another one */
    struct buffer survivor_issuer;
    struct buffer name; /* empty: not told */
    struct buffer birth_date;
    struct buffer sex;
    int64_t merged_at_ms;
    int64_t told_at_ms;
};
struct patient_state patient_state_init(void);
void patient_state_release(struct patient_state *state);

static inline bool patient_state_is_merged(const struct patient_state *state)
{
    return state->survivor_id.size > 0;
}

/* Reads what is known by exactly this identifier; through the transaction unless that is NULL.
 * *found false leaves a state that knows nothing but the identifier. */
bool patient_state_get(struct archive *archive, struct transaction *transaction,
                       const struct patient_identifier *patient, struct patient_state *state,
                       bool *found, struct error *err);
/* Likewise, for an identifier as an instance carries it: without an issuer it is that of the only
 * patient with this ID. */
bool patient_state_find(struct archive *archive, struct transaction *transaction,
                        const struct patient_identifier *patient, struct patient_state *state,
                        bool *found, struct error *err);
/* Moves `state` on to the end of the chain of merges. *merged tells whether it moved. */
bool patient_state_follow(struct archive *archive, struct transaction *transaction,
                          struct patient_state *state, bool *merged, struct error *err);
bool patient_state_put(struct archive *archive, struct transaction *transaction,
                       const struct patient_state *state, struct error *err);

/* --- Work: a study in which something is to be amended. */

/* `looks_back`: a merge was taken back, so whom its instances were received of counts again. That
 * stays until the work is done, whoever puts the study once more. */
bool amend_work_put(struct transaction *transaction, const char *study, bool looks_back,
                    struct error *err);
bool amend_work_looks_back(struct slice token);
/* All studies of exactly this patient: so many at once, the others by amend_work_spread. */
enum { AMEND_WORK_AT_ONCE = 500 };
bool amend_work_put_patient(struct archive *archive, struct transaction *transaction,
                            const struct patient_identifier *patient, bool looks_back,
                            struct error *err);
/* Puts some more, in a transaction of its own: nobody who stores waits for all of them. *any false:
 * there are none. */
bool amend_work_spread(struct archive *archive, bool *any, struct error *err);
/* The next one behind `study` ("": the first), which becomes it. `token` tells one putting from
 * another. */
bool amend_work_next(struct archive *archive, char study[UID_SIZE], struct buffer *token,
                     bool *found, struct error *err);
/* Removes it, unless it was put again since. */
bool amend_work_done(struct archive *archive, const char *study, struct slice token,
                     struct error *err);
/* Puts a study to work in the transaction that stores one of its instances, when something is known
 * of the patient that it names. Costs nothing as long as nothing is known of any. */
bool registration_notice(struct archive *archive, struct transaction *transaction,
                         const struct dataset *header, const char *study, bool *is_noticed,
                         struct error *err);
/* Wakes the amender, after the commit of what was put. */
void registration_wake(struct archive *archive);

/* At the opening and the closing of an archive. */
void registration_init(struct archive *archive);
void registration_release(struct archive *archive);
bool registration_load(struct archive *archive, struct error *err);

/* --- amend.c */

/* Stores anew what of this study says otherwise than is known. *left counts instances that cannot
 * be amended and stay as they are. `looks_back`: as above. */
bool amend_study(struct archive *archive, const char *study, bool looks_back,
                 bool (*cancelled)(void *context), void *context, uint64_t *amended, uint64_t *left,
                 struct error *err);
/* Behind one that failed? Not when the disk is full or takes no writes any more. */
bool amend_may_go_on(struct archive *archive, const struct error *why);
