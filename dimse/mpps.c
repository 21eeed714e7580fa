/* SPDX-License-Identifier: MIT */
/* The modality performed procedure step as SCP: N-CREATE, N-SET, and N-GET of its retrieve SOP
 * class (PS3.4 annex F). */
#include "base/log.h"
#include "dimse/attributes.h"
#include "dimse/n_get.h"
#include "dimse/service.h"
#include "worklist/performed.h"

enum { DATASET_SIZE = 4 << 20 };

/* Of those that N-CREATE, N-SET and N-GET have (PS3.7 10.1.5.1.6). */
static struct status status_of_failure(const struct error *failure)
{
    bool is_limit = failure->code == ERROR_LIMIT || failure->code == ERROR_NO_SPACE ||
                    failure->code == ERROR_BUSY;
    return status_make(is_limit ? STATUS_RESOURCE_LIMITATION : STATUS_PROCESSING_FAILURE,
                       failure->message);
}

static bool answer(struct session *session, struct message *request,
                   const struct performed_outcome *outcome, const struct error *failed,
                   struct error *err)
{
    struct status status = failed ? status_of_failure(failed)
                                  : status_make(outcome->code, outcome->why);
    for (size_t i = 0; !failed && i < outcome->tag_count; i++)
        status_add_attribute(&status, outcome->tags[i]);
    if (!failed)
        status.error_id = outcome->error_id;
    if (status.code != STATUS_SUCCESS) {
        session->failed++;
        session_note_refusal(session, request, &status);
    }
    return message_respond(request, &status, err);
}

/* Receives what comes with the request. False when the association has ended, or when the request
 * was refused and answered: *answered. */
static bool receive(struct session *session, struct message *request, struct attributes *attributes,
                    bool *answered, struct error *err)
{
    struct error refusal = { .code = ERROR_NONE };
    *answered = false;
    if (attributes_receive(request, DATASET_SIZE, attributes, &refusal, err))
        return true;
    if (refusal.code == ERROR_NONE)
        return false;
    struct status status = status_of_failure(&refusal);
    session_note_refusal(session, request, &status);
    *answered = session_refuse(session, request, &status, err);
    return false;
}

bool mpps_create(struct session *session, struct message *request, struct error *err)
{
    struct attributes attributes;
    struct performed_outcome outcome;
    struct error failure = { .code = ERROR_NONE };
    bool answered;
    if (!receive(session, request, &attributes, &answered, err))
        return answered;
    bool ok = performed_create(session->worklist, attributes.dataset, request->command.sop_instance,
                               &outcome, &failure);
    if (ok && outcome.code == PERFORMED_OK) {
        memcpy(request->command.sop_instance, outcome.uid, UID_SIZE);
        log_info("dimse: performed step begun instance=%s calling_ae=\"%s\" steps=%zu", outcome.uid,
                 association_calling_ae(session->association), outcome.steps);
    }
    ok = answer(session, request, &outcome, ok ? NULL : &failure, err);
    attributes_release(&attributes);
    return ok;
}

bool mpps_set(struct session *session, struct message *request, struct error *err)
{
    struct attributes attributes;
    struct performed_outcome outcome;
    struct error failure = { .code = ERROR_NONE };
    bool answered;
    if (!receive(session, request, &attributes, &answered, err))
        return answered;
    bool ok = performed_set(session->worklist, request->command.sop_instance, attributes.dataset,
                            &outcome, &failure);
    ok = answer(session, request, &outcome, ok ? NULL : &failure, err);
    attributes_release(&attributes);
    return ok;
}

bool mpps_get(struct session *session, struct message *request, struct error *err)
{
    struct performed_outcome outcome = { .code = PERFORMED_UNKNOWN,
                                         .why = "there is no such performed step" };
    struct error failure = { .code = ERROR_NONE };
    struct object performed = object_init();
    enum performed_state state;
    bool answered = false;
    bool ok = message_drain(request, err);
    if (!ok)
        goto out;
    if (performed_get(session->worklist, request->command.sop_instance, &performed, &state,
                      &failure) &&
        state != PERFORMED_NONE && state != PERFORMED_GONE)
        ok = n_get_answer(session, request, &performed, 0, &failure, &answered, err);
    if (!answered)
        ok = answer(session, request, &outcome, failure.code == ERROR_NONE ? NULL : &failure, err);
out:
    object_release(&performed);
    return ok;
}
