/* SPDX-License-Identifier: MIT */
/* C-MOVE as SCP of the Patient Root and Study Root models (PS3.4 C.4.2): what is selected goes out
 * by C-STORE to a configured destination, see dimse/destination.h. */
#include "base/clock.h"
#include "base/log.h"
#include "dimse/destination.h"
#include "dimse/peers.h"
#include "dimse/retrieval.h"
#include "dimse/service.h"

enum {
    POLL_INTERVAL = 1000, /* instances planned between two looks at the socket */
    LOOK_INTERVAL_MS = 5, /* the same while they are sent */
};

struct move {
    struct retrieval retrieval;
    struct destination *destination;
    int64_t looked_ms;
};

/* Has it been cancelled? False when the requester has gone. */
static bool look(struct move *move, struct error *err)
{
    struct retrieval *retrieval = &move->retrieval;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - move->looked_ms < LOOK_INTERVAL_MS)
        return true;
    move->looked_ms = now_ms;
    return session_poll(retrieval->session, retrieval->request, &retrieval->cancelled, err);
}

/* Waits until the destination takes instances, or is given up. False when the requester has gone.
 */
static bool await_destination(struct move *move, struct error *err)
{
    while (!destination_is_ready(move->destination, RETRIEVAL_REPORT_MS)) {
        if (!look(move, err) || !retrieval_report(&move->retrieval, err))
            return false;
        if (move->retrieval.cancelled)
            return true;
    }
    return true;
}

/* One sub-operation. False when the requester has gone. */
static bool deliver(struct move *move, struct instance *instance, struct error *err)
{
    struct error failure;
    enum delivery delivery = NOT_DELIVERED;
    if (!await_destination(move, err))
        return false;
    if (move->retrieval.cancelled)
        return true;
    if (destination_begin(move->destination, instance, &failure)) {
        while (!destination_is_answered(move->destination, RETRIEVAL_REPORT_MS))
            if (!retrieval_report(&move->retrieval, err))
                return false;
        delivery = destination_finish(move->destination, &failure);
    }
    retrieval_count(&move->retrieval, instance, delivery, &failure);
    return retrieval_report(&move->retrieval, err);
}

/* All instances that go over the contexts of this round. False when the requester has gone. */
static bool send_round(struct move *move, struct error *err)
{
    struct retrieval *retrieval = &move->retrieval;
    struct retrieve *retrieve = NULL;
    struct error failure = { .code = ERROR_NONE };
    bool ok = true;
    if (!retrieve_open(retrieval->session->archive, &retrieval->selection, &retrieve, &failure))
        retrieval->first_failure = failure;
    while (ok && retrieve) {
        struct instance *instance = NULL;
        ok = look(move, err);
        if (!ok || retrieval->cancelled)
            break;
        if (!retrieve_next(retrieve, &instance, &failure)) {
            retrieval->first_failure = failure;
            break;
        }
        if (!instance)
            break;
        if (!destination_has_round(move->destination, instance))
            continue;
        ok = deliver(move, instance, err);
    }
    retrieve_close(retrieve);
    return ok;
}

/* Which SOP classes and transfer syntaxes are to be proposed. A walk through very many instances
 * can be cancelled as well. False with *refusal or, when the requester has gone, with err. */
static bool plan(struct move *move, struct error *refusal, struct error *err)
{
    struct retrieval *retrieval = &move->retrieval;
    struct retrieve *retrieve = NULL;
    struct instance *instance = NULL;
    bool ok = retrieve_open(retrieval->session->archive, &retrieval->selection, &retrieve, refusal);
    while (ok && !retrieval->cancelled) {
        ok = retrieve_next(retrieve, &instance, refusal);
        if (!ok || !instance)
            break;
        destination_plan(move->destination, instance);
        if (++retrieval->total % POLL_INTERVAL == 0)
            ok = session_poll(retrieval->session, retrieval->request, &retrieval->cancelled, err);
    }
    retrieve_close(retrieve);
    return ok;
}

static const struct peer *find_destination(const struct dimse_options *options,
                                           const char *ae_title)
{
    const struct peer *peer = peers_find(options, ae_title);
    return peer && peer->port ? peer : NULL;
}

/* A peer may have a list of its own of where it may send to. */
static bool may_send_to(const struct session *session, const char *destination)
{
    const char *const *title = session->peer ? session->peer->destinations : NULL;
    if (!title)
        return true;
    while (*title && strcmp(*title, destination) != 0)
        title++;
    return *title != NULL;
}

static bool run(struct move *move, const struct peer *peer, struct error *err)
{
    struct retrieval *retrieval = &move->retrieval;
    struct error refusal;
    move->destination = destination_new(retrieval->session, &retrieval->request->command, peer);
    destination_set_excerpt(move->destination, retrieval->excerpt);
    if (!plan(move, &refusal, err)) {
        if (association_has_ended(retrieval->session->association))
            return false;
        struct status status = status_from_error(SERVICE_MOVE, &refusal);
        return message_respond(retrieval->request, &status, err);
    }
    bool ok = true;
    while (ok && !retrieval->cancelled && destination_next_round(move->destination))
        ok = send_round(move, err);
    log_info("dimse: moved calling_ae=%s destination=%s completed=%llu failed=%llu warning=%llu "
             "why=\"%s\"",
             association_calling_ae(retrieval->session->association), peer->ae_title,
             (unsigned long long)retrieval->completed, (unsigned long long)retrieval->failed,
             (unsigned long long)retrieval->warning, retrieval->first_failure.message);
    return ok && retrieval_finish(retrieval, err);
}

/* Why nothing is moved: no such destination, a wrong identifier, or a destination that is not for
 * this caller. */
static struct status refuse(struct session *session, const struct peer *peer,
                            const struct error *refusal)
{
    if (!peer)
        return status_make(STATUS_DESTINATION_UNKNOWN, "Move Destination is not configured");
    if (refusal->code != ERROR_NONE)
        return status_from_error(SERVICE_MOVE, refusal);
    session_note_forbidden(session, "C-MOVE to this destination");
    return status_make(STATUS_NOT_AUTHORIZED, "calling AE title may not send there");
}

bool c_move(struct session *session, struct message *request, struct error *err)
{
    struct move move = { .destination = NULL };
    struct identifier identifier;
    struct error refusal = { .code = ERROR_NONE };
    struct status status;
    const struct peer *peer = find_destination(session->options, request->command.destination);
    bool is_of_frames = false; /* refused for what the frames are */
    bool ok = false;
    retrieval_init(&move.retrieval, session, request);
    if (!identifier_receive(request, &identifier, &refusal, err)) {
        ok = !association_has_ended(session->association);
        if (!ok)
            goto out;
    } else if (peer && may_send_to(session, peer->ae_title) &&
               retrieval_select(&move.retrieval, &identifier, &refusal)) {
        if (retrieval_excerpt(&move.retrieval, &identifier, &status)) {
            ok = run(&move, peer, err);
            goto out;
        }
        is_of_frames = true;
    }
    if (!is_of_frames)
        status = refuse(session, peer, &refusal);
    log_warn("dimse: move refused calling_ae=%s destination=%s status=%04X reason=\"%s\"",
             association_calling_ae(session->association), request->command.destination,
             status.code, status.comment);
    ok = message_respond(request, &status, err);
out:
    destination_free(move.destination);
    retrieval_release(&move.retrieval);
    identifier_release(&identifier);
    return ok;
}
