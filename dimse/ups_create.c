/* SPDX-License-Identifier: MIT */
/* N-CREATE, N-SET and N-GET of the unified procedure step (PS3.4 CC.2.5 to CC.2.7). */
#include <stdlib.h>

#include "base/log.h"
#include "dimse/reply.h"
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
        log_info("dimse: work item created instance=%s calling_ae=%s status=%04X", ups.outcome.uid,
                 association_calling_ae(session->association), ups.outcome.code);
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

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Takes out of the list what is never told or not known, and says so. */
static size_t choose(const struct command *command, uint32_t tags[COMMAND_ATTRIBUTES],
                     struct status *status)
{
    size_t count = 0;
    for (size_t i = 0; i < command->attribute_count; i++) {
        uint32_t tag = command->attributes[i];
        bool is_told = tag != TAG_TRANSACTION_UID &&
                       (tag_is_private(tag) || dictionary_find(tag)) && tag >> 16 > 2 &&
                       tag & 0xFFFF;
        if (is_told) {
            tags[count++] = tag;
            continue;
        }
        status->code = STATUS_ATTRIBUTES_IGNORED;
        status_add_attribute(status, tag);
    }
    qsort(tags, count, sizeof(tags[0]), compare);
    return count;
}

static bool get(struct session *session, struct message *request, const struct object *object,
                struct error *failure, bool *answered, struct error *err)
{
    struct status status = status_make(STATUS_SUCCESS, "");
    struct buffer bytes = buffer_up_to(2 * OBJECT_DATASET_LIMIT);
    struct dataset *dataset = NULL;
    struct reply reply;
    uint32_t tags[COMMAND_ATTRIBUTES] = { 0 };
    size_t count = choose(&request->command, tags, &status);
    reply_init(session, request, NULL, &reply);
    bool ok = object_dataset(object, &dataset, failure) &&
              reply_encode(&reply, dataset, request->command.attribute_count ? tags : NULL, count,
                           &bytes, failure);
    *answered = ok;
    if (ok) {
        struct slice data = buffer_slice(&bytes);
        ok = message_respond_with(request, &status, &data, err);
    }
    reply_release(&reply);
    dataset_close(dataset);
    buffer_release(&bytes);
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
        ok = get(session, request, &object, &failure, &answered, err);
    if (!answered)
        ok = ups_answer(&ups, failure.code == ERROR_NONE ? NULL : &failure, err);
out:
    object_release(&object);
    return ok;
}
