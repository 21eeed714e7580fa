/* SPDX-License-Identifier: MIT */
#include "archive/commitment_check.h"

#include <stdlib.h>

#include "archive/commit_check.h"
#include "base/clock.h"
#include "base/memory.h"

void commitment_result_release(struct commitment_result *result)
{
    buffer_release(&result->references);
    free(result->reasons);
    result->reasons = NULL;
}

/* What nobody knows may be stored as well. */
static bool is_storage(const char *sop_class)
{
    const struct sop_class *known = sop_class_find(slice_text(sop_class));
    return !known || known->kind == SOP_CLASS_STORAGE || known->kind == SOP_CLASS_STORAGE_RETIRED;
}

static enum commitment_reason reason_of(enum commit_state state, const char *sop_class)
{
    switch (state) {
    case COMMIT_HELD:
        return COMMITMENT_HELD;
    case COMMIT_OTHER_CLASS:
        return COMMITMENT_CLASS_CONFLICT;
    case COMMIT_DAMAGED:
        return COMMITMENT_FAILED;
    case COMMIT_ABSENT:
        break;
    }
    return is_storage(sop_class) ? COMMITMENT_NO_INSTANCE : COMMITMENT_NO_CLASS;
}

struct check {
    struct archive *archive;
    bool (*cancelled)(void *context);
    void *context;
    bool read_bytes;
};

/* Looks at every instance. With read_bytes this takes as long as the disk does; without, it stops
 * at the first that is not here. *missing counts those. */
static bool look(const struct check *check, struct commitment_result *result, size_t *missing,
                 struct error *err)
{
    struct slice rest = buffer_slice(&result->references);
    struct reference reference = { "", "" };
    *missing = 0;
    result->failed = 0;
    for (size_t i = 0; i < result->count && references_next(&rest, &reference); i++) {
        enum commit_state state;
        if (check->cancelled(check->context))
            return error_set(err, ERROR_STOPPED, "the server stops");
        if (!commit_check(check->archive, reference.sop_class, reference.sop_instance,
                          check->read_bytes, &state, err))
            return false;
        result->reasons[i] = (uint16_t)reason_of(state, reference.sop_class);
        result->failed += result->reasons[i] != COMMITMENT_HELD;
        *missing += result->reasons[i] == COMMITMENT_NO_INSTANCE;
        if (*missing && !check->read_bytes)
            return true;
    }
    return true;
}

bool commitment_check(struct archive *archive, const struct commitment_entry *entry,
                      int64_t wait_ms, bool (*cancelled)(void *context), void *context,
                      struct commitment_result *result, struct error *err)
{
    struct check check = { archive, cancelled, context, false };
    size_t missing = 0;
    *result = (struct commitment_result){ .references = buffer_up_to(COMMITMENT_REFERENCES_SIZE),
                                          .count = entry->count };
    result->reasons = mem_alloc_array(entry->count, sizeof(*result->reasons));
    if (!commitment_queue_references(archive, entry, &result->references, err) ||
        !commit_settle(archive, err))
        return false;
    if (clock_unix_ms() < entry->received_ms + wait_ms) {
        if (!look(&check, result, &missing, err))
            return false;
        if (missing) {
            err->code = ERROR_NONE;
            return false;
        }
    }
    check.read_bytes = true;
    return look(&check, result, &missing, err);
}
