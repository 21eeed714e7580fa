/* SPDX-License-Identifier: MIT */
#include "cast/gather.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cast/heap.h"

enum { LIMIT = 100 * 1000 };

/* Three orders of the same studies: by UID, by when they are due, by their first change. */
struct pending {
    char study[UID_SIZE];
    uint64_t first; /* sequence; UINT64_MAX: the feed does not wait for it */
    int64_t began_ms;
    int64_t due_ms;
    unsigned put_off;
    bool taken;     /* it is being sent */
    uint64_t again; /* the first change that came since it was taken; UINT64_MAX: none */
    int64_t again_began_ms;
    int64_t again_seen_ms;
    struct heap_place in_due;
    struct heap_place in_first;
};

struct gather {
    struct gather_options options;
    void *tree;        /* by study UID */
    struct heap due;   /* those that are not taken */
    struct heap first; /* those that the feed waits for */
    size_t count;
    size_t taken;
    uint64_t read;
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct pending *)a)->study, ((const struct pending *)b)->study);
}

static bool due_before(const void *a, const void *b)
{
    return ((const struct pending *)a)->due_ms < ((const struct pending *)b)->due_ms;
}

static bool first_before(const void *a, const void *b)
{
    return ((const struct pending *)a)->first < ((const struct pending *)b)->first;
}

struct gather *gather_new(const struct gather_options *options, uint64_t position)
{
    struct gather *gather = mem_alloc(sizeof *gather);
    gather->options = *options;
    if (!gather->options.limit)
        gather->options.limit = LIMIT;
    gather->read = position;
    gather->due = (struct heap){ .before = due_before, .place = offsetof(struct pending, in_due) };
    gather->first = (struct heap){ .before = first_before,
                                   .place = offsetof(struct pending, in_first) };
    return gather;
}

void gather_free(struct gather *gather)
{
    if (!gather)
        return;
    tdestroy(gather->tree, free);
    heap_release(&gather->due);
    heap_release(&gather->first);
    free(gather);
}

bool gather_is_full(const struct gather *gather)
{
    return gather->count >= gather->options.limit;
}

size_t gather_count(const struct gather *gather)
{
    return gather->count;
}

size_t gather_taken(const struct gather *gather)
{
    return gather->taken;
}

static struct pending *find(const struct gather *gather, const char *study)
{
    struct pending key;
    memset(&key, 0, sizeof key);
    strncat(key.study, study, UID_SIZE - 1);
    void *const *node = tfind(&key, &gather->tree, compare);
    return node ? *node : NULL;
}

static struct pending *add(struct gather *gather, const char *study)
{
    struct pending *pending = mem_alloc(sizeof *pending);
    strncat(pending->study, study, UID_SIZE - 1);
    pending->first = UINT64_MAX;
    pending->again = UINT64_MAX;
    pending->in_due.at = pending->in_first.at = HEAP_NOWHERE;
    if (!tsearch(pending, &gather->tree, compare))
        abort();
    gather->count++;
    return pending;
}

static void drop(struct gather *gather, struct pending *pending)
{
    heap_remove(&gather->due, pending);
    heap_remove(&gather->first, pending);
    tdelete(pending, &gather->tree, compare);
    gather->taken -= pending->taken;
    gather->count--;
    free(pending);
}

static void wait_for(struct gather *gather, struct pending *pending, uint64_t sequence)
{
    heap_remove(&gather->first, pending);
    pending->first = sequence;
    if (sequence != UINT64_MAX)
        heap_add(&gather->first, pending);
}

static void set_due(struct gather *gather, struct pending *pending, int64_t due_ms)
{
    pending->due_ms = due_ms;
    heap_moved(&gather->due, pending);
}

/* Quiet, or old enough. */
static int64_t ripe(const struct gather *gather, int64_t began_ms, int64_t seen_ms)
{
    int64_t quiet = seen_ms + gather->options.quiet_ms;
    int64_t oldest = began_ms + gather->options.maximum_age_ms;
    return quiet < oldest ? quiet : oldest;
}

void gather_add(struct gather *gather, const char *study, uint64_t sequence, int64_t now_ms,
                int64_t age_ms)
{
    int64_t seen_ms = now_ms - (age_ms > 0 ? age_ms : 0);
    struct pending *pending = find(gather, study);
    gather->read = sequence;
    if (pending && pending->taken) {
        if (pending->again == UINT64_MAX) {
            pending->again = sequence;
            pending->again_began_ms = seen_ms;
        }
        pending->again_seen_ms = seen_ms;
        return;
    }
    if (!pending) {
        pending = add(gather, study);
        pending->began_ms = seen_ms;
        heap_add(&gather->due, pending);
    }
    if (pending->first == UINT64_MAX)
        wait_for(gather, pending, sequence);
    /* One that was put off keeps its pause: news do not make the server well. */
    if (!pending->put_off)
        set_due(gather, pending, ripe(gather, pending->began_ms, seen_ms));
}

void gather_add_due(struct gather *gather, const char *study, int64_t now_ms)
{
    if (find(gather, study) || gather_is_full(gather))
        return;
    struct pending *pending = add(gather, study);
    pending->began_ms = now_ms;
    pending->due_ms = now_ms;
    heap_add(&gather->due, pending);
}

const char *gather_due(const struct gather *gather, int64_t now_ms)
{
    const struct pending *first = heap_first(&gather->due);
    return first && first->due_ms <= now_ms ? first->study : NULL;
}

int64_t gather_next_due(const struct gather *gather)
{
    const struct pending *first = heap_first(&gather->due);
    return first ? first->due_ms : INT64_MAX;
}

bool gather_take(struct gather *gather, const char *study, int64_t now_ms)
{
    struct pending *pending = find(gather, study);
    if (!pending) {
        gather_add_due(gather, study, now_ms);
        pending = find(gather, study);
    }
    if (!pending || pending->taken)
        return false;
    heap_remove(&gather->due, pending);
    pending->taken = true;
    gather->taken++;
    return true;
}

static void untake(struct gather *gather, struct pending *pending)
{
    gather->taken -= pending->taken;
    pending->taken = false;
    heap_add(&gather->due, pending);
}

void gather_done(struct gather *gather, const char *study)
{
    struct pending *pending = find(gather, study);
    if (!pending)
        return;
    if (!pending->taken || pending->again == UINT64_MAX) {
        drop(gather, pending);
        return;
    }
    /* What came since it was read is sent in a round of its own. */
    pending->began_ms = pending->again_began_ms;
    pending->due_ms = ripe(gather, pending->again_began_ms, pending->again_seen_ms);
    pending->put_off = 0;
    wait_for(gather, pending, pending->again);
    pending->again = UINT64_MAX;
    untake(gather, pending);
}

/* The next round sends all of it, so the first change stays the one that the feed waits for. */
static void join_news(struct gather *gather, struct pending *pending)
{
    if (pending->again != UINT64_MAX && pending->first == UINT64_MAX)
        wait_for(gather, pending, pending->again);
    pending->again = UINT64_MAX;
}

void gather_put_off(struct gather *gather, const char *study, int64_t due_ms)
{
    struct pending *pending = find(gather, study);
    if (!pending)
        return;
    pending->put_off++;
    if (pending->taken) {
        join_news(gather, pending);
        pending->due_ms = due_ms;
        untake(gather, pending);
    } else {
        set_due(gather, pending, due_ms);
    }
}

void gather_give_back(struct gather *gather, const char *study)
{
    struct pending *pending = find(gather, study);
    if (!pending || !pending->taken)
        return;
    join_news(gather, pending);
    untake(gather, pending);
}

void gather_hurry(struct gather *gather, const char *study, int64_t now_ms)
{
    struct pending *pending;
    if (study) {
        if ((pending = find(gather, study)) && !pending->taken && pending->due_ms > now_ms)
            set_due(gather, pending, now_ms);
        return;
    }
    for (size_t i = 0; i < gather->due.count; i++) {
        pending = gather->due.items[i];
        if (pending->due_ms > now_ms && pending->put_off)
            pending->due_ms = now_ms;
    }
    heap_order(&gather->due);
}

void gather_reset(struct gather *gather, uint64_t position)
{
    struct heap due = gather->due;
    gather->due.items = NULL;
    gather->due.count = gather->due.room = 0;
    for (size_t i = 0; i < due.count; i++) {
        struct pending *pending = due.items[i];
        pending->in_due.at = HEAP_NOWHERE;
        drop(gather, pending);
    }
    heap_release(&due);
    gather->read = position;
}

int64_t gather_oldest(const struct gather *gather)
{
    const struct pending *first = heap_first(&gather->first);
    return first ? first->began_ms : INT64_MAX;
}

unsigned gather_attempts(const struct gather *gather, const char *study)
{
    const struct pending *pending = find(gather, study);
    return pending ? pending->put_off : 0;
}

uint64_t gather_read(const struct gather *gather)
{
    return gather->read;
}

uint64_t gather_position(const struct gather *gather)
{
    const struct pending *first = heap_first(&gather->first);
    return first && first->first - 1 < gather->read ? first->first - 1 : gather->read;
}

bool gather_awaits(const struct gather *gather, const char *study)
{
    const struct pending *pending = find(gather, study);
    return pending && pending->first != UINT64_MAX;
}

int64_t gather_began(const struct gather *gather, const char *study)
{
    const struct pending *pending = find(gather, study);
    return pending ? pending->began_ms : INT64_MAX;
}
