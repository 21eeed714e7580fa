/* SPDX-License-Identifier: MIT */
#include "archive/registration_records.h"

#include "archive/attributes.h"
#include "base/clock.h"
#include "base/fields.h"
#include "dicom/fold.h"
#include "dicom/patient_chain.h"

enum { STATE_VERSION = 1, STATE_SIZE = 16 << 10, TOKEN_SIZE = 9 };

/* States. */

struct patient_state patient_state_init(void)
{
    struct patient_state state = { 0 };
    state.id = buffer_up_to(PATIENT_TEXT_SIZE);
    state.issuer = buffer_up_to(PATIENT_TEXT_SIZE);
    state.survivor_id = buffer_up_to(PATIENT_TEXT_SIZE);
    state.survivor_issuer = buffer_up_to(PATIENT_TEXT_SIZE);
    state.name = buffer_up_to(PATIENT_TEXT_SIZE);
    state.birth_date = buffer_up_to(PATIENT_TEXT_SIZE);
    state.sex = buffer_up_to(PATIENT_TEXT_SIZE);
    return state;
}

void patient_state_release(struct patient_state *state)
{
    buffer_release(&state->id);
    buffer_release(&state->issuer);
    buffer_release(&state->survivor_id);
    buffer_release(&state->survivor_issuer);
    buffer_release(&state->name);
    buffer_release(&state->birth_date);
    buffer_release(&state->sex);
}

static void fill(struct buffer *buffer, struct slice bytes)
{
    buffer_clear(buffer);
    buffer_append(buffer, bytes);
}

static void encode(const struct patient_state *state, struct buffer *out)
{
    buffer_append_byte(out, STATE_VERSION);
    buffer_append_u64le(out, (uint64_t)state->merged_at_ms);
    buffer_append_u64le(out, (uint64_t)state->told_at_ms);
    fields_put_bytes(out, buffer_slice(&state->id));
    fields_put_bytes(out, buffer_slice(&state->issuer));
    fields_put_bytes(out, buffer_slice(&state->survivor_id));
    fields_put_bytes(out, buffer_slice(&state->survivor_issuer));
    fields_put_bytes(out, buffer_slice(&state->name));
    fields_put_bytes(out, buffer_slice(&state->birth_date));
    fields_put_bytes(out, buffer_slice(&state->sex));
}

static bool decode(struct slice bytes, struct patient_state *state, struct error *err)
{
    struct fields fields = { bytes, false };
    if (fields_u8(&fields) != STATE_VERSION)
        fields.broken = true;
    state->merged_at_ms = (int64_t)fields_u64(&fields);
    state->told_at_ms = (int64_t)fields_u64(&fields);
    fill(&state->id, fields_bytes(&fields));
    fill(&state->issuer, fields_bytes(&fields));
    fill(&state->survivor_id, fields_bytes(&fields));
    fill(&state->survivor_issuer, fields_bytes(&fields));
    fill(&state->name, fields_bytes(&fields));
    fill(&state->birth_date, fields_bytes(&fields));
    fill(&state->sex, fields_bytes(&fields));
    if (fields.broken || fields.rest.size)
        return error_set(err, ERROR_CORRUPT, "what is known of a patient cannot be read");
    return true;
}

static void state_key(struct key *key, const struct patient_identifier *patient)
{
    key_patient(key, patient->id, patient->issuer, "");
    key->bytes[0] = RECORD_PATIENT_STATE;
}

bool patient_state_get(struct archive *archive, struct transaction *transaction,
                       const struct patient_identifier *patient, struct patient_state *state,
                       bool *found, struct error *err)
{
    struct buffer bytes = buffer_up_to(STATE_SIZE);
    struct key key;
    state_key(&key, patient);
    bool ok = transaction
                  ? transaction_get(transaction, TABLE_RECORD, key_slice(&key), &bytes, found, err)
                  : storage_get(archive->storage, TABLE_RECORD, key_slice(&key), &bytes, found,
                                err);
    if (ok && *found) {
        ok = decode(buffer_slice(&bytes), state, err);
    } else if (ok) {
        struct slice id = patient->id, issuer = patient->issuer;
        patient_state_release(state);
        *state = patient_state_init();
        fill(&state->id, id);
        fill(&state->issuer, issuer);
    }
    buffer_release(&bytes);
    return ok;
}

/* The only state of this Patient ID. */
static bool find_only(struct archive *archive, struct slice id, struct patient_state *state,
                      bool *found, struct error *err)
{
    const struct patient_identifier patient = { id, slice_of(NULL, 0) };
    struct storage_cursor *cursor = NULL;
    struct slice value;
    struct key prefix;
    bool another = false;
    state_key(&prefix, &patient);
    bool ok = storage_cursor_open_prefix(archive->storage, TABLE_RECORD, key_slice(&prefix),
                                         &cursor, err) &&
              storage_cursor_next(cursor, NULL, &value, found, err) &&
              (!*found || decode(value, state, err)) &&
              (!*found || storage_cursor_next(cursor, NULL, NULL, &another, err));
    *found = ok && *found && !another;
    storage_cursor_close(cursor);
    return ok;
}

bool patient_state_find(struct archive *archive, struct transaction *transaction,
                        const struct patient_identifier *patient, struct patient_state *state,
                        bool *found, struct error *err)
{
    *found = false;
    if (!patient->id.size)
        return true;
    if (!patient_state_get(archive, transaction, patient, state, found, err))
        return false;
    return *found || patient->issuer.size || find_only(archive, patient->id, state, found, err);
}

bool patient_state_follow(struct archive *archive, struct transaction *transaction,
                          struct patient_state *state, bool *merged, struct error *err)
{
    *merged = patient_state_is_merged(state);
    for (int i = 0; patient_state_is_merged(state); i++) {
        struct patient_state next = patient_state_init();
        const struct patient_identifier survivor = { buffer_slice(&state->survivor_id),
                                                     buffer_slice(&state->survivor_issuer) };
        bool found;
        bool ok = i < PATIENT_CHAIN_MAX ||
                  error_set(err, ERROR_LIMIT, "a chain of more than %d merges", PATIENT_CHAIN_MAX);
        ok = ok && patient_state_get(archive, transaction, &survivor, &next, &found, err);
        if (!ok) {
            patient_state_release(&next);
            return false;
        }
        patient_state_release(state);
        *state = next;
    }
    return true;
}

bool patient_state_put(struct archive *archive, struct transaction *transaction,
                       const struct patient_state *state, struct error *err)
{
    const struct patient_identifier patient = { buffer_slice(&state->id),
                                                buffer_slice(&state->issuer) };
    struct buffer bytes = buffer_up_to(STATE_SIZE);
    struct key key;
    state_key(&key, &patient);
    encode(state, &bytes);
    bool ok = buffer_check(&bytes, "what is known of a patient", err);
    if (ok) {
        transaction_put(transaction, TABLE_RECORD, key_slice(&key), buffer_slice(&bytes));
        atomic_store(&archive->patients.any, true);
    }
    buffer_release(&bytes);
    return ok;
}

/* Work. */

static void work_key(struct key *key, const char *study)
{
    key_place(key, RECORD_AMEND_WORK, study, NULL, NULL);
}

bool amend_work_looks_back(struct slice token)
{
    return token.size == TOKEN_SIZE;
}

bool amend_work_put(struct transaction *transaction, const char *study, bool looks_back,
                    struct error *err)
{
    static _Atomic uint64_t count;
    struct buffer token = buffer_up_to(TOKEN_SIZE);
    struct key key;
    bool found;
    work_key(&key, study);
    bool ok = transaction_get(transaction, TABLE_RECORD, key_slice(&key), &token, &found, err);
    if (ok) {
        looks_back |= found && amend_work_looks_back(buffer_slice(&token));
        buffer_clear(&token);
        buffer_append_u64le(&token,
                            (uint64_t)clock_unix_us() ^ (atomic_fetch_add(&count, 1) << 54));
        if (looks_back)
            buffer_append_byte(&token, 1);
        transaction_put(transaction, TABLE_RECORD, key_slice(&key), buffer_slice(&token));
    }
    buffer_release(&token);
    return ok;
}

bool amend_work_next(struct archive *archive, char study[UID_SIZE], struct buffer *token,
                     bool *found, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct identity place = { 0 };
    struct slice key, value;
    struct key lower, end;
    *found = false;
    if (study[0])
        work_key(&lower, study);
    else
        key_start(&lower, RECORD_AMEND_WORK);
    key_start(&end, RECORD_AMEND_WORK + 1);
    bool ok = storage_cursor_open(archive->storage, TABLE_RECORD, key_slice(&lower),
                                  key_slice(&end), &cursor, err) &&
              storage_cursor_next(cursor, &key, &value, found, err);
    if (ok && *found && slice_equal(key, key_slice(&lower)))
        ok = storage_cursor_next(cursor, &key, &value, found, err);
    if (ok && *found && !key_split_place(slice_skip(key, 1), &place))
        ok = error_set(err, ERROR_CORRUPT, "a key of the index cannot be read");
    if (ok && *found) {
        memcpy(study, place.study, UID_SIZE);
        fill(token, value);
    }
    storage_cursor_close(cursor);
    return ok;
}

bool amend_work_done(struct archive *archive, const char *study, struct slice token,
                     struct error *err)
{
    struct transaction *transaction = NULL;
    struct buffer now = buffer_up_to(TOKEN_SIZE);
    struct key key;
    bool found;
    if (!transaction_open(archive->storage, &transaction, err))
        return false;
    work_key(&key, study);
    bool ok = transaction_get(transaction, TABLE_RECORD, key_slice(&key), &now, &found, err);
    if (ok && found && slice_equal(buffer_slice(&now), token)) {
        transaction_delete(transaction, TABLE_RECORD, key_slice(&key));
        ok = transaction_commit(transaction, err);
    }
    transaction_close(transaction);
    buffer_release(&now);
    return ok;
}

bool registration_notice(struct archive *archive, struct transaction *transaction,
                         const struct dataset *header, const char *study, bool *is_noticed,
                         struct error *err)
{
    struct patient_state state;
    bool found;
    *is_noticed = false;
    if (!atomic_load(&archive->patients.any))
        return true;
    struct buffer id = buffer_up_to(SUMMARY_SIZE);
    struct buffer issuer = buffer_up_to(SUMMARY_SIZE);
    dataset_text(header, TAG_PATIENT_ID, &id);
    dataset_text(header, TAG_ISSUER_OF_PATIENT_ID, &issuer);
    const struct patient_identifier patient = { fold_trim(buffer_slice(&id)),
                                                fold_trim(buffer_slice(&issuer)) };
    state = patient_state_init();
    bool ok = patient_state_find(archive, transaction, &patient, &state, &found, err);
    *is_noticed = ok && found;
    if (*is_noticed)
        ok = amend_work_put(transaction, study, false, err);
    patient_state_release(&state);
    buffer_release(&id);
    buffer_release(&issuer);
    return ok;
}

void registration_wake(struct archive *archive)
{
    struct patient_work *work = &archive->patients;
    pthread_mutex_lock(&work->lock);
    work->changes++;
    pthread_cond_broadcast(&work->changed);
    pthread_mutex_unlock(&work->lock);
}

void registration_init(struct archive *archive)
{
    struct patient_work *work = &archive->patients;
    pthread_condattr_t attributes;
    atomic_init(&work->any, false);
    work->changes = 0;
    pthread_mutex_init(&work->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&work->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void registration_release(struct archive *archive)
{
    pthread_mutex_destroy(&archive->patients.lock);
    pthread_cond_destroy(&archive->patients.changed);
}

bool registration_load(struct archive *archive, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct key prefix;
    bool found = false;
    key_start(&prefix, RECORD_PATIENT_STATE);
    bool ok = storage_cursor_open_prefix(archive->storage, TABLE_RECORD, key_slice(&prefix),
                                         &cursor, err) &&
              storage_cursor_next(cursor, NULL, NULL, &found, err);
    atomic_store(&archive->patients.any, found);
    storage_cursor_close(cursor);
    return ok;
}
