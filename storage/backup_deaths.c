/* SPDX-License-Identifier: MIT */
#include "storage/backup_deaths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "storage/backup_copy.h"
#include "storage/segments.h"

void backup_deaths_release(struct backup_deaths *deaths)
{
    free(deaths->ids);
    *deaths = (struct backup_deaths){ 0 };
}

void backup_deaths_add(struct backup_deaths *deaths, const struct blob_id *id)
{
    if (deaths->count == deaths->capacity) {
        deaths->capacity = deaths->capacity ? deaths->capacity * 2 : 256;
        deaths->ids = mem_resize_array(deaths->ids, deaths->capacity, sizeof(*deaths->ids));
    }
    deaths->ids[deaths->count++] = *id;
}

/* Dead is what the archive says is dead, or has given back whole: a hole. A header that rotted, or
 * was overwritten with zeros, is damage of the archive and the backup keeps what it has. */
static bool is_dead(int fd, const struct record_header *header, bool *dead, struct error *err)
{
    uint8_t block[SEGMENT_BLOCK];
    uint8_t nonce[NONCE_SIZE];
    struct record_header there;
    uint64_t offset = header->id.offset;
    if (!segment_read(fd, (struct space){ block, sizeof(block) }, offset, err))
        return false;
    if (record_header_decode(block, &there, nonce))
        *dead = there.state == RECORD_DEAD && there.id.offset == offset;
    else
        *dead = record_block_is_empty(block) &&
                lseek(fd, (off_t)offset, SEEK_HOLE) == (off_t)offset;
    return true;
}

static bool collect(struct backup_deaths *deaths, int archive_fd, struct segment_scan *scan,
                    struct error *err)
{
    struct record_header header;
    bool found = true;
    for (;;) {
        bool dead = false;
        if (!segment_scan_next(scan, &header, &found, err))
            return false;
        if (!found)
            return true;
        if (header.state == RECORD_LIVE && !is_dead(archive_fd, &header, &dead, err))
            return false;
        if (dead)
            backup_deaths_add(deaths, &header.id);
    }
}

bool backup_deaths_collect(struct backup_deaths *deaths, int archive_fd, int segments_fd,
                           const struct backup_segment *entry, uint64_t end, struct error *err)
{
    char name[32];
    if (end <= SEGMENT_BLOCK)
        return true;
    backup_segment_name(entry->number, name);
    struct segment segment = { .number = entry->number, .kind = entry->kind };
    struct segment_scan scan = {
        .fd = openat(segments_fd, name, O_RDONLY | O_CLOEXEC),
        .segment = &segment,
        .offset = SEGMENT_BLOCK,
        .limit = end,
    };
    memcpy(segment.nonce, entry->nonce, NONCE_SIZE);
    if (scan.fd < 0)
        return error_set_errno(err, errno, "segments/%s of the backup", name);
    bool ok = collect(deaths, archive_fd, &scan, err);
    close(scan.fd);
    return ok;
}

static int by_place(const void *a, const void *b)
{
    const struct blob_id *left = a;
    const struct blob_id *right = b;
    if (left->segment != right->segment)
        return left->segment < right->segment ? -1 : 1;
    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* *there: the record stands in the backup. */
static bool mark(int fd, const struct backup_segment *segment, const struct blob_id *id,
                 bool *there, uint64_t *removed_bytes, struct error *err)
{
    uint8_t bytes[RECORD_HEADER_SIZE];
    uint8_t nonce[NONCE_SIZE];
    uint8_t state[RECORD_STATE_SIZE];
    struct record_header header;
    *there = false;
    if (!segment_read(fd, (struct space){ bytes, sizeof(bytes) }, id->offset, err))
        return false;
    *there = record_header_decode(bytes, &header, nonce) &&
             memcmp(nonce, segment->nonce, NONCE_SIZE) == 0 && header.id.offset == id->offset &&
             header.id.size == id->size;
    if (!*there || header.state != RECORD_LIVE)
        return true;
    record_state_encode(RECORD_DEAD, state);
    if (pwrite(fd, state, sizeof(state), (off_t)id->offset + RECORD_STATE_OFFSET) !=
        (ssize_t)sizeof(state))
        return error_set_errno(err, errno, "segment %u of the backup", id->segment);
    *removed_bytes += record_extent(id->size) - SEGMENT_BLOCK;
    return true;
}

/* First all marks of the segment, then its space: a record without its payload must never live.
 * Where a file system cannot punch, the space stays until the segment goes. */
static bool apply_to_segment(const struct blob_id *ids, size_t count, int segments_fd,
                             const struct backup_segment *segment, uint64_t *removed_bytes,
                             struct error *err)
{
    char name[32];
    backup_segment_name(segment->number, name);
    bool *there = mem_alloc_array(count, sizeof(*there));
    int fd = openat(segments_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    bool ok = fd >= 0;
    if (!ok)
        error_set_errno(err, errno, "segments/%s of the backup", name);
    for (size_t i = 0; ok && i < count; i++)
        ok = ids[i].offset >= segment->end ||
             mark(fd, segment, &ids[i], &there[i], removed_bytes, err);
    ok = ok && copy_finish(fd, name, err);
    for (size_t i = 0; ok && i < count; i++) {
        uint64_t extent = record_extent(ids[i].size);
        if (there[i] && extent > SEGMENT_BLOCK)
            fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      (off_t)(ids[i].offset + SEGMENT_BLOCK), (off_t)(extent - SEGMENT_BLOCK));
    }
    if (fd >= 0)
        close(fd);
    free(there);
    return ok;
}

bool backup_deaths_apply(const struct backup_deaths *deaths, int segments_fd,
                         const struct backup_manifest *manifest, uint64_t *removed_bytes,
                         struct error *err)
{
    bool ok = true;
    if (!deaths->count)
        return true;
    qsort(deaths->ids, deaths->count, sizeof(*deaths->ids), by_place);
    for (size_t i = 0, end = 0; ok && i < deaths->count; i = end) {
        uint32_t number = deaths->ids[i].segment;
        while (end < deaths->count && deaths->ids[end].segment == number)
            end++;
        const struct backup_segment *segment = backup_manifest_segment(manifest, number);
        if (segment)
            ok = apply_to_segment(deaths->ids + i, end - i, segments_fd, segment, removed_bytes,
                                  err);
    }
    return ok;
}
