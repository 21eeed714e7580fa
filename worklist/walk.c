/* SPDX-License-Identifier: MIT */
/* Walks over the terms of one index, or a part of it. */
#include <stdlib.h>

#include "base/memory.h"
#include "worklist/core.h"
#include "worklist/kinds.h"

enum { BOUND_SIZE = TERM_KEY_SIZE + 1 };

struct object_walk {
    struct worklist *worklist;
    enum object_kind kind;
    struct storage_cursor *cursor;
    size_t value_size;          /* of every term; SIZE_MAX: they differ */
    char first[STAMP_SIZE + 1]; /* where the terms differ, stamps are looked at one by one */
    char last[STAMP_SIZE + 1];
    char key[OBJECT_KEY_SIZE];
    struct buffer record_key; /* used for every object again */
    struct buffer record;
};

struct bound {
    uint8_t bytes[BOUND_SIZE];
    size_t size;
};

static void bound_add(struct bound *bound, struct slice bytes)
{
    bytes = slice_take(bytes, sizeof(bound->bytes) - bound->size);
    if (bytes.size)
        memcpy(bound->bytes + bound->size, bytes.data, bytes.size);
    bound->size += bytes.size;
}

static void bound_add_byte(struct bound *bound, uint8_t byte)
{
    bound_add(bound, slice_of(&byte, 1));
}

/* Behind all that begins with it. The first byte is no 0xFF, so there is such a bound. */
static void bound_pass(struct bound *bound)
{
    while (bound->bytes[bound->size - 1] == 0xFF)
        bound->size--;
    bound->bytes[bound->size - 1]++;
}

static void make_bounds(const struct object_range *range, struct object_walk *walk,
                        struct bound *lower, struct bound *upper)
{
    struct slice value = range->index ? slice_take(range->value, TERM_VALUE_SIZE)
                                      : slice_of(NULL, 0);
    bool exact = !range->prefix || !range->index;
    lower->size = 0;
    bound_add_byte(lower, WORKLIST_BYTE);
    bound_add_byte(lower, (uint8_t)range->kind);
    bound_add_byte(lower, (uint8_t)range->shelf);
    bound_add_byte(lower, (uint8_t)(range->index ? range->index : ALL_OBJECTS));
    bound_add(lower, value);
    walk->value_size = exact ? value.size : SIZE_MAX;
    if (exact)
        bound_add_byte(lower, 0);
    *upper = *lower;
    if (exact && walk->last[0])
        bound_add(upper, slice_text(walk->last));
    else if (exact && walk->first[0])
        bound_add_byte(upper, '9'); /* those without a date stand behind */
    if (exact && walk->first[0])
        bound_add(lower, slice_text(walk->first));
    else if (exact && walk->last[0])
        bound_add_byte(lower, '0');
    bound_pass(upper);
    if (exact && range->after) {
        for (size_t i = 0; i < STAMP_SIZE; i++)
            bound_add_byte(lower, '~');
        bound_add(lower, slice_text(range->after));
        bound_add_byte(lower, 0);
    }
}

static void take_stamp(const char *given, char stamp[STAMP_SIZE + 1])
{
    size_t size = given ? strlen(given) : 0;
    if (size > STAMP_SIZE)
        size = STAMP_SIZE;
    if (size)
        memcpy(stamp, given, size);
    stamp[size] = '\0';
}

bool object_walk_open(struct worklist *worklist, const struct object_range *range,
                      struct object_walk **out, struct error *err)
{
    struct object_walk *walk = mem_alloc(sizeof(*walk));
    struct bound lower, upper;
    walk->worklist = worklist;
    walk->kind = range->kind;
    walk->record_key = buffer_up_to(2 + OBJECT_KEY_SIZE);
    walk->record = buffer_up_to(OBJECT_RECORD_LIMIT);
    take_stamp(range->first, walk->first);
    take_stamp(range->last, walk->last);
    make_bounds(range, walk, &lower, &upper);
    if (!storage_cursor_open(worklist->storage, TABLE_TERM, slice_of(lower.bytes, lower.size),
                             slice_of(upper.bytes, upper.size), &walk->cursor, err)) {
        free(walk);
        return false;
    }
    *out = walk;
    return true;
}

void object_walk_close(struct object_walk *walk)
{
    if (!walk)
        return;
    storage_cursor_close(walk->cursor);
    buffer_release(&walk->record_key);
    buffer_release(&walk->record);
    free(walk);
}

/* Only where the range could not be given to the cursor. */
static bool in_range(const struct object_walk *walk, struct slice stamp)
{
    struct slice first = slice_text(walk->first), last = slice_text(walk->last);
    if (walk->value_size != SIZE_MAX || (!first.size && !last.size))
        return true;
    if (stamp.data[0] == '~')
        return false;
    return slice_compare(stamp, first) >= 0 &&
           (!last.size || slice_compare(slice_take(stamp, last.size), last) <= 0);
}

bool object_walk_next_key(struct object_walk *walk, const char **key, struct error *err)
{
    struct slice term, stamp, found_key;
    bool found;
    *key = NULL;
    while (storage_cursor_next(walk->cursor, &term, NULL, &found, err)) {
        if (!found)
            return true;
        if (!object_term_split(term, walk->value_size, &stamp, &found_key))
            return error_set(err, ERROR_CORRUPT, "a term of the worklist cannot be read");
        if (!in_range(walk, stamp))
            continue;
        memcpy(walk->key, found_key.data, found_key.size);
        walk->key[found_key.size] = '\0';
        *key = walk->key;
        return true;
    }
    return false;
}

static bool load(struct object_walk *walk, const char *key, struct object *object, bool *found,
                 struct error *err)
{
    object_record_key(walk->kind, key, &walk->record_key);
    if (!storage_get(walk->worklist->storage, TABLE_RECORD, buffer_slice(&walk->record_key),
                     &walk->record, found, err))
        return false;
    object_clear(object);
    return !*found ||
           object_record_decode(buffer_slice(&walk->record), walk->kind, key, object, err);
}

bool object_walk_next(struct object_walk *walk, struct object *object, bool *found,
                      struct error *err)
{
    const char *key;
    *found = false;
    do {
        if (!object_walk_next_key(walk, &key, err))
            return false;
        /* Deleted since the walk began: passed over. */
        if (key && !load(walk, key, object, found, err))
            return false;
    } while (key && !*found);
    return true;
}

bool object_walk_count(struct worklist *worklist, const struct object_range *range, size_t limit,
                       size_t *count, struct error *err)
{
    struct object_walk *walk = NULL;
    const char *key = "";
    *count = 0;
    bool ok = object_walk_open(worklist, range, &walk, err);
    while (ok && *count < limit && (ok = object_walk_next_key(walk, &key, err)) && key)
        (*count)++;
    object_walk_close(walk);
    return ok;
}
