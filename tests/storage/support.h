/* SPDX-License-Identifier: MIT */
#pragma once
/* What the tests of storage share. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/clock.h"
#include "storage/store.h"
#include "tests/test.h"

enum { SMALL_SEGMENT = 1 << 20 };

/* Both backends behave alike, so most tests run on each. */
static inline struct storage *open_store(const char *path, bool in_memory)
{
    struct error err = { 0 };
    struct storage *storage = NULL;
    struct storage_options options = { .path = path,
                                       .segment_size = SMALL_SEGMENT,
                                       .index_in_memory = in_memory };
    CHECK_OK(storage_open(&options, &storage, &err), err);
    return storage;
}

static inline void put_text(struct transaction *transaction, enum table table, const char *key,
                            const char *value)
{
    transaction_put(transaction, table, slice_text(key), slice_text(value));
}

static inline void put_one(struct storage *storage, enum table table, const char *key,
                           const char *value)
{
    struct error err = { 0 };
    struct transaction *transaction = NULL;
    CHECK_OK(transaction_open(storage, &transaction, &err), err);
    put_text(transaction, table, key, value);
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
}

static inline bool value_is(struct storage *storage, enum table table, const char *key,
                            const char *expected)
{
    struct error err = { 0 };
    struct buffer value = buffer_up_to(1 << 20);
    bool found = false;
    CHECK_OK(storage_get(storage, table, slice_text(key), &value, &found, &err), err);
    bool same = expected ? found && slice_equals_text(buffer_slice(&value), expected) : !found;
    buffer_release(&value);
    return same;
}

static inline uint64_t append_feed(struct storage *storage, const char *entry)
{
    struct error err = { 0 };
    struct transaction *transaction = NULL;
    CHECK_OK(transaction_open(storage, &transaction, &err), err);
    uint64_t sequence = transaction_append_feed(transaction, slice_text(entry));
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
    return sequence;
}

/* Bytes that differ from seed to seed. */
static inline uint8_t *make_bytes(size_t size, unsigned seed)
{
    uint8_t *bytes = malloc(size + 1);
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(state >> 24);
    }
    return bytes;
}

static inline bool write_blob(struct storage *storage, const char *key, struct slice bytes,
                              struct blob_id *id, struct error *err)
{
    struct blob_writer *writer = NULL;
    if (!blob_writer_open(storage, slice_text(key), &writer, err))
        return false;
    bool ok = blob_writer_write(writer, bytes, err) && blob_writer_finish(writer, id, err);
    blob_writer_close(writer);
    return ok;
}

static inline struct blob_id store_blob(struct storage *storage, const char *key, size_t size,
                                        unsigned seed)
{
    struct error err = { 0 };
    struct blob_id id;
    uint8_t *bytes = make_bytes(size, seed);
    bool ok = write_blob(storage, key, slice_of(bytes, size), &id, &err);
    free(bytes);
    CHECK_OK(ok, err);
    return id;
}

static inline bool blob_equals(struct storage *storage, const struct blob_id *id, size_t size,
                               unsigned seed)
{
    struct error err = { 0 };
    struct blob *blob = NULL;
    if (!blob_open(storage, id, &blob, &err))
        return false;
    uint8_t *expected = make_bytes(size, seed);
    uint8_t *actual = malloc(size + 1);
    bool same = blob_size(blob) == size &&
                blob_read(blob, 0, (struct space){ actual, size }, &err) &&
                memcmp(expected, actual, size) == 0 && blob_verify(blob, &err);
    free(expected);
    free(actual);
    blob_close(blob);
    return same;
}

static inline void delete_blob(struct storage *storage, const struct blob_id *id)
{
    struct error err = { 0 };
    struct transaction *transaction = NULL;
    CHECK_OK(transaction_open(storage, &transaction, &err), err);
    transaction_delete_blob(transaction, id);
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
}

/* The space of deleted blobs is given back by a thread of its own; a second must be enough. */
static inline bool wait_for_pending(struct storage *storage, uint64_t bytes)
{
    for (unsigned turn = 0; reclaim_pending_bytes(storage->reclaim) != bytes;)
        if (!test_wait(&turn))
            return false;
    return true;
}

static inline void segment_file(const char *folder, uint32_t number, char path[256])
{
    snprintf(path, 256, "%s/segments/%010u.seg", folder, number);
}

/* The in-memory twin with a sync that can be counted, slowed down and made to fail. */
struct watched {
    struct keyvalue base;
    struct keyvalue *inner;
    atomic_int syncs; /* begun */
    atomic_int synced;
    atomic_int sync_ms;
    atomic_bool fail_sync;
    atomic_bool fail_write; /* as a full disk */
};

struct keyvalue *watched_open(struct watched **out);
struct storage *open_watched(const char *path, struct watched **out);

/* Work that is done in a process of its own, which is killed when it is done, or before by a fault
 * point: nothing is closed, nothing is cut. */
#define CHILD(name)                                                                                \
    static void name(struct storage *storage);                                                     \
    __attribute__((constructor)) static void enter_##name(void)                                    \
    {                                                                                              \
        child_enter(#name, name);                                                                  \
    }                                                                                              \
    static void name(struct storage *storage)

/* How many pages of the first segment of a data directory or backup the page cache has. */
size_t cached_pages(const char *path);
/* The first segment has none there any more. */
void drop_cached_pages(const char *path);

/* Only in the child, and only for its own work: does it and dies. */
void child_enter(const char *name, void (*work)(struct storage *));
/* `fault` may be NULL. */
pid_t child_start(const char *name, const char *path, bool in_memory, const char *fault);
/* Waits until it is dead; fails the test when it ended in another way than by SIGKILL. */
void child_wait(pid_t child);
void child_run(const char *name, const char *path, bool in_memory);
