/* SPDX-License-Identifier: MIT */
#include "dimse/commitment_action.h"

#include <stdlib.h>

#include "base/memory.h"

enum { ELEMENT_LIMIT = 100000, REFERENCE_LIMIT = 20000 };

void commitment_action_release(struct commitment_action *action)
{
    dataset_close(action->dataset);
    scan_free(action->scan);
    free(action->references);
}

static bool parse(struct commitment_action *action, const struct transfer_syntax *syntax,
                  struct slice bytes, struct error *err)
{
    struct scan_limits limits = scan_default_limits;
    limits.header_size = COMMITMENT_ACTION_SIZE;
    limits.value_size = COMMITMENT_ACTION_SIZE;
    limits.elements = ELEMENT_LIMIT;
    action->scan = scan_new(syntax, &limits);
    return scan_write(action->scan, bytes, err) && scan_finish(action->scan, err) &&
           dataset_open(scan_header(action->scan), syntax, NULL, 0, &action->dataset, err);
}

static bool read_references(struct commitment_action *action, struct error *err)
{
    struct dataset_items items = dataset_items(action->dataset, TAG_REFERENCED_SOP_SEQUENCE);
    struct dataset *item;
    bool ok = true;
    if (!dataset_uid(action->dataset, TAG_TRANSACTION_UID, action->transaction))
        return error_set_tag(err, ERROR_INVALID, TAG_TRANSACTION_UID,
                             "Transaction UID is missing or malformed");
    while (ok && (item = dataset_items_next(&items))) {
        if (action->count == REFERENCE_LIMIT)
            ok = error_set(err, ERROR_LIMIT, "more than %d references", REFERENCE_LIMIT);
        if (ok && action->count % 256 == 0)
            action->references = mem_resize_array(action->references, action->count + 256,
                                                  sizeof(*action->references));
        if (ok) {
            struct reference *reference = &action->references[action->count++];
            ok = (dataset_uid(item, TAG_REFERENCED_SOP_CLASS_UID, reference->sop_class) &&
                  dataset_uid(item, TAG_REFERENCED_SOP_INSTANCE_UID, reference->sop_instance)) ||
                 error_set_tag(err, ERROR_INVALID, TAG_REFERENCED_SOP_SEQUENCE,
                               "a reference without its UIDs");
        }
        dataset_close(item);
    }
    if (ok && !action->count)
        return error_set_tag(err, ERROR_INVALID, TAG_REFERENCED_SOP_SEQUENCE,
                             "Referenced SOP Sequence is missing or empty");
    return ok;
}

bool commitment_action_read(struct commitment_action *action, const struct transfer_syntax *syntax,
                            struct slice bytes, struct error *err)
{
    return parse(action, syntax, bytes, err) && read_references(action, err);
}
