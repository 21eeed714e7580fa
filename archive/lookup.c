/* SPDX-License-Identifier: MIT */
#include "archive/lookup.h"

#include <stdio.h>

#include "archive/keys.h"
#include "archive/terms.h"
#include "archive/tombstone.h"

static bool get_record(struct archive *archive, const struct key *key, struct buffer *bytes,
                       bool *found, struct error *err)
{
    return storage_get(archive->storage, TABLE_RECORD, key_slice(key), bytes, found, err);
}

bool lookup_study(struct archive *archive, const char *study, struct study_record *record,
                  bool *found, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    key_place(&key, RECORD_STUDY, study, NULL, NULL);
    bool ok = get_record(archive, &key, &bytes, found, err) &&
              (!*found || study_record_decode(buffer_slice(&bytes), record, err));
    buffer_release(&bytes);
    return ok;
}

bool lookup_series(struct archive *archive, const char *study, const char *series,
                   struct series_record *record, bool *found, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    key_place(&key, RECORD_SERIES, study, series, NULL);
    bool ok = get_record(archive, &key, &bytes, found, err) &&
              (!*found || series_record_decode(buffer_slice(&bytes), record, err));
    buffer_release(&bytes);
    return ok;
}

bool lookup_instance(struct archive *archive, const struct identity *identity,
                     struct instance_record *record, bool *found, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    key_place(&key, RECORD_INSTANCE, identity->study, identity->series, identity->instance);
    bool ok = get_record(archive, &key, &bytes, found, err) &&
              (!*found || instance_record_decode(buffer_slice(&bytes), record, err));
    buffer_release(&bytes);
    return ok;
}

bool lookup_place(struct archive *archive, const char *instance, struct identity *identity,
                  bool *found, struct error *err)
{
    struct buffer bytes = buffer_up_to(KEY_SIZE);
    struct key key;
    term_instance_key(&key, instance);
    bool ok = storage_get(archive->storage, TABLE_TERM, key_slice(&key), &bytes, found, err);
    if (ok && *found && !key_split_place(buffer_slice(&bytes), identity))
        ok = error_set(err, ERROR_CORRUPT, "the place of instance %.64s cannot be read", instance);
    if (ok && *found)
        snprintf(identity->instance, UID_SIZE, "%s", instance);
    buffer_release(&bytes);
    return ok;
}

bool lookup_absent(struct archive *archive, const char *study, const char *series,
                   const char *instance, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    bool found = false;
    const char *what = !is_empty_text(instance) ? "instance"
                       : !is_empty_text(series) ? "series"
                                                : "study";
    bool ok = true;
    if (lookup_is_place(study, series, instance)) {
        key_place(&key, RECORD_TOMBSTONE, study, series, instance);
        ok = get_record(archive, &key, &bytes, &found, err);
    }
    buffer_release(&bytes);
    if (!ok)
        return false;
    if (found)
        return error_set(err, ERROR_GONE, "this %s was deleted", what);
    return error_set(err, ERROR_NOT_FOUND, "no such %s", what);
}

bool lookup_gone(struct archive *archive, const char *study, int64_t *at_ms, bool *found,
                 struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    key_place(&key, RECORD_TOMBSTONE, study, NULL, NULL);
    *at_ms = 0;
    bool ok = get_record(archive, &key, &bytes, found, err) &&
              (!*found || tombstone_decode(buffer_slice(&bytes), at_ms, err));
    buffer_release(&bytes);
    return ok;
}

static bool is_part(const char *uid)
{
    return is_empty_text(uid) || uid_is_safe(slice_text(uid));
}

bool lookup_is_place(const char *study, const char *series, const char *instance)
{
    return !is_empty_text(study) && is_part(study) && is_part(series) && is_part(instance);
}
