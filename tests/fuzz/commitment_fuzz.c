/* SPDX-License-Identifier: MIT */
/* The action information of a storage commitment request. The first byte chooses the transfer
 * syntax, the rest is the data set. The references that are read must survive being kept. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dimse/commitment_action.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct reference *a, const struct reference *b)
{
    return strcmp(a->sop_class, b->sop_class) == 0 && strcmp(a->sop_instance, b->sop_instance) == 0;
}

static void keep(struct commitment_action *action)
{
    struct buffer text = buffer_up_to(COMMITMENT_ACTION_SIZE);
    struct reference reference = { "", "" };
    size_t kept = 0;
    references_write(action->references, action->count, &text);
    struct slice rest = buffer_slice(&text);
    for (size_t i = 0; references_next(&rest, &reference); kept++) {
        /* They are in order now, and each is kept once. */
        while (i < action->count && !same(&action->references[i], &reference))
            i++;
        if (i == action->count)
            abort();
    }
    if (kept == 0 || kept > action->count)
        abort();
    buffer_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct commitment_action action = { .scan = NULL };
    struct error err;
    if (size == 0)
        return 0;
    const char *uid = data[0] & 1 ? UID_EXPLICIT_LITTLE_ENDIAN : UID_IMPLICIT_LITTLE_ENDIAN;
    if (commitment_action_read(&action, transfer_syntax_find(slice_text(uid)),
                               slice_of(data + 1, size - 1), &err))
        keep(&action);
    commitment_action_release(&action);
    return 0;
}
