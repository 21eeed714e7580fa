/* SPDX-License-Identifier: MIT */
#include "archive/delete.h"

#include "archive/hold.h"
#include "archive/lookup.h"
#include "archive/tree.h"
#include "base/clock.h"
#include "base/metrics.h"

/* Instances in one transaction: while it holds the write turn, all who store are waiting. What is
 * bigger goes leaf by leaf, so that a crash leaves a smaller study, and a whole one. */
enum { BATCH_MAX = 10000 };

static bool remove_all(struct tree *tree, struct storage_cursor *cursor, uint64_t *count,
                       struct error *err)
{
    struct instance_record record;
    struct slice key, value;
    bool found = true;
    bool ok = true;
    int64_t now = clock_unix_ms();
    instance_record_init(&record);
    while (ok && *count < BATCH_MAX &&
           (ok = storage_cursor_next(cursor, &key, &value, &found, err)) && found) {
        struct identity identity = { 0 };
        ok = instance_record_decode(value, &record, err) &&
             (key_split_place(slice_skip(key, 1), &identity) ||
              error_set(err, ERROR_CORRUPT, "a key of the index cannot be read")) &&
             tree_remove(tree, &identity, &record, now, err);
        *count += ok;
    }
    instance_record_release(&record);
    return ok;
}

/* The keys of the instances at a place. */
static void place_range(const char *study, const char *series, const char *instance,
                        struct key *lower, struct key *upper)
{
    if (is_empty_text(instance)) {
        key_children(lower, RECORD_INSTANCE, study, series);
        key_after_prefix(upper, key_slice(lower));
    } else {
        key_place(lower, RECORD_INSTANCE, study, series, instance);
        *upper = *lower;
        key_add_byte(upper, 0);
    }
}

/* Removes up to BATCH_MAX instances in one step. */
static bool remove_batch(struct archive *archive, const char *study, const char *series,
                         const char *instance, uint64_t *count, struct error *err)
{
    struct transaction *transaction = NULL;
    struct storage_cursor *cursor = NULL;
    struct tree tree;
    struct key lower, upper;
    *count = 0;
    if (!transaction_open(archive->storage, &transaction, err))
        return false;
    if (!hold_check(transaction, study, err)) {
        transaction_close(transaction);
        return false;
    }
    place_range(study, series, instance, &lower, &upper);
    /* Nobody else writes in the turn, so the cursor sees what the transaction reads. */
    bool ok = tree_open(&tree, archive, transaction, study, err) &&
              storage_cursor_open(archive->storage, TABLE_RECORD, key_slice(&lower),
                                  key_slice(&upper), &cursor, err) &&
              remove_all(&tree, cursor, count, err);
    storage_cursor_close(cursor);
    if (ok && *count)
        ok = tree_save(&tree, err) && transaction_commit(transaction, err);
    tree_close(&tree);
    transaction_close(transaction);
    if (ok)
        metric_add(METRIC_INSTANCES_DELETED, (int64_t)*count);
    return ok;
}

bool archive_delete(struct archive *archive, const char *study, const char *series,
                    const char *instance, uint64_t *count, struct error *err)
{
    uint64_t batch;
    *count = 0;
    if (!lookup_is_place(study, series, instance) ||
        (is_empty_text(series) && !is_empty_text(instance)))
        return error_set(err, ERROR_NOT_FOUND, "no such study, series or instance");
    do {
        if (!remove_batch(archive, study, series, instance, &batch, err))
            return false;
        *count += batch;
    } while (batch == BATCH_MAX);
    return *count || lookup_absent(archive, study, series, instance, err);
}
