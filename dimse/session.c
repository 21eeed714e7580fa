/* SPDX-License-Identifier: MIT */
#include "dimse/session.h"

#include "base/audit.h"
#include "base/log.h"
#include "dimse/peers.h"
#include "dimse/service.h"

enum { HELD_LIMIT = 4 << 20 }; /* bytes of the data sets of requests that wait for their turn */

/* That of this service; else any one of the field, which tells its name and that we know it. */
static const struct service_row *find_row(uint16_t field, enum service service)
{
    const struct service_row *of_field = NULL;
    for (size_t i = 0; i < service_row_count; i++) {
        if (service_rows[i].field != field)
            continue;
        if (service_rows[i].service == service)
            return &service_rows[i];
        of_field = &service_rows[i];
    }
    return of_field;
}

void session_note_refusal(const struct session *session, const struct message *request,
                          const struct status *status)
{
    const struct service_row *row = find_row(request->command.field, request->context->service);
    uint32_t tag = status->offending_element;
    if (!tag && status->attribute_count) /* the first of the list that DIMSE-N has instead */
        tag = status->attributes[0];
    log_warn("dimse: request refused operation=%s calling_ae=\"%s\" status=%04X attribute=%04X%04X "
             "reason=\"%s\"",
             row ? row->name : "unknown", association_calling_ae(session->association),
             status->code, tag >> 16, tag & 0xFFFF, status->comment);
}

void session_note_forbidden(const struct session *session, const char *what)
{
    const struct audit_peer peer = { .ae_title = association_calling_ae(session->association),
                                     .address = session->address };
    audit_note(AUDIT_SECURITY_ALERT, AUDIT_RESTRICTED_FUNCTION, AUDIT_MINOR_FAILURE, &peer, what);
}

bool session_refuse(struct session *session, struct message *request, const struct status *status,
                    struct error *err)
{
    session->failed++;
    return message_drain(request, err) && message_respond(request, status, err);
}

/* DIMSE-N of the unified procedure step names the Push class in whatever context it comes (PS3.4
 * CC.3.1.1); the retrieval and notification of performed steps may name the class that made them.
 */
static bool is_class_of_context(const struct message *request)
{
    const struct command *command = &request->command;
    enum service service = request->context->service;
    if (service_is_ups(service) && command_is_normalized(command))
        return strcmp(command->sop_class, UID_UPS_PUSH) == 0;
    if ((service == SERVICE_MPPS_RETRIEVE || service == SERVICE_MPPS_NOTIFICATION) &&
        strcmp(command->sop_class, UID_MPPS) == 0)
        return true;
    return strcmp(command->sop_class, request->context->abstract_syntax) == 0;
}

/* N-CREATE may leave the UID to us (PS3.7 10.1.5.1.3); storage commitment, whose instance is
 * well-known, looks for itself. */
static bool lacks_instance(const struct message *request)
{
    const struct command *command = &request->command;
    return command_is_normalized(command) && request->context->service != SERVICE_COMMITMENT &&
           !command->sop_instance[0] && (command->names_instance || command->field != N_CREATE_RQ);
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
    if (!is_class_of_context(request))
        return status_make(unsupported, "SOP class is not that of the presentation context");
    if (row->service != request->context->service)
        return status_make(unsupported, "operation is not of this SOP class");
    if (!(request->context->roles & row->role))
        return status_make(unsupported, "the role for it was not negotiated");
    if (!peers_may(session->rights, row->service))
        return status_make(STATUS_NOT_AUTHORIZED, "calling AE title may not do this here");
    if (command->names_too_many)
        return status_make(STATUS_RESOURCE_LIMITATION, "the list of attributes is too long");
    if (lacks_instance(request))
        return status_make(STATUS_INVALID_INSTANCE, "SOP Instance UID is missing or malformed");
    return status_make(STATUS_SUCCESS, "");
}

static bool dispatch(struct session *session, struct message *request, struct error *err)
{
    const struct service_row *row = find_row(request->command.field, request->context->service);
    n_event_report_answered(session, &request->command);
    /* Nothing else of ours is being answered, and a cancel comes too late (PS3.7 9.3.2.3). */
    if (command_is_response(&request->command) || request->command.field == C_CANCEL_RQ)
        return message_drain(request, err);
    struct status status = check(session, request, row);
    if (status.code != STATUS_SUCCESS) {
        session_note_refusal(session, request, &status);
        if (status.code == STATUS_NOT_AUTHORIZED)
            session_note_forbidden(session, row->name);
        return session_refuse(session, request, &status, err);
    }
    return row->serve(session, request, err);
}

/* The next request: one that came in early, or one to wait for. */
static bool next_request(struct session *session, struct message *request, struct error *err)
{
    if (session->pending_count) {
        *request = session->pending[0];
        session->held -= request->held.size;
        session->pending_count--;
        memmove(session->pending, session->pending + 1,
                session->pending_count * sizeof(session->pending[0]));
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

static const char *run(struct session *session, struct error *err)
{
    struct message request;
    for (;;) {
        bool is_early = session->pending_count > 0;
        if (!next_request(session, &request, err))
            break;
        if (session->released && !is_early) {
            association_confirm_release(session->association);
            return "released";
        }
        bool ok = dispatch(session, &request, err);
        message_release(&request);
        if (!ok)
            break;
    }
    return error_name(err->code);
}

const char *session_run(struct session *session, struct error *err)
{
    const char *how = run(session, err);
    while (session->pending_count)
        message_release(&session->pending[--session->pending_count]);
    return how;
}

static bool is_active(const struct session *session, const struct message *active, uint16_t id)
{
    for (size_t i = 0; i < session->pending_count; i++)
        if (session->pending[i].command.message_id == id)
            return true;
    return active->command.message_id == id;
}

/* Can no more be read while an operation runs? */
static bool is_full(const struct session *session)
{
    size_t count = session->pending_count;
    if (count == 0)
        return false;
    return !session->pending[count - 1].is_held || count == SESSION_PENDING ||
           count + 1 >= association_operations(session->association);
}

/* It waits for its turn. With an asynchronous window what stands behind it may be read meanwhile, a
 * C-CANCEL for instance, as long as its data set is no instance. */
static bool put_off(struct session *session, struct message *early, struct error *err)
{
    bool fits = true;
    if (association_operations(session->association) > 1 && early->command.field != C_STORE_RQ) {
        if (!message_hold(early, HELD_LIMIT - session->held, &fits, err))
            return false;
        if (!fits) {
            struct status status = status_make(STATUS_RESOURCE_LIMITATION,
                                               "too much is outstanding on this association");
            return session_refuse(session, early, &status, err);
        }
        session->held += early->held.size;
    }
    session->pending[session->pending_count++] = *early;
    return true;
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
    if (is_active(session, active, command->message_id)) {
        struct status status = status_make(STATUS_DUPLICATE_INVOCATION,
                                           "this Message ID is still active");
        return session_refuse(session, early, &status, err);
    }
    return put_off(session, early, err);
}

bool session_poll(struct session *session, const struct message *request, bool *cancelled,
                  struct error *err)
{
    *cancelled = session->released;
    while (!*cancelled && !is_full(session) && association_has_input(session->association, 0)) {
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
