/* SPDX-License-Identifier: MIT */
#pragma once
/* Changes gathered by study: which study is due when, and how far the feed is done with. Times are
 * monotonic milliseconds. One thread at a time. */

#include "archive/archive.h"

struct gather;

struct gather_options {
    int64_t quiet_ms;       /* without news */
    int64_t maximum_age_ms; /* since the first news */
    size_t limit;           /* of studies; 0: 100,000 */
};

struct gather *gather_new(const struct gather_options *options, uint64_t position);
void gather_free(struct gather *gather);

/* No room for another study: do not read on in the feed. */
bool gather_is_full(const struct gather *gather);
size_t gather_count(const struct gather *gather);

/* A change of this study, seen at `now_ms`, that came about `age_ms` before. */
void gather_add(struct gather *gather, const char *study, uint64_t sequence, int64_t now_ms,
                int64_t age_ms);
/* The study is to be tried at once, whatever the feed says (one that was parked). */
void gather_add_due(struct gather *gather, const char *study, int64_t now_ms);

/* The study that has been due for longest; NULL when none is. Borrowed until the next call that
 * changes anything. */
const char *gather_due(const struct gather *gather, int64_t now_ms);
/* When there will be one: INT64_MAX when nothing is waiting. */
int64_t gather_next_due(const struct gather *gather);

/* The study is sent (or parked). */
void gather_done(struct gather *gather, const char *study);
/* It is not: again at `due_ms`. */
void gather_put_off(struct gather *gather, const char *study, int64_t due_ms);
/* How often it was put off in a row. */
unsigned gather_attempts(const struct gather *gather, const char *study);

/* The last change read. */
uint64_t gather_read(const struct gather *gather);
/* Everything up to here is sent: what a restart may begin behind. */
uint64_t gather_position(const struct gather *gather);
