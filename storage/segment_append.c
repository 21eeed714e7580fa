/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fault.h"
#include "storage/segments.h"
#include "storage/space.h"

enum {
    CHECKPOINT_DISTANCE = 16 << 20, /* bounds what is read again after a crash */
    GROWTH = 64 << 20,              /* of a single segment, a step */
};

static uint64_t align_down(uint64_t size)
{
    return size / SEGMENT_BLOCK * SEGMENT_BLOCK;
}

/* Prepares the file to at least `needed` bytes, to `wanted` if there is room for it. */
static bool prepare(struct segment *segment, uint64_t needed, uint64_t wanted, struct error *err)
{
    uint64_t room = space_for_blobs(segment->segments->folder_fd);
    uint64_t from = segment->size;
    if (room < needed - from)
        return error_set(err, ERROR_NO_SPACE, "no space is left for blobs");
    uint64_t to = room >= wanted - from ? wanted : align_down(from + room);
    if (FAULT_ERRNO("segment-allocate") ||
        fallocate(segment->fd, 0, (off_t)from, (off_t)(to - from)) != 0) {
        if (errno != EOPNOTSUPP && errno != ENOSYS)
            return error_set_errno(err, errno, "segment %u", segment->number);
        if (ftruncate(segment->fd, (off_t)to) != 0)
            return error_set_errno(err, errno, "segment %u", segment->number);
    }
    segment->size = to;
    return true;
}

void segment_open_direct(struct segment *segment)
{
    char path[4096];
    segments_path(segment->segments, segment->number, path, sizeof(path));
    if (segment->direct_fd < 0)
        segment->direct_fd = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
}

static bool write_segment_header(struct segment *segment, struct error *err)
{
    uint8_t block[SEGMENT_BLOCK];
    struct segment_header header = { .number = segment->number, .kind = segment->kind };
    memcpy(header.nonce, segment->nonce, NONCE_SIZE);
    segment_header_encode(&header, block);
    if (pwrite(segment->fd, block, sizeof(block), 0) != (ssize_t)sizeof(block) ||
        fsync(segment->fd) != 0 || fsync(segment->segments->folder_fd) != 0)
        return error_set_errno(err, errno, "segment %u", segment->number);
    return true;
}

/* A new file, pinned. */
static bool create(struct segments *segments, enum segment_kind kind, uint64_t needed,
                   uint64_t wanted, struct segment **out, struct error *err)
{
    char path[4096];
    bool ok = false;
    pthread_mutex_lock(&segments->lock);
    uint32_t number = segments->next_number++;
    pthread_mutex_unlock(&segments->lock);
    struct segment *segment = segment_new(segments, number, kind);
    segment->pins = 1;
    segment->ready = kind == SEGMENT_SHARED;
    segments_path(segments, number, path, sizeof(path));
    segment->fd = FAULT_ERRNO("segment-create")
                      ? -1
                      : open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (segment->fd < 0) {
        error_set_errno(err, errno, "segment %u", number);
        goto out;
    }
    if (getrandom(segment->nonce, NONCE_SIZE, 0) != NONCE_SIZE) {
        error_set_errno(err, errno, "segment %u: no random bytes", number);
        goto out;
    }
    if (!prepare(segment, needed, wanted, err) || !write_segment_header(segment, err))
        goto out;
    segment_open_direct(segment);
    pthread_mutex_lock(&segments->lock);
    segments_insert(segments, segment);
    if (segment->ready)
        segments_touch(segment);
    pthread_mutex_unlock(&segments->lock);
    *out = segment;
    ok = true;
out:
    if (!ok) {
        if (segment->fd >= 0)
            unlink(path);
        segment_free(segment);
    }
    return ok;
}

/* With lock: when the reservations of now are settled, this state is what the index is told. */
static void begin_checkpoint(struct segment *segment)
{
    segment->candidate = (struct segment_checkpoint){
        .end = segment->end,
        .records = segment->records,
        .bytes = segment->bytes,
        .sealed = segment->sealed,
    };
    segment->candidate_pending = segment->in_flight;
    if (segment->in_flight)
        return;
    segment->checkpoint = segment->candidate;
    segments_touch(segment);
}

void segments_checkpoint(struct segments *segments)
{
    pthread_mutex_lock(&segments->append_lock);
    pthread_mutex_lock(&segments->lock);
    if (segments->active && segments->active->checkpoint.end != segments->active->end)
        begin_checkpoint(segments->active);
    pthread_mutex_unlock(&segments->lock);
    pthread_mutex_unlock(&segments->append_lock);
}

/* With append_lock: the active segment takes no more; what was prepared in vain is given back. */
static void seal(struct segments *segments)
{
    struct segment *segment = segments->active;
    pthread_mutex_lock(&segments->lock);
    segment->sealed = true;
    begin_checkpoint(segment);
    uint64_t end = segment->end;
    pthread_mutex_unlock(&segments->lock);
    if (ftruncate(segment->fd, (off_t)end) == 0)
        segment->size = end;
    segments->active = NULL;
    segments_unpin(segments, segment);
}

/* With append_lock, also over the making of a file: whoever else writes needs that file too. */
static bool make_room(struct segments *segments, uint64_t extent, struct error *err)
{
    struct segment *active = segments->active;
    if (active && active->end + extent <= active->size)
        return true;
    /* Reopened, or cut short when the disk was nearly full. */
    if (active && active->end + extent <= segments->segment_size)
        return prepare(active, active->end + extent, segments->segment_size, err);
    uint64_t needed = SEGMENT_BLOCK + extent;
    uint64_t wanted = needed > segments->segment_size ? needed : segments->segment_size;
    struct segment *fresh = NULL;
    if (!create(segments, SEGMENT_SHARED, needed, wanted, &fresh, err))
        return false;
    if (active)
        seal(segments);
    segments->active = fresh;
    return true;
}

static void reserve(struct segment *segment, uint64_t extent, struct reservation *reservation)
{
    reservation->segment = segment;
    reservation->offset = segment->end;
    reservation->extent = extent;
    segment->end += extent;
    segment->records++;
    segment->bytes += extent;
    segment->in_flight++;
}

bool segments_reserve(struct segments *segments, uint64_t extent, struct reservation *reservation,
                      struct error *err)
{
    pthread_mutex_lock(&segments->append_lock);
    bool ok = make_room(segments, extent, err);
    if (ok) {
        struct segment *active = segments->active;
        pthread_mutex_lock(&segments->lock);
        active->pins++; /* it is pinned already, as the active one */
        reserve(active, extent, reservation);
        if (!active->candidate_pending &&
            active->end - active->checkpoint.end >= CHECKPOINT_DISTANCE)
            begin_checkpoint(active);
        pthread_mutex_unlock(&segments->lock);
    }
    pthread_mutex_unlock(&segments->append_lock);
    return ok;
}

bool segments_reserve_single(struct segments *segments, struct reservation *reservation,
                             struct error *err)
{
    struct segment *segment = NULL;
    if (!create(segments, SEGMENT_SINGLE, SEGMENT_BLOCK, SEGMENT_BLOCK + GROWTH, &segment, err))
        return false;
    reservation->segment = segment;
    reservation->offset = SEGMENT_BLOCK;
    reservation->extent = 0;
    return true;
}

bool segments_grow(struct segments *segments, struct reservation *reservation, uint64_t extent,
                   struct error *err)
{
    struct segment *segment = reservation->segment;
    (void)segments;
    reservation->extent = extent;
    uint64_t needed = SEGMENT_BLOCK + extent;
    return needed <= segment->size || prepare(segment, needed, needed + GROWTH, err);
}

static void settle_single(struct segments *segments, const struct reservation *reservation, bool ok)
{
    struct segment *segment = reservation->segment;
    pthread_mutex_lock(&segments->lock);
    segment->end = SEGMENT_BLOCK + reservation->extent;
    segment->records = 1;
    segment->bytes = reservation->extent;
    segment->sealed = true;
    segment->ready = ok;
    if (ok)
        begin_checkpoint(segment);
    pthread_mutex_unlock(&segments->lock);
    if (!ok)
        segments_drop(segments, segment);
    segments_unpin(segments, segment);
}

void segments_settle(struct segments *segments, const struct reservation *reservation, bool ok)
{
    struct segment *segment = reservation->segment;
    if (segment->kind == SEGMENT_SINGLE) {
        settle_single(segments, reservation, ok);
        return;
    }
    pthread_mutex_lock(&segments->lock);
    bool counted = segment->candidate_pending && reservation->offset < segment->candidate.end;
    segment->in_flight--;
    if (!ok) {
        segment->records--;
        segment->bytes -= reservation->extent;
    }
    if (!ok && counted) {
        segment->candidate.records--;
        segment->candidate.bytes -= reservation->extent;
    }
    if (counted && --segment->candidate_pending == 0) {
        segment->checkpoint = segment->candidate;
        segments_touch(segment);
    }
    pthread_mutex_unlock(&segments->lock);
    segments_unpin(segments, segment);
}

static ssize_t write_some(int fd, struct slice bytes, uint64_t offset)
{
    if (FAULT_ERRNO("segment-write"))
        return -1;
    if (FAULT_ERRNO("segment-write-short"))
        bytes = slice_take(bytes, bytes.size / 2);
    return pwrite(fd, bytes.data, bytes.size, (off_t)offset);
}

static bool write_all(struct segment *segment, int fd, struct slice bytes, uint64_t offset,
                      struct error *err)
{
    while (bytes.size) {
        ssize_t size = write_some(fd, bytes, offset);
        if (size < 0 && errno == EINTR)
            continue;
        /* A file system may take O_DIRECT at open and refuse it here, or end in the middle of a
         * block. */
        if (fd != segment->fd && (size < 0 ? errno == EINVAL : size % SEGMENT_BLOCK != 0)) {
            fd = segment->fd;
            continue;
        }
        if (size < 0)
            return error_set_errno(err, errno, "segment %u", segment->number);
        if (size == 0)
            return error_set(err, ERROR_IO, "segment %u takes no more", segment->number);
        bytes = slice_skip(bytes, (size_t)size);
        offset += (uint64_t)size;
    }
    return true;
}

bool segment_write(struct segment *segment, struct slice bytes, uint64_t offset, struct error *err)
{
    int fd = segment->direct_fd >= 0 ? segment->direct_fd : segment->fd;
    return write_all(segment, fd, bytes, offset, err);
}

bool segment_write_cached(struct segment *segment, struct slice bytes, uint64_t offset,
                          struct error *err)
{
    return write_all(segment, segment->fd, bytes, offset, err);
}

bool segment_write_state(struct segment *segment, uint64_t offset, enum record_state state,
                         struct error *err)
{
    _Alignas(SEGMENT_BLOCK) uint8_t block[SEGMENT_BLOCK];
    if (!segment_read(segment->fd, (struct space){ block, sizeof(block) }, offset, err))
        return false;
    record_state_encode(state, block + RECORD_STATE_OFFSET);
    return segment_write(segment, slice_of(block, sizeof(block)), offset, err);
}

bool segment_sync(struct segment *segment, struct error *err)
{
    return group_sync_wait(&segment->sync, group_sync_written(&segment->sync, 0), err);
}
