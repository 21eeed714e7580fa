/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "storage/keyvalue.h"

/* Immutable but for its count, so that a snapshot is a list of references. */
struct entry {
    unsigned references; /* guarded by memory.lock */
    struct slice key;
    struct slice value; /* both stand behind the struct */
};

struct entries {
    struct entry **items; /* in the order of their keys */
    size_t count;
    size_t capacity;
};

struct memory {
    struct keyvalue base;
    pthread_mutex_t lock;
    struct entries tables[TABLE_COUNT]; /* guarded by lock */
};

/* The entries of its memory as they were once. */
struct memory_view {
    struct keyvalue base;
    struct memory *memory;
    struct entries tables[TABLE_COUNT]; /* immutable; their references are guarded by its lock */
};

struct memory_cursor {
    struct keyvalue_cursor base;
    struct memory *memory;
    struct entry **items;
    size_t count;
    size_t next;
    bool backwards;
};

static struct entry *entry_new(struct slice key, struct slice value)
{
    struct entry *entry = mem_alloc(sizeof(*entry) + key.size + value.size);
    uint8_t *bytes = (uint8_t *)(entry + 1);
    if (key.size)
        memcpy(bytes, key.data, key.size);
    if (value.size)
        memcpy(bytes + key.size, value.data, value.size);
    entry->references = 1;
    entry->key = slice_of(bytes, key.size);
    entry->value = slice_of(bytes + key.size, value.size);
    return entry;
}

static void entry_drop(struct entry *entry)
{
    if (--entry->references == 0)
        free(entry);
}

/* The first place whose key is not below `key`. */
static size_t place_of(const struct entries *entries, struct slice key)
{
    size_t low = 0;
    size_t high = entries->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(entries->items[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct entries *entries, size_t place, struct slice key)
{
    return place < entries->count && slice_equal(entries->items[place]->key, key);
}

static void apply(struct entries *entries, const struct keyvalue_write *write)
{
    size_t place = place_of(entries, write->key);
    bool present = is_at(entries, place, write->key);
    struct entry **at = entries->items + place;
    if (present)
        entry_drop(*at);
    if (write->remove) {
        if (present)
            memmove(at, at + 1, (--entries->count - place) * sizeof(*at));
        return;
    }
    if (!present) {
        if (entries->count == entries->capacity) {
            entries->capacity = entries->capacity ? entries->capacity * 2 : 16;
            entries->items = mem_resize_array(entries->items, entries->capacity,
                                              sizeof(*entries->items));
            at = entries->items + place;
        }
        memmove(at + 1, at, (entries->count++ - place) * sizeof(*at));
    }
    *at = entry_new(write->key, write->value);
}

static void drop_all(struct entries tables[TABLE_COUNT])
{
    for (int table = 0; table < TABLE_COUNT; table++) {
        for (size_t i = 0; i < tables[table].count; i++)
            entry_drop(tables[table].items[i]);
        free(tables[table].items);
    }
}

static void memory_close(struct keyvalue *keyvalue)
{
    struct memory *memory = (struct memory *)keyvalue;
    drop_all(memory->tables);
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

static bool find(const struct entries *entries, struct slice key, struct buffer *value)
{
    size_t place = place_of(entries, key);
    bool found = is_at(entries, place, key);
    buffer_clear(value);
    if (found)
        buffer_append(value, entries->items[place]->value);
    return found;
}

static bool memory_get(struct keyvalue *keyvalue, enum table table, struct slice key,
                       struct buffer *value, bool *found, struct error *err)
{
    struct memory *memory = (struct memory *)keyvalue;
    pthread_mutex_lock(&memory->lock);
    *found = find(&memory->tables[table], key, value);
    pthread_mutex_unlock(&memory->lock);
    return buffer_check(value, "value", err);
}

static bool memory_write(struct keyvalue *keyvalue, const struct keyvalue_write *writes,
                         size_t count, struct error *err)
{
    struct memory *memory = (struct memory *)keyvalue;
    (void)err;
    pthread_mutex_lock(&memory->lock);
    for (size_t i = 0; i < count; i++)
        apply(&memory->tables[writes[i].table], &writes[i]);
    pthread_mutex_unlock(&memory->lock);
    return true;
}

static bool memory_sync(struct keyvalue *keyvalue, struct error *err)
{
    (void)keyvalue;
    (void)err;
    return true;
}

static const struct keyvalue_operations operations;

static bool memory_cursor_open_on(struct memory *memory, const struct entries *entries,
                                  struct slice lower, struct slice upper, bool backwards,
                                  struct keyvalue_cursor **out)
{
    struct memory_cursor *cursor = mem_alloc(sizeof(*cursor));
    cursor->base.operations = &operations;
    cursor->memory = memory;
    cursor->backwards = backwards;
    pthread_mutex_lock(&memory->lock);
    size_t first = place_of(entries, lower);
    size_t end = upper.size ? place_of(entries, upper) : entries->count;
    if (end > first) {
        cursor->count = end - first;
        cursor->items = mem_copy(entries->items + first, cursor->count * sizeof(*cursor->items));
        for (size_t i = 0; i < cursor->count; i++)
            cursor->items[i]->references++;
    }
    pthread_mutex_unlock(&memory->lock);
    *out = &cursor->base;
    return true;
}

static bool memory_cursor_open(struct keyvalue *keyvalue, enum table table, struct slice lower,
                               struct slice upper, bool backwards, struct keyvalue_cursor **out,
                               struct error *err)
{
    struct memory *memory = (struct memory *)keyvalue;
    (void)err;
    return memory_cursor_open_on(memory, &memory->tables[table], lower, upper, backwards, out);
}

static bool memory_cursor_next(struct keyvalue_cursor *base, struct slice *key, struct slice *value,
                               bool *found, struct error *err)
{
    struct memory_cursor *cursor = (struct memory_cursor *)base;
    (void)err;
    *found = cursor->next < cursor->count;
    if (!*found)
        return true;
    size_t place = cursor->backwards ? cursor->count - 1 - cursor->next : cursor->next;
    cursor->next++;
    *key = cursor->items[place]->key;
    *value = cursor->items[place]->value;
    return true;
}

static void memory_cursor_close(struct keyvalue_cursor *base)
{
    struct memory_cursor *cursor = (struct memory_cursor *)base;
    pthread_mutex_lock(&cursor->memory->lock);
    for (size_t i = 0; i < cursor->count; i++)
        entry_drop(cursor->items[i]);
    pthread_mutex_unlock(&cursor->memory->lock);
    free(cursor->items);
    free(cursor);
}

static void memory_figures(struct keyvalue *keyvalue, enum table table,
                           struct storage_table_figures *figures)
{
    struct memory *memory = (struct memory *)keyvalue;
    memset(figures, 0, sizeof(*figures));
    pthread_mutex_lock(&memory->lock);
    const struct entries *entries = &memory->tables[table];
    figures->keys = entries->count;
    for (size_t i = 0; i < entries->count; i++)
        figures->memory_bytes += entries->items[i]->key.size + entries->items[i]->value.size;
    pthread_mutex_unlock(&memory->lock);
}

static void view_close(struct keyvalue *keyvalue)
{
    struct memory_view *view = (struct memory_view *)keyvalue;
    pthread_mutex_lock(&view->memory->lock);
    drop_all(view->tables);
    pthread_mutex_unlock(&view->memory->lock);
    free(view);
}

static bool view_get(struct keyvalue *keyvalue, enum table table, struct slice key,
                     struct buffer *value, bool *found, struct error *err)
{
    const struct memory_view *view = (const struct memory_view *)keyvalue;
    *found = find(&view->tables[table], key, value);
    return buffer_check(value, "value", err);
}

static bool view_cursor_open(struct keyvalue *keyvalue, enum table table, struct slice lower,
                             struct slice upper, bool backwards, struct keyvalue_cursor **out,
                             struct error *err)
{
    struct memory_view *view = (struct memory_view *)keyvalue;
    (void)err;
    return memory_cursor_open_on(view->memory, &view->tables[table], lower, upper, backwards, out);
}

static const struct keyvalue_operations view_operations = {
    .close = view_close,
    .get = view_get,
    .cursor_open = view_cursor_open,
    .cursor_next = memory_cursor_next,
    .cursor_close = memory_cursor_close,
};

static struct keyvalue *memory_view(struct keyvalue *keyvalue)
{
    struct memory *memory = (struct memory *)keyvalue;
    struct memory_view *view = mem_alloc(sizeof(*view));
    view->base.operations = &view_operations;
    view->memory = memory;
    pthread_mutex_lock(&memory->lock);
    for (int table = 0; table < TABLE_COUNT; table++) {
        const struct entries *entries = &memory->tables[table];
        struct entries *kept = &view->tables[table];
        kept->count = kept->capacity = entries->count;
        if (entries->count)
            kept->items = mem_copy(entries->items, entries->count * sizeof(*kept->items));
        for (size_t i = 0; i < kept->count; i++)
            kept->items[i]->references++;
    }
    pthread_mutex_unlock(&memory->lock);
    return &view->base;
}

static const struct keyvalue_operations operations = {
    .close = memory_close,
    .get = memory_get,
    .write = memory_write,
    .sync = memory_sync,
    .cursor_open = memory_cursor_open,
    .cursor_next = memory_cursor_next,
    .cursor_close = memory_cursor_close,
    .view = memory_view,
    .figures = memory_figures,
};

struct keyvalue *memory_keyvalue_open(void)
{
    struct memory *memory = mem_alloc(sizeof(*memory));
    memory->base.operations = &operations;
    pthread_mutex_init(&memory->lock, NULL);
    return &memory->base;
}
