/* SPDX-License-Identifier: MIT */
/* The action information of a storage commitment request. The first byte chooses the transfer
 * syntax, the rest is the data set. The references that are read must survive being kept. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dimse/commitment_action.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In order, each once, and as many as were counted. */
static void check(const struct commitment_action *action)
{
    struct reference before = { "", "" }, reference = { "", "" };
    struct slice rest = buffer_slice(&action->references);
    size_t count = 0;
    for (; references_next(&rest, &reference); count++) {
        int order = strcmp(before.sop_class, reference.sop_class);
        if (order > 0 || (!order && strcmp(before.sop_instance, reference.sop_instance) >= 0))
            abort();
        before = reference;
    }
    if (count == 0 || count != action->count)
        abort();
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
        check(&action);
    commitment_action_release(&action);
    return 0;
}
