/* SPDX-License-Identifier: MIT */
#include "dimse/session.h"

#include "dimse/peers.h"
#include "dimse/service.h"

bool session_refuse(struct session *session, struct message *request, const struct status *status,
                    struct error *err)
{
    session->failed++;
    return message_drain(request, err) && message_respond(request, status, err);
}

/* What is wrong with a request before any service sees it (PS3.7 C.5); code 0: nothing. */
static struct status check(const struct session *session, const struct message *request,
                           const struct service_row *row)
{
    const struct command *command = &request->command;
    if (command->is_faulty)
        return status_make(STATUS_MISTYPED_ARGUMENT, "command set is not as PS3.7 has it");
    if (!row)
        return status_make(STATUS_UNRECOGNIZED_OPERATION, "unrecognized operation");
    if (!command->sop_class[0])
        return status_make(STATUS_MISTYPED_ARGUMENT, "SOP Class UID is missing or malformed");
    /* DIMSE-C and DIMSE-N have different names for it (PS3.7 C.5.6, C.5.20). */
    uint16_t unsupported = command_is_normalized(command) ? STATUS_NO_SUCH_CLASS
                                                          : STATUS_SOP_CLASS_NOT_SUPPORTED;
    if (strcmp(command->sop_class, request->context->abstract_syntax) != 0)
        return status_make(unsupported, "SOP class is not that of the presentation context");
    if (row->service != request->context->service)
        return status_make(unsupported, "operation is not of this SOP class");
    if (!(request->context->roles & row->role))
        return status_make(unsupported, "the role for it was not negotiated");
    if (!peers_may(session->peer, row->service))
        return status_make(STATUS_NOT_AUTHORIZED, "calling AE title may not do this here");
    return status_make(STATUS_SUCCESS, "");
}

static const struct service_row *find_row(uint16_t field)
{
    for (size_t i = 0; i < service_row_count; i++)
        if (service_rows[i].field == field)
            return &service_rows[i];
    return NULL;
}

static bool dispatch(struct session *session, struct message *request, struct error *err)
{
    const struct service_row *row = find_row(request->command.field);
    n_event_report_answered(session, &request->command);
    /* Nothing else of ours is being answered, and a cancel comes too late (PS3.7 9.3.2.3). */
    if (command_is_response(&request->command) || request->command.field == C_CANCEL_RQ)
        return message_drain(request, err);
    struct status status = check(session, request, row);
    if (status.code != STATUS_SUCCESS)
        return session_refuse(session, request, &status, err);
    return row->serve(session, request, err);
}

/* The next request: one that came in early, or one to wait for. */
static bool next_request(struct session *session, struct message *request, struct error *err)
{
    if (session->has_pending) {
        *request = session->pending;
        session->has_pending = false;
        association_begin(session->association);
        return true;
    }
    if (session->released)
        return true;
    for (bool woken = true; woken;) {
        int wake_fd = session->line ? commitment_line_fd(session->line) : -1;
        if (!association_wait_or(session->association, wake_fd, &woken, err) ||
            (woken && !n_event_report_send(session, err)))
            return false;
    }
    return message_receive(session->association, request, &session->released, err);
}

const char *session_run(struct session *session, struct error *err)
{
    struct message request;
    while (next_request(session, &request, err)) {
        if (session->released && !session->has_pending) {
            association_confirm_release(session->association);
            return "released";
        }
        if (!dispatch(session, &request, err))
            break;
    }
    return error_name(err->code);
}

/* A request that came in while another runs. True when the operation that runs is cancelled. */
static bool take_early(struct session *session, const struct message *active, struct message *early,
                       bool *cancelled, struct error *err)
{
    struct command *command = &early->command;
    bool is_cancel = command->field == C_CANCEL_RQ;
    if (is_cancel && command->responded_id == active->command.message_id)
        *cancelled = true;
    n_event_report_answered(session, command);
    if (is_cancel || command_is_response(command))
        return message_drain(early, err);
    if (command->message_id == active->command.message_id) {
        struct status status = status_make(STATUS_DUPLICATE_INVOCATION,
                                           "this Message ID is still active");
        return session_refuse(session, early, &status, err);
    }
    /* No asynchronous window was granted; it waits for its turn, and we read no further. */
    session->pending = *early;
    session->has_pending = true;
    return true;
}

bool session_poll(struct session *session, const struct message *request, bool *cancelled,
                  struct error *err)
{
    *cancelled = session->released;
    while (!*cancelled && !session->has_pending && association_has_input(session->association, 0)) {
        struct message early;
        association_begin(session->association);
        if (!message_receive(session->association, &early, &session->released, err))
            return false;
        if (session->released)
            *cancelled = true;
        else if (!take_early(session, request, &early, cancelled, err))
            return false;
    }
    return true;
}
