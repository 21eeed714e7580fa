/* SPDX-License-Identifier: MIT */
#include "archive/patient_ids.h"

#include <string.h>

#include "archive/core.h"
#include "archive/terms.h"

/* The beginning of a patient's key that is the Patient ID alone; of one without a Patient ID, whose
 * key begins with NUL, all of it. */
static struct slice name_of(struct slice patient)
{
    const uint8_t *end = patient.size ? memchr(patient.data, 0, patient.size) : NULL;
    if (!end || end == patient.data)
        return patient;
    return slice_take(patient, (size_t)(end - patient.data));
}

/* Behind every key of this name: an issuer follows its NUL, another ID is longer by more. */
static void key_behind(struct key *key, struct slice name)
{
    key_start(key, RECORD_PATIENT);
    key_add(key, name);
    if (name.size)
        key_add_byte(key, name.data[0] ? 1 : 0);
}

static bool newest_study(struct archive *archive, struct slice patient, char study_uid[UID_SIZE],
                         bool *found, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct key prefix;
    struct slice key, stamp, study;
    *found = false;
    term_patient_key(&prefix, patient);
    bool ok = storage_cursor_open_prefix(archive->storage, TABLE_TERM, key_slice(&prefix), &cursor,
                                         err) &&
              storage_cursor_next(cursor, &key, NULL, found, err);
    if (ok && *found) {
        *found = term_split(key, &stamp, &study) && study.size < UID_SIZE;
        if (*found) {
            memcpy(study_uid, study.data, study.size);
            study_uid[study.size] = 0;
        }
    }
    storage_cursor_close(cursor);
    return ok;
}

bool patient_ids_next(struct archive *archive, struct slice after, struct buffer *next,
                      char study_uid[UID_SIZE], bool *found, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct key lower, upper;
    struct slice key;
    bool there = true;
    key_behind(&lower, slice_take(after, PATIENT_IDS_KEY_MAX));
    key_start(&upper, RECORD_PATIENT + 1);
    bool ok = storage_cursor_open(archive->storage, TABLE_RECORD, key_slice(&lower),
                                  key_slice(&upper), &cursor, err);
    *found = false;
    /* One that has just lost its last study is passed by. */
    while (ok && there && !*found) {
        ok = storage_cursor_next(cursor, &key, NULL, &there, err);
        if (ok && there)
            ok = newest_study(archive, slice_skip(key, 1), study_uid, found, err);
    }
    if (ok && *found) {
        buffer_clear(next);
        buffer_append(next, name_of(slice_skip(key, 1)));
    }
    storage_cursor_close(cursor);
    return ok;
}
