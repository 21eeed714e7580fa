/* SPDX-License-Identifier: MIT */
#include "dimse/commitment_action.h"

enum { ELEMENT_LIMIT = 100000 };

void commitment_action_release(struct commitment_action *action)
{
    dataset_close(action->dataset);
    scan_free(action->scan);
    buffer_release(&action->references);
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
    if (!dataset_uid(action->dataset, TAG_TRANSACTION_UID, action->transaction))
        return error_set_tag(err, ERROR_INVALID, TAG_TRANSACTION_UID,
                             "Transaction UID is missing or malformed");
    return references_read(action->dataset, &action->references, &action->count, err);
}

bool commitment_action_read(struct commitment_action *action, const struct transfer_syntax *syntax,
                            struct slice bytes, struct error *err)
{
    action->references = buffer_up_to(COMMITMENT_REFERENCES_SIZE);
    return parse(action, syntax, bytes, err) && read_references(action, err);
}
