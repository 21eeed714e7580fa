/* SPDX-License-Identifier: MIT */
#include "cast/gather.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { LIMIT = 100 * 1000 };

/* Three orders of the same studies would be the quick way; a list and one tree are enough for a
 * follower that sends some tens of studies a second. */
struct pending {
    char study[UID_SIZE];
    uint64_t first; /* sequence; UINT64_MAX: the feed does not wait for it */
    int64_t began_ms;
    int64_t due_ms;
    unsigned put_off;
    struct pending *previous; /* in the order of `first` */
    struct pending *next;
};

struct gather {
    struct gather_options options;
    void *tree; /* by study UID */
    struct pending *oldest;
    struct pending *newest;
    size_t count;
    uint64_t read;
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct pending *)a)->study, ((const struct pending *)b)->study);
}

struct gather *gather_new(const struct gather_options *options, uint64_t position)
{
    struct gather *gather = mem_alloc(sizeof *gather);
    gather->options = *options;
    if (!gather->options.limit)
        gather->options.limit = LIMIT;
    gather->read = position;
    return gather;
}

static void nothing(void *node)
{
    (void)node;
}

void gather_free(struct gather *gather)
{
    if (!gather)
        return;
    tdestroy(gather->tree, nothing);
    for (struct pending *each = gather->oldest, *next; each; each = next) {
        next = each->next;
        free(each);
    }
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

static struct pending *find(const struct gather *gather, const char *study)
{
    struct pending key;
    memset(&key, 0, sizeof key);
    strncat(key.study, study, UID_SIZE - 1);
    void *const *node = tfind(&key, &gather->tree, compare);
    return node ? *node : NULL;
}

/* At the end: sequences only grow, and those that the feed does not wait for have none. */
static struct pending *add(struct gather *gather, const char *study, uint64_t first)
{
    struct pending *pending = mem_alloc(sizeof *pending);
    strncat(pending->study, study, UID_SIZE - 1);
    pending->first = first;
    pending->previous = gather->newest;
    if (gather->newest)
        gather->newest->next = pending;
    else
        gather->oldest = pending;
    gather->newest = pending;
    if (!tsearch(pending, &gather->tree, compare))
        abort();
    gather->count++;
    return pending;
}

static void set_due(const struct gather *gather, struct pending *pending, int64_t seen_ms)
{
    int64_t quiet = seen_ms + gather->options.quiet_ms;
    int64_t oldest = pending->began_ms + gather->options.maximum_age_ms;
    pending->due_ms = quiet < oldest ? quiet : oldest;
}

void gather_add(struct gather *gather, const char *study, uint64_t sequence, int64_t now_ms,
                int64_t age_ms)
{
    int64_t seen_ms = now_ms - (age_ms > 0 ? age_ms : 0);
    struct pending *pending = find(gather, study);
    gather->read = sequence;
    if (!pending) {
        pending = add(gather, study, sequence);
        pending->began_ms = seen_ms;
    } else if (pending->first == UINT64_MAX) {
        pending->first = sequence;
    }
    /* One that was put off keeps its pause: news do not make the server well. */
    if (!pending->put_off)
        set_due(gather, pending, seen_ms);
}

void gather_add_due(struct gather *gather, const char *study, int64_t now_ms)
{
    if (find(gather, study) || gather_is_full(gather))
        return;
    struct pending *pending = add(gather, study, UINT64_MAX);
    pending->began_ms = now_ms;
    pending->due_ms = now_ms;
}

static struct pending *first_due(const struct gather *gather)
{
    struct pending *first = gather->oldest;
    for (struct pending *each = first; each; each = each->next)
        if (each->due_ms < first->due_ms)
            first = each;
    return first;
}

const char *gather_due(const struct gather *gather, int64_t now_ms)
{
    const struct pending *first = first_due(gather);
    return first && first->due_ms <= now_ms ? first->study : NULL;
}

int64_t gather_next_due(const struct gather *gather)
{
    const struct pending *first = first_due(gather);
    return first ? first->due_ms : INT64_MAX;
}

void gather_done(struct gather *gather, const char *study)
{
    struct pending *pending = find(gather, study);
    if (!pending)
        return;
    tdelete(pending, &gather->tree, compare);
    if (pending->previous)
        pending->previous->next = pending->next;
    else
        gather->oldest = pending->next;
    if (pending->next)
        pending->next->previous = pending->previous;
    else
        gather->newest = pending->previous;
    gather->count--;
    free(pending);
}

void gather_put_off(struct gather *gather, const char *study, int64_t due_ms)
{
    struct pending *pending = find(gather, study);
    if (!pending)
        return;
    pending->due_ms = due_ms;
    pending->put_off++;
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
    uint64_t position = gather->read;
    for (const struct pending *each = gather->oldest; each; each = each->next)
        if (each->first != UINT64_MAX && each->first - 1 < position)
            position = each->first - 1;
    return position;
}
