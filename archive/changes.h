/* SPDX-License-Identifier: MIT */
#pragma once
/* The change feed in the archive's terms, and followers' saved positions. One create per stored
 * instance, one update when other content takes its place, one delete per deleted instance, in an
 * order that never changes. Thread-safe; a cursor belongs to one thread at a time. */

#include "archive/archive.h"
#include "base/buffer.h"

enum change_action { CHANGE_CREATE, CHANGE_UPDATE, CHANGE_DELETE };

struct change {
    uint64_t sequence;
    struct identity identity;
    enum change_action action;
    int64_t at_ms; /* Unix time */
};

uint64_t changes_latest(struct archive *archive); /* 0: none yet */
/* How many changes there are after `after`, about: numbers that may have one. */
uint64_t changes_behind(struct archive *archive, uint64_t after);
/* The last one that there is (for changefeed/latest): after a restore its number is below
 * changes_latest. *found false when there is none. */
bool changes_last(struct archive *archive, struct change *change, bool *found, struct error *err);
/* One change by its number: *found false when there is none. */
bool changes_get(struct archive *archive, uint64_t sequence, struct change *change, bool *found,
                 struct error *err);

struct changes;
bool changes_open(struct archive *archive, uint64_t after, struct changes **out, struct error *err);
bool changes_next(struct changes *changes, struct change *change, bool *found, struct error *err);
void changes_close(struct changes *changes);

/* What became of the instance of a change: still as then ("current"), stored anew later
 * ("replaced"), or "deleted". */
enum change_state { CHANGE_CURRENT, CHANGE_REPLACED, CHANGE_DELETED };
bool changes_state(struct archive *archive, const struct change *change, enum change_state *state,
                   struct error *err);

/* Waits until there is a change after `after`; false after timeout_ms or on changes_wake. */
bool changes_wait(struct archive *archive, uint64_t after, int64_t timeout_ms);
void changes_wake(struct archive *archive);

/* A follower's saved position (0 at first) and its own small state by key, all durable when the
 * call returns. A value of size 0 removes the key. */
bool follower_position(struct archive *archive, const char *follower, uint64_t *position,
                       struct error *err);
bool follower_save(struct archive *archive, const char *follower, uint64_t position,
                   struct error *err);
bool follower_get(struct archive *archive, const char *follower, const char *key,
                  struct buffer *value, bool *found, struct error *err);
bool follower_put(struct archive *archive, const char *follower, const char *key,
                  struct slice value, struct error *err);
/* The next key after `after` ("" for the first): *found false at the end. */
bool follower_next_key(struct archive *archive, const char *follower, const char *after,
                       struct buffer *key, bool *found, struct error *err);
