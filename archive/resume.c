/* SPDX-License-Identifier: MIT */
#include "archive/resume.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { POINTS = 256 };

struct point {
    uint64_t used; /* by the clock of uses; 0: free */
    struct walk_range range;
    uint64_t passed;
    struct key last;
};

struct resume {
    pthread_mutex_t lock;
    uint64_t uses;               /* guarded by lock */
    struct point points[POINTS]; /* likewise; those never used cost no memory */
};

struct resume *resume_new(void)
{
    struct resume *resume = mem_alloc(sizeof(*resume));
    pthread_mutex_init(&resume->lock, NULL);
    return resume;
}

void resume_free(struct resume *resume)
{
    if (!resume)
        return;
    pthread_mutex_destroy(&resume->lock);
    free(resume);
}

static bool is_same(const struct walk_range *a, const struct walk_range *b)
{
    return a->change == b->change && a->table == b->table &&
           slice_equal(key_slice(&a->lower), key_slice(&b->lower)) &&
           slice_equal(key_slice(&a->upper), key_slice(&b->upper));
}

static void copy_key(struct key *to, const struct key *from)
{
    memcpy(to->bytes, from->bytes, from->size);
    to->size = from->size;
}

void resume_find(struct resume *resume, const struct walk_range *range, uint64_t wanted,
                 struct key *last, uint64_t *passed)
{
    struct point *best = NULL;
    pthread_mutex_lock(&resume->lock);
    for (size_t i = 0; i < POINTS; i++) {
        struct point *point = &resume->points[i];
        if (point->used && point->passed <= wanted && (!best || point->passed > best->passed) &&
            is_same(&point->range, range))
            best = point;
    }
    *passed = best ? best->passed : 0;
    if (best) {
        best->used = ++resume->uses;
        copy_key(last, &best->last);
    }
    pthread_mutex_unlock(&resume->lock);
}

void resume_note(struct resume *resume, const struct walk_range *range, uint64_t passed,
                 const struct key *last)
{
    pthread_mutex_lock(&resume->lock);
    struct point *oldest = &resume->points[0];
    for (size_t i = 0; i < POINTS; i++) {
        struct point *point = &resume->points[i];
        if (point->used && point->passed == passed && is_same(&point->range, range)) {
            oldest = point;
            break;
        }
        if (point->used < oldest->used)
            oldest = point;
    }
    oldest->used = ++resume->uses;
    oldest->passed = passed;
    oldest->range.table = range->table;
    oldest->range.change = range->change;
    copy_key(&oldest->range.lower, &range->lower);
    copy_key(&oldest->range.upper, &range->upper);
    copy_key(&oldest->last, last);
    pthread_mutex_unlock(&resume->lock);
}
