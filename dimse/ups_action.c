/* SPDX-License-Identifier: MIT */
/* N-ACTION of the unified procedure step (PS3.4 CC.2.1 to CC.2.3): states, requests to cancel,
 * subscriptions. */
#include "base/log.h"
#include "dimse/peers.h"
#include "dimse/service.h"
#include "dimse/ups.h"
#include "worklist/subscriptions.h"
#include "worklist/workitem_tags.h"

enum action {
    ACTION_CHANGE_STATE = 1,
    ACTION_REQUEST_CANCEL = 2,
    ACTION_SUBSCRIBE = 3,
    ACTION_UNSUBSCRIBE = 4,
    ACTION_SUSPEND = 5,
};

typedef bool action_function(struct ups_request *ups, struct error *failure);

static bool is_well_known(const struct ups_request *ups)
{
    const char *uid = ups->message->command.sop_instance;
    return strcmp(uid, UID_UPS_GLOBAL) == 0 || strcmp(uid, UID_UPS_FILTERED) == 0;
}

static bool is_wrong(struct ups_request *ups, uint16_t code)
{
    ups->outcome.code = code;
    return true;
}

static bool is_missing(uint32_t tag, struct error *failure)
{
    return error_set_tag(failure, ERROR_INVALID, tag, "an attribute of the action is missing");
}

static bool change_state(struct ups_request *ups, struct error *failure)
{
    const struct session *session = ups->session;
    const char *uid = ups->message->command.sop_instance;
    char name[17] = "";
    char transaction[UID_SIZE] = "";
    enum workitem_state state;
    if (is_well_known(ups))
        return is_wrong(ups, WORKITEM_WRONG_ACTION);
    if (!ups->attributes.dataset)
        return is_missing(TAG_PROCEDURE_STEP_STATE, failure);
    dataset_string(ups->attributes.dataset, TAG_PROCEDURE_STEP_STATE, name, sizeof(name));
    dataset_uid(ups->attributes.dataset, TAG_TRANSACTION_UID, transaction);
    if (!workitem_state_find(slice_text(name), &state))
        return is_missing(TAG_PROCEDURE_STEP_STATE, failure);
    bool ok = workitem_change_state(session->worklist, uid, state, transaction,
                                    association_calling_ae(session->association), &ups->outcome,
                                    failure);
    if (ok)
        log_info("dimse: work item asked to become state=\"%s\" instance=%s calling_ae=\"%s\" "
                 "status=%04X",
                 workitem_state_text(state), uid, association_calling_ae(session->association),
                 ups->outcome.code);
    return ok;
}

static bool request_cancel(struct ups_request *ups, struct error *failure)
{
    const struct session *session = ups->session;
    if (is_well_known(ups))
        return is_wrong(ups, WORKITEM_WRONG_ACTION);
    return workitem_request_cancel(
        session->worklist, ups->message->command.sop_instance, ups->attributes.dataset,
        association_calling_ae(session->association), &ups->outcome, failure);
}

/* Who is to hear; "" when the action does not say. */
static void receiver_of(const struct ups_request *ups, char ae_title[WORKITEM_AE_SIZE])
{
    ae_title[0] = '\0';
    if (ups->attributes.dataset)
        dataset_string(ups->attributes.dataset, TAG_RECEIVING_AE, ae_title, WORKITEM_AE_SIZE);
}

static bool subscribe(struct ups_request *ups, struct error *failure)
{
    const struct session *session = ups->session;
    char ae_title[WORKITEM_AE_SIZE];
    char subscriber[SUBSCRIBER_SIZE];
    char lock[8] = "";
    receiver_of(ups, ae_title);
    if (!ae_title[0])
        return is_missing(TAG_RECEIVING_AE, failure);
    const struct peer *peer = peers_find(session->options, ae_title);
    if (!peer)
        return is_wrong(ups, WORKITEM_RECEIVER_UNKNOWN);
    if (!peer->host || !peer->port)
        return is_wrong(ups, WORKITEM_NO_EVENTS);
    subscriber_name(SUBSCRIBER_DIMSE, ae_title, subscriber);
    dataset_string(ups->attributes.dataset, TAG_DELETION_LOCK, lock, sizeof(lock));
    return subscription_add(session->worklist, subscriber, ups->message->command.sop_instance,
                            strcmp(lock, "TRUE") == 0, ups->attributes.dataset, &ups->outcome,
                            failure);
}

static bool unsubscribe(struct ups_request *ups, struct error *failure)
{
    char ae_title[WORKITEM_AE_SIZE];
    char subscriber[SUBSCRIBER_SIZE];
    bool found;
    receiver_of(ups, ae_title);
    if (!ae_title[0])
        return is_missing(TAG_RECEIVING_AE, failure);
    subscriber_name(SUBSCRIBER_DIMSE, ae_title, subscriber);
    return subscription_remove(ups->session->worklist, subscriber,
                               ups->message->command.sop_instance, &found, &ups->outcome, failure);
}

static bool suspend(struct ups_request *ups, struct error *failure)
{
    char ae_title[WORKITEM_AE_SIZE];
    char subscriber[SUBSCRIBER_SIZE];
    bool found;
    if (!is_well_known(ups))
        return is_wrong(ups, WORKITEM_WRONG_ACTION);
    receiver_of(ups, ae_title);
    if (!ae_title[0])
        return is_missing(TAG_RECEIVING_AE, failure);
    subscriber_name(SUBSCRIBER_DIMSE, ae_title, subscriber);
    return subscription_suspend(ups->session->worklist, subscriber,
                                ups->message->command.sop_instance, &found, &ups->outcome, failure);
}

/* Which SOP class has which actions (PS3.4 tables CC.2-1, CC.2-2, CC.2-3). */
static const struct {
    enum service service;
    enum action action;
    action_function *serve;
} actions[] = {
    { SERVICE_UPS_PULL, ACTION_CHANGE_STATE, change_state },
    { SERVICE_UPS_PUSH, ACTION_REQUEST_CANCEL, request_cancel },
    { SERVICE_UPS_WATCH, ACTION_REQUEST_CANCEL, request_cancel },
    { SERVICE_UPS_WATCH, ACTION_SUBSCRIBE, subscribe },
    { SERVICE_UPS_WATCH, ACTION_UNSUBSCRIBE, unsubscribe },
    { SERVICE_UPS_WATCH, ACTION_SUSPEND, suspend },
};

static action_function *find_action(const struct message *request)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (actions[i].service == request->context->service &&
            actions[i].action == request->command.type_id)
            return actions[i].serve;
    return NULL;
}

bool ups_action(struct session *session, struct message *request, struct error *err)
{
    struct ups_request ups;
    struct error failure = { .code = ERROR_NONE };
    action_function *serve = find_action(request);
    bool answered;
    if (!serve) {
        struct status status = status_make(STATUS_NO_SUCH_ACTION,
                                           "Action Type ID is none of this SOP class");
        session_note_refusal(session, request, &status);
        return session_refuse(session, request, &status, err);
    }
    if (!ups_receive(&ups, session, request, false, &answered, err))
        return answered;
    bool ok = serve(&ups, &failure);
    ok = ups_answer(&ups, ok ? NULL : &failure, err);
    ups_release(&ups);
    return ok;
}
