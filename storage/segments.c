/* SPDX-License-Identifier: MIT */
#include "storage/segments.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"

enum {
    IDLE_MAX = 256,       /* files kept open though nobody uses them */
    CACHE_UNIT = 2 << 20, /* the most that is one piece of the page cache */
};

static bool sync_segment(void *context, struct error *err)
{
    struct segment *segment = context;
    struct segments *segments = segment->segments;
    if (!FAULT_ERRNO("segment-sync") && segments->sync_file(segment->fd) == 0)
        return true;
    atomic_store(segments->failed, true);
    error_set_errno(err, errno, "segment %u cannot be made durable", segment->number);
    if (err)
        err->code = ERROR_IO;
    return false;
}

struct segment *segment_new(struct segments *segments, uint32_t number, enum segment_kind kind)
{
    struct segment *segment = mem_alloc(sizeof(*segment));
    segment->segments = segments;
    segment->number = number;
    segment->kind = kind;
    segment->fd = -1;
    segment->direct_fd = -1;
    segment->end = SEGMENT_BLOCK;
    segment->checkpoint.end = SEGMENT_BLOCK;
    segment->ready = true;
    group_sync_init(&segment->sync, sync_segment, NULL, segment);
    return segment;
}

static void close_files(struct segment *segment)
{
    if (segment->fd >= 0)
        close(segment->fd);
    if (segment->direct_fd >= 0)
        close(segment->direct_fd);
    segment->fd = -1;
    segment->direct_fd = -1;
}

void segment_free(struct segment *segment)
{
    close_files(segment);
    group_sync_release(&segment->sync);
    free(segment);
}

void segments_path(const struct segments *segments, uint32_t number, char *path, size_t size)
{
    snprintf(path, size, "%s/%010" PRIu32 ".seg", segments->path, number);
}

/* The first place whose number is not below `number`. */
static size_t place_of(const struct segments *segments, uint32_t number)
{
    size_t low = 0;
    size_t high = segments->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (segments->items[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void segments_insert(struct segments *segments, struct segment *segment)
{
    if (segments->count == segments->capacity) {
        segments->capacity = segments->capacity ? segments->capacity * 2 : 64;
        segments->items = mem_resize_array(segments->items, segments->capacity,
                                           sizeof(*segments->items));
    }
    size_t place = place_of(segments, segment->number);
    memmove(segments->items + place + 1, segments->items + place,
            (segments->count - place) * sizeof(*segments->items));
    segments->items[place] = segment;
    segments->count++;
    if (segment->number >= segments->next_number)
        segments->next_number = segment->number + 1;
}

void segments_touch(struct segment *segment)
{
    if (segment->dirty || segment->removed)
        return;
    if (segment->collecting)
        TAILQ_REMOVE(&segment->segments->collecting, segment, changed);
    segment->collecting = false;
    segment->dirty = true;
    TAILQ_INSERT_TAIL(&segment->segments->dirty, segment, changed);
}

/* With lock. */
static void close_idle(struct segments *segments, size_t most)
{
    while (segments->idle_count > most) {
        struct segment *oldest = TAILQ_FIRST(&segments->idle);
        TAILQ_REMOVE(&segments->idle, oldest, idle);
        segments->idle_count--;
        close_files(oldest);
    }
}

/* With lock. */
static bool file_is_lost(struct segment *segment, struct error *err)
{
    if (!segment->lost)
        log_error("storage: the file of segment=%u is gone: what stands in it cannot be read",
                  segment->number);
    segment->lost = true;
    return error_set(err, ERROR_CORRUPT, "the file of segment %u is gone", segment->number);
}

/* With lock, so that nobody opens the same file twice; a file that was closed is a rare thing. */
static bool open_file(struct segments *segments, struct segment *segment, struct error *err)
{
    char path[4096];
    segments_path(segments, segment->number, path, sizeof(path));
    segment->fd = FAULT_ERRNO("segment-open") ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (segment->fd < 0 && (errno == EMFILE || errno == ENFILE) && segments->idle_count) {
        close_idle(segments, 0);
        segment->fd = open(path, O_RDWR | O_CLOEXEC);
    }
    if (segment->fd < 0 && errno == ENOENT)
        return file_is_lost(segment, err);
    if (segment->fd < 0)
        return error_set_errno(err, errno, "segment %u", segment->number);
    TAILQ_INSERT_TAIL(&segments->idle, segment, idle);
    segments->idle_count++;
    return true;
}

void segments_pin_locked(struct segment *segment)
{
    struct segments *segments = segment->segments;
    if (segment->pins++ == 0) {
        TAILQ_REMOVE(&segments->idle, segment, idle);
        segments->idle_count--;
    }
}

/* With lock. */
static bool is_not_there(const struct segments *segments, uint32_t number, struct error *err)
{
    for (size_t i = segments->removed_count; i > 0; i--)
        if (segments->removed[i - 1] == number)
            return error_set(err, ERROR_NOT_FOUND, "all in segment %u was deleted", number);
    return error_set(err, ERROR_CORRUPT, "the file of segment %u is gone", number);
}

bool segments_pin(struct segments *segments, uint32_t number, struct segment **out,
                  struct error *err)
{
    bool ok = true;
    pthread_mutex_lock(&segments->lock);
    size_t place = place_of(segments, number);
    struct segment *segment = place < segments->count ? segments->items[place] : NULL;
    if (!segment || segment->number != number)
        ok = is_not_there(segments, number, err);
    else if (segment->fd < 0)
        ok = open_file(segments, segment, err);
    if (ok)
        segments_pin_locked(segment);
    pthread_mutex_unlock(&segments->lock);
    *out = ok ? segment : NULL;
    return ok;
}

bool segments_pin_from(struct segments *segments, uint32_t number, struct segment **out,
                       uint64_t *end, struct error *err)
{
    bool ok = true;
    struct segment *segment = NULL;
    pthread_mutex_lock(&segments->lock);
    for (size_t i = place_of(segments, number); i < segments->count && !segment; i++)
        if (segments->items[i]->ready)
            segment = segments->items[i];
    if (segment && segment->fd < 0)
        ok = open_file(segments, segment, err);
    if (segment && ok) {
        segments_pin_locked(segment);
        *end = segment->end;
    }
    pthread_mutex_unlock(&segments->lock);
    *out = ok ? segment : NULL;
    return ok;
}

void segments_unpin(struct segments *segments, struct segment *segment)
{
    bool gone = false;
    pthread_mutex_lock(&segments->lock);
    if (--segment->pins == 0) {
        gone = segment->removed;
        if (!gone) {
            TAILQ_INSERT_TAIL(&segments->idle, segment, idle);
            segments->idle_count++;
            close_idle(segments, IDLE_MAX);
        }
    }
    pthread_mutex_unlock(&segments->lock);
    if (gone)
        segment_free(segment);
}

void segments_count_dead(struct segments *segments, struct segment *segment, uint64_t extent,
                         uint64_t held, bool alive)
{
    pthread_mutex_lock(&segments->lock);
    segment->dead_records += alive ? -(uint64_t)1 : 1;
    segment->dead_bytes += alive ? -extent : extent;
    segment->held_bytes += alive ? -held : held;
    segments_touch(segment);
    pthread_mutex_unlock(&segments->lock);
}

void segments_collect(struct segments *segments, struct transaction *transaction)
{
    uint8_t key[5];
    uint8_t entry[SEGMENT_ENTRY_SIZE];
    struct segment *segment;
    pthread_mutex_lock(&segments->lock);
    while ((segment = TAILQ_FIRST(&segments->dirty))) {
        TAILQ_REMOVE(&segments->dirty, segment, changed);
        TAILQ_INSERT_TAIL(&segments->collecting, segment, changed);
        segment->dirty = false;
        segment->collecting = true;
        segment->collected_end = segment->checkpoint.end;
        segment_entry_key(segment->number, key);
        segment_entry_encode(segment, entry);
        transaction_put(transaction, TABLE_SEGMENT, slice_of(key, sizeof(key)),
                        slice_of(entry, sizeof(entry)));
    }
    pthread_mutex_unlock(&segments->lock);
}

void segments_collected(struct segments *segments, bool ok)
{
    struct segment *segment;
    pthread_mutex_lock(&segments->lock);
    while ((segment = TAILQ_FIRST(&segments->collecting))) {
        if (!ok) {
            segments_touch(segment);
            continue;
        }
        TAILQ_REMOVE(&segments->collecting, segment, changed);
        segment->collecting = false;
        segment->told_end = segment->collected_end;
    }
    pthread_mutex_unlock(&segments->lock);
}

/* With lock. */
static struct segment *find_dead(struct segments *segments)
{
    for (size_t i = 0; i < segments->count; i++) {
        struct segment *segment = segments->items[i];
        if (segment->ready && segment->sealed && !segment->in_flight && !segment->lost &&
            segment->dead_records >= segment->records)
            return segment;
    }
    return NULL;
}

/* The counters are only a hint: a crash may have left them wrong. True when every record was read
 * and none lives; else *living is how many do, or may. */
static bool is_dead(struct segment *segment, uint64_t *living)
{
    struct segment_scan scan = {
        .fd = segment->fd, .segment = segment, .offset = SEGMENT_BLOCK, .limit = segment->end
    };
    struct record_header header;
    bool found = true;
    bool ok = true;
    *living = 0;
    while ((ok = segment_scan_next(&scan, &header, &found, NULL)) && found)
        *living += header.state == RECORD_LIVE;
    *living += !ok;
    return *living == 0;
}

static void detach(struct segments *segments, struct segment *segment)
{
    pthread_mutex_lock(&segments->lock);
    size_t place = place_of(segments, segment->number);
    memmove(segments->items + place, segments->items + place + 1,
            (--segments->count - place) * sizeof(*segments->items));
    if (segment->dirty)
        TAILQ_REMOVE(&segments->dirty, segment, changed);
    if (segment->collecting)
        TAILQ_REMOVE(&segments->collecting, segment, changed);
    segment->dirty = false;
    segment->collecting = false;
    segment->removed = true;
    segments->removed = mem_resize_array(segments->removed, segments->removed_count + 1,
                                         sizeof(*segments->removed));
    segments->removed[segments->removed_count++] = segment->number;
    pthread_mutex_unlock(&segments->lock);
}

void segments_unlink(struct segments *segments, const struct segment *segment)
{
    char path[4096];
    segments_path(segments, segment->number, path, sizeof(path));
    unlink(path);
}

void segments_drop(struct segments *segments, struct segment *segment)
{
    detach(segments, segment);
    segments_unlink(segments, segment);
}

static void recount(struct segment *segment, uint64_t living)
{
    pthread_mutex_lock(&segment->segments->lock);
    segment->records = segment->dead_records + living;
    segment->checkpoint.records = segment->records;
    segments_touch(segment);
    pthread_mutex_unlock(&segment->segments->lock);
}

struct segment *segments_take_dead(struct segments *segments)
{
    uint64_t living = 0;
    pthread_mutex_lock(&segments->lock);
    struct segment *segment = find_dead(segments);
    bool found = segment && (segment->fd >= 0 || open_file(segments, segment, NULL));
    if (found)
        segments_pin_locked(segment);
    pthread_mutex_unlock(&segments->lock);
    if (!found)
        return NULL;
    if (is_dead(segment, &living)) {
        detach(segments, segment);
        return segment;
    }
    recount(segment, living);
    segments_unpin(segments, segment);
    return NULL;
}

struct segment_limits segments_limits(struct segments *segments, const struct segment *segment)
{
    struct segment_limits limits;
    pthread_mutex_lock(&segments->lock);
    limits.told = segment->told_end;
    bool done = segment->sealed && !segment->in_flight && limits.told == segment->end;
    pthread_mutex_unlock(&segments->lock);
    limits.quiet = limits.told > CACHE_UNIT ? limits.told - CACHE_UNIT : 0;
    if (done)
        limits.quiet = UINT64_MAX;
    return limits;
}

void segments_expect_holes(struct segments *segments, struct segment *segment)
{
    pthread_mutex_lock(&segments->lock);
    segment->punched = true;
    pthread_mutex_unlock(&segments->lock);
}

bool segments_expects_holes(const struct segment *segment)
{
    pthread_mutex_lock(&segment->segments->lock);
    bool punched = segment->punched;
    pthread_mutex_unlock(&segment->segments->lock);
    return punched;
}

bool segment_punch(struct segment *segment, uint64_t offset, uint64_t size)
{
    int code;
    if (segment->segments->cannot_punch || FAULT_ERRNO("segment-punch"))
        return false;
    do
        code = fallocate(segment->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                         (off_t)size);
    while (code != 0 && errno == EINTR);
    return code == 0;
}

void segments_forget(struct segments *segments, uint32_t number, struct transaction *transaction)
{
    uint8_t key[5];
    uint8_t next[4];
    segment_entry_key(number, key);
    transaction_delete(transaction, TABLE_SEGMENT, slice_of(key, sizeof(key)));
    pthread_mutex_lock(&segments->lock);
    put_u32be(next, segments->next_number);
    pthread_mutex_unlock(&segments->lock);
    key[0] = SEGMENT_KEY_NEXT;
    transaction_put(transaction, TABLE_SEGMENT, slice_of(key, 1), slice_of(next, sizeof(next)));
}

void segments_figures(struct segments *segments, struct storage_figures *figures)
{
    pthread_mutex_lock(&segments->lock);
    figures->segments = segments->count;
    figures->missing_segments = segments->missing;
    figures->damaged_segments = 0;
    figures->blob_bytes = 0;
    figures->dead_bytes = 0;
    for (size_t i = 0; i < segments->count; i++) {
        const struct segment *segment = segments->items[i];
        if (segment->bytes > segment->dead_bytes)
            figures->blob_bytes += segment->bytes - segment->dead_bytes;
        figures->dead_bytes += segment->held_bytes;
        figures->missing_segments += segment->lost;
        figures->damaged_segments += segment->damaged;
    }
    pthread_mutex_unlock(&segments->lock);
}

bool segments_figures_after(struct segments *segments, uint32_t number,
                            struct storage_segment_figures *figures)
{
    const struct segment *segment = NULL;
    pthread_mutex_lock(&segments->lock);
    size_t place = number == UINT32_MAX ? segments->count : place_of(segments, number + 1);
    while (place < segments->count && !segments->items[place]->ready)
        place++;
    if (place < segments->count) {
        segment = segments->items[place];
        *figures = (struct storage_segment_figures){
            .number = segment->number,
            .single = segment->kind == SEGMENT_SINGLE,
            .sealed = segment->sealed,
            .records = segment->records,
            .bytes = segment->bytes,
            .dead_records = segment->dead_records,
            .dead_bytes = segment->dead_bytes,
            .held_bytes = segment->held_bytes,
        };
    }
    pthread_mutex_unlock(&segments->lock);
    return segment != NULL;
}

void segment_entry_key(uint32_t number, uint8_t key[5])
{
    key[0] = SEGMENT_KEY_ENTRY;
    put_u32be(key + 1, number);
}

/* kind 4, sealed 4, nonce 16, end 8, records 8, bytes 8, dead records 8, dead bytes 8, held 8,
 * zeros 8; little endian. */
void segment_entry_encode(const struct segment *segment, uint8_t entry[SEGMENT_ENTRY_SIZE])
{
    memset(entry, 0, SEGMENT_ENTRY_SIZE);
    put_u32le(entry, (uint32_t)segment->kind);
    put_u32le(entry + 4, segment->checkpoint.sealed);
    memcpy(entry + 8, segment->nonce, NONCE_SIZE);
    put_u64le(entry + 24, segment->checkpoint.end);
    put_u64le(entry + 32, segment->checkpoint.records);
    put_u64le(entry + 40, segment->checkpoint.bytes);
    put_u64le(entry + 48, segment->dead_records);
    put_u64le(entry + 56, segment->dead_bytes);
    put_u64le(entry + 64, segment->held_bytes);
}

bool segment_entry_decode(struct slice entry, struct segment *segment)
{
    if (entry.size != SEGMENT_ENTRY_SIZE)
        return false;
    uint32_t kind = get_u32le(entry.data);
    if (kind != SEGMENT_SHARED && kind != SEGMENT_SINGLE)
        return false;
    segment->kind = (enum segment_kind)kind;
    segment->checkpoint.sealed = get_u32le(entry.data + 4) != 0;
    memcpy(segment->nonce, entry.data + 8, NONCE_SIZE);
    segment->checkpoint.end = get_u64le(entry.data + 24);
    segment->checkpoint.records = get_u64le(entry.data + 32);
    segment->checkpoint.bytes = get_u64le(entry.data + 40);
    segment->dead_records = get_u64le(entry.data + 48);
    segment->dead_bytes = get_u64le(entry.data + 56);
    segment->held_bytes = get_u64le(entry.data + 64);
    segment->sealed = segment->checkpoint.sealed;
    segment->told_end = segment->checkpoint.end;
    segment->end = segment->checkpoint.end;
    segment->records = segment->checkpoint.records;
    segment->bytes = segment->checkpoint.bytes;
    return segment->end >= SEGMENT_BLOCK && segment->end % SEGMENT_BLOCK == 0;
}
