/* SPDX-License-Identifier: MIT */
#include "archive/hold.h"

#include <string.h>

#include "archive/keys.h"
#include "archive/lookup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fields.h"
#include "storage/note.h"
#include "storage/transaction.h"

/* In TABLE_POSITION beside followers' states: {0x01, name, NUL, study}. */
enum { STATE_KIND = 1, HOLD_VERSION = 1, HOLD_SIZE = 512, COPY_SIZE = STORAGE_NOTE_SIZE };
#define HOLD_STATE "hold"
#define COPY_NAME  "HOLDS"

static void hold_key(struct key *key, const char *study)
{
    key_start(key, STATE_KIND);
    key_add(key, slice_text(HOLD_STATE));
    key_add_byte(key, 0);
    key_add(key, slice_take(slice_text(study), UID_SIZE - 1));
}

static void encode(const struct hold *hold, struct buffer *out)
{
    buffer_append_byte(out, HOLD_VERSION);
    buffer_append_u64le(out, (uint64_t)hold->since_ms);
    buffer_append_u64le(out, (uint64_t)hold->until_ms);
    fields_put_text(out, hold->study);
    fields_put_text(out, hold->user);
    fields_put_text(out, hold->reason);
}

static bool decode(struct slice bytes, struct hold *hold, struct error *err)
{
    struct fields fields = { bytes, false };
    memset(hold, 0, sizeof(*hold));
    if (fields_u8(&fields) != HOLD_VERSION)
        fields.broken = true;
    hold->since_ms = (int64_t)fields_u64(&fields);
    hold->until_ms = (int64_t)fields_u64(&fields);
    fields_text(&fields, hold->study, sizeof(hold->study));
    fields_text(&fields, hold->user, sizeof(hold->user));
    fields_text(&fields, hold->reason, sizeof(hold->reason));
    return !fields.broken || error_set(err, ERROR_CORRUPT, "a legal hold cannot be read");
}

static bool is_over(const struct hold *hold, int64_t now_ms)
{
    return hold->until_ms && hold->until_ms <= now_ms;
}

/* A walk over all of them. */
struct hold_walk {
    struct storage_cursor *cursor;
    int64_t now_ms;
};

static bool holds_open(struct hold_walk *walk, struct archive *archive, const char *after,
                       struct error *err)
{
    struct key lower, upper;
    hold_key(&lower, "");
    key_after_prefix(&upper, key_slice(&lower));
    if (*after) {
        hold_key(&lower, after);
        key_add_byte(&lower, 0);
    }
    walk->cursor = NULL;
    walk->now_ms = clock_unix_ms();
    return storage_cursor_open(archive->storage, TABLE_POSITION, key_slice(&lower),
                               key_slice(&upper), &walk->cursor, err);
}

static bool holds_next(struct hold_walk *walk, struct hold *hold, bool *found, struct error *err)
{
    struct slice value;
    return storage_cursor_next(walk->cursor, NULL, &value, found, err) &&
           (!*found || decode(value, hold, err));
}

bool hold_list(struct archive *archive, const char *after, size_t limit, struct hold *holds,
               size_t *count, struct error *err)
{
    struct hold_walk walk;
    bool found = true;
    *count = 0;
    bool ok = holds_open(&walk, archive, after, err);
    while (ok && *count < limit && (ok = holds_next(&walk, &holds[*count], &found, err)) && found)
        *count += !is_over(&holds[*count], walk.now_ms);
    storage_cursor_close(walk.cursor);
    return ok;
}

bool hold_find(struct archive *archive, const char *study, struct hold *hold, bool *found,
               struct error *err)
{
    struct buffer bytes = buffer_up_to(HOLD_SIZE);
    struct key key;
    hold_key(&key, study);
    bool ok = storage_get(archive->storage, TABLE_POSITION, key_slice(&key), &bytes, found, err) &&
              (!*found || decode(buffer_slice(&bytes), hold, err));
    *found = ok && *found && !is_over(hold, clock_unix_ms());
    buffer_release(&bytes);
    return ok;
}

bool hold_check(struct transaction *transaction, const char *study, struct error *err)
{
    struct buffer bytes = buffer_up_to(HOLD_SIZE);
    struct hold hold;
    struct key key;
    bool found;
    hold_key(&key, study);
    bool ok = transaction_get(transaction, TABLE_POSITION, key_slice(&key), &bytes, &found, err) &&
              (!found || decode(buffer_slice(&bytes), &hold, err));
    buffer_release(&bytes);
    /* Fits into an Error Comment, which is 64 characters. */
    if (ok && found && !is_over(&hold, clock_unix_ms()))
        return error_set(err, ERROR_CONFLICT, "the study is under a legal hold");
    return ok;
}

/* Those whose time is over go, so that they do not count. */
static bool count_others(struct archive *archive, struct transaction *transaction,
                         const char *study, size_t *count, struct error *err)
{
    struct hold_walk walk;
    struct hold hold;
    struct key key;
    bool found = true;
    *count = 0;
    bool ok = holds_open(&walk, archive, "", err);
    while (ok && (ok = holds_next(&walk, &hold, &found, err)) && found) {
        hold_key(&key, hold.study);
        if (is_over(&hold, walk.now_ms))
            transaction_delete(transaction, TABLE_POSITION, key_slice(&key));
        else
            *count += strcmp(hold.study, study) != 0;
    }
    storage_cursor_close(walk.cursor);
    return ok;
}

static bool study_is_there(struct archive *archive, struct transaction *transaction,
                           const char *study, struct error *err)
{
    struct buffer bytes = buffer_up_to(RECORD_SIZE);
    struct key key;
    bool found = false;
    key_place(&key, RECORD_STUDY, study, NULL, NULL);
    bool ok = !lookup_is_place(study, NULL, NULL) ||
              transaction_get(transaction, TABLE_RECORD, key_slice(&key), &bytes, &found, err);
    buffer_release(&bytes);
    return ok && (found || lookup_absent(archive, study, NULL, NULL, err));
}

static void put_hold(struct transaction *transaction, const struct hold *hold)
{
    struct buffer bytes = buffer_up_to(HOLD_SIZE);
    struct key key;
    hold_key(&key, hold->study);
    encode(hold, &bytes);
    transaction_put(transaction, TABLE_POSITION, key_slice(&key), buffer_slice(&bytes));
    buffer_release(&bytes);
}

static bool put(struct archive *archive, struct transaction *transaction, const struct hold *hold,
                bool *is_new, struct error *err)
{
    struct hold old;
    size_t others;
    bool found;
    if (!study_is_there(archive, transaction, hold->study, err) ||
        !hold_find(archive, hold->study, &old, &found, err) ||
        !count_others(archive, transaction, hold->study, &others, err))
        return false;
    *is_new = !found;
    if (others >= HOLD_MAX)
        return error_set(err, ERROR_LIMIT, "there are %d legal holds at most", HOLD_MAX);
    put_hold(transaction, hold);
    return true;
}

static bool drop(struct archive *archive, struct transaction *transaction, const char *study,
                 struct error *err)
{
    struct hold old;
    struct key key;
    bool found;
    if (!hold_find(archive, study, &old, &found, err))
        return false;
    hold_key(&key, study);
    transaction_delete(transaction, TABLE_POSITION, key_slice(&key));
    return found || error_set(err, ERROR_NOT_FOUND, "the study is under no legal hold");
}

/* The copy: {32-bit size, hold} each. */
static bool save_copy(struct archive *archive, struct error *err)
{
    struct buffer copy = buffer_up_to(COPY_SIZE);
    struct buffer there = buffer_up_to(COPY_SIZE);
    struct hold_walk walk;
    struct hold hold;
    bool found = true, has_copy = false;
    bool ok = holds_open(&walk, archive, "", err);
    while (ok && (ok = holds_next(&walk, &hold, &found, err)) && found) {
        struct buffer one = buffer_up_to(HOLD_SIZE);
        encode(&hold, &one);
        if (!is_over(&hold, walk.now_ms))
            fields_put_bytes(&copy, buffer_slice(&one));
        buffer_release(&one);
    }
    storage_cursor_close(walk.cursor);
    ok = ok && buffer_check(&copy, "the copy of legal holds", err) &&
         storage_note_get(archive->storage, COPY_NAME, &there, &has_copy, err);
    if (ok && (has_copy || copy.size) && !slice_equal(buffer_slice(&copy), buffer_slice(&there)))
        ok = storage_note_put(archive->storage, COPY_NAME, buffer_slice(&copy), err);
    buffer_release(&copy);
    buffer_release(&there);
    return ok;
}

/* Exactly one of `hold` and `study` is given. The lock is held over I/O so that the copies follow
 * each other as the changes do. */
static bool change(struct archive *archive, const struct hold *hold, const char *study,
                   bool *is_new, struct error *err)
{
    struct transaction *transaction = NULL;
    pthread_mutex_lock(&archive->hold_lock);
    bool ok = transaction_open(archive->storage, &transaction, err);
    if (ok) {
        ok = (hold ? put(archive, transaction, hold, is_new, err)
                   : drop(archive, transaction, study, err)) &&
             transaction_commit(transaction, err);
        transaction_close(transaction);
    }
    FAULT_POINT("hold_committed");
    ok = ok && save_copy(archive, err);
    pthread_mutex_unlock(&archive->hold_lock);
    return ok;
}

bool hold_set(struct archive *archive, const struct hold *hold, bool *is_new, struct error *err)
{
    return change(archive, hold, NULL, is_new, err);
}

bool hold_lift(struct archive *archive, const char *study, struct error *err)
{
    return change(archive, NULL, study, NULL, err);
}

bool hold_save_copy(struct archive *archive, struct error *err)
{
    pthread_mutex_lock(&archive->hold_lock);
    bool ok = save_copy(archive, err);
    pthread_mutex_unlock(&archive->hold_lock);
    return ok;
}

bool hold_adopt_copy(struct archive *archive, struct error *err)
{
    struct buffer copy = buffer_up_to(COPY_SIZE);
    struct transaction *transaction = NULL;
    struct hold hold;
    bool found;
    bool ok = storage_note_get(archive->storage, COPY_NAME, &copy, &found, err) &&
              transaction_open(archive->storage, &transaction, err);
    struct fields fields = { buffer_slice(&copy), false };
    while (ok && fields.rest.size) {
        struct slice one = fields_bytes(&fields);
        ok = !fields.broken || error_set(err, ERROR_CORRUPT, "the copy of legal holds is broken");
        ok = ok && decode(one, &hold, err);
        if (ok)
            put_hold(transaction, &hold);
    }
    ok = ok && transaction_commit_unsynced(transaction, err);
    transaction_close(transaction);
    buffer_release(&copy);
    return ok;
}
