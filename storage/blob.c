/* SPDX-License-Identifier: MIT */
#include "storage/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/metrics.h"
#include "storage/store.h"

enum { PIECE_SIZE = 64 << 10 };

struct blob {
    struct storage *storage;
    struct segment *segment; /* pinned: its file stays open */
    struct blob_id id;
    bool aside; /* else it is read through the segment's descriptor, and kept in the page cache */
    bool aside_tried;
    bool direct_tried;
    int aside_fd;     /* -1 when there is none */
    int direct_fd;    /* past the page cache; -1 when there is none */
    int direct_errno; /* of its last read */
    uint8_t *blocks;  /* what was read from the disk last */
    size_t blocks_size;
    uint64_t blocks_begin; /* in the segment */
    uint64_t blocks_end;
};

/* A deleted record leaves a hole: who has its id from before the deletion is told so. Where nothing
 * was given back, zeros are damage. */
static bool tell_what_is_wrong(const struct blob *blob, const uint8_t block[SEGMENT_BLOCK],
                               struct error *err)
{
    if (record_block_is_empty(block) && segments_expects_holes(blob->segment))
        return error_set(err, ERROR_NOT_FOUND, "the blob was deleted");
    return error_set(err, ERROR_CORRUPT, "segment %u has another record at %llu", blob->id.segment,
                     (unsigned long long)blob->id.offset);
}

static bool open_direct(struct blob *blob)
{
    char path[4096];
    if (!blob->direct_tried) {
        segments_path(blob->segment->segments, blob->id.segment, path, sizeof(path));
        blob->direct_fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    }
    blob->direct_tried = true;
    return blob->direct_fd >= 0;
}

/* Whole blocks into memory that begins at one; a record fills its last block (record_extent). */
static bool read_blocks(struct blob *blob, uint64_t begin, size_t size)
{
    blob->blocks_begin = blob->blocks_end = begin;
    blob->direct_errno = 0;
    if (size > blob->blocks_size) {
        free(blob->blocks);
        blob->blocks = NULL;
        blob->blocks_size = 0;
        if (posix_memalign((void **)&blob->blocks, SEGMENT_BLOCK, size) != 0)
            return false;
        blob->blocks_size = size;
    }
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(blob->direct_fd, blob->blocks + done, size - done,
                            (off_t)(begin + done));
        if (got < 0 && errno == EINTR)
            continue;
        blob->direct_errno = got < 0 ? errno : 0;
        if (got <= 0 || got % SEGMENT_BLOCK)
            return false;
        done += (size_t)got;
    }
    blob->blocks_end = begin + size;
    return true;
}

static bool open_aside(struct blob *blob)
{
    if (!blob->aside_tried)
        blob->aside_fd = segment_open_aside(blob->segment);
    blob->aside_tried = true;
    return blob->aside_fd >= 0;
}

static bool has_blocks(const struct blob *blob, uint64_t offset, size_t size)
{
    return offset >= blob->blocks_begin && offset < blob->blocks_end &&
           size <= blob->blocks_end - offset;
}

/* Of a small record all at once, as whoever reads its header reads the rest next; of a big one the
 * blocks of a small piece. */
static bool read_piece(struct blob *blob, uint64_t offset, size_t size)
{
    uint64_t begin = offset / SEGMENT_BLOCK * SEGMENT_BLOCK;
    uint64_t end = (offset + size + SEGMENT_BLOCK - 1) / SEGMENT_BLOCK * SEGMENT_BLOCK;
    blob->direct_errno = 0;
    if (size > PIECE_SIZE)
        return false;
    if (blob->id.size <= PIECE_SIZE)
        end = blob->id.offset + record_extent(blob->id.size);
    return open_direct(blob) && read_blocks(blob, begin, (size_t)(end - begin)) &&
           has_blocks(blob, offset, size);
}

static bool read_at(struct blob *blob, struct space space, uint64_t offset, struct error *err)
{
    if (!blob->aside)
        return segment_read(blob->segment->fd, space, offset, err);
    if (has_blocks(blob, offset, space.size) || read_piece(blob, offset, space.size)) {
        memcpy(space.data, blob->blocks + (offset - blob->blocks_begin), space.size);
        return true;
    }
    if (blob->direct_errno == EIO) {
        metric_add(METRIC_READ_ERRORS, 1);
        return error_set_errno(err, EIO, "segment cannot be read");
    }
    return segment_read_aside(open_aside(blob) ? blob->aside_fd : blob->segment->fd, space, offset,
                              err);
}

static bool check_header(struct blob *blob, struct error *err)
{
    uint8_t block[SEGMENT_BLOCK];
    uint8_t nonce[NONCE_SIZE];
    struct record_header header;
    const struct blob_id *id = &blob->id;
    if (!read_at(blob, (struct space){ block, sizeof(block) }, id->offset, err))
        return false;
    if (!record_header_decode(block, &header, nonce) || !blob_id_equals(&header.id, id))
        return tell_what_is_wrong(blob, block, err);
    if (header.state == RECORD_TORN)
        return error_set(err, ERROR_CORRUPT, "segment %u has half a record at %llu", id->segment,
                         (unsigned long long)id->offset);
    if (header.state == RECORD_DEAD)
        return error_set(err, ERROR_NOT_FOUND, "the blob was deleted");
    return true;
}

static bool open_blob(struct storage *storage, const struct blob_id *id, bool aside,
                      struct blob **out, struct error *err)
{
    if (!reclaim_pin(storage->reclaim, id))
        return error_set(err, ERROR_NOT_FOUND, "the blob was deleted");
    struct blob *blob = mem_alloc(sizeof(*blob));
    blob->storage = storage;
    blob->id = *id;
    blob->aside = aside;
    blob->aside_fd = -1;
    blob->direct_fd = -1;
    if (!segments_pin(storage->segments, id->segment, &blob->segment, err) ||
        !check_header(blob, err)) {
        blob_close(blob);
        return false;
    }
    *out = blob;
    return true;
}

bool blob_open(struct storage *storage, const struct blob_id *id, struct blob **out,
               struct error *err)
{
    return open_blob(storage, id, false, out, err);
}

bool blob_open_aside(struct storage *storage, const struct blob_id *id, struct blob **out,
                     struct error *err)
{
    return open_blob(storage, id, true, out, err);
}

uint64_t blob_size(const struct blob *blob)
{
    return blob->id.size;
}

static bool check_range(const struct blob *blob, uint64_t offset, size_t size, struct error *err)
{
    return (offset <= blob->id.size && size <= blob->id.size - offset) ||
           error_set(err, ERROR_INVALID, "a range beyond the end of the blob");
}

bool blob_read(struct blob *blob, uint64_t offset, struct space space, struct error *err)
{
    return check_range(blob, offset, space.size, err) &&
           read_at(blob, space, blob->id.offset + RECORD_HEADER_SIZE + offset, err);
}

bool blob_read_disk(struct blob *blob, uint64_t offset, struct space space, struct error *err)
{
    uint64_t at = blob->id.offset + RECORD_HEADER_SIZE + offset;
    uint64_t begin = at / SEGMENT_BLOCK * SEGMENT_BLOCK;
    uint64_t end = (at + space.size + SEGMENT_BLOCK - 1) / SEGMENT_BLOCK * SEGMENT_BLOCK;
    if (!check_range(blob, offset, space.size, err))
        return false;
    if (has_blocks(blob, at, space.size) ||
        (open_direct(blob) && read_blocks(blob, begin, (size_t)(end - begin)))) {
        memcpy(space.data, blob->blocks + (at - begin), space.size);
        return true;
    }
    /* Not here, or the disk does not give it back: the ordinary read tells. */
    posix_fadvise(blob->segment->fd, (off_t)begin, (off_t)(end - begin), POSIX_FADV_DONTNEED);
    return read_at(blob, space, at, err);
}

struct file_range blob_range(const struct blob *blob, uint64_t offset, uint64_t size)
{
    struct file_range range = {
        .fd = blob->segment->fd,
        .offset = blob->id.offset + RECORD_HEADER_SIZE + offset,
        .size = size,
    };
    return range;
}

bool blob_verify(struct blob *blob, struct error *err)
{
    uint32_t crc32c = 0;
    if (!segment_checksum(blob->aside && open_aside(blob) ? blob->aside_fd : blob->segment->fd,
                          blob->id.offset + RECORD_HEADER_SIZE, blob->id.size, &crc32c, err))
        return false;
    if (crc32c != blob->id.crc32c)
        return error_set(err, ERROR_CORRUPT,
                         "the blob at %llu in segment %u does not fit its "
                         "checksum",
                         (unsigned long long)blob->id.offset, blob->id.segment);
    return true;
}

void blob_close(struct blob *blob)
{
    if (!blob)
        return;
    if (blob->aside_fd >= 0)
        close(blob->aside_fd);
    if (blob->direct_fd >= 0)
        close(blob->direct_fd);
    free(blob->blocks);
    if (blob->segment)
        segments_unpin(blob->storage->segments, blob->segment);
    reclaim_unpin(blob->storage->reclaim, &blob->id);
    free(blob);
}

bool blob_discard(struct storage *storage, const struct blob_id *id, struct error *err)
{
    if (!storage_check(storage, err))
        return false;
    reclaim_mark(storage->reclaim, id);
    reclaim_schedule(storage->reclaim, id);
    return true;
}
