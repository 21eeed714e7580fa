/* SPDX-License-Identifier: MIT */
#pragma once
/* The segment files: where records are written, which are open, how much in them lives. Only
 * storage/ and its tests include this header. Thread-safe.
 *
 * Locks, in the order in which they are taken: transaction turn, append_lock, lock, a group's. */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "storage/group_sync.h"
#include "storage/keyvalue.h"
#include "storage/record.h"
#include "storage/transaction.h"

/* What of a segment is known to be settled: every record before `end` is durable or has failed. */
struct segment_checkpoint {
    uint64_t end;
    uint64_t records;
    uint64_t bytes;
    bool sealed;
};

struct segment {
    struct segments *segments;
    uint32_t number;
    enum segment_kind kind;
    uint8_t nonce[NONCE_SIZE];
    struct group_sync sync;

    /* Guarded by segments->lock. */
    int fd;        /* -1 while closed; stays open while pins > 0 */
    int direct_fd; /* for aligned writes past the page cache; -1 where there is none */
    unsigned pins;
    unsigned in_flight; /* reservations that are not settled */
    uint64_t end;       /* the next record goes here */
    uint64_t size;      /* space that is prepared for writing */
    uint64_t records;   /* reserved, without those that failed */
    uint64_t bytes;
    uint64_t dead_records;
    uint64_t dead_bytes;
    uint64_t held_bytes;    /* of dead records, but not given back to the file system */
    uint64_t told_end;      /* the checkpoint's end that is in the index */
    uint64_t collected_end; /* that will be, with the transaction that is being written */
    bool ready;             /* false while a single record streams in */
    bool sealed;            /* nothing is appended any more */
    bool damaged;           /* a part of it could not be read at the opening: it takes no more */
    bool lost;              /* its file was not there when it was asked for */
    bool punched;           /* whole records were given back since the opening */
    bool removed;           /* it is out of the set; freed with the last pin */
    bool dirty;
    bool collecting;
    struct segment_checkpoint checkpoint; /* what the index is told */
    struct segment_checkpoint candidate;  /* becomes the checkpoint when candidate_pending is 0 */
    unsigned candidate_pending;
    TAILQ_ENTRY(segment) idle;
    TAILQ_ENTRY(segment) changed;
};

TAILQ_HEAD(segment_list, segment);

struct segments {
    char *path;
    int folder_fd;
    uint64_t segment_size;
    bool untouched; /* what is found at the opening stays as it is */
    atomic_bool *failed;
    int (*sync_file)(int fd); /* fdatasync; tests put a failing one here */
    bool cannot_punch;        /* see storage_options */

    pthread_mutex_t append_lock;
    struct segment *active; /* guarded by append_lock; NULL until something is written */

    pthread_mutex_t lock;
    struct segment **items; /* by number; this and the rest are guarded by lock */
    size_t count;
    size_t capacity;
    uint32_t next_number;
    uint32_t *removed; /* the numbers of those that went since the opening */
    size_t removed_count;
    size_t missing; /* files that the index knows and that were not there at the opening */
    struct segment_list idle; /* open but not pinned, least recently used first */
    size_t idle_count;
    struct segment_list dirty;      /* the index is to be told */
    struct segment_list collecting; /* told in the transaction that is being written */
};

/* Reads the folder `path` (made when missing) and what the index knows of it. `untouched`: marks
 * and removes nothing of what a crash left. */
bool segments_open(const char *path, uint64_t segment_size, bool untouched,
                   struct keyvalue *keyvalue, atomic_bool *failed, struct segments **out,
                   struct error *err);
void segments_close(struct segments *segments);

struct reservation {
    struct segment *segment; /* pinned until segments_settle */
    uint64_t offset;
    uint64_t extent;
};

/* A place for a record of `extent` bytes (a multiple of SEGMENT_BLOCK) in the shared segment. */
bool segments_reserve(struct segments *segments, uint64_t extent, struct reservation *reservation,
                      struct error *err);
/* A new segment for one big record; it grows by segments_grow. */
bool segments_reserve_single(struct segments *segments, struct reservation *reservation,
                             struct error *err);
bool segments_grow(struct segments *segments, struct reservation *reservation, uint64_t extent,
                   struct error *err);
/* The record is durable, or it failed and counts as never written. Unpins. */
void segments_settle(struct segments *segments, const struct reservation *reservation, bool ok);

/* Before closing: what is settled becomes the checkpoint of the active segment. */
void segments_checkpoint(struct segments *segments);

/* `bytes.data`, `bytes.size` and the offset are multiples of SEGMENT_BLOCK. */
bool segment_write(struct segment *segment, struct slice bytes, uint64_t offset, struct error *err);
/* Writes by way of the page cache, which gathers small writes until the next sync. Only below the
 * segment's `quiet` limit: a dirty page in the cache beside blocks that are written past it could
 * hide those. */
bool segment_write_cached(struct segment *segment, struct slice bytes, uint64_t offset,
                          struct error *err);
/* Rewrites the block that begins at `offset`, where a record begins, with another state, past the
 * page cache where that is possible. */
bool segment_write_state(struct segment *segment, uint64_t offset, enum record_state state,
                         struct error *err);
/* Makes durable what was written to the segment before. */
bool segment_sync(struct segment *segment, struct error *err);

/* The segment with its file open; ERROR_NOT_FOUND when all in it was deleted and it went,
 * ERROR_CORRUPT when its file is not there though nobody removed it. */
bool segments_pin(struct segments *segments, uint32_t number, struct segment **out,
                  struct error *err);
void segments_unpin(struct segments *segments, struct segment *segment);
/* The first segment with at least that number, its file open, and how far it is filled; NULL when
 * there is none. */
bool segments_pin_from(struct segments *segments, uint32_t number, struct segment **out,
                       uint64_t *end, struct error *err);

/* Counts a record as dead (or, with `alive`, takes that back); held: bytes that could not be given
 * back. With the write turn, so that it becomes durable with the transaction. */
void segments_count_dead(struct segments *segments, struct segment *segment, uint64_t extent,
                         uint64_t held, bool alive);
/* Adds what changed to a transaction; segments_collected tells how it ended. With the turn. */
void segments_collect(struct segments *segments, struct transaction *transaction);
void segments_collected(struct segments *segments, bool ok);

/* Finds a segment in which nothing lives, makes sure, and takes it out of the set; the caller has
 * it pinned. NULL when there is none. */
struct segment *segments_take_dead(struct segments *segments);
/* Takes such a segment out of the index; its number is never used again. When that is durable its
 * file may go, so that a file that is missing was not removed by us. */
void segments_forget(struct segments *segments, uint32_t number, struct transaction *transaction);
void segments_unlink(struct segments *segments, const struct segment *segment);

/* What of a segment may be treated as done with: every write to it below has returned and the index
 * knows of it, so that no opening ever takes it for free space. What lies below `quiet` shares no
 * page of the cache with a write. */
struct segment_limits {
    uint64_t told;
    uint64_t quiet;
};
struct segment_limits segments_limits(struct segments *segments, const struct segment *segment);
/* Before whole records are given back: who finds a hole then knows why. */
void segments_expect_holes(struct segments *segments, struct segment *segment);
bool segments_expects_holes(const struct segment *segment);
/* Gives a part of the file back. False where that is not possible. */
bool segment_punch(struct segment *segment, uint64_t offset, uint64_t size);

void segments_figures(struct segments *segments, struct storage_figures *figures);
/* See storage_segment_figures. */
bool segments_figures_after(struct segments *segments, uint32_t number,
                            struct storage_segment_figures *figures);

/* Reads record headers one after the other; steps over what is none. */
struct segment_scan {
    int fd;
    const struct segment *segment;
    uint64_t offset;
    uint64_t limit;
    bool aside; /* the page cache is left as it was */
    uint8_t bytes[RECORD_HEADER_SIZE];
};

/* header->key is valid until the next call. */
bool segment_scan_next(struct segment_scan *scan, struct record_header *header, bool *found,
                       struct error *err);

/* Whole reads; ERROR_CORRUPT when the file ends before. */
bool segment_read(int fd, struct space space, uint64_t offset, struct error *err);
/* A descriptor of one's own for segment_read_aside, as the kernel reads nothing ahead on it; -1
 * when the file cannot be opened (any more). */
int segment_open_aside(const struct segment *segment);
/* The same as segment_read, and the page cache is left as it was: for who reads everything once. */
bool segment_read_aside(int fd, struct space space, uint64_t offset, struct error *err);
/* The checksum of a payload, read aside. */
bool segment_checksum(int fd, uint64_t offset, uint64_t size, uint32_t *crc32c, struct error *err);

/* Used by segments_open: finds the end of a segment from its checkpoint on, and counts. `known`:
 * the index has an entry of it. `verify`: reads the payloads too, and marks torn records. What the
 * disk does not give back makes the segment `damaged`, and is no error. */
void segment_recover(struct segment *segment, bool known, bool verify);

/* The set's own parts, shared by segments.c, segment_open.c and segment_append.c. */
struct segment *segment_new(struct segments *segments, uint32_t number, enum segment_kind kind);
void segment_free(struct segment *segment);
/* Takes it out of the set and removes its file; the caller has it pinned. */
void segments_drop(struct segments *segments, struct segment *segment);
void segments_path(const struct segments *segments, uint32_t number, char *path, size_t size);
void segments_insert(struct segments *segments, struct segment *segment); /* with lock */
void segment_open_direct(struct segment *segment);
void segments_touch(struct segment *segment);      /* makes it dirty; with lock */
void segments_pin_locked(struct segment *segment); /* its file is open; with lock */

/* Keys of TABLE_SEGMENT. */
enum { SEGMENT_KEY_ENTRY = 's', SEGMENT_KEY_NEXT = 'n', SEGMENT_KEY_DELETION = 'd' };
enum { SEGMENT_ENTRY_SIZE = 80 };
void segment_entry_key(uint32_t number, uint8_t key[5]);
void segment_entry_encode(const struct segment *segment, uint8_t entry[SEGMENT_ENTRY_SIZE]);
bool segment_entry_decode(struct slice entry, struct segment *segment);
