/* SPDX-License-Identifier: MIT */
#include "worklist/worklist.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "dicom/date_time.h"
#include "worklist/core.h"
#include "worklist/performed_parts.h"
#include "worklist/step_parts.h"

enum { PURGE_MAX = 1000, PURGE_IN_TURN = 100, SUBSCRIBER_LIMIT = 10000 };
#define KEEP_DONE_MS (INT64_C(90) * 24 * 3600 * 1000)

bool worklist_open(struct storage *storage, const struct worklist_options *options,
                   struct worklist **out, struct error *err)
{
    if (!storage)
        return error_set(err, ERROR_INVALID, "a worklist without a storage");
    struct worklist *worklist = mem_alloc(sizeof(*worklist));
    worklist->storage = storage;
    worklist->subscriptions = -1;
    if (options)
        worklist->options = *options;
    if (worklist->options.keep_done_ms <= 0)
        worklist->options.keep_done_ms = KEEP_DONE_MS;
    if (!worklist->options.subscriber_limit)
        worklist->options.subscriber_limit = SUBSCRIBER_LIMIT;
    *out = worklist;
    return true;
}

void worklist_close(struct worklist *worklist)
{
    free(worklist);
}

const struct worklist_options *worklist_options(const struct worklist *worklist)
{
    return &worklist->options;
}

/* Step and performed step; work items have rules of their own (workitem.h). What is started and not
 * over stays, however old it is. */
static bool is_forgotten(const struct object *object, int64_t before_ms)
{
    return object->changed_ms < before_ms &&
           (object->kind != OBJECT_STEP || step_is_over(object->state));
}

/* Keys of what is to be forgotten, a NUL behind each: found before the turn, which others wait for.
 */
static bool find_forgotten(struct worklist *worklist, enum object_kind kind, int64_t before_ms,
                           size_t most, struct buffer *keys, struct error *err)
{
    char date[DATE_TEXT_SIZE];
    struct object object = object_init();
    struct object_walk *walk = NULL;
    bool found = true;
    date_format(before_ms * 1000, date);
    const struct object_range range = { .kind = kind, .shelf = OBJECT_DONE, .last = date };
    bool ok = object_walk_open(worklist, &range, &walk, err);
    while (ok && most && (ok = object_walk_next(walk, &object, &found, err)) && found) {
        if (!is_forgotten(&object, before_ms))
            continue;
        buffer_append(keys, slice_of(object.key, strlen(object.key) + 1));
        most--;
    }
    object_walk_close(walk);
    object_release(&object);
    return ok;
}

/* The first of them; *keys: the others. */
static bool forget_some(struct worklist *worklist, enum object_kind kind, int64_t before_ms,
                        struct slice *keys, size_t *count, struct error *err)
{
    struct object object = object_init();
    struct turn *turn = NULL;
    bool found;
    bool ok = turn_open(worklist, &turn, err);
    for (size_t i = 0; ok && keys->size && i < PURGE_IN_TURN; i++) {
        const char *key = (const char *)keys->data;
        *keys = slice_skip(*keys, strlen(key) + 1);
        ok = turn_get(turn, kind, key, &object, &found, err);
        if (!ok || !found || !is_forgotten(&object, before_ms))
            continue;
        ok = kind == OBJECT_PERFORMED ? performed_forget(turn, &object, err)
                                      : turn_delete(turn, kind, key, &found, err);
        (*count)++;
    }
    ok = ok && turn_commit(turn, err);
    turn_close(turn);
    object_release(&object);
    return ok;
}

static bool purge_kind(struct worklist *worklist, enum object_kind kind, int64_t before_ms,
                       size_t *count, struct error *err)
{
    struct buffer keys = buffer_up_to(PURGE_MAX * OBJECT_KEY_SIZE);
    bool ok = find_forgotten(worklist, kind, before_ms, PURGE_MAX - *count, &keys, err);
    struct slice rest = buffer_slice(&keys);
    while (ok && rest.size)
        ok = forget_some(worklist, kind, before_ms, &rest, count, err);
    buffer_release(&keys);
    return ok;
}

bool worklist_purge(struct worklist *worklist, size_t *count, struct error *err)
{
    int64_t before_ms = clock_unix_ms() - worklist->options.keep_done_ms;
    *count = 0;
    return purge_kind(worklist, OBJECT_STEP, before_ms, count, err) &&
           purge_kind(worklist, OBJECT_PERFORMED, before_ms, count, err);
}
