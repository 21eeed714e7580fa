/* SPDX-License-Identifier: MIT */
/* C-MOVE as SCP of the Patient Root and Study Root models (PS3.4 C.4.2): what is selected goes out
 * by C-STORE to a configured destination, over one association or, where that is configured, over
 * several at once: see dimse/destination.h. */
#include "base/clock.h"
#include "base/log.h"
#include "dimse/destination.h"
#include "dimse/peers.h"
#include "dimse/retrieval.h"
#include "dimse/service.h"

enum {
    POLL_INTERVAL = 1000,     /* instances planned between two looks at the socket */
    LOOK_INTERVAL_MS = 5,     /* the same while they are sent */
    CANCELLED_WAIT_MS = 2000, /* for what runs when it is cancelled, then it is broken off */
};

/* An association to the destination, and the instance that goes over it. */
struct lane {
    struct destination *destination;
    bool is_busy;
    char instance[UID_SIZE];
};

struct move {
    struct retrieval retrieval;
    struct lane lanes[MOVE_LANES];
    size_t lane_count;
    int64_t looked_ms;
    bool is_hastened; /* what runs is to end soon */
};

/* Has it been cancelled? False when the requester has gone. */
static bool look(struct move *move, struct error *err)
{
    struct retrieval *retrieval = &move->retrieval;
    int64_t now_ms = clock_monotonic_ms();
    if (retrieval->cancelled || now_ms - move->looked_ms < LOOK_INTERVAL_MS)
        return true;
    move->looked_ms = now_ms;
    return session_poll(retrieval->session, retrieval->request, &retrieval->cancelled, err);
}

static void take_answer(struct move *move, struct lane *lane)
{
    struct error failure;
    enum delivery delivery = destination_finish(lane->destination, &failure);
    lane->is_busy = false;
    retrieval_count(&move->retrieval, lane->instance, delivery, &failure);
}

static size_t count_busy(const struct move *move)
{
    size_t count = 0;
    for (size_t i = 0; i < move->lane_count; i++)
        count += move->lanes[i].is_busy;
    return count;
}

/* The destination may never answer; who has cancelled does not wait for that. */
static bool look_while_waiting(struct move *move, struct error *err)
{
    if (!look(move, err))
        return false;
    if (!move->retrieval.cancelled || move->is_hastened)
        return true;
    move->is_hastened = true;
    for (size_t i = 0; i < move->lane_count; i++)
        destination_hasten(move->lanes[i].destination, CANCELLED_WAIT_MS);
    return true;
}

/* One that takes an instance now. No more are called than there are instances. */
static struct lane *find_ready(struct move *move)
{
    for (size_t i = 0; i < move->lane_count && i < move->retrieval.total; i++) {
        struct lane *lane = &move->lanes[i];
        if (!lane->is_busy && destination_is_ready(lane->destination, 0) &&
            !destination_is_given_up(lane->destination))
            return lane;
    }
    return NULL;
}

/* Waits until one of the sub-operations that run has ended, or a destination that was being called
 * takes an instance. False when the requester has gone. */
static bool await_answer(struct move *move, struct error *err)
{
    struct destination *running[MOVE_LANES];
    for (;;) {
        size_t count = 0, taken = 0;
        for (size_t i = 0; i < move->lane_count; i++) {
            struct lane *lane = &move->lanes[i];
            if (lane->is_busy && destination_is_answered(lane->destination)) {
                take_answer(move, lane);
                taken++;
            } else if (lane->is_busy) {
                running[count++] = lane->destination;
            }
        }
        if (taken || !count)
            return retrieval_report(&move->retrieval, err);
        if (destination_await(running, count, RETRIEVAL_REPORT_MS))
            continue;
        if (!retrieval_report(&move->retrieval, err) || !look_while_waiting(move, err))
            return false;
        if (find_ready(move))
            return true;
    }
}

static bool await_all(struct move *move, struct error *err)
{
    while (count_busy(move))
        if (!await_answer(move, err))
            return false;
    return true;
}

/* One that is still being called. */
static struct lane *find_called(struct move *move)
{
    for (size_t i = 0; i < move->lane_count && i < move->retrieval.total; i++)
        if (!destination_is_given_up(move->lanes[i].destination))
            return &move->lanes[i];
    return NULL;
}

/* The next one that takes an instance; one that has been given up when all have. NULL with
 * *has_ended when the requester has gone, else when it has cancelled. */
static struct lane *choose_lane(struct move *move, bool *has_ended, struct error *err)
{
    *has_ended = false;
    while (!move->retrieval.cancelled) {
        struct lane *lane = find_ready(move);
        if (lane)
            return lane;
        bool ok;
        if (count_busy(move)) {
            ok = await_answer(move, err);
        } else {
            lane = find_called(move);
            if (!lane)
                return &move->lanes[0];
            ok = destination_is_ready(lane->destination, RETRIEVAL_REPORT_MS) ||
                 retrieval_report(&move->retrieval, err);
        }
        if (!ok || !look(move, err)) {
            *has_ended = true;
            return NULL;
        }
    }
    return NULL;
}

/* Begins a sub-operation. False when the requester has gone. */
static bool deliver(struct move *move, struct instance *instance, struct error *err)
{
    struct error failure;
    bool has_ended;
    struct lane *lane = choose_lane(move, &has_ended, err);
    if (!lane)
        return !has_ended;
    memcpy(lane->instance, instance_identity(instance)->instance, UID_SIZE);
    lane->is_busy = destination_begin(lane->destination, instance, &failure);
    if (!lane->is_busy)
        retrieval_count(&move->retrieval, lane->instance, NOT_DELIVERED, &failure);
    /* With one association each sub-operation ends before the next one is looked for. */
    if (move->lane_count == 1 && !await_all(move, err))
        return false;
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
        if (!destination_has_round(move->lanes[0].destination, instance))
            continue;
        ok = deliver(move, instance, err);
    }
    retrieve_close(retrieve);
    return ok && await_all(move, err);
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
        destination_plan(move->lanes[0].destination, instance);
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

/* The same one for all: they have the same plan. */
static bool next_round(struct move *move)
{
    bool has_more = false;
    for (size_t i = 0; i < move->lane_count; i++)
        has_more = destination_next_round(move->lanes[i].destination);
    return has_more;
}

static bool run(struct move *move, const struct peer *peer, struct error *err)
{
    struct retrieval *retrieval = &move->retrieval;
    struct error refusal;
    move->lane_count = peer->associations > MOVE_LANES ? MOVE_LANES
                       : peer->associations            ? peer->associations
                                                       : 1;
    for (size_t i = 0; i < move->lane_count; i++) {
        move->lanes[i].destination = destination_new(retrieval->session,
                                                     &retrieval->request->command, peer);
        destination_set_excerpt(move->lanes[i].destination, retrieval->excerpt);
    }
    if (!plan(move, &refusal, err)) {
        if (association_has_ended(retrieval->session->association))
            return false;
        struct status status = status_from_error(SERVICE_MOVE, &refusal);
        return message_respond(retrieval->request, &status, err);
    }
    bool ok = true;
    for (size_t i = 1; i < move->lane_count; i++)
        destination_plan_as(move->lanes[i].destination, move->lanes[0].destination);
    while (ok && !retrieval->cancelled && next_round(move))
        ok = send_round(move, err);
    log_info(
        "dimse: moved calling_ae=\"%s\" destination=\"%s\" completed=%llu failed=%llu warning=%llu "
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
    struct move move = { .lane_count = 0 };
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
    log_warn("dimse: move refused calling_ae=\"%s\" destination=\"%s\" status=%04X reason=\"%s\"",
             association_calling_ae(session->association), request->command.destination,
             status.code, status.comment);
    ok = message_respond(request, &status, err);
out:
    for (size_t i = 0; i < move.lane_count; i++)
        destination_free(move.lanes[i].destination);
    retrieval_release(&move.retrieval);
    identifier_release(&identifier);
    return ok;
}
