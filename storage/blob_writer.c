/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "storage/blob_limits.h"
#include "storage/crc32c.h"
#include "storage/store.h"

struct blob_writer {
    struct storage *storage;
    uint8_t *block;  /* of the pool: the header's room, then the payload; when streaming, the
                        part that is not written yet */
    size_t filled;   /* bytes in block */
    size_t touched;  /* the most it ever held */
    size_t granted;  /* by the pool, beyond the first piece */
    uint64_t size;   /* of the payload */
    uint32_t crc32c; /* of the payload */
    bool streaming;  /* it has a segment of its own */
    bool finished;
    bool failed;                    /* a write failed: finish must not succeed */
    struct reservation reservation; /* when streaming */
    uint64_t written;               /* of the record, when streaming */
    uint8_t first[SEGMENT_BLOCK];   /* the record's first block, written last */
    size_t key_size;
    uint8_t key[RECORD_KEY_MAX];
};

bool blob_writer_open(struct storage *storage, struct slice key, struct blob_writer **out,
                      struct error *err)
{
    if (!storage_check(storage, err))
        return false;
    uint8_t *block = block_pool_take(storage->pool);
    if (!block)
        return error_set(err, ERROR_NO_SPACE, "no memory for another blob");
    struct blob_writer *writer = mem_alloc(sizeof(*writer));
    writer->storage = storage;
    writer->block = block;
    writer->filled = RECORD_HEADER_SIZE;
    blob_writer_set_key(writer, key);
    *out = writer;
    return true;
}

void blob_writer_set_key(struct blob_writer *writer, struct slice key)
{
    writer->key_size = key.size;
    if (key.size && key.size <= RECORD_KEY_MAX)
        memcpy(writer->key, key.data, key.size);
}

/* Writes whole blocks of a streaming blob. */
static bool flush(struct blob_writer *writer, struct slice bytes, struct error *err)
{
    struct reservation *reservation = &writer->reservation;
    bool ok = segments_grow(writer->storage->segments, reservation, writer->written + bytes.size,
                            err);
    while (ok && bytes.size) {
        struct slice piece = slice_take(bytes, BLOB_PIECE_SIZE);
        ok = segment_write(reservation->segment, piece, reservation->offset + writer->written, err);
        writer->written += piece.size;
        bytes = slice_skip(bytes, piece.size);
    }
    writer->failed |= !ok;
    return ok;
}

static void return_grant(struct blob_writer *writer)
{
    block_pool_return(writer->storage->pool, writer->granted);
    writer->granted = 0;
}

/* The block is full, or no more of it may be filled now: from now on it holds a piece at a time. */
static bool begin_streaming(struct blob_writer *writer, struct error *err)
{
    size_t gathered = writer->filled;
    if (!segments_reserve_single(writer->storage->segments, &writer->reservation, err)) {
        writer->failed = true;
        return false;
    }
    writer->streaming = true;
    memset(writer->block, 0, RECORD_HEADER_SIZE);
    memcpy(writer->first, writer->block, SEGMENT_BLOCK);
    writer->filled = 0;
    bool ok = flush(writer, slice_of(writer->block, gathered), err);
    block_pool_trim(writer->storage->pool, writer->block);
    return_grant(writer);
    writer->touched = 0;
    return ok;
}

/* To the end of the block that may be touched. */
static size_t room(const struct blob_writer *writer)
{
    size_t end = BLOB_PIECE_SIZE + writer->granted;
    return (end < BLOB_BLOCK_SIZE ? end : BLOB_BLOCK_SIZE) - writer->filled;
}

/* Many who send big blobs at once must not take the memory of all: who gets no more streams. */
static bool grow(struct blob_writer *writer)
{
    if (writer->filled == BLOB_BLOCK_SIZE ||
        !block_pool_grant(writer->storage->pool, BLOB_PIECE_SIZE))
        return false;
    writer->granted += BLOB_PIECE_SIZE;
    return true;
}

static bool make_room(struct blob_writer *writer, struct error *err)
{
    if (writer->failed)
        return error_set(err, ERROR_IO, "a part of the blob could not be written");
    if (room(writer))
        return true;
    if (!writer->streaming)
        return grow(writer) || begin_streaming(writer, err);
    writer->filled = 0;
    return flush(writer, slice_of(writer->block, BLOB_PIECE_SIZE), err);
}

bool blob_writer_space(struct blob_writer *writer, size_t wanted, struct space *space,
                       struct error *err)
{
    if (!make_room(writer, err))
        return false;
    size_t most = room(writer);
    if (!wanted)
        wanted = 1;
    space->data = writer->block + writer->filled;
    space->size = wanted < most ? wanted : most;
    return true;
}

bool blob_writer_advance(struct blob_writer *writer, size_t size, struct error *err)
{
    if (size > room(writer))
        return error_set(err, ERROR_LIMIT, "more bytes than there was room for");
    writer->crc32c = crc32c_extend(writer->crc32c, slice_of(writer->block + writer->filled, size));
    writer->filled += size;
    writer->size += size;
    if (writer->filled > writer->touched)
        writer->touched = writer->filled;
    return true;
}

bool blob_writer_write(struct blob_writer *writer, struct slice bytes, struct error *err)
{
    struct space space;
    while (bytes.size) {
        if (!blob_writer_space(writer, bytes.size, &space, err))
            return false;
        memcpy(space.data, bytes.data, space.size);
        if (!blob_writer_advance(writer, space.size, err))
            return false;
        bytes = slice_skip(bytes, space.size);
    }
    return true;
}

uint64_t blob_writer_size(const struct blob_writer *writer)
{
    return writer->size;
}

struct slice blob_writer_bytes(const struct blob_writer *writer)
{
    if (writer->streaming)
        return slice_of(NULL, 0);
    return slice_of(writer->block + RECORD_HEADER_SIZE, (size_t)writer->size);
}

bool blob_writer_read(struct blob_writer *writer, uint64_t offset, struct space space,
                      struct error *err)
{
    if (offset > writer->size || space.size > writer->size - offset)
        return error_set(err, ERROR_INVALID, "a range beyond the end of the blob");
    uint64_t at = RECORD_HEADER_SIZE + offset;
    if (at < writer->written) {
        uint64_t left = writer->written - at;
        struct space part = { space.data, left < space.size ? (size_t)left : space.size };
        if (!segment_read(writer->reservation.segment->fd, part, writer->reservation.offset + at,
                          err))
            return false;
        space = (struct space){ space.data + part.size, space.size - part.size };
        at += part.size;
    }
    if (space.size)
        memcpy(space.data, writer->block + (at - writer->written), space.size);
    return true;
}

/* A recycled block must not carry bytes of another blob into the file. */
static size_t pad(struct blob_writer *writer)
{
    size_t padded = (writer->filled + SEGMENT_BLOCK - 1) / SEGMENT_BLOCK * SEGMENT_BLOCK;
    memset(writer->block + writer->filled, 0, padded - writer->filled);
    return padded;
}

static void encode_header(const struct blob_writer *writer, const struct reservation *reservation,
                          uint8_t bytes[RECORD_HEADER_SIZE], struct blob_id *id)
{
    *id = (struct blob_id){
        .segment = reservation->segment->number,
        .crc32c = writer->crc32c,
        .offset = reservation->offset,
        .size = writer->size,
    };
    struct record_header header = { .id = *id, .key = slice_of(writer->key, writer->key_size) };
    record_header_encode(&header, reservation->segment->nonce, bytes);
}

/* Best effort: a record that was not finished should not be found by a walk. */
static void wipe_header(const struct reservation *reservation)
{
    static const _Alignas(SEGMENT_BLOCK) uint8_t zeros[SEGMENT_BLOCK];
    segment_write(reservation->segment, slice_of(zeros, sizeof(zeros)), reservation->offset, NULL);
}

static bool finish_small(struct blob_writer *writer, struct blob_id *id, struct error *err)
{
    struct reservation reservation;
    struct segments *segments = writer->storage->segments;
    size_t padded = pad(writer);
    if (!segments_reserve(segments, padded, &reservation, err))
        return false;
    encode_header(writer, &reservation, writer->block, id);
    FAULT_POINT("before-segment-write");
    bool ok = segment_write(reservation.segment, slice_of(writer->block, padded),
                            reservation.offset, err);
    FAULT_POINT("after-segment-write");
    if (!ok)
        wipe_header(&reservation);
    ok = ok && segment_sync(reservation.segment, err);
    FAULT_POINT("after-segment-sync");
    segments_settle(segments, &reservation, ok);
    return ok;
}

/* The header is written when the payload is durable, so that it never stands before half a blob. */
static bool finish_streaming(struct blob_writer *writer, struct blob_id *id, struct error *err)
{
    struct reservation *reservation = &writer->reservation;
    struct segment *segment = reservation->segment;
    size_t padded = pad(writer);
    if (!flush(writer, slice_of(writer->block, padded), err))
        return false;
    if (ftruncate(segment->fd, (off_t)(reservation->offset + writer->written)) != 0)
        return error_set_errno(err, errno, "segment %u", segment->number);
    FAULT_POINT("before-segment-write");
    if (!segment_sync(segment, err))
        return false;
    encode_header(writer, reservation, writer->first, id);
    memcpy(writer->block, writer->first, SEGMENT_BLOCK); /* which is aligned */
    if (!segment_write(segment, slice_of(writer->block, SEGMENT_BLOCK), reservation->offset, err))
        return false;
    FAULT_POINT("after-segment-write");
    if (!segment_sync(segment, err))
        return false;
    FAULT_POINT("after-segment-sync");
    segments_settle(writer->storage->segments, reservation, true);
    writer->streaming = false;
    return true;
}

bool blob_writer_finish(struct blob_writer *writer, struct blob_id *id, struct error *err)
{
    if (writer->finished || writer->failed)
        return error_set(err, ERROR_IO, "a part of the blob could not be written");
    if (writer->key_size > RECORD_KEY_MAX)
        return error_set(err, ERROR_INVALID, "a blob's key has more than %d bytes", RECORD_KEY_MAX);
    if (!storage_check(writer->storage, err))
        return false;
    writer->finished = true;
    return writer->streaming ? finish_streaming(writer, id, err) : finish_small(writer, id, err);
}

void blob_writer_close(struct blob_writer *writer)
{
    if (!writer)
        return;
    if (writer->streaming)
        segments_settle(writer->storage->segments, &writer->reservation, false);
    return_grant(writer);
    block_pool_give(writer->storage->pool, writer->block, writer->touched);
    free(writer);
}

enum { COPY_PIECE_SIZE = 1 << 20 };

static bool copy_bytes(struct blob *blob, uint32_t crc32c, struct blob_writer *writer,
                       struct error *err)
{
    uint64_t size = blob_size(blob);
    uint32_t found = 0;
    for (uint64_t at = 0; at < size;) {
        uint64_t left = size - at;
        struct space space;
        if (!blob_writer_space(writer, left < COPY_PIECE_SIZE ? (size_t)left : COPY_PIECE_SIZE,
                               &space, err) ||
            !blob_read(blob, at, space, err))
            return false;
        found = crc32c_extend(found, slice_of(space.data, space.size));
        if (!blob_writer_advance(writer, space.size, err))
            return false;
        at += space.size;
    }
    return found == crc32c ||
           error_set(err, ERROR_CORRUPT, "the bytes of a blob do not fit their checksum");
}

bool blob_copy(struct storage *storage, struct blob *blob, const struct blob_id *from,
               struct slice key, struct blob_id *id, struct error *err)
{
    struct blob_writer *writer = NULL;
    bool ok = blob_writer_open(storage, key, &writer, err) &&
              copy_bytes(blob, from->crc32c, writer, err) && blob_writer_finish(writer, id, err);
    blob_writer_close(writer);
    return ok;
}
