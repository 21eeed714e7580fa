/* SPDX-License-Identifier: MIT */
#include "archive/registration.h"

#include "archive/records.h"
#include "archive/registration_records.h"
#include "dicom/fold.h"
#include "dicom/patient_chain.h"

/* What may stand in one value of a name, an identifier or a code. */
static bool check_text(struct slice text, struct error *err)
{
    if (text.size > PATIENT_TEXT_SIZE)
        return error_set(err, ERROR_LIMIT, "a text of a patient exceeds %d bytes",
                         PATIENT_TEXT_SIZE);
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < ' ' || text.data[i] == '\\' || text.data[i] == 0x7F)
            return error_set(err, ERROR_INVALID,
                             "a text of a patient holds a backslash or a control character");
    return true;
}

static bool is_same(const struct patient_identifier *a, const struct patient_identifier *b)
{
    return slice_equal(a->id, b->id) && slice_equal(a->issuer, b->issuer);
}

static bool check(const struct registration_change *change, struct error *err)
{
    const struct slice texts[] = { change->patient.id,  change->patient.issuer,
                                   change->survivor.id, change->survivor.issuer,
                                   change->told.name,   change->told.birth_date,
                                   change->told.sex };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (!check_text(texts[i], err))
            return false;
    if (!change->patient.id.size)
        return error_set(err, ERROR_INVALID, "a change of a patient without Patient ID");
    if (change->survivor.id.size && is_same(&change->patient, &change->survivor))
        return error_set(err, ERROR_INVALID, "a patient cannot be merged into itself");
    return true;
}

static struct patient_identifier trimmed(struct patient_identifier patient)
{
    return (struct patient_identifier){ fold_trim(patient.id), fold_trim(patient.issuer) };
}

/* All studies of a patient get to work. An instance without an issuer may be meant as well: whether
 * it is, is found out then. */
static bool put_studies(struct archive *archive, struct transaction *transaction,
                        const struct patient_identifier *patient, bool looks_back,
                        struct error *err)
{
    const struct patient_identifier bare = { patient->id, slice_of(NULL, 0) };
    return amend_work_put_patient(archive, transaction, patient, looks_back, err) &&
           (!patient->issuer.size ||
            amend_work_put_patient(archive, transaction, &bare, looks_back, err));
}

/* A merge is about to be taken back: what was received of the patient is under the one at the end
 * of its chain, and what is still under itself may be on its way there. */
static bool put_studies_back(struct archive *archive, struct transaction *transaction,
                             const struct patient_identifier *patient, struct error *err)
{
    struct patient_state end = patient_state_init();
    bool found, merged;
    bool ok = patient_state_get(archive, transaction, patient, &end, &found, err) &&
              patient_state_follow(archive, transaction, &end, &merged, err);
    if (ok && merged) {
        const struct patient_identifier survivor = { buffer_slice(&end.id),
                                                     buffer_slice(&end.issuer) };
        ok = put_studies(archive, transaction, &survivor, true, err) &&
             put_studies(archive, transaction, patient, true, err);
    }
    patient_state_release(&end);
    return ok;
}

static bool replace(struct buffer *buffer, struct slice text)
{
    if (!text.size || slice_equal(buffer_slice(buffer), text))
        return false;
    buffer_clear(buffer);
    buffer_append(buffer, text);
    return true;
}

/* What is told of the one who stays. */
static bool tell(struct archive *archive, struct transaction *transaction,
                 const struct patient_identifier *patient, const struct registration_change *change,
                 enum registration_outcome *outcome, struct error *err)
{
    struct patient_state state = patient_state_init();
    const struct patient_demographics *told = &change->told;
    bool found;
    bool ok = patient_state_get(archive, transaction, patient, &state, &found, err);
    if (ok && state.told_at_ms > change->at_ms) {
        *outcome = REGISTRATION_STALE;
    } else if (ok) {
        bool changed = replace(&state.name, told->name);
        changed |= replace(&state.birth_date, told->birth_date);
        changed |= replace(&state.sex, told->sex);
        *outcome = changed ? REGISTRATION_CHANGED : REGISTRATION_SAME;
        state.told_at_ms = change->at_ms;
        ok = (told->name.size + told->birth_date.size + told->sex.size == 0) ||
             patient_state_put(archive, transaction, &state, err);
        ok = ok && (!changed || put_studies(archive, transaction, patient, false, err));
    }
    patient_state_release(&state);
    return ok;
}

/* Does the chain of merges of `from` come by another patient? */
static bool chain_passes(struct archive *archive, struct transaction *transaction,
                         const struct patient_identifier *from,
                         const struct patient_identifier *patient, bool *passes, struct error *err)
{
    struct patient_state at = patient_state_init();
    bool found;
    bool ok = patient_state_get(archive, transaction, from, &at, &found, err);
    *passes = false;
    for (int i = 0; ok && !*passes && patient_state_is_merged(&at); i++) {
        struct patient_state next = patient_state_init();
        const struct patient_identifier survivor = { buffer_slice(&at.survivor_id),
                                                     buffer_slice(&at.survivor_issuer) };
        *passes = is_same(&survivor, patient);
        ok = (i < PATIENT_CHAIN_MAX ||
              error_set(err, ERROR_LIMIT, "a chain of more than %d merges", PATIENT_CHAIN_MAX)) &&
             patient_state_get(archive, transaction, &survivor, &next, &found, err);
        patient_state_release(&at);
        at = next;
    }
    patient_state_release(&at);
    return ok;
}

/* A merge that was the other way round before is taken back, so that no chain comes back to where
 * it began. */
static bool open_circle(struct archive *archive, struct transaction *transaction,
                        const struct registration_change *change, bool *stale, struct error *err)
{
    struct patient_state survivor = patient_state_init();
    bool found, circle = false;
    *stale = false;
    bool ok = patient_state_get(archive, transaction, &change->survivor, &survivor, &found, err) &&
              chain_passes(archive, transaction, &change->survivor, &change->patient, &circle, err);
    if (ok && circle) {
        *stale = survivor.merged_at_ms > change->at_ms;
        if (!*stale) {
            buffer_clear(&survivor.survivor_id);
            buffer_clear(&survivor.survivor_issuer);
            survivor.merged_at_ms = change->at_ms;
            ok = patient_state_put(archive, transaction, &survivor, err);
        }
    }
    patient_state_release(&survivor);
    return ok;
}

static bool merge(struct archive *archive, struct transaction *transaction,
                  const struct registration_change *change, enum registration_outcome *outcome,
                  struct error *err)
{
    struct patient_state state = patient_state_init();
    bool found, stale = false;
    bool ok = patient_state_get(archive, transaction, &change->patient, &state, &found, err);
    if (!ok)
        goto out;
    if (slice_equal(buffer_slice(&state.survivor_id), change->survivor.id) &&
        slice_equal(buffer_slice(&state.survivor_issuer), change->survivor.issuer)) {
        *outcome = REGISTRATION_SAME;
        goto out;
    }
    ok = open_circle(archive, transaction, change, &stale, err);
    if (!ok || stale || state.merged_at_ms > change->at_ms) {
        *outcome = REGISTRATION_STALE;
        goto out;
    }
    ok = put_studies_back(archive, transaction, &change->patient, err);
    buffer_clear(&state.survivor_id);
    buffer_clear(&state.survivor_issuer);
    buffer_append(&state.survivor_id, change->survivor.id);
    buffer_append(&state.survivor_issuer, change->survivor.issuer);
    state.merged_at_ms = change->at_ms;
    *outcome = REGISTRATION_CHANGED;
    ok = ok && patient_state_put(archive, transaction, &state, err) &&
         put_studies(archive, transaction, &change->patient, false, err);
out:
    patient_state_release(&state);
    return ok;
}

bool registration_take(struct archive *archive, const struct registration_change *change,
                       enum registration_outcome *outcome, struct error *err)
{
    struct transaction *transaction = NULL;
    enum registration_outcome told = REGISTRATION_SAME;
    struct registration_change clean = *change;
    clean.patient = trimmed(change->patient);
    clean.survivor = trimmed(change->survivor);
    *outcome = REGISTRATION_SAME;
    if (!check(&clean, err) || !transaction_open(archive->storage, &transaction, err))
        return false;
    bool is_merge = clean.survivor.id.size > 0;
    bool ok = (!is_merge || merge(archive, transaction, &clean, outcome, err)) &&
              (*outcome == REGISTRATION_STALE ||
               tell(archive, transaction, is_merge ? &clean.survivor : &clean.patient, &clean,
                    &told, err));
    if (ok && *outcome == REGISTRATION_SAME)
        *outcome = told;
    /* The same once more may have been seen by us before its sync has ended. */
    ok = ok && (*outcome == REGISTRATION_STALE || transaction_commit(transaction, err));
    transaction_close(transaction);
    if (ok && *outcome == REGISTRATION_CHANGED)
        registration_wake(archive);
    return ok;
}

static bool separate(struct archive *archive, struct transaction *transaction,
                     const struct patient_identifier *patient, int64_t at_ms,
                     enum registration_outcome *outcome, struct error *err)
{
    struct patient_state state = patient_state_init();
    bool found;
    bool ok = patient_state_get(archive, transaction, patient, &state, &found, err);
    *outcome = REGISTRATION_SAME;
    if (ok && patient_state_is_merged(&state))
        *outcome = state.merged_at_ms > at_ms ? REGISTRATION_STALE : REGISTRATION_CHANGED;
    if (*outcome == REGISTRATION_CHANGED) {
        ok = put_studies_back(archive, transaction, patient, err);
        buffer_clear(&state.survivor_id);
        buffer_clear(&state.survivor_issuer);
        state.merged_at_ms = at_ms;
        ok = ok && patient_state_put(archive, transaction, &state, err);
    }
    patient_state_release(&state);
    return ok;
}

bool registration_separate(struct archive *archive, const struct patient_identifier *patient,
                           int64_t at_ms, enum registration_outcome *outcome, struct error *err)
{
    struct transaction *transaction = NULL;
    const struct registration_change only = { .patient = trimmed(*patient) };
    *outcome = REGISTRATION_SAME;
    if (!check(&only, err) || !transaction_open(archive->storage, &transaction, err))
        return false;
    bool ok = separate(archive, transaction, &only.patient, at_ms, outcome, err) &&
              (*outcome == REGISTRATION_STALE || transaction_commit(transaction, err));
    transaction_close(transaction);
    if (ok && *outcome == REGISTRATION_CHANGED)
        registration_wake(archive);
    return ok;
}

bool registration_survivor(struct archive *archive, const struct patient_identifier *patient,
                           struct buffer *id, struct buffer *issuer, bool *merged,
                           struct error *err)
{
    struct patient_state state = patient_state_init();
    const struct patient_identifier clean = trimmed(*patient);
    bool found;
    buffer_clear(id);
    buffer_clear(issuer);
    *merged = false;
    bool ok = patient_state_find(archive, NULL, &clean, &state, &found, err) &&
              (!found || patient_state_follow(archive, NULL, &state, merged, err));
    if (ok && *merged) {
        buffer_append(id, buffer_slice(&state.id));
        buffer_append(issuer, buffer_slice(&state.issuer));
    }
    patient_state_release(&state);
    return ok;
}

bool registration_is_strange(struct archive *archive, const struct patient_identifier *patient,
                             bool *is_strange, struct error *err)
{
    const struct patient_identifier clean = trimmed(*patient);
    const struct slice none = slice_of(NULL, 0);
    const struct slice reached[] = { clean.issuer, none };
    struct storage_cursor *cursor = NULL;
    struct buffer record = buffer_up_to(RECORD_SIZE);
    struct key key;
    bool found = false;
    *is_strange = false;
    if (!clean.id.size || !clean.issuer.size)
        return true;
    key_patient(&key, clean.id, none, ""); /* which all keys of this ID begin with */
    bool ok = storage_cursor_open_prefix(archive->storage, TABLE_RECORD, key_slice(&key), &cursor,
                                         err) &&
              storage_cursor_next(cursor, NULL, NULL, is_strange, err);
    storage_cursor_close(cursor);
    for (size_t i = 0; ok && *is_strange && i < sizeof(reached) / sizeof(*reached); i++) {
        key_patient(&key, clean.id, reached[i], "");
        ok = storage_get(archive->storage, TABLE_RECORD, key_slice(&key), &record, &found, err);
        *is_strange = !found;
    }
    buffer_release(&record);
    return ok;
}

bool registration_pending(struct archive *archive, uint64_t *studies, struct error *err)
{
    static const char kinds[] = { RECORD_AMEND_WORK, RECORD_AMEND_REST };
    bool ok = true;
    *studies = 0;
    for (size_t i = 0; ok && i < sizeof(kinds); i++) {
        struct storage_cursor *cursor = NULL;
        struct key prefix;
        bool found = true;
        key_start(&prefix, kinds[i]);
        ok = storage_cursor_open_prefix(archive->storage, TABLE_RECORD, key_slice(&prefix), &cursor,
                                        err);
        while (ok && (ok = storage_cursor_next(cursor, NULL, NULL, &found, err)) && found)
            ++*studies;
        storage_cursor_close(cursor);
    }
    return ok;
}
