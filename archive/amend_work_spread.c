/* SPDX-License-Identifier: MIT */
/* Very many studies of one patient get to work, some at a time. What is left is a record: one byte
 * that tells whether they look back, and the term of the last study that was put (none: they begin
 * at the first). What is stored of the patient meanwhile is put by itself (registration_notice). */
#include "archive/registration_records.h"
#include "archive/terms.h"

enum { REST_SIZE = 1 + KEY_SIZE };

/* {RECORD_AMEND_REST, patient} */
static void rest_key(struct key *key, struct slice patient)
{
    key_start(key, RECORD_AMEND_REST);
    key_add(key, patient);
}

struct rest {
    struct slice patient; /* as it stands in its key */
    struct buffer value;
    bool found;
};

static bool rest_read(struct rest *rest, struct transaction *transaction, struct slice patient,
                      struct error *err)
{
    struct key key;
    *rest = (struct rest){ .patient = patient, .value = buffer_up_to(REST_SIZE) };
    rest_key(&key, patient);
    return transaction_get(transaction, TABLE_RECORD, key_slice(&key), &rest->value, &rest->found,
                           err);
}

static bool rest_looks_back(const struct rest *rest)
{
    return rest->found && rest->value.size && rest->value.data[0];
}

static void rest_write(struct rest *rest, struct transaction *transaction, bool is_left)
{
    struct key key;
    rest_key(&key, rest->patient);
    if (is_left)
        transaction_put(transaction, TABLE_RECORD, key_slice(&key), buffer_slice(&rest->value));
    else if (rest->found)
        transaction_delete(transaction, TABLE_RECORD, key_slice(&key));
}

/* Behind the last one, or from the first on: also when what is left cannot be read. */
static bool open_terms(struct archive *archive, const struct rest *rest, bool goes_on,
                       struct storage_cursor **cursor, struct error *err)
{
    struct key lower, upper, last = { .size = 0 };
    term_patient_key(&lower, rest->patient);
    key_after_prefix(&upper, key_slice(&lower));
    key_add(&last, slice_skip(buffer_slice(&rest->value), rest->value.size ? 1 : 0));
    if (goes_on && slice_starts_with(key_slice(&last), key_slice(&lower))) {
        lower = last;
        key_add_byte(&lower, 0);
    }
    return storage_cursor_open(archive->storage, TABLE_TERM, key_slice(&lower), key_slice(&upper),
                               cursor, err);
}

static bool put_some(struct archive *archive, struct transaction *transaction, struct rest *rest,
                     bool looks_back, bool goes_on, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice term, stamp, study;
    bool found = true;
    bool ok = open_terms(archive, rest, goes_on, &cursor, err);
    for (size_t i = 0; ok; i++) {
        char uid[UID_SIZE];
        ok = storage_cursor_next(cursor, &term, NULL, &found, err);
        if (!ok || !found || i == AMEND_WORK_AT_ONCE)
            break;
        if (term_split(term, &stamp, &study) && uid_copy(study, uid))
            ok = amend_work_put(transaction, uid, looks_back, err);
        buffer_clear(&rest->value);
        buffer_append_byte(&rest->value, looks_back);
        buffer_append(&rest->value, term);
    }
    storage_cursor_close(cursor);
    if (ok)
        rest_write(rest, transaction, found);
    return ok;
}

/* It begins at the first, whatever is left of an earlier one. */
bool amend_work_put_patient(struct archive *archive, struct transaction *transaction,
                            const struct patient_identifier *patient, bool looks_back,
                            struct error *err)
{
    struct rest rest;
    struct key key;
    key_patient(&key, patient->id, patient->issuer, "");
    bool ok = rest_read(&rest, transaction, slice_skip(key_slice(&key), 1), err) &&
              put_some(archive, transaction, &rest, looks_back || rest_looks_back(&rest), false,
                       err);
    buffer_release(&rest.value);
    return ok;
}

/* The first patient of whom studies are left. */
static bool find_rest(struct archive *archive, struct key *key, bool *found, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice first;
    struct key prefix;
    key_start(&prefix, RECORD_AMEND_REST);
    bool ok = storage_cursor_open_prefix(archive->storage, TABLE_RECORD, key_slice(&prefix),
                                         &cursor, err) &&
              storage_cursor_next(cursor, &first, NULL, found, err);
    *key = (struct key){ .size = 0 };
    if (ok && *found)
        key_add(key, first);
    storage_cursor_close(cursor);
    return ok;
}

bool amend_work_spread(struct archive *archive, bool *any, struct error *err)
{
    struct transaction *transaction = NULL;
    struct rest rest;
    struct key key;
    *any = false;
    bool ok = find_rest(archive, &key, any, err);
    if (!ok || !*any)
        return ok;
    if (!transaction_open(archive->storage, &transaction, err))
        return false;
    ok = rest_read(&rest, transaction, slice_skip(key_slice(&key), 1), err) &&
         (!rest.found ||
          put_some(archive, transaction, &rest, rest_looks_back(&rest), true, err)) &&
         transaction_commit(transaction, err);
    transaction_close(transaction);
    buffer_release(&rest.value);
    return ok;
}
