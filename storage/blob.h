/* SPDX-License-Identifier: MIT */
#pragma once
/* Blobs: byte strings of any size that are written once. They stand in append-only segment files; a
 * small one is gathered in memory and written in one piece, a big one (> 32 MiB, less when memory
 * is short) streams into a segment of its own, so that memory stays flat. docs/storage-format.md
 * has the layout. The store is thread-safe; a writer or reader belongs to one thread at a time. */

#include "base/error.h"
#include "base/file_range.h"
#include "base/slice.h"

struct storage;

struct blob_id {
    uint32_t segment;
    uint32_t crc32c; /* of the payload */
    uint64_t offset; /* of the record in its segment */
    uint64_t size;   /* of the payload */
};

enum { BLOB_ID_SIZE = 24 };
void blob_id_encode(const struct blob_id *id, uint8_t bytes[BLOB_ID_SIZE]);
void blob_id_decode(const uint8_t bytes[BLOB_ID_SIZE], struct blob_id *id);
bool blob_id_equals(const struct blob_id *a, const struct blob_id *b);

struct blob_writer;

/* `key` (at most 512 bytes) is kept in the record, so that the index can be rebuilt from the
 * segments. */
bool blob_writer_open(struct storage *storage, struct slice key, struct blob_writer **out,
                      struct error *err);
/* Room for the next bytes, at least 1 and at most `wanted`; valid until the next call on the
 * writer. */
bool blob_writer_space(struct blob_writer *writer, size_t wanted, struct space *space,
                       struct error *err);
/* Counts bytes written into that room. */
bool blob_writer_advance(struct blob_writer *writer, size_t size, struct error *err);
bool blob_writer_write(struct blob_writer *writer, struct slice bytes, struct error *err);
uint64_t blob_writer_size(const struct blob_writer *writer);
/* All bytes so far while they still stand in memory; data is NULL once the blob streams to the
 * disk. */
struct slice blob_writer_bytes(const struct blob_writer *writer);
/* Reads back what was written so far, wherever it stands. */
bool blob_writer_read(struct blob_writer *writer, uint64_t offset, struct space space,
                      struct error *err);
/* The key may be set as long as finish was not called: it is often known only after the first
 * bytes. */
void blob_writer_set_key(struct blob_writer *writer, struct slice key);
/* Writes what is left and returns when the blob is durable (one fdatasync serves all who wait). */
bool blob_writer_finish(struct blob_writer *writer, struct blob_id *id, struct error *err);
void blob_writer_close(
    struct blob_writer *writer); /* without a finish before it: leaves no trace */

/* Gives back a finished blob that no record refers to. */
bool blob_discard(struct storage *storage, const struct blob_id *id, struct error *err);

struct blob;

/* ERROR_CORRUPT when the record header does not fit the id, ERROR_NOT_FOUND when it was deleted. */
bool blob_open(struct storage *storage, const struct blob_id *id, struct blob **out,
               struct error *err);
/* The same for who reads all there is, once: the page cache is left as it was. */
bool blob_open_aside(struct storage *storage, const struct blob_id *id, struct blob **out,
                     struct error *err);
uint64_t blob_size(const struct blob *blob);
/* `space` is filled whole, or it is an error. */
bool blob_read(struct blob *blob, uint64_t offset, struct space space, struct error *err);
/* The same from the disk itself, whatever the page cache knows, which is left as it was. Where the
 * file system cannot do that, what the cache has of the range is dropped first. One thread at a
 * time. */
bool blob_read_disk(struct blob *blob, uint64_t offset, struct space space, struct error *err);
/* A part of the payload in its file; valid until blob_close. The caller keeps within blob_size. */
struct file_range blob_range(const struct blob *blob, uint64_t offset, uint64_t size);
/* Reads all of it and compares the checksum: ERROR_CORRUPT. */
bool blob_verify(struct blob *blob, struct error *err);
void blob_close(struct blob *blob);

/* Writes another blob with the bytes of `blob`, which was opened by `from`. ERROR_CORRUPT when they
 * do not fit their checksum. */
bool blob_copy(struct storage *storage, struct blob *blob, const struct blob_id *from,
               struct slice key, struct blob_id *id, struct error *err);

struct blob_walk;

struct blob_record {
    struct blob_id id;
    struct slice key; /* borrowed until the next call */
    bool dead;        /* deleted */
};

/* Every whole record of every segment, in the order of writing; torn ones are stepped over. Beside
 * writers it also shows records that are not durable yet. */
bool blob_walk_open(struct storage *storage, struct blob_walk **out, struct error *err);
/* The same of one segment; nothing is found when it is not there (any more). */
bool blob_walk_open_segment(struct storage *storage, uint32_t segment, struct blob_walk **out,
                            struct error *err);
bool blob_walk_next(struct blob_walk *walk, struct blob_record *record, bool *found,
                    struct error *err);
/* After a step that failed: the next one goes on behind the block (or the segment) that could not
 * be read. */
void blob_walk_skip(struct blob_walk *walk);
void blob_walk_close(struct blob_walk *walk);
