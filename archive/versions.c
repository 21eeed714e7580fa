/* SPDX-License-Identifier: MIT */
#include "archive/versions.h"

#include "base/bytes.h"
#include "dicom/fold.h"

enum { NUMBER_SIZE = 8 }; /* of the change number at the end of a key */

/* Who may follow. */

static bool is_same_text(const struct dataset *a, const struct dataset *b, uint32_t tag)
{
    struct buffer first = buffer_up_to(SUMMARY_SIZE);
    struct buffer second = buffer_up_to(SUMMARY_SIZE);
    dataset_text(a, tag, &first);
    dataset_text(b, tag, &second);
    bool same = slice_equal(fold_trim(buffer_slice(&first)), fold_trim(buffer_slice(&second)));
    buffer_release(&first);
    buffer_release(&second);
    return same;
}

bool version_may_follow(const struct identity *fresh, const struct dataset *fresh_header,
                        const struct identity *old, const struct dataset *old_header, bool amends)
{
    return strcmp(fresh->study, old->study) == 0 && strcmp(fresh->series, old->series) == 0 &&
           strcmp(fresh->instance, old->instance) == 0 &&
           strcmp(fresh->sop_class, old->sop_class) == 0 &&
           (amends || (is_same_text(fresh_header, old_header, TAG_PATIENT_ID) &&
                       is_same_text(fresh_header, old_header, TAG_ISSUER_OF_PATIENT_ID)));
}

/* Keys: the place of the instance, and the number of the change that stored the version, so that
 * they stand in the order of their time. */

static void versions_prefix(struct key *key, const struct identity *identity)
{
    key_place(key, RECORD_OLD_VERSION, identity->study, identity->series, identity->instance);
    key_add_byte(key, 0);
}

static void version_key(struct key *key, const struct identity *identity, uint64_t sequence)
{
    uint8_t number[NUMBER_SIZE];
    put_u64be(number, sequence);
    versions_prefix(key, identity);
    key_add(key, slice_of(number, sizeof(number)));
}

bool version_split_key(struct slice key, struct identity *identity)
{
    memset(identity, 0, sizeof(*identity));
    if (key.size < 1 + 1 + NUMBER_SIZE || key.data[0] != RECORD_OLD_VERSION ||
        key.data[key.size - NUMBER_SIZE - 1] != 0)
        return false;
    return key_split_place(slice_of(key.data + 1, key.size - 1 - 1 - NUMBER_SIZE), identity) &&
           identity->instance[0];
}

static bool open_versions(struct archive *archive, const struct identity *identity,
                          struct storage_cursor **cursor, struct error *err)
{
    struct key prefix;
    versions_prefix(&prefix, identity);
    return storage_cursor_open_prefix(archive->storage, TABLE_RECORD, key_slice(&prefix), cursor,
                                      err);
}

static bool drop(struct transaction *transaction, struct slice key, struct slice value,
                 struct error *err)
{
    struct instance_record record;
    instance_record_init(&record);
    bool ok = instance_record_decode(value, &record, err);
    if (ok) {
        transaction_delete(transaction, TABLE_RECORD, key);
        transaction_delete_blob(transaction, &record.blob);
    }
    instance_record_release(&record);
    return ok;
}

static bool count_versions(struct archive *archive, const struct identity *identity, size_t *count,
                           struct error *err)
{
    struct storage_cursor *cursor = NULL;
    bool found = true;
    bool ok = open_versions(archive, identity, &cursor, err);
    for (*count = 0; ok && (ok = storage_cursor_next(cursor, NULL, NULL, &found, err)) && found;)
        ++*count;
    storage_cursor_close(cursor);
    return ok;
}

/* All but the newest `left` of those that were there before this transaction. */
static bool drop_oldest(struct archive *archive, struct transaction *transaction,
                        const struct identity *identity, size_t left, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice key, value;
    size_t count;
    bool found = true;
    if (!count_versions(archive, identity, &count, err))
        return false;
    if (count <= left)
        return true;
    bool ok = open_versions(archive, identity, &cursor, err);
    for (; ok && count > left; count--)
        ok = storage_cursor_next(cursor, &key, &value, &found, err) &&
             (!found || drop(transaction, key, value, err));
    storage_cursor_close(cursor);
    return ok;
}

bool version_keep(struct archive *archive, struct transaction *transaction,
                  const struct identity *identity, const struct instance_record *old, size_t kept,
                  struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    if (kept == VERSION_DROPPED) {
        transaction_delete_blob(transaction, &old->blob);
        return true;
    }
    if (kept && !drop_oldest(archive, transaction, identity, kept - 1, err))
        return false;
    version_key(&key, identity, old->created);
    instance_record_encode(old, &bytes);
    transaction_put(transaction, TABLE_RECORD, key_slice(&key), buffer_slice(&bytes));
    buffer_release(&bytes);
    return true;
}

bool versions_remove(struct archive *archive, struct transaction *transaction,
                     const struct identity *identity, struct error *err)
{
    return drop_oldest(archive, transaction, identity, 0, err);
}

bool versions_exist(struct archive *archive, const char *study, bool *exist, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct key prefix;
    key_children(&prefix, RECORD_OLD_VERSION, study, NULL);
    bool ok = storage_cursor_open_prefix(archive->storage, TABLE_RECORD, key_slice(&prefix),
                                         &cursor, err) &&
              storage_cursor_next(cursor, NULL, NULL, exist, err);
    storage_cursor_close(cursor);
    return ok;
}

bool version_was_there(struct archive *archive, const struct identity *identity, uint64_t sequence,
                       bool *was, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice key;
    *was = false;
    bool ok = open_versions(archive, identity, &cursor, err) &&
              storage_cursor_next(cursor, &key, NULL, was, err);
    if (ok && *was)
        *was = get_u64be(key.data + key.size - NUMBER_SIZE) <= sequence;
    storage_cursor_close(cursor);
    return ok;
}

bool version_get(struct archive *archive, const struct identity *identity, uint64_t sequence,
                 struct instance_record *record, bool *found, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    version_key(&key, identity, sequence);
    bool ok = storage_get(archive->storage, TABLE_RECORD, key_slice(&key), &bytes, found, err) &&
              (!*found || instance_record_decode(buffer_slice(&bytes), record, err));
    buffer_release(&bytes);
    return ok;
}

bool version_first(struct archive *archive, const struct identity *identity,
                   struct instance_record *record, bool *found, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice value;
    *found = false;
    bool ok = open_versions(archive, identity, &cursor, err) &&
              storage_cursor_next(cursor, NULL, &value, found, err) &&
              (!*found || instance_record_decode(value, record, err));
    storage_cursor_close(cursor);
    return ok;
}

bool version_last(struct archive *archive, const struct identity *identity,
                  struct instance_record *record, bool *found, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice value;
    bool more = true;
    *found = false;
    bool ok = open_versions(archive, identity, &cursor, err);
    while (ok && (ok = storage_cursor_next(cursor, NULL, &value, &more, err)) && more) {
        ok = instance_record_decode(value, record, err);
        *found = true;
    }
    storage_cursor_close(cursor);
    return ok;
}

bool version_find(struct archive *archive, const struct identity *identity,
                  const struct blob_id *blob, struct key *key, struct instance_record *record,
                  bool *found, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice place, value;
    bool same = false;
    *found = true;
    bool ok = open_versions(archive, identity, &cursor, err);
    while (ok && !same && (ok = storage_cursor_next(cursor, &place, &value, found, err)) &&
           *found) {
        ok = instance_record_decode(value, record, err);
        same = ok && blob_id_equals(&record->blob, blob);
        if (same) {
            key->size = 0;
            key_add(key, place);
        }
    }
    storage_cursor_close(cursor);
    return ok;
}
