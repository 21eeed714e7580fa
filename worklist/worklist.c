/* SPDX-License-Identifier: MIT */
#include "worklist/worklist.h"

#include <stdlib.h>

#include "base/memory.h"
#include "worklist/core.h"

#define KEEP_DONE_MS (INT64_C(90) * 24 * 3600 * 1000)

bool worklist_open(struct storage *storage, const struct worklist_options *options,
                   struct worklist **out, struct error *err)
{
    if (!storage)
        return error_set(err, ERROR_INVALID, "a worklist without a storage");
    struct worklist *worklist = mem_alloc(sizeof(*worklist));
    worklist->storage = storage;
    if (options)
        worklist->options = *options;
    if (worklist->options.keep_done_ms <= 0)
        worklist->options.keep_done_ms = KEEP_DONE_MS;
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
