/* SPDX-License-Identifier: MIT */
/* N-EVENT-REPORT of the Storage Commitment Push Model (PS3.4 J.3.3): sent over the requester's own
 * association when it is idle. One that comes to us is about a transaction that is none of ours. */
#include "dimse/service.h"

bool n_event_report(struct session *session, struct message *request, struct error *err)
{
    struct status status = status_make(STATUS_PROCESSING_FAILURE, "no such transaction");
    return session_refuse(session, request, &status, err);
}

/* The context that commitment was asked for over. */
static const struct presentation_context *find_context(const struct session *session)
{
    const struct presentation_context *context;
    for (size_t i = 0; (context = association_context_at(session->association, i)); i++)
        if (context->result == CONTEXT_ACCEPTED && context->service == SERVICE_COMMITMENT &&
            context->roles & ROLE_SCU)
            return context;
    return NULL;
}

bool n_event_report_send(struct session *session, struct error *err)
{
    const struct presentation_context *context = find_context(session);
    const struct commitment_report *report;
    uint16_t message_id;
    while ((report = commitment_line_take(session->line, &message_id)))
        if (!context ||
            !commitment_report_send(report, session->association, context->id, message_id, err))
            return false;
    return true;
}

void n_event_report_answered(struct session *session, const struct command *response)
{
    if (session->line && response->field == (N_EVENT_REPORT_RQ | COMMAND_RESPONSE))
        commitment_line_answered(session->line, response->responded_id, response->status);
}
