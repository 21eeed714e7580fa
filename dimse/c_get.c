/* SPDX-License-Identifier: MIT */
/* C-GET as SCP (PS3.4 C.4.3): what is selected comes back by C-STORE on the same association, over
 * the contexts in which the requester was given the SCP role. While it runs the association is
 * ours: besides the responses only C-CANCEL has a place there. */
#include "base/clock.h"
#include "base/log.h"
#include "dimse/retrieval.h"
#include "dimse/service.h"

enum { LOOK_INTERVAL_MS = 5 };

struct get {
    struct retrieval retrieval;
    struct delivery_way way;
    int64_t looked_ms;   /* when the socket was last looked at */
    uint16_t message_id; /* of the C-STORE-RQ that is being answered */
    bool is_answered;
    uint16_t status;
};

/* A message that came while the operation runs. False when the association has ended. */
static bool take_message(struct get *get, struct error *err)
{
    struct session *session = get->retrieval.session;
    struct message message;
    association_begin(session->association);
    if (!message_receive(session->association, &message, &session->released, err))
        return false;
    if (session->released) {
        get->retrieval.cancelled = true;
        return true;
    }
    const struct command *command = &message.command;
    if (command->field == (C_STORE_RQ | COMMAND_RESPONSE) &&
        command->responded_id == get->message_id) {
        get->is_answered = true;
        get->status = command->status;
    } else if (command->field == C_CANCEL_RQ &&
               command->responded_id == get->retrieval.request->command.message_id) {
        get->retrieval.cancelled = true;
    } else if (command->field != C_CANCEL_RQ && !command_is_response(command)) {
        /* It cannot wait unread: the responses come behind it. */
        struct status busy = status_make(STATUS_RESOURCE_LIMITATION, "a C-GET is running");
        return session_refuse(session, &message, &busy, err);
    }
    return message_drain(&message, err);
}

/* Has it been cancelled? False when the association has ended. */
static bool look(struct get *get, struct error *err)
{
    struct association *association = get->retrieval.session->association;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - get->looked_ms < LOOK_INTERVAL_MS)
        return true;
    get->looked_ms = now_ms;
    while (!get->retrieval.cancelled && association_has_input(association, 0))
        if (!take_message(get, err))
            return false;
    return true;
}

/* Waits for the C-STORE-RSP; no more of it comes from a peer that released. */
static bool await_answer(struct get *get, struct error *err)
{
    struct session *session = get->retrieval.session;
    int64_t deadline_ms = clock_monotonic_ms() + session->options->message_timeout_ms;
    while (!get->is_answered && !session->released) {
        if (association_has_input(session->association, RETRIEVAL_REPORT_MS)) {
            if (!take_message(get, err))
                return false;
        } else if (clock_monotonic_ms() >= deadline_ms) {
            association_abort(session->association, ABORT_BY_USER, ABORT_NOT_SPECIFIED);
            return error_set(err, ERROR_TIMEOUT, "a C-STORE sub-operation was not answered");
        } else if (!retrieval_report(&get->retrieval, err)) {
            return false;
        }
    }
    return true;
}

/* One sub-operation. False when the association has ended. */
static bool deliver(struct get *get, struct instance *instance, struct error *err)
{
    struct retrieval *retrieval = &get->retrieval;
    struct association *association = retrieval->session->association;
    struct error failure = { .code = ERROR_NONE };
    enum delivery delivery = NOT_DELIVERED;
    bool broken;
    struct command command = {
        .message_id = ++get->message_id,
        .priority = retrieval->request->command.priority,
    };
    get->is_answered = false;
    if (delivery_send(&get->way, instance, &command, &broken, &failure)) {
        if (!await_answer(get, err))
            return false;
        if (get->is_answered)
            delivery = delivery_of_status(get->status, &failure);
        else
            error_set(&failure, ERROR_CLOSED, "released before the answer");
    } else if (broken) {
        /* Half a data set can only be taken back with the association. */
        association_abort(association, ABORT_BY_USER, ABORT_NOT_SPECIFIED);
        *err = failure;
        return false;
    }
    retrieval_count(retrieval, instance_identity(instance)->instance, delivery, &failure);
    return retrieval->cancelled || retrieval_report(retrieval, err);
}

static bool send_all(struct get *get, struct retrieve *retrieve, struct error *err)
{
    struct retrieval *retrieval = &get->retrieval;
    for (;;) {
        struct instance *instance = NULL;
        struct error failure;
        if (!look(get, err))
            return false;
        if (retrieval->cancelled)
            return true;
        if (!retrieve_next(retrieve, &instance, &failure)) {
            retrieval->first_failure = failure;
            return true;
        }
        if (!instance)
            return true;
        if (!deliver(get, instance, err))
            return false;
    }
}

static bool run(struct get *get, struct error *err)
{
    struct retrieval *retrieval = &get->retrieval;
    struct retrieve *retrieve = NULL;
    struct error refusal;
    if (!retrieve_open(retrieval->session->archive, &retrieval->selection, &retrieve, &refusal)) {
        struct status status = status_from_error(SERVICE_GET, &refusal);
        session_note_refusal(retrieval->session, retrieval->request, &status);
        return message_respond(retrieval->request, &status, err);
    }
    retrieval->total = retrieve_count(retrieve);
    bool ok = send_all(get, retrieve, err);
    retrieve_close(retrieve);
    log_info("dimse: got calling_ae=\"%s\" completed=%llu failed=%llu warning=%llu why=\"%s\"",
             association_calling_ae(retrieval->session->association),
             (unsigned long long)retrieval->completed, (unsigned long long)retrieval->failed,
             (unsigned long long)retrieval->warning, retrieval->first_failure.message);
    return ok && retrieval_finish(retrieval, err);
}

bool c_get(struct session *session, struct message *request, struct error *err)
{
    struct file_reader reader = { .is_open = false };
    struct get get = {
        .way = { .association = session->association, .role = ROLE_SCP, .reader = &reader }
    };
    get.way.without_bulk = strcmp(request->context->abstract_syntax, UID_WITHOUT_BULK_GET) == 0;
    struct identifier identifier;
    struct error refusal = { .code = ERROR_NONE };
    struct status status;
    bool ok = false;
    retrieval_init(&get.retrieval, session, request);
    if (identifier_receive(request, &identifier, &refusal, err) &&
        retrieval_select(&get.retrieval, &identifier, &refusal)) {
        bool has_all = retrieval_excerpt(&get.retrieval, &identifier, &status);
        get.way.excerpt = get.retrieval.excerpt;
        if (!has_all)
            session_note_refusal(session, request, &status);
        ok = has_all ? run(&get, err) : message_respond(request, &status, err);
    } else if (!association_has_ended(session->association)) {
        status = status_from_error(SERVICE_GET, &refusal);
        session_note_refusal(session, request, &status);
        ok = message_respond(request, &status, err);
    }
    file_reader_release(&reader);
    retrieval_release(&get.retrieval);
    identifier_release(&identifier);
    return ok;
}
