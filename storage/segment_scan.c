/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "storage/crc32c.h"
#include "storage/segments.h"

enum {
    READ_SIZE = 1 << 20,
    ASIDE_SIZE = 128 << 10,
    UNREADABLE_MAX = 64, /* blocks of a segment: then no more of it is tried at the opening */
};

/* What a read gave: on to the next, or an error. */
static bool take_read(ssize_t size, struct space *space, uint64_t *offset, struct error *err)
{
    if (size < 0 && errno == EINTR)
        return true;
    if (size < 0) {
        metric_add(METRIC_READ_ERRORS, 1);
        return error_set_errno(err, errno, "segment cannot be read");
    }
    if (size == 0)
        return error_set(err, ERROR_CORRUPT, "segment ends before its record");
    space->data += size;
    space->size -= (size_t)size;
    *offset += (uint64_t)size;
    return true;
}

bool segment_read(int fd, struct space space, uint64_t offset, struct error *err)
{
    bool ok = true;
    while (ok && space.size) {
        ssize_t size = FAULT_ERRNO("segment-read")
                           ? -1
                           : pread(fd, space.data, space.size, (off_t)offset);
        ok = take_read(size, &space, &offset, err);
    }
    return ok;
}

/* What is in the cache is taken from there and stays; what is not is read and dropped again. */
static ssize_t read_aside(int fd, struct space space, uint64_t offset)
{
    struct iovec piece = { space.data, space.size };
    ssize_t size = preadv2(fd, &piece, 1, (off_t)offset, RWF_NOWAIT);
    if (size > 0)
        return size;
    uint64_t begin = offset / SEGMENT_BLOCK * SEGMENT_BLOCK;
    uint64_t end = (offset + space.size + SEGMENT_BLOCK - 1) / SEGMENT_BLOCK * SEGMENT_BLOCK;
    size = pread(fd, space.data, space.size, (off_t)offset);
    int errno_value = errno;
    posix_fadvise(fd, (off_t)begin, (off_t)(end - begin), POSIX_FADV_DONTNEED);
    errno = errno_value;
    return size;
}

int segment_open_aside(const struct segment *segment)
{
    char path[4096];
    segments_path(segment->segments, segment->number, path, sizeof(path));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    return fd;
}

/* In pieces, so that little is dropped where cached pages and others alternate. */
bool segment_read_aside(int fd, struct space space, uint64_t offset, struct error *err)
{
    bool ok = true, first = true;
    while (ok && space.size) {
        struct space piece = { space.data, space.size < ASIDE_SIZE ? space.size : ASIDE_SIZE };
        ssize_t size = first && FAULT_ERRNO("segment-read") ? -1 : read_aside(fd, piece, offset);
        first = false;
        ok = take_read(size, &space, &offset, err);
    }
    return ok;
}

bool segment_checksum(int fd, uint64_t offset, uint64_t size, uint32_t *crc32c, struct error *err)
{
    uint8_t *bytes = mem_resize(NULL, READ_SIZE);
    bool ok = true;
    *crc32c = 0;
    while (ok && size) {
        struct space space = { bytes, size < READ_SIZE ? (size_t)size : READ_SIZE };
        ok = segment_read_aside(fd, space, offset, err);
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
        if (!(scan->aside ? segment_read_aside : segment_read)(scan->fd, space, scan->offset, err))
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

/* With the word that the disk did not give something back. */
static void damage(struct segment *segment, uint64_t offset, const struct error *why)
{
    if (!segment->damaged)
        log_error("storage: segment=%u cannot be read whole, from offset=%llu on: %s",
                  segment->number, (unsigned long long)offset, why->message);
    segment->damaged = true;
}

/* A record whose header is whole but whose payload is not was being written when the machine
 * stopped; nobody was told that it is there. It is marked, so that no walk shows it again. One that
 * cannot be read may have been promised: it stays what it is. */
static bool is_torn(struct segment *segment, const struct record_header *header)
{
    uint32_t crc32c = 0;
    struct error why = { 0 };
    uint64_t payload = header->id.offset + RECORD_HEADER_SIZE;
    if (header->state != RECORD_LIVE)
        return false;
    if (!segment_checksum(segment->fd, payload, header->id.size, &crc32c, &why)) {
        damage(segment, header->id.offset, &why);
        return false;
    }
    if (crc32c == header->id.crc32c)
        return false;
    log_warn("storage: torn record segment=%u offset=%llu", segment->number,
             (unsigned long long)header->id.offset);
    if (!segment_write_state(segment, header->id.offset, RECORD_TORN, &why))
        damage(segment, header->id.offset, &why);
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

static void count(struct segment *segment, const struct record_header *header, bool known,
                  bool torn)
{
    uint64_t extent = record_extent(header->id.size);
    segment->records++;
    segment->bytes += extent;
    /* Of a known segment the deleted records are counted by the transactions that did it. */
    if (!torn && (header->state != RECORD_DEAD || known))
        return;
    segment->dead_records++;
    segment->dead_bytes += extent;
    segment->held_bytes += torn ? extent : held_extent(segment, header);
}

/* The header of a single record is written when its payload is durable. */
static void recover_single(struct segment *segment, struct segment_scan *scan)
{
    struct record_header header;
    struct error why = { 0 };
    bool found = false;
    if (!segment_scan_next(scan, &header, &found, &why)) {
        damage(segment, SEGMENT_BLOCK, &why);
        segment->records = 1; /* or none: its file stays */
        segment->bytes = scan->limit - SEGMENT_BLOCK;
        segment->end = scan->limit;
    } else if (found && header.id.offset == SEGMENT_BLOCK) {
        segment->end = scan->offset;
        count(segment, &header, false, header.state == RECORD_TORN);
    }
}

/* Any record may stand there: nothing is written behind it any more, and walks go to the end of the
 * file. False when it is enough. */
static bool step_over(struct segment *segment, struct segment_scan *scan, unsigned *unreadable,
                      const struct error *why)
{
    damage(segment, scan->offset, why);
    scan->offset += SEGMENT_BLOCK;
    return ++*unreadable < UNREADABLE_MAX;
}

void segment_recover(struct segment *segment, bool known, bool verify)
{
    off_t size = lseek(segment->fd, 0, SEEK_END);
    uint64_t limit = size < 0 ? 0 : (uint64_t)size / SEGMENT_BLOCK * SEGMENT_BLOCK;
    struct segment_scan scan = {
        .fd = segment->fd, .segment = segment, .offset = segment->checkpoint.end, .limit = limit
    };
    struct record_header header;
    struct error why = { 0 };
    unsigned unreadable = 0;
    bool found = false;
    segment->end = segment->checkpoint.end;
    segment->records = segment->checkpoint.records;
    segment->bytes = segment->checkpoint.bytes;
    /* What is read ahead looks as if it were there: the whole preparation for writing would be read
     * as zeros. And what is in the cache is perhaps not on the disk, when a sync has failed. */
    posix_fadvise(segment->fd, 0, 0, POSIX_FADV_RANDOM);
    posix_fadvise(segment->fd, (off_t)scan.offset, 0, POSIX_FADV_DONTNEED);
    if (segment->kind == SEGMENT_SINGLE) {
        recover_single(segment, &scan);
        return;
    }
    for (;;) {
        bool ok = segment_scan_next(&scan, &header, &found, &why);
        if (ok ? !found : !step_over(segment, &scan, &unreadable, &why))
            break;
        if (!ok)
            continue;
        bool torn = header.state == RECORD_TORN || (verify && is_torn(segment, &header));
        segment->end = scan.offset;
        count(segment, &header, known, torn);
    }
    if (unreadable)
        segment->end = limit;
}
