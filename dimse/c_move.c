/* SPDX-License-Identifier: MIT */
/* C-MOVE as SCP of the Patient Root and Study Root models (PS3.4 C.4.2): what is selected goes out
 * by C-STORE to a configured destination, see dimse/destination.h. */
#include "archive/retrieve.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dicom/encode.h"
#include "dimse/destination.h"
#include "dimse/identifier.h"
#include "dimse/service.h"

enum {
    KEY_LIMIT = 4 << 20,
    FAILED_LIMIT = 8 << 20, /* text of the Failed SOP Instance UID List */
    PENDING_INTERVAL_MS = 500,
    POLL_INTERVAL = 1000, /* instances planned between two looks at the socket */
};

struct move {
    struct session *session;
    const struct message *request;
    struct buffer keys[LEVEL_INSTANCE + 1]; /* unique keys by level, NUL-terminated */
    struct selection selection;
    struct destination *destination;
    uint64_t total;
    uint64_t completed;
    uint64_t failed;
    uint64_t warning;
    struct buffer failed_uids;
    struct error first_failure;
    bool cancelled;
    int64_t reported_ms; /* when the last pending response went out; 0: none yet */
};

static uint16_t count16(uint64_t count)
{
    return count < UINT16_MAX ? (uint16_t)count : UINT16_MAX;
}

/* Sends a response with the counters; `data` is NULL or the failed list. */
static bool respond(struct move *move, const struct status *status, bool has_remaining,
                    const struct slice *data, struct error *err)
{
    uint64_t done = move->completed + move->failed + move->warning;
    struct suboperations counts = {
        .remaining = count16(move->total > done ? move->total - done : 0),
        .completed = count16(move->completed),
        .failed = count16(move->failed),
        .warning = count16(move->warning),
    };
    struct buffer command = buffer_up_to(COMMAND_LIMIT);
    command_encode_response(&move->request->command, status, &counts, has_remaining, data != NULL,
                            &command);
    bool ok = message_send(move->request->association, move->request->context->id,
                           buffer_slice(&command), data, err);
    buffer_release(&command);
    return ok;
}

/* Pending: with the first sub-operation, then at least once a second, however long one takes (PS3.4
 * C.4.2.3.1). */
static bool report(struct move *move, struct error *err)
{
    int64_t now_ms = clock_monotonic_ms();
    if (move->reported_ms && now_ms - move->reported_ms < PENDING_INTERVAL_MS)
        return true;
    move->reported_ms = now_ms;
    struct status pending = status_make(STATUS_PENDING, "");
    return respond(move, &pending, true, NULL, err);
}

static void count_outcome(struct move *move, const struct instance *instance,
                          enum delivery delivery, const struct error *failure)
{
    switch (delivery) {
    case DELIVERED:
        move->completed++;
        break;
    case DELIVERED_WITH_WARNING:
        move->warning++;
        break;
    case NOT_DELIVERED:
        if (move->failed++ == 0)
            move->first_failure = *failure;
        if (move->failed_uids.size)
            buffer_append_byte(&move->failed_uids, '\\');
        buffer_append_text(&move->failed_uids, instance_identity(instance)->instance);
        return;
    }
    move->session->moved++;
    metric_add(METRIC_INSTANCES_SENT, 1);
}

/* One sub-operation. False when the requester has gone. */
static bool deliver(struct move *move, struct instance *instance, struct error *err)
{
    struct error failure;
    enum delivery delivery = NOT_DELIVERED;
    if (destination_begin(move->destination, instance, &failure)) {
        while (!destination_is_answered(move->destination, PENDING_INTERVAL_MS))
            if (!report(move, err))
                return false;
        delivery = destination_finish(move->destination, &failure);
    }
    count_outcome(move, instance, delivery, &failure);
    return report(move, err);
}

/* All instances that go over the contexts of this round. False when the requester has gone. */
static bool send_round(struct move *move, struct error *err)
{
    struct retrieve *retrieve = NULL;
    struct error failure = { .code = ERROR_NONE };
    bool ok = true;
    if (!retrieve_open(move->session->archive, &move->selection, &retrieve, &failure))
        move->first_failure = failure;
    while (ok && retrieve) {
        struct instance *instance = NULL;
        ok = session_poll(move->session, move->request, &move->cancelled, err);
        if (!ok || move->cancelled)
            break;
        if (!retrieve_next(retrieve, &instance, &failure)) {
            move->first_failure = failure;
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
    struct retrieve *retrieve = NULL;
    struct instance *instance = NULL;
    bool ok = retrieve_open(move->session->archive, &move->selection, &retrieve, refusal);
    while (ok && !move->cancelled) {
        ok = retrieve_next(retrieve, &instance, refusal);
        if (!ok || !instance)
            break;
        destination_plan(move->destination, instance);
        if (++move->total % POLL_INTERVAL == 0)
            ok = session_poll(move->session, move->request, &move->cancelled, err);
    }
    retrieve_close(retrieve);
    return ok;
}

static struct status final_status(const struct move *move)
{
    uint64_t done = move->completed + move->failed + move->warning;
    if (move->cancelled)
        return status_make(STATUS_CANCELLED, "");
    /* What could not even be read is neither delivered nor in the list, and no success. */
    if (done < move->total && move->first_failure.code != ERROR_NONE && done == 0)
        return status_from_error(SERVICE_MOVE, &move->first_failure);
    if (move->total && move->completed + move->warning == 0)
        return status_make(STATUS_SUBOPERATIONS_FAILED, move->first_failure.message);
    if (move->failed || move->warning || done < move->total)
        return status_make(STATUS_SUBOPERATIONS_WARNING, move->first_failure.message);
    return status_make(STATUS_SUCCESS, "");
}

/* A failure, warning or cancel tells which instances failed (PS3.4 C.4.2.1.4.2). */
static bool finish(struct move *move, struct error *err)
{
    struct status status = final_status(move);
    if (status.code == STATUS_SUCCESS || move->failed == 0)
        return respond(move, &status, move->cancelled, NULL, err);
    struct buffer data = buffer_up_to(FAILED_LIMIT + 64);
    struct encoder encoder = { &data, move->request->context->syntax->explicit_vr };
    encode_bytes(&encoder, TAG_FAILED_SOP_INSTANCE_UID_LIST, VR_UI,
                 buffer_slice(&move->failed_uids));
    struct slice bytes = buffer_slice(&data);
    bool ok = respond(move, &status, move->cancelled, &bytes, err);
    buffer_release(&data);
    return ok;
}

static const struct peer *find_peer(const struct dimse_options *options, const char *ae_title)
{
    for (size_t i = 0; i < options->peer_count; i++)
        if (strcmp(options->peers[i].ae_title, ae_title) == 0)
            return &options->peers[i];
    return NULL;
}

/* The unique keys: a list of UIDs at the level asked for, single values above, no wildcards (PS3.4
 * C.4.2.1.4.1, C.4.2.2.1). */
static bool select_entities(struct move *move, const struct identifier *identifier,
                            struct error *err)
{
    const char *texts[LEVEL_INSTANCE + 1] = { NULL };
    enum level level = identifier->is_patient_root ? LEVEL_PATIENT : LEVEL_STUDY;
    for (; level <= identifier->level; level++) {
        struct buffer *key = &move->keys[level];
        const char *forbidden = level == LEVEL_PATIENT ? "*?\\" : "*?";
        if (!identifier_unique_key(identifier, level, key) || key->overflowed ||
            strpbrk(buffer_text(key), forbidden))
            return error_set(err, ERROR_MISMATCH, "unique key of the %s level is missing or wrong",
                             identifier_level_name(level));
        texts[level] = buffer_text(key);
    }
    move->selection.patient_id = texts[LEVEL_PATIENT];
    move->selection.studies = texts[LEVEL_STUDY];
    move->selection.series = texts[LEVEL_SERIES];
    move->selection.instances = texts[LEVEL_INSTANCE];
    return true;
}

static bool run(struct move *move, const struct peer *peer, struct error *err)
{
    struct error refusal;
    move->destination = destination_new(move->session, &move->request->command, peer);
    if (!plan(move, &refusal, err)) {
        if (association_has_ended(move->session->association))
            return false;
        struct status status = status_from_error(SERVICE_MOVE, &refusal);
        return message_respond(move->request, &status, err);
    }
    bool ok = true;
    while (ok && !move->cancelled && destination_next_round(move->destination))
        ok = send_round(move, err);
    log_info("dimse: moved calling_ae=%s destination=%s completed=%llu failed=%llu warning=%llu "
             "why=\"%s\"",
             association_calling_ae(move->session->association), peer->ae_title,
             (unsigned long long)move->completed, (unsigned long long)move->failed,
             (unsigned long long)move->warning, move->first_failure.message);
    return ok && finish(move, err);
}

bool c_move(struct session *session, struct message *request, struct error *err)
{
    struct move move = { .session = session, .request = request };
    struct identifier identifier;
    struct error refusal = { .code = ERROR_NONE };
    struct status status;
    const struct peer *peer = find_peer(session->options, request->command.destination);
    bool ok = false;
    move.failed_uids = buffer_up_to(FAILED_LIMIT);
    for (size_t i = 0; i <= LEVEL_INSTANCE; i++)
        move.keys[i] = buffer_up_to(KEY_LIMIT);
    if (!identifier_receive(request, &identifier, &refusal, err)) {
        ok = !association_has_ended(session->association);
        if (!ok)
            goto out;
    } else if (peer && select_entities(&move, &identifier, &refusal)) {
        ok = run(&move, peer, err);
        goto out;
    }
    status = peer ? status_from_error(SERVICE_MOVE, &refusal)
                  : status_make(STATUS_DESTINATION_UNKNOWN, "Move Destination is not configured");
    log_warn("dimse: move refused calling_ae=%s destination=%s status=%04X reason=\"%s\"",
             association_calling_ae(session->association), request->command.destination,
             status.code, status.comment);
    ok = message_respond(request, &status, err);
out:
    destination_free(move.destination);
    for (size_t i = 0; i <= LEVEL_INSTANCE; i++)
        buffer_release(&move.keys[i]);
    buffer_release(&move.failed_uids);
    identifier_release(&identifier);
    return ok;
}
