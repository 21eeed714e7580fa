/* SPDX-License-Identifier: MIT */
#pragma once
/* A data directory: the index (records, terms, feed) and the blob segments, opened together and
 * locked against a second server. Thread-safe.
 *
 * Layout of the directory: FORMAT (its version), LOCK, index/ (RocksDB), segments/ (blobs).
 * docs/storage-format.md. */

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "storage/table.h"

struct storage;

struct storage_options {
    const char *path;      /* the data directory; made when missing, taken when empty */
    uint64_t segment_size; /* bytes, 0: 1 GiB */
    bool index_in_memory;  /* the index is kept by the in-memory twin: for tests, and for walks */
    /* For the rebuilding of the index: it is made anew in index.new, whether there is another one
     * or not, and nothing of the segments is changed, not even what every start puts in order. Only
     * records, terms, documents and the feed are written, no blob. What does not end with
     * storage_close_rebuilt leaves no index.new. */
    bool rebuild;
    /* Tests only: as on a file system that cannot give parts of a file back. */
    bool cannot_punch;
};

/* ERROR_INVALID when the directory is not empty and no data directory, which changes nothing in it;
 * ERROR_BUSY when another process holds it; ERROR_UNSUPPORTED when its format is newer
 * than this program. */
bool storage_open(const struct storage_options *options, struct storage **out, struct error *err);
void storage_close(
    struct storage *storage); /* nobody may use it any more, cursors and blobs are closed */

/* Of a storage that was opened for a rebuild: closes it, and puts the new index, when all of it is
 * durable, into the place of the old one, which is kept as index.old-<UTC time>. A crash in between
 * leaves the one or the other, or none and index.new: a rebuild begins anew then. */
bool storage_close_rebuilt(struct storage *storage, struct error *err);

/* Of a storage that was opened for a rebuild, not of one in memory: what of the index that is there
 * no blob tells of is taken over, as far as it can be read. An empty `until`: to the end. The
 * reason why not all of it could is logged. */
struct storage_range {
    enum table table;
    struct slice from;
    struct slice until;
};
enum storage_carried {
    STORAGE_CARRIED_ALL,
    STORAGE_CARRIED_PART,    /* or nothing: it could not be read */
    STORAGE_CARRIED_NOTHING, /* there is no old index */
};
bool storage_carry_over(struct storage *storage, const struct storage_range *ranges, size_t count,
                        uint64_t *keys, enum storage_carried *carried, struct error *err);
/* Of the same: the index that is there, which the new one replaces, to be read with storage_get and
 * cursors and nothing else. NULL when there is none; one that cannot be opened is logged. */
struct storage *storage_old_view_open(struct storage *storage);

/* Reads what is committed. *found tells whether it is there; `value` is filled (not appended to).
 */
bool storage_get(struct storage *storage, enum table table, struct slice key, struct buffer *value,
                 bool *found, struct error *err);

/* Returns when all that can be read now is durable: a commit may be seen before its sync has ended.
 */
bool storage_settle(struct storage *storage, struct error *err);

/* The index as of now, to be read with storage_get, cursors and feed_latest and nothing else: what
 * is written later is not in it. Blobs are none of it. Close it before the storage, and what was
 * opened on it before it: as long as it is open, what it sees takes its place on the disk. */
struct storage *storage_view_open(struct storage *storage);
void storage_view_close(struct storage *view);

struct storage_cursor;

/* The keys in [lower, upper) of a table, as of now; an empty upper means to the end. One thread at
 * a time. */
bool storage_cursor_open(struct storage *storage, enum table table, struct slice lower,
                         struct slice upper, struct storage_cursor **out, struct error *err);
/* The same from the last key down. */
bool storage_cursor_open_backwards(struct storage *storage, enum table table, struct slice lower,
                                   struct slice upper, struct storage_cursor **out,
                                   struct error *err);
/* All keys that begin with `prefix`. */
bool storage_cursor_open_prefix(struct storage *storage, enum table table, struct slice prefix,
                                struct storage_cursor **out, struct error *err);
/* *found false at the end. key and value (either may be NULL) are borrowed until the next call. */
bool storage_cursor_next(struct storage_cursor *cursor, struct slice *key, struct slice *value,
                         bool *found, struct error *err);
void storage_cursor_close(struct storage_cursor *cursor);

struct storage_figures {
    uint64_t segments;
    uint64_t blob_bytes;       /* in records that live */
    uint64_t dead_bytes;       /* in records that were deleted and are not reclaimed yet */
    uint64_t free_disk_bytes;  /* of the file system */
    uint64_t missing_segments; /* files that are not there and should be */
    uint64_t damaged_segments; /* in which a part could not be read at the opening */
    bool failed;               /* a sync failed once: nothing more is written until a restart */
};
void storage_figures(struct storage *storage, struct storage_figures *figures);

/* What a table of the index takes, as its backend estimates it. */
struct storage_table_figures {
    uint64_t keys;
    uint64_t disk_bytes;
    uint64_t memory_bytes; /* not in files yet, but in the log */
};
void storage_table_figures(struct storage *storage, enum table table,
                           struct storage_table_figures *figures);

/* What is known of one segment file. The dead counts move on when space is given back, a moment
 * after a deletion. */
struct storage_segment_figures {
    uint32_t number;
    bool single; /* one big record has it for itself */
    bool sealed; /* nothing is appended any more */
    uint64_t records;
    uint64_t bytes; /* of all records, dead ones too */
    uint64_t dead_records;
    uint64_t dead_bytes;
    uint64_t held_bytes; /* of dead records, and not given back to the file system */
};
/* The first segment with a number above `after_number`; *found false when there is none. */
void storage_segment_figures(struct storage *storage, uint32_t after_number,
                             struct storage_segment_figures *figures, bool *found);
