/* SPDX-License-Identifier: MIT */
/* N-ACTION of the Storage Commitment Push Model as SCP (PS3.4 J.3.2): the list is checked and kept,
 * and answered at once. What becomes of it: dimse/commitment.h. */
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "dicom/dataset.h"
#include "dimse/service.h"

enum {
    DATA_LIMIT = 4 << 20,
    ELEMENT_LIMIT = 100000,
    REFERENCE_LIMIT = 20000,
    ACTION_REQUEST_COMMITMENT = 1,
};

struct action {
    struct scan *scan;
    struct dataset *dataset;
    char transaction[UID_SIZE];
    struct reference *references;
    size_t count;
};

static void release(struct action *action)
{
    dataset_close(action->dataset);
    scan_free(action->scan);
    free(action->references);
}

static bool parse(struct action *action, const struct transfer_syntax *syntax, struct slice bytes,
                  struct error *err)
{
    struct scan_limits limits = scan_default_limits;
    limits.header_size = DATA_LIMIT;
    limits.value_size = DATA_LIMIT;
    limits.elements = ELEMENT_LIMIT;
    action->scan = scan_new(syntax, &limits);
    return scan_write(action->scan, bytes, err) && scan_finish(action->scan, err) &&
           dataset_open(scan_header(action->scan), syntax, NULL, 0, &action->dataset, err);
}

static bool read_references(struct action *action, struct error *err)
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

static size_t count_references(struct slice text)
{
    struct reference reference = { "", "" };
    size_t count = 0;
    while (references_next(&text, &reference))
        count++;
    return count;
}

static bool keep(struct session *session, struct action *action, struct error *err)
{
    struct buffer text = buffer_up_to(DATA_LIMIT);
    if (!session->line)
        session->line = commitment_line_new(session->commitment);
    references_write(action->references, action->count, &text);
    struct commitment_request request = {
        .calling_ae = association_calling_ae(session->association),
        .called_ae = association_called_ae(session->association),
        .transaction = action->transaction,
        .references = buffer_slice(&text),
        .count = count_references(buffer_slice(&text)),
        .line = session->line,
    };
    bool ok = buffer_check(&text, "references", err) &&
              commitment_add(session->commitment, &request, err);
    buffer_release(&text);
    return ok;
}

/* The statuses of PS3.7 10.1.4.1.10. */
static uint16_t code_of(const struct error *err)
{
    switch (err->code) {
    case ERROR_INVALID:
        return STATUS_INVALID_ARGUMENT;
    case ERROR_CONFLICT:
        return STATUS_PROCESSING_FAILURE;
    default:
        return STATUS_RESOURCE_LIMITATION;
    }
}

static struct status check(const struct message *request)
{
    const struct command *command = &request->command;
    if (strcmp(command->sop_instance, UID_COMMITMENT_INSTANCE) != 0)
        return status_make(STATUS_NO_SUCH_INSTANCE, "not the well-known SOP Instance");
    if (command->type_id != ACTION_REQUEST_COMMITMENT)
        return status_make(STATUS_NO_SUCH_ACTION, "Action Type ID is not 1");
    if (!command->has_data_set)
        return status_make(STATUS_INVALID_ARGUMENT, "the action information is missing");
    return status_make(STATUS_SUCCESS, "");
}

bool n_action(struct session *session, struct message *request, struct error *err)
{
    struct status status = check(request);
    struct action action = { .scan = NULL };
    struct error refusal = { .code = ERROR_NONE };
    struct buffer bytes = buffer_up_to(DATA_LIMIT);
    bool ok = false;
    if (status.code != STATUS_SUCCESS) {
        ok = session_refuse(session, request, &status, err);
        goto out;
    }
    if (!message_read_all(request, &bytes, err))
        goto out;
    if (bytes.overflowed)
        error_set(&refusal, ERROR_LIMIT, "the action information is too long");
    else if (parse(&action, request->context->syntax, buffer_slice(&bytes), &refusal) &&
             read_references(&action, &refusal))
        keep(session, &action, &refusal);
    if (refusal.code != ERROR_NONE) {
        status = status_make(code_of(&refusal), refusal.message);
        status.offending_element = refusal.tag;
        session->failed++;
    }
    log_info("dimse: commitment asked transaction=%s calling_ae=%s references=%zu status=%04X",
             action.transaction, association_calling_ae(session->association), action.count,
             status.code);
    ok = message_respond(request, &status, err);
out:
    release(&action);
    buffer_release(&bytes);
    return ok;
}
