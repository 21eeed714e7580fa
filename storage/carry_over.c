/* SPDX-License-Identifier: MIT */
/* What of an old index is taken into a rebuilt one, because no blob tells of it. */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "storage/index_swap.h"
#include "storage/store.h"

enum { PATH_SIZE = 4096, BATCH_BYTES = 4 << 20 };

/* False only when the new index cannot be written; what cannot be read ends it with `why`. */
static bool copy_range(struct storage *storage, struct keyvalue *old,
                       const struct storage_range *range, uint64_t *count, struct error *why,
                       struct error *err)
{
    struct keyvalue_cursor *cursor = NULL;
    struct transaction *transaction = NULL;
    struct slice key, value;
    size_t bytes = 0;
    bool found = true, ok = true;
    if (!old->operations->cursor_open(old, range->table, range->from, range->until, false, &cursor,
                                      why))
        return true;
    while (ok && cursor->operations->cursor_next(cursor, &key, &value, &found, why) && found) {
        ok = transaction || transaction_open(storage, &transaction, err);
        if (!ok)
            break;
        transaction_put(transaction, range->table, key, value);
        (*count)++;
        bytes += key.size + value.size;
        if (bytes < BATCH_BYTES)
            continue;
        ok = transaction_commit_unsynced(transaction, err);
        transaction_close(transaction);
        transaction = NULL;
        bytes = 0;
    }
    if (ok && transaction)
        ok = transaction_commit_unsynced(transaction, err);
    transaction_close(transaction);
    cursor->operations->cursor_close(cursor);
    return ok;
}

/* NULL where there is none, or with `why`. */
static struct keyvalue *open_old(const struct storage *storage, struct error *why)
{
    struct keyvalue *old = NULL;
    char path[PATH_SIZE];
    if (faccessat(storage->folder_fd, INDEX_FOLDER "/CURRENT", F_OK, 0) != 0)
        return NULL;
    snprintf(path, sizeof(path), "%s/" INDEX_FOLDER, storage->path);
    return rocks_open(path, &old, why) ? old : NULL;
}

struct storage *storage_old_view_open(struct storage *storage)
{
    struct error why = { .code = ERROR_NONE };
    struct keyvalue *old = open_old(storage, &why);
    if (!old && why.code != ERROR_NONE)
        log_warn("storage: the old index cannot be read: %s", why.message);
    if (!old)
        return NULL;
    struct storage *view = mem_alloc(sizeof(*view));
    view->keyvalue = old;
    pthread_mutex_init(&view->feed_lock, NULL);
    return view;
}

bool storage_carry_over(struct storage *storage, const struct storage_range *ranges, size_t count,
                        uint64_t *keys, enum storage_carried *carried, struct error *err)
{
    struct error why = { .code = ERROR_NONE };
    *keys = 0;
    bool ok = true;
    struct keyvalue *old = open_old(storage, &why);
    *carried = old ? STORAGE_CARRIED_ALL : STORAGE_CARRIED_NOTHING;
    if (old) {
        for (size_t i = 0; ok && i < count; i++)
            ok = copy_range(storage, old, &ranges[i], keys, &why, err);
        old->operations->close(old);
    }
    if (why.code != ERROR_NONE) {
        *carried = STORAGE_CARRIED_PART;
        log_warn("storage: not all of the old index could be taken over: %s", why.message);
    }
    return ok;
}
