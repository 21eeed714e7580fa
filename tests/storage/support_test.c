/* SPDX-License-Identifier: MIT */
#include "tests/storage/support.h"

static void watched_close(struct keyvalue *keyvalue)
{
    struct watched *watched = (struct watched *)keyvalue;
    watched->inner->operations->close(watched->inner);
    free(watched);
}

static bool watched_get(struct keyvalue *keyvalue, enum table table, struct slice key,
                        struct buffer *value, bool *found, struct error *err)
{
    struct keyvalue *inner = ((struct watched *)keyvalue)->inner;
    return inner->operations->get(inner, table, key, value, found, err);
}

static bool watched_write(struct keyvalue *keyvalue, const struct keyvalue_write *writes,
                          size_t count, struct error *err)
{
    struct watched *watched = (struct watched *)keyvalue;
    if (atomic_load(&watched->fail_write))
        return error_set(err, ERROR_NO_SPACE, "full");
    return watched->inner->operations->write(watched->inner, writes, count, err);
}

static bool watched_sync(struct keyvalue *keyvalue, struct error *err)
{
    struct watched *watched = (struct watched *)keyvalue;
    int ms = atomic_load(&watched->sync_ms);
    atomic_fetch_add(&watched->syncs, 1);
    if (ms)
        nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000L }, NULL);
    if (atomic_load(&watched->fail_sync))
        return error_set(err, ERROR_IO, "broken");
    return true;
}

static bool watched_cursor_open(struct keyvalue *keyvalue, enum table table, struct slice lower,
                                struct slice upper, bool backwards, struct keyvalue_cursor **out,
                                struct error *err)
{
    struct keyvalue *inner = ((struct watched *)keyvalue)->inner;
    return inner->operations->cursor_open(inner, table, lower, upper, backwards, out, err);
}

static const struct keyvalue_operations operations = {
    .close = watched_close,
    .get = watched_get,
    .write = watched_write,
    .sync = watched_sync,
    .cursor_open = watched_cursor_open, /* what it opens knows its own operations */
};

/* next and close of a cursor are called through the keyvalue's operations when opening. */
struct keyvalue *watched_open(struct watched **out)
{
    static struct keyvalue_operations complete;
    struct watched *watched = calloc(1, sizeof(*watched));
    watched->inner = memory_keyvalue_open();
    complete = operations;
    complete.cursor_next = watched->inner->operations->cursor_next;
    complete.cursor_close = watched->inner->operations->cursor_close;
    watched->base.operations = &complete;
    *out = watched;
    return &watched->base;
}

struct storage *open_watched(const char *path, struct watched **out)
{
    struct error err = { 0 };
    struct storage *storage = NULL;
    struct storage_options options = { .path = path, .segment_size = SMALL_SEGMENT };
    CHECK_OK(storage_open_with(&options, watched_open(out), &storage, &err), err);
    return storage;
}
