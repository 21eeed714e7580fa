/* SPDX-License-Identifier: MIT */
#include "dimse/ups.h"

#include "base/log.h"

/* Only N-ACTION has an "invalid argument value" (PS3.7 10.1.4.1.10). */
static uint16_t code_of(const struct error *err, uint16_t field)
{
    switch (err->code) {
    case ERROR_LIMIT:
    case ERROR_NO_SPACE:
    case ERROR_BUSY:
        return STATUS_RESOURCE_LIMITATION;
    case ERROR_INVALID:
        return field == N_ACTION_RQ ? STATUS_INVALID_ARGUMENT : STATUS_PROCESSING_FAILURE;
    default:
        return STATUS_PROCESSING_FAILURE;
    }
}

bool ups_receive(struct ups_request *ups, struct session *session, struct message *request,
                 bool must_have, bool *answered, struct error *err)
{
    struct error refusal = { .code = ERROR_NONE };
    *ups = (struct ups_request){ .session = session, .message = request };
    *answered = false;
    if (!must_have && !request->command.has_data_set)
        return true;
    if (attributes_receive(request, UPS_DATASET_SIZE, &ups->attributes, &refusal, err))
        return true;
    if (refusal.code == ERROR_NONE)
        return false;
    struct status status = status_make(code_of(&refusal, request->command.field), refusal.message);
    session_note_refusal(session, request, &status);
    *answered = session_refuse(session, request, &status, err);
    return false;
}

void ups_release(struct ups_request *ups)
{
    attributes_release(&ups->attributes);
}

bool ups_answer(struct ups_request *ups, const struct error *failed, struct error *err)
{
    const struct workitem_outcome *outcome = &ups->outcome;
    struct status status = status_make(outcome->code, workitem_code_text(outcome->code));
    if (failed)
        status = status_make(code_of(failed, ups->message->command.field), failed->message);
    for (size_t i = 0; !failed && i < outcome->tag_count; i++)
        status_add_attribute(&status, outcome->tags[i]);
    if (failed || workitem_code_is_failure(outcome->code)) {
        ups->session->failed++;
        session_note_refusal(ups->session, ups->message, &status);
    }
    return message_respond(ups->message, &status, err);
}
