/* SPDX-License-Identifier: MIT */
/* C-FIND of the unified procedure step (PS3.4 CC.2.8). */
#include "base/clock.h"
#include "base/log.h"
#include "dicom/match.h"
#include "dimse/reply.h"
#include "dimse/service.h"
#include "dimse/ups.h"
#include "worklist/search.h"

enum { FUZZY = 2 /* byte of the extended negotiation (PS3.4 CC.3.1.2, as C.5.1.1) */ };

/* What the peer does while matches are looked for. */
struct watch {
    struct session *session;
    const struct message *request;
    int64_t deadline_ms; /* for the next match */
    bool cancelled;
    bool ended;
};

static bool watch_peer(void *context, struct error *err)
{
    struct watch *watch = context;
    watch->ended = !session_poll(watch->session, watch->request, &watch->cancelled, err);
    if (watch->ended || watch->cancelled)
        return false;
    return clock_monotonic_ms() < watch->deadline_ms ||
           error_set(err, ERROR_TIMEOUT, "no match within the time limit of a query");
}

/* Never a key, and never told: the lock; nor is the character set. */
static const uint32_t not_keys[] = { TAG_SPECIFIC_CHARACTER_SET, TAG_TRANSACTION_UID };

static struct status status_of(const struct error *failure)
{
    struct status status = status_from_error(SERVICE_FIND, failure);
    return status;
}

/* All matches. Leaves the final status; false when the association has ended. */
static bool send_matches(struct ups_request *ups, struct search *search, const struct reply *reply,
                         struct status *status, struct error *err)
{
    const struct message *request = ups->message;
    struct buffer data = buffer_up_to(2 * OBJECT_DATASET_LIMIT);
    struct object object = object_init();
    struct error failure = { .code = ERROR_NONE };
    struct watch watch = { .session = ups->session, .request = request };
    struct status pending = status_make(STATUS_PENDING, "");
    bool ok = true;
    *status = status_make(STATUS_SUCCESS, "");
    search_set_watch(search, watch_peer, &watch);
    while (ok) {
        const struct dataset *match = NULL;
        watch.deadline_ms = clock_monotonic_ms() + ups->session->options->query_timeout_ms;
        if (!watch_peer(&watch, &failure) ||
            !search_next(search, ups->session->worklist, &object, &match, &failure) ||
            (match && !reply_encode(reply, match, NULL, 0, &data, &failure))) {
            if (!watch.cancelled)
                *status = status_of(&failure);
            break;
        }
        if (!match)
            break;
        struct slice bytes = buffer_slice(&data);
        ok = message_respond_with(request, &pending, &bytes, err);
    }
    if (watch.cancelled)
        *status = status_make(STATUS_CANCELLED, "");
    if (watch.ended) {
        *err = failure;
        ok = false;
    }
    object_release(&object);
    buffer_release(&data);
    return ok;
}

bool ups_find(struct session *session, struct message *request, struct error *err)
{
    struct ups_request ups;
    struct error failure = { .code = ERROR_NONE };
    struct status status;
    struct reply reply;
    bool answered;
    session->queries++;
    if (!ups_receive(&ups, session, request, true, &answered, err))
        return answered;
    const uint8_t *agreed = request->context->extended;
    struct search *search = search_new(OBJECT_WORKITEM);
    search_set_options(search, agreed[FUZZY] ? MATCH_FUZZY_NAMES : 0);
    reply_init(session, request, ups.attributes.dataset, &reply);
    bool ok = true;
    if (search_add_dataset(search, ups.attributes.dataset, not_keys,
                           sizeof(not_keys) / sizeof(not_keys[0]), &failure))
        ok = send_matches(&ups, search, &reply, &status, err);
    else
        status = status_of(&failure);
    if (ok && status.code != STATUS_SUCCESS && status.code != STATUS_CANCELLED)
        session_note_refusal(session, request, &status);
    search_free(search);
    reply_release(&reply);
    ups_release(&ups);
    return ok && message_respond(request, &status, err);
}
