/* SPDX-License-Identifier: MIT */
/* N-ACTION of the Storage Commitment Push Model as SCP (PS3.4 J.3.2): the list is checked and kept,
 * and answered at once. What becomes of it: dimse/commitment.h. */
#include "base/log.h"
#include "dimse/commitment_action.h"
#include "dimse/service.h"

enum { ACTION_REQUEST_COMMITMENT = 1 };

static bool keep(struct session *session, struct commitment_action *action, struct error *err)
{
    if (!session->line)
        session->line = commitment_line_new(session->commitment);
    struct commitment_request request = {
        .calling_ae = association_calling_ae(session->association),
        .called_ae = association_called_ae(session->association),
        .transaction = action->transaction,
        .references = buffer_slice(&action->references),
        .count = action->count,
        .line = session->line,
    };
    return commitment_add(session->commitment, &request, err);
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
    struct commitment_action action = { .scan = NULL };
    struct error refusal = { .code = ERROR_NONE };
    struct buffer bytes = buffer_up_to(COMMITMENT_ACTION_SIZE);
    bool ok = false;
    if (status.code != STATUS_SUCCESS) {
        ok = session_refuse(session, request, &status, err);
        goto out;
    }
    if (!message_read_all(request, &bytes, err))
        goto out;
    if (bytes.overflowed)
        error_set(&refusal, ERROR_LIMIT, "the action information is too long");
    else if (commitment_action_read(&action, request->context->syntax, buffer_slice(&bytes),
                                    &refusal))
        keep(session, &action, &refusal);
    if (refusal.code != ERROR_NONE) {
        status = status_make(code_of(&refusal), refusal.message);
        status.offending_element = refusal.tag;
        session->failed++;
    }
    log_info("dimse: commitment asked transaction=%s calling_ae=\"%s\" references=%zu status=%04X",
             action.transaction, association_calling_ae(session->association), action.count,
             status.code);
    ok = message_respond(request, &status, err);
out:
    commitment_action_release(&action);
    buffer_release(&bytes);
    return ok;
}
