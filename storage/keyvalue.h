/* SPDX-License-Identifier: MIT */
#pragma once
/* The ordered key-value backend below the records, the index terms and the feed. Two
 * implementations: rocks.c (the one door to RocksDB) and memory_keyvalue.c (for tests).
 * Thread-safe, but write() is called by one thread at a time (the one that has the write turn, see
 * transaction.h). Only storage/ and its tests include this header. */

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "storage/storage.h"
#include "storage/table.h"

struct keyvalue_write {
    enum table table;
    bool remove;
    struct slice key;
    struct slice value;
};

struct keyvalue;
struct keyvalue_cursor;

struct keyvalue_operations {
    void (*close)(struct keyvalue *keyvalue);
    /* *found tells whether the key is there; false is returned only when the backend failed. */
    bool (*get)(struct keyvalue *keyvalue, enum table table, struct slice key, struct buffer *value,
                bool *found, struct error *err);
    /* All writes or none, in order; visible at once, durable after the next sync that begins later.
     */
    bool (*write)(struct keyvalue *keyvalue, const struct keyvalue_write *writes, size_t count,
                  struct error *err);
    /* Makes every write that returned before this call durable. Any thread, several at once. */
    bool (*sync)(struct keyvalue *keyvalue, struct error *err);
    /* Keys in [lower, upper) (an empty upper: to the end) as of now: a snapshot. */
    bool (*cursor_open)(struct keyvalue *keyvalue, enum table table, struct slice lower,
                        struct slice upper, bool backwards, struct keyvalue_cursor **out,
                        struct error *err);
    /* *found false at the end. key and value are borrowed until the next call. */
    bool (*cursor_next)(struct keyvalue_cursor *cursor, struct slice *key, struct slice *value,
                        bool *found, struct error *err);
    void (*cursor_close)(struct keyvalue_cursor *cursor);
    /* Writes what stands in memory and in the log into tables, so that a copy soon after has little
     * left to do. NULL where there are no files. */
    bool (*flush)(struct keyvalue *keyvalue, struct error *err);
    /* The files of the index as of now, in the new folder `path` on the same file system: tables
     * are links. Nobody writes meanwhile. NULL where there are no files. */
    bool (*checkpoint)(struct keyvalue *keyvalue, const char *path, struct error *err);
    /* What is there now, whatever is written later: takes get and cursors only. Closed before the
     * one it is of. */
    struct keyvalue *(*view)(struct keyvalue *keyvalue);
    /* What a table takes, about. */
    void (*figures)(struct keyvalue *keyvalue, enum table table,
                    struct storage_table_figures *figures);
};

struct keyvalue {
    const struct keyvalue_operations *operations;
};

struct keyvalue_cursor {
    const struct keyvalue_operations *operations;
};

/* A database in the folder `path`, made when it is not there. */
bool rocks_open(const char *path, struct keyvalue **out, struct error *err);

struct keyvalue *memory_keyvalue_open(void);
