/* SPDX-License-Identifier: MIT */
/* N-CREATE, N-SET and N-GET of the unified procedure step (PS3.4 CC.2.5 to CC.2.7). */
#include "base/log.h"
#include "dimse/n_get.h"
#include "dimse/service.h"
#include "dimse/ups.h"

bool ups_create(struct session *session, struct message *request, struct error *err)
{
    struct ups_request ups;
    struct error failure = { .code = ERROR_NONE };
    bool answered;
    if (!ups_receive(&ups, session, request, true, &answered, err))
        return answered;
    bool ok = workitem_create(session->worklist, ups.attributes.dataset,
                              request->command.sop_instance, &ups.outcome, &failure);
    if (ok) {
        memcpy(request->command.sop_instance, ups.outcome.uid, UID_SIZE);
        log_info("dimse: work item created instance=%s calling_ae=\"%s\" status=%04X",
                 ups.outcome.uid, association_calling_ae(session->association), ups.outcome.code);
    }
    ok = ups_answer(&ups, ok ? NULL : &failure, err);
    ups_release(&ups);
    return ok;
}

bool ups_set(struct session *session, struct message *request, struct error *err)
{
    struct ups_request ups;
    struct error failure = { .code = ERROR_NONE };
    bool answered;
    if (!ups_receive(&ups, session, request, true, &answered, err))
        return answered;
    bool ok = workitem_set(session->worklist, request->command.sop_instance, ups.attributes.dataset,
                           NULL, &ups.outcome, &failure);
    ok = ups_answer(&ups, ok ? NULL : &failure, err);
    ups_release(&ups);
    return ok;
}

bool ups_get(struct session *session, struct message *request, struct error *err)
{
    struct ups_request ups = { .session = session, .message = request };
    struct error failure = { .code = ERROR_NONE };
    struct object object = object_init();
    enum workitem_state state;
    bool answered = false;
    bool ok = message_drain(request, err);
    if (!ok)
        goto out;
    bool found = workitem_get(session->worklist, request->command.sop_instance, &object, &state,
                              &failure);
    ups.outcome.code = WORKITEM_UNKNOWN;
    if (found && state != WORKITEM_NONE && state != WORKITEM_GONE)
        ok = n_get_answer(session, request, &object, TAG_TRANSACTION_UID, &failure, &answered, err);
    if (!answered)
        ok = ups_answer(&ups, failure.code == ERROR_NONE ? NULL : &failure, err);
out:
    object_release(&object);
    return ok;
}
