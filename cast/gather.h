/* SPDX-License-Identifier: MIT */
#pragma once
/* Changes gathered by study: which study is due when, and how far the feed is done with. Times are
 * monotonic milliseconds. Each call takes a time that grows with the logarithm of what waits. One
 * thread at a time. */

#include "archive/archive.h"

struct gather;

struct gather_options {
    int64_t quiet_ms;       /* without news */
    int64_t maximum_age_ms; /* since the first news */
    size_t limit;           /* of studies; 0: 100,000 */
};

struct gather *gather_new(const struct gather_options *options, uint64_t position);
void gather_free(struct gather *gather);

/* Is it waiting for its turn because the feed said so? */
bool gather_awaits(const struct gather *gather, const char *study);
/* When the change that it waits for was seen; INT64_MAX when it is not there. */
int64_t gather_began(const struct gather *gather, const char *study);

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

/* The study is being sent: it is not due until one of the calls below. Changes of it that come
 * meanwhile make it due again. False when it is being sent already, or there is no room for it; one
 * that is not waiting is taken in. */
bool gather_take(struct gather *gather, const char *study, int64_t now_ms);
size_t gather_taken(const struct gather *gather); /* how many are being sent */

/* The study is sent (or parked). */
void gather_done(struct gather *gather, const char *study);
/* It is not: again at `due_ms`. */
void gather_put_off(struct gather *gather, const char *study, int64_t due_ms);
/* It was not tried: due as before. */
void gather_give_back(struct gather *gather, const char *study);
/* The study's pause is over, and those of all when NULL. */
void gather_hurry(struct gather *gather, const char *study, int64_t now_ms);
/* How often it was put off in a row. */
unsigned gather_attempts(const struct gather *gather, const char *study);

/* Forgets all but what is being sent, and reads on behind the position. */
void gather_reset(struct gather *gather, uint64_t position);

/* When the oldest change that waits was seen first; INT64_MAX when none waits. */
int64_t gather_oldest(const struct gather *gather);
/* The last change read. */
uint64_t gather_read(const struct gather *gather);
/* Everything up to here is sent: what a restart may begin behind. */
uint64_t gather_position(const struct gather *gather);
