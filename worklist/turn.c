/* SPDX-License-Identifier: MIT */
/* Objects read and written in the write turn of the storage. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/memory.h"
#include "worklist/changes.h"
#include "worklist/core.h"
#include "worklist/kinds.h"

enum {
    TERMS_LIMIT = OBJECT_TERMS_MAX * (TERM_KEY_SIZE + 2),
    RECORD_KEY_LIMIT = 2 + OBJECT_KEY_SIZE
};

static bool decode(struct slice record, enum object_kind kind, const char *key,
                   struct object *object, bool found, struct error *err)
{
    char copy[OBJECT_KEY_SIZE]; /* the key may be the object's own */
    snprintf(copy, sizeof(copy), "%s", key);
    object_clear(object);
    return !found || object_record_decode(record, kind, copy, object, err);
}

bool object_get(struct worklist *worklist, enum object_kind kind, const char *key,
                struct object *object, bool *found, struct error *err)
{
    struct buffer record = buffer_up_to(OBJECT_RECORD_LIMIT);
    struct buffer record_key = buffer_up_to(RECORD_KEY_LIMIT);
    *found = false;
    object_record_key(kind, key, &record_key);
    /* What is too long for a key is no object's. */
    bool ok = record_key.overflowed || storage_get(worklist->storage, TABLE_RECORD,
                                                   buffer_slice(&record_key), &record, found, err);
    ok = ok && decode(buffer_slice(&record), kind, key, object, *found, err);
    buffer_release(&record);
    buffer_release(&record_key);
    return ok;
}

bool turn_open(struct worklist *worklist, struct turn **out, struct error *err)
{
    struct transaction *transaction = NULL;
    if (!transaction_open(worklist->storage, &transaction, err))
        return false;
    struct turn *turn = mem_alloc(sizeof(*turn));
    turn->worklist = worklist;
    turn->transaction = transaction;
    turn->scratch = buffer_up_to(OBJECT_RECORD_LIMIT);
    *out = turn;
    return true;
}

struct worklist *turn_worklist(struct turn *turn)
{
    return turn->worklist;
}

bool turn_get(struct turn *turn, enum object_kind kind, const char *key, struct object *object,
              bool *found, struct error *err)
{
    struct buffer record_key = buffer_up_to(RECORD_KEY_LIMIT);
    *found = false;
    object_record_key(kind, key, &record_key);
    bool ok = record_key.overflowed ||
              transaction_get(turn->transaction, TABLE_RECORD, buffer_slice(&record_key),
                              &turn->scratch, found, err);
    ok = ok && decode(buffer_slice(&turn->scratch), kind, key, object, *found, err);
    buffer_release(&record_key);
    return ok;
}

static uint64_t tell(struct turn *turn, const struct object_change *change)
{
    struct buffer entry = buffer_up_to(OBJECT_KEY_SIZE + 64);
    object_change_encode(change, &entry);
    uint64_t sequence = transaction_append_feed(turn->transaction, buffer_slice(&entry));
    buffer_release(&entry);
    return sequence;
}

static struct object_change change_of(const struct object *object, enum object_action action,
                                      uint8_t state_before, uint8_t event)
{
    struct object_change change = { .at_ms = clock_unix_ms(),
                                    .kind = object->kind,
                                    .action = action,
                                    .state_before = state_before,
                                    .state = object->state,
                                    .event = event };
    memcpy(change.key, object->key, sizeof(change.key));
    return change;
}

void turn_tell(struct turn *turn, const struct object *object, uint8_t event)
{
    struct object_change change = change_of(object, OBJECT_TOLD, object->state, event);
    tell(turn, &change);
}

static bool check(const struct object *object, struct error *err)
{
    if (!object_kind_row(object->kind) ||
        (object->shelf != OBJECT_LIVE && object->shelf != OBJECT_DONE) || !object->key[0] ||
        !memchr(object->key, 0, sizeof(object->key)))
        return error_set(err, ERROR_INVALID, "an object without kind, shelf or key");
    return true;
}

/* The object as it was, with its terms; *found false when there was none. */
static bool read_before(struct turn *turn, const struct object *object, struct object *before,
                        struct buffer *terms, bool *found, struct error *err)
{
    return turn_get(turn, object->kind, object->key, before, found, err) &&
           (!*found || object_terms(before, terms, err));
}

bool turn_put(struct turn *turn, struct object *object, uint8_t event, struct error *err)
{
    struct object before = object_init();
    struct buffer terms_before = buffer_up_to(TERMS_LIMIT);
    struct buffer terms = buffer_up_to(TERMS_LIMIT);
    struct buffer key = buffer_up_to(RECORD_KEY_LIMIT);
    bool found = false;
    bool ok = check(object, err) &&
              read_before(turn, object, &before, &terms_before, &found, err) &&
              object_terms(object, &terms, err);
    if (!ok)
        goto out;
    object->changed_ms = clock_unix_ms();
    if (!found && !object->created_ms)
        object->created_ms = object->changed_ms;
    else if (found)
        object->created_ms = before.created_ms;
    struct object_change change = change_of(object, found ? OBJECT_UPDATED : OBJECT_CREATED,
                                            found ? before.state : 0, event);
    object->revision = tell(turn, &change);
    object_record_key(object->kind, object->key, &key);
    buffer_clear(&turn->scratch);
    object_record_encode(object, &turn->scratch);
    ok = buffer_check(&turn->scratch, "object", err);
    if (ok) {
        transaction_put(turn->transaction, TABLE_RECORD, buffer_slice(&key),
                        buffer_slice(&turn->scratch));
        object_terms_write(turn->transaction, buffer_slice(&terms_before), buffer_slice(&terms));
    }
out:
    object_release(&before);
    buffer_release(&terms_before);
    buffer_release(&terms);
    buffer_release(&key);
    return ok;
}

bool turn_delete(struct turn *turn, enum object_kind kind, const char *key, bool *found,
                 struct error *err)
{
    struct object before = object_init();
    struct buffer terms = buffer_up_to(TERMS_LIMIT);
    struct buffer record_key = buffer_up_to(RECORD_KEY_LIMIT);
    bool ok = turn_get(turn, kind, key, &before, found, err) &&
              (!*found || object_terms(&before, &terms, err));
    if (ok && *found) {
        struct object_change change = change_of(&before, OBJECT_DELETED, before.state, 0);
        tell(turn, &change);
        object_record_key(kind, key, &record_key);
        transaction_delete(turn->transaction, TABLE_RECORD, buffer_slice(&record_key));
        object_terms_write(turn->transaction, buffer_slice(&terms), slice_of(NULL, 0));
    }
    object_release(&before);
    buffer_release(&terms);
    buffer_release(&record_key);
    return ok;
}

bool turn_commit(struct turn *turn, struct error *err)
{
    FAULT_POINT("worklist-before-commit");
    bool ok = transaction_commit(turn->transaction, err);
    FAULT_POINT("worklist-after-commit");
    return ok;
}

void turn_close(struct turn *turn)
{
    if (!turn)
        return;
    transaction_close(turn->transaction);
    buffer_release(&turn->scratch);
    free(turn);
}
