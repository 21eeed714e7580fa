/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "storage/store.h"

struct blob_walk {
    struct storage *storage;
    struct segment *segment; /* pinned; NULL between two segments */
    int fd;                  /* of our own; -1: that of the segment */
    uint32_t next_number;
    uint32_t last_number;
    struct segment_scan scan;
};

bool blob_walk_open(struct storage *storage, struct blob_walk **out, struct error *err)
{
    struct blob_walk *walk = mem_alloc(sizeof(*walk));
    (void)err;
    walk->storage = storage;
    walk->last_number = UINT32_MAX;
    walk->fd = -1;
    *out = walk;
    return true;
}

bool blob_walk_open_segment(struct storage *storage, uint32_t segment, struct blob_walk **out,
                            struct error *err)
{
    if (!blob_walk_open(storage, out, err))
        return false;
    (*out)->next_number = segment;
    (*out)->last_number = segment;
    return true;
}

static void leave_segment(struct blob_walk *walk)
{
    if (walk->fd >= 0)
        close(walk->fd);
    walk->fd = -1;
    if (walk->segment)
        segments_unpin(walk->storage->segments, walk->segment);
    walk->segment = NULL;
}

/* *found false behind the last segment. */
static bool next_segment(struct blob_walk *walk, bool *found, struct error *err)
{
    uint64_t end = 0;
    leave_segment(walk);
    if (!segments_pin_from(walk->storage->segments, walk->next_number, &walk->segment, &end, err))
        return false;
    if (walk->segment && walk->segment->number > walk->last_number)
        leave_segment(walk);
    *found = walk->segment != NULL;
    if (!*found)
        return true;
    walk->next_number = walk->segment->number + 1;
    walk->fd = segment_open_aside(walk->segment);
    walk->scan = (struct segment_scan){ .fd = walk->fd >= 0 ? walk->fd : walk->segment->fd,
                                        .segment = walk->segment,
                                        .offset = SEGMENT_BLOCK,
                                        .limit = end,
                                        .aside = walk->fd >= 0 };
    return true;
}

/* Whatever its state, but for torn ones. */
static bool next_header(struct blob_walk *walk, struct record_header *header, bool *found,
                        struct error *err)
{
    do {
        *found = false;
        if (walk->segment && !segment_scan_next(&walk->scan, header, found, err))
            return false;
        if (!*found) {
            header->state = RECORD_TORN;
            if (!next_segment(walk, found, err))
                return false;
        }
    } while (*found && header->state == RECORD_TORN);
    return true;
}

bool blob_walk_next(struct blob_walk *walk, struct blob_record *record, bool *found,
                    struct error *err)
{
    struct reclaim *reclaim = walk->storage->reclaim;
    struct record_header header;
    bool up_to_date = false;
    while (!up_to_date) {
        uint64_t ended = reclaim_ended(reclaim);
        if (!next_header(walk, &header, found, err))
            return false;
        if (!*found)
            return true;
        FAULT_POINT("blob-walk-read");
        record->id = header.id;
        record->key = header.key;
        record->dead = header.state == RECORD_DEAD || reclaim_is_marked(reclaim, &header.id);
        /* A mark that ended since may be this one's: then what was read is not true any more. */
        up_to_date = record->dead || ended == reclaim_ended(reclaim);
        if (!up_to_date)
            walk->scan.offset = header.id.offset;
    }
    return true;
}

void blob_walk_skip(struct blob_walk *walk)
{
    if (walk->segment)
        walk->scan.offset += SEGMENT_BLOCK;
    else
        walk->next_number++;
}

void blob_walk_close(struct blob_walk *walk)
{
    if (!walk)
        return;
    leave_segment(walk);
    free(walk);
}
