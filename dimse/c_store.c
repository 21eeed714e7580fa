/* SPDX-License-Identifier: MIT */
/* C-STORE as SCP (PS3.4 annex B): the data set goes from the socket into the archive's own memory
 * as it comes. */
#include <string.h>

#include "archive/ingest.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "dimse/service.h"

/* The data set to its end. False when the association has ended; what the archive does not take is
 * drained and told in *refusal (PS3.7 9.1.1.2 lets the rest be sent, and the association goes on).
 */
static bool receive(struct message *request, struct ingest *ingest, struct error *refusal,
                    uint64_t *bytes, struct error *err)
{
    for (size_t available, received;;) {
        struct space space;
        if (!message_available(request, &available, err))
            return false;
        if (!available)
            return true;
        if (!ingest_space(ingest, available, &space, refusal))
            return message_drain(request, err);
        if (!message_read(request, space, &received, err))
            return false;
        *bytes += received;
        if (!ingest_advance(ingest, received, refusal))
            return message_drain(request, err);
    }
}

static void note_coercion(const struct ingest *ingest, struct status *status)
{
    size_t count;
    const uint32_t *tags = ingest_coerced(ingest, &count);
    if (!count)
        return;
    *status = status_make(STATUS_COERCED, "attributes were coerced");
    status->coerced_count = count < STATUS_ELEMENTS ? count : STATUS_ELEMENTS;
    memcpy(status->coerced, tags, status->coerced_count * sizeof(*tags));
}

/* True when stored, and a warning in *status if there is one. False with either *refusal or, when
 * the association has ended, err. */
static bool store(struct session *session, struct message *request, uint64_t *bytes,
                  enum ingest_outcome *outcome, struct status *status, struct error *refusal,
                  struct error *err)
{
    struct ingest_options options = {
        .transfer_syntax = request->context->transfer_syntax,
        .sop_class = request->command.sop_class,
        .sop_instance = request->command.sop_instance,
        .source_ae = association_calling_ae(session->association),
    };
    struct ingest *ingest = NULL;
    bool ok = false;
    if (!ingest_open(session->archive, &options, &ingest, refusal)) {
        message_drain(request, err);
        return false;
    }
    if (receive(request, ingest, refusal, bytes, err) && refusal->code == ERROR_NONE)
        ok = ingest_commit(ingest, outcome, refusal);
    if (ok)
        note_coercion(ingest, status);
    ingest_close(ingest);
    return ok;
}

static struct status check(const struct message *request)
{
    if (!request->command.sop_instance[0])
        return status_make(STATUS_INVALID_INSTANCE, "SOP Instance UID is missing or malformed");
    if (!request->command.has_data_set)
        return status_make(STATUS_CANNOT_UNDERSTAND, "the data set is missing");
    return status_make(STATUS_SUCCESS, "");
}

static bool is_stored(const struct status *status)
{
    return status->code == STATUS_SUCCESS || status->code == STATUS_COERCED;
}

static void note(struct session *session, const struct message *request,
                 const struct status *status, uint64_t bytes, int64_t began_us)
{
    bool ok = is_stored(status);
    metric_add(ok ? METRIC_DIMSE_STORED : METRIC_DIMSE_FAILED, 1);
    if (!ok) {
        log_warn("dimse: instance refused instance=%s calling_ae=\"%s\" status=%04X reason=\"%s\"",
                 request->command.sop_instance, association_calling_ae(session->association),
                 status->code, status->comment);
        return;
    }
    session->stored++;
    /* Who had it sent, if it comes of a C-MOVE (PS3.7 9.1.1.1.9). */
    log_debug("dimse: stored instance=%s calling_ae=\"%s\" originator=\"%s/%u\" bytes=%llu us=%lld",
              request->command.sop_instance, association_calling_ae(session->association),
              request->command.originator, request->command.originator_id,
              (unsigned long long)bytes, (long long)(clock_monotonic_us() - began_us));
}

bool c_store(struct session *session, struct message *request, struct error *err)
{
    struct error refusal = { .code = ERROR_NONE };
    enum ingest_outcome outcome = INGEST_STORED;
    int64_t began_us = clock_monotonic_us();
    uint64_t bytes = 0;
    struct status status = check(request);
    if (status.code == STATUS_SUCCESS &&
        !store(session, request, &bytes, &outcome, &status, &refusal, err)) {
        if (association_has_ended(session->association))
            return false;
        status = status_from_error(SERVICE_STORAGE, &refusal);
        if (refusal.code == ERROR_CONFLICT)
            status.code = session->options->conflict_status;
    }
    note(session, request, &status, bytes, began_us);
    if (is_stored(&status) && outcome == INGEST_REPLACED)
        log_info("dimse: replaced instance=%s calling_ae=\"%s\"", request->command.sop_instance,
                 association_calling_ae(session->association));
    if (!is_stored(&status))
        return session_refuse(session, request, &status, err);
    return message_respond(request, &status, err);
}
