/* SPDX-License-Identifier: MIT */
#include "storage/wipe.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "storage/store.h"

static int by_place(const void *a, const void *b)
{
    const struct blob_id *left = &((const struct wipe *)a)->id;
    const struct blob_id *right = &((const struct wipe *)b)->id;
    if (left->segment != right->segment)
        return left->segment < right->segment ? -1 : 1;
    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* How many from the first one on are in one segment. */
static size_t group_of(const struct wipe *wipes, size_t count)
{
    size_t size = 1;
    while (size < count && wipes[size].id.segment == wipes[0].id.segment)
        size++;
    return size;
}

static uint64_t end_of(const struct wipe *wipe)
{
    return wipe->id.offset + record_extent(wipe->id.size);
}

static void pin_group(struct storage *storage, struct wipe *wipes, size_t count)
{
    struct segment *segment = NULL;
    struct error why = { 0 };
    enum wipe_outcome outcome = WIPE_DONE;
    if (!segments_pin(storage->segments, wipes[0].id.segment, &segment, &why) &&
        why.code != ERROR_NOT_FOUND && why.code != ERROR_CORRUPT)
        outcome = WIPE_RETRY;
    for (size_t i = 0; i < count; i++) {
        wipes[i].segment = segment;
        wipes[i].outcome = outcome;
    }
}

/* A record goes whole only if the index has the end of its segment behind it: else an opening would
 * take its place for one that was never written to. */
static bool tell_index(struct storage *storage, const struct wipe *wipes, size_t count,
                       struct error *err)
{
    bool told = true;
    struct transaction *transaction = NULL;
    for (size_t i = 0; i < count && told; i++)
        told = !wipes[i].segment ||
               end_of(&wipes[i]) <= segments_limits(storage->segments, wipes[i].segment).told;
    if (!told) {
        segments_checkpoint(storage->segments);
        if (!transaction_open(storage, &transaction, err))
            return false;
        /* If not, headers stay for now, as the limits say: a full disk must not keep what is dead.
         */
        transaction_commit_unsynced(transaction, NULL);
        transaction_close(transaction);
    }
    return group_sync_settle(&storage->commits, err);
}

static bool is_ours(const uint8_t *block, const struct blob_id *id, enum record_state *state)
{
    struct record_header header;
    uint8_t nonce[NONCE_SIZE];
    if (!record_header_decode(block, &header, nonce))
        return false;
    *state = header.state;
    return blob_id_equals(&header.id, id);
}

static void mark(struct wipe *wipe, const struct segment_limits *limits)
{
    _Alignas(SEGMENT_BLOCK) uint8_t block[SEGMENT_BLOCK];
    struct space space = { block, sizeof(block) };
    struct segment *segment = wipe->segment;
    enum record_state state = RECORD_LIVE;
    struct error why = { 0 };
    if (!segment_read(segment->fd, space, wipe->id.offset, &why)) {
        wipe->outcome = why.code == ERROR_CORRUPT ? WIPE_DONE : WIPE_LEFT;
        return;
    }
    if (!is_ours(block, &wipe->id, &state)) {
        wipe->counted = wipe->redo && record_block_is_empty(block); /* punched already */
        return;
    }
    wipe->counted = state == RECORD_LIVE || wipe->redo;
    wipe->held = record_extent(wipe->id.size);
    wipe->whole = end_of(wipe) <= limits->told;
    record_state_encode(RECORD_DEAD, block + RECORD_STATE_OFFSET);
    struct slice bytes = slice_of(block, sizeof(block));
    wipe->marked = end_of(wipe) <= limits->quiet
                       ? segment_write_cached(segment, bytes, wipe->id.offset, &why)
                       : segment_write(segment, bytes, wipe->id.offset, &why);
    if (!wipe->marked)
        wipe->outcome = WIPE_LEFT;
}

/* The headers are read ahead all at once and written back by one sync: one after the other they
 * would cost two turns of the disk each. */
static uint64_t mark_group(struct storage *storage, struct wipe *wipes, size_t count)
{
    struct segment *segment = wipes[0].segment;
    if (!segment)
        return 0;
    struct segment_limits limits = segments_limits(storage->segments, segment);
    for (size_t i = 0; i < count; i++)
        posix_fadvise(segment->fd, (off_t)wipes[i].id.offset, SEGMENT_BLOCK, POSIX_FADV_WILLNEED);
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        mark(&wipes[i], &limits);
        any |= wipes[i].marked;
    }
    return any ? group_sync_written(&segment->sync, 0) : 0;
}

/* Neighbours go at once. Where the file system cannot give space back, it stays until the whole
 * segment goes. */
static size_t punch_neighbours(struct wipe *wipes, size_t count)
{
    size_t size = 1;
    while (size < count && wipes[size].marked && wipes[size].whole &&
           wipes[size].id.offset == end_of(&wipes[size - 1]))
        size++;
    uint64_t begin = wipes[0].id.offset;
    if (segment_punch(wipes[0].segment, begin, end_of(&wipes[size - 1]) - begin))
        for (size_t i = 0; i < size; i++)
            wipes[i].held = 0;
    return size;
}

static void punch_payload(struct wipe *wipe)
{
    uint64_t payload = record_extent(wipe->id.size) - SEGMENT_BLOCK;
    if (!payload || segment_punch(wipe->segment, wipe->id.offset + SEGMENT_BLOCK, payload))
        wipe->held = SEGMENT_BLOCK;
}

static void punch_group(struct storage *storage, struct wipe *wipes, size_t count)
{
    if (wipes[0].segment)
        segments_expect_holes(storage->segments, wipes[0].segment);
    for (size_t i = 0; i < count;) {
        if (wipes[i].marked && wipes[i].whole) {
            i += punch_neighbours(wipes + i, count - i);
            continue;
        }
        if (wipes[i].marked)
            punch_payload(&wipes[i]);
        i++;
    }
}

bool wipe_records(struct storage *storage, struct wipe *wipes, size_t count, struct error *err)
{
    bool ok = true;
    qsort(wipes, count, sizeof(*wipes), by_place);
    for (size_t i = 0; i < count; i += group_of(wipes + i, count - i))
        pin_group(storage, wipes + i, group_of(wipes + i, count - i));
    if (!tell_index(storage, wipes, count, err))
        return false;
    for (size_t i = 0; ok && i < count; i += group_of(wipes + i, count - i)) {
        uint64_t ticket = mark_group(storage, wipes + i, group_of(wipes + i, count - i));
        ok = !ticket || group_sync_wait(&wipes[i].segment->sync, ticket, err);
    }
    if (!ok)
        return false;
    FAULT_POINT("after-blob-dead");
    for (size_t i = 0; i < count; i += group_of(wipes + i, count - i))
        punch_group(storage, wipes + i, group_of(wipes + i, count - i));
    FAULT_POINT("after-blob-punch");
    return true;
}

void wipe_release(struct storage *storage, struct wipe *wipes, size_t count)
{
    for (size_t i = 0; i < count; i += group_of(wipes + i, count - i))
        if (wipes[i].segment)
            segments_unpin(storage->segments, wipes[i].segment);
}
