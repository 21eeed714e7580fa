/* SPDX-License-Identifier: MIT */
#include "storage/blob.h"

#include <stdlib.h>

#include "base/memory.h"
#include "storage/store.h"

struct blob {
    struct storage *storage;
    struct segment *segment; /* pinned: its file stays open */
    struct blob_id id;
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

static bool check_header(const struct blob *blob, struct error *err)
{
    uint8_t block[SEGMENT_BLOCK];
    uint8_t nonce[NONCE_SIZE];
    struct record_header header;
    const struct blob_id *id = &blob->id;
    if (!segment_read(blob->segment->fd, (struct space){ block, sizeof(block) }, id->offset, err))
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

bool blob_open(struct storage *storage, const struct blob_id *id, struct blob **out,
               struct error *err)
{
    if (!reclaim_pin(storage->reclaim, id))
        return error_set(err, ERROR_NOT_FOUND, "the blob was deleted");
    struct blob *blob = mem_alloc(sizeof(*blob));
    blob->storage = storage;
    blob->id = *id;
    if (!segments_pin(storage->segments, id->segment, &blob->segment, err) ||
        !check_header(blob, err)) {
        blob_close(blob);
        return false;
    }
    *out = blob;
    return true;
}

uint64_t blob_size(const struct blob *blob)
{
    return blob->id.size;
}

bool blob_read(struct blob *blob, uint64_t offset, struct space space, struct error *err)
{
    if (offset > blob->id.size || space.size > blob->id.size - offset)
        return error_set(err, ERROR_INVALID, "a range beyond the end of the blob");
    return segment_read(blob->segment->fd, space, blob->id.offset + RECORD_HEADER_SIZE + offset,
                        err);
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
    if (!segment_checksum(blob->segment->fd, blob->id.offset + RECORD_HEADER_SIZE, blob->id.size,
                          &crc32c, err))
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
