/* SPDX-License-Identifier: MIT */
#include "archive/uid_set.h"

#include <stdlib.h>

#include "base/memory.h"

static int compare_uids(const void *a, const void *b)
{
    return strcmp(a, b);
}

struct uid_set uid_set_read(const char *list)
{
    struct uid_set set = { NULL, 0 };
    struct slice rest = slice_text(list);
    size_t most = rest.size ? 1 : 0;
    for (size_t i = 0; i < rest.size; i++)
        most += rest.data[i] == '\\';
    if (!most)
        return set;
    set.uids = mem_alloc_array(most, sizeof(*set.uids));
    while (rest.size) {
        const uint8_t *end = memchr(rest.data, '\\', rest.size);
        size_t size = end ? (size_t)(end - rest.data) : rest.size;
        set.count += uid_copy(slice_take(rest, size), set.uids[set.count]);
        rest = slice_skip(rest, end ? size + 1 : size);
    }
    qsort(set.uids, set.count, sizeof(*set.uids), compare_uids);
    size_t kept = 0;
    for (size_t i = 0; i < set.count; i++) {
        if (!kept || strcmp(set.uids[kept - 1], set.uids[i]) != 0)
            memmove(set.uids[kept++], set.uids[i], UID_SIZE);
    }
    set.count = kept;
    return set;
}

void uid_set_release(struct uid_set *set)
{
    free(set->uids);
    set->uids = NULL;
    set->count = 0;
}

bool uid_set_has(const struct uid_set *set, const char *uid)
{
    return set->count &&
           bsearch(uid, set->uids, set->count, sizeof(*set->uids), compare_uids) != NULL;
}
