/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "storage/crc32c.h"
#include "storage/segments.h"

enum { READ_SIZE = 1 << 20 };

bool segment_read(int fd, struct space space, uint64_t offset, struct error *err)
{
    while (space.size) {
        ssize_t size = pread(fd, space.data, space.size, (off_t)offset);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return error_set_errno(err, errno, "segment cannot be read");
        if (size == 0)
            return error_set(err, ERROR_CORRUPT, "segment ends before its record");
        space.data += size;
        space.size -= (size_t)size;
        offset += (uint64_t)size;
    }
    return true;
}

bool segment_checksum(int fd, uint64_t offset, uint64_t size, uint32_t *crc32c, struct error *err)
{
    uint8_t *bytes = mem_resize(NULL, READ_SIZE);
    bool ok = true;
    *crc32c = 0;
    while (ok && size) {
        struct space space = { bytes, size < READ_SIZE ? (size_t)size : READ_SIZE };
        ok = segment_read(fd, space, offset, err);
        if (ok)
            *crc32c = crc32c_extend(*crc32c, slice_of(bytes, space.size));
        offset += space.size;
        size -= space.size;
    }
    free(bytes);
    return ok;
}

static bool is_of_segment(const struct segment_scan *scan, const struct record_header *header,
                          const uint8_t nonce[NONCE_SIZE])
{
    return memcmp(nonce, scan->segment->nonce, NONCE_SIZE) == 0 &&
           header->id.segment == scan->segment->number && header->id.offset == scan->offset &&
           record_extent(header->id.size) <= scan->limit - scan->offset;
}

/* Past what was never written, where the file system can tell. */
static void skip_hole(struct segment_scan *scan)
{
    off_t data = lseek(scan->fd, (off_t)scan->offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
        scan->offset = scan->limit;
    else if (data > (off_t)scan->offset)
        scan->offset = (uint64_t)data / SEGMENT_BLOCK * SEGMENT_BLOCK;
}

bool segment_scan_next(struct segment_scan *scan, struct record_header *header, bool *found,
                       struct error *err)
{
    uint8_t nonce[NONCE_SIZE];
    *found = false;
    while (scan->offset < scan->limit && scan->limit - scan->offset >= RECORD_HEADER_SIZE) {
        struct space space = { scan->bytes, sizeof(scan->bytes) };
        if (!segment_read(scan->fd, space, scan->offset, err))
            return false;
        if (record_header_decode(scan->bytes, header, nonce) &&
            is_of_segment(scan, header, nonce)) {
            scan->offset += record_extent(header->id.size);
            *found = true;
            return true;
        }
        scan->offset += SEGMENT_BLOCK;
        skip_hole(scan);
    }
    return true;
}

/* A record whose header is whole but whose payload is not was being written when the machine
 * stopped; nobody was told that it is there. It is marked, so that no walk shows it again. */
static bool check_payload(struct segment *segment, const struct record_header *header, bool *torn,
                          struct error *err)
{
    uint32_t crc32c = 0;
    uint64_t payload = header->id.offset + RECORD_HEADER_SIZE;
    *torn = header->state == RECORD_TORN;
    if (header->state != RECORD_LIVE)
        return true;
    if (!segment_checksum(segment->fd, payload, header->id.size, &crc32c, err))
        return false;
    *torn = crc32c != header->id.crc32c;
    if (!*torn)
        return true;
    log_warn("storage: torn record segment=%u offset=%llu", segment->number,
             (unsigned long long)header->id.offset);
    return segment_write_state(segment, header->id.offset, RECORD_TORN, err);
}

/* The header of a single record is written when its payload is durable. */
static bool recover_single(struct segment *segment, struct segment_scan *scan, struct error *err)
{
    struct record_header header;
    bool found = false;
    if (!segment_scan_next(scan, &header, &found, err))
        return false;
    if (!found || header.id.offset != SEGMENT_BLOCK)
        return true;
    segment->records = 1;
    segment->bytes = record_extent(header.id.size);
    segment->end = scan->offset;
    segment->dead_records = header.state == RECORD_DEAD;
    segment->dead_bytes = segment->dead_records ? segment->bytes : 0;
    return true;
}

/* What of a dead record was not given back to the file system, as far as that can tell. */
static uint64_t held_extent(const struct segment *segment, const struct record_header *header)
{
    uint64_t extent = record_extent(header->id.size);
    if (header->state == RECORD_TORN || extent == SEGMENT_BLOCK)
        return extent;
    off_t data = lseek(segment->fd, (off_t)(header->id.offset + SEGMENT_BLOCK), SEEK_DATA);
    bool given_back = data < 0 ? errno == ENXIO : (uint64_t)data >= header->id.offset + extent;
    return given_back ? SEGMENT_BLOCK : extent;
}

bool segment_recover(struct segment *segment, bool known, bool verify, struct error *err)
{
    off_t size = lseek(segment->fd, 0, SEEK_END);
    uint64_t limit = size < 0 ? 0 : (uint64_t)size / SEGMENT_BLOCK * SEGMENT_BLOCK;
    struct segment_scan scan = {
        .fd = segment->fd, .segment = segment, .offset = segment->checkpoint.end, .limit = limit
    };
    struct record_header header;
    bool found = false;
    segment->end = segment->checkpoint.end;
    segment->records = segment->checkpoint.records;
    segment->bytes = segment->checkpoint.bytes;
    if (segment->kind == SEGMENT_SINGLE)
        return recover_single(segment, &scan, err);
    for (;;) {
        bool torn = false;
        if (!segment_scan_next(&scan, &header, &found, err))
            return false;
        if (!found)
            return true;
        if (verify && !check_payload(segment, &header, &torn, err))
            return false;
        uint64_t extent = record_extent(header.id.size);
        segment->end = scan.offset;
        segment->records++;
        segment->bytes += extent;
        /* Of a known segment the deleted records are counted by the transactions that did it. */
        if (torn || header.state == RECORD_TORN || (header.state == RECORD_DEAD && !known)) {
            segment->dead_records++;
            segment->dead_bytes += extent;
            segment->held_bytes += torn ? extent : held_extent(segment, &header);
        }
    }
}
