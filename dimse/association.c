/* SPDX-License-Identifier: MIT */
#include "dimse/association.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/memory.h"
#include "dimse/transport.h"

enum {
    /* Headers, commands and small data sets are read ahead into this much; long fragments go past
     * it, straight to where they are kept. */
    READ_AHEAD = 4096,
    /* Bytes that renew the deadline of a message. */
    PROGRESS_BYTES = 4096,
    /* PDUs are not made larger than this, whatever the peer takes. */
    MAX_SENT_PDU = 1 << 20,
};

struct association {
    struct transport transport;
    struct association_settings settings;
    bool open;    /* P-DATA may be sent */
    bool lingers; /* we have sent the last PDU; the peer has to close */
    uint32_t peer_max_pdu;
    int64_t deadline_ms; /* of the message being received */
    size_t progress;
    char called_ae[AE_TITLE_SIZE];
    char calling_ae[AE_TITLE_SIZE];
    char user[USER_NAME_SIZE];
    uint16_t operations;
    struct presentation_context *contexts;
    size_t context_count;
    uint32_t pdu_left; /* bytes of the open P-DATA-TF behind the open PDV */
    uint32_t pdv_left;
    bool pdv_is_last;
    size_t ahead_start;
    size_t ahead_end;
    uint8_t ahead[READ_AHEAD];
};

static struct association *new_association(const struct association_settings *settings)
{
    struct association *association = mem_alloc(sizeof(*association));
    association->transport.fd = -1;
    association->transport.kill_fd = settings->kill_fd;
    association->settings = *settings;
    return association;
}

static void set_peer_max_pdu(struct association *association, uint32_t announced)
{
    bool capped = announced == 0 || announced > MAX_SENT_PDU;
    association->peer_max_pdu = capped ? MAX_SENT_PDU : announced;
}

static bool send_bytes(struct association *association, struct slice bytes, struct error *err)
{
    struct iovec part = { (void *)(uintptr_t)bytes.data, bytes.size };
    return transport_send(&association->transport, &part, 1, false,
                          association->settings.message_timeout_ms, err);
}

/* The connection is of no more use: nothing is sent on it. */
static void drop(struct association *association)
{
    association->open = false;
    transport_close(&association->transport);
}

void association_abort(struct association *association, enum abort_source source,
                       enum abort_reason reason)
{
    uint8_t pdu[PDU_SHORT_SIZE];
    if (!association->open)
        return;
    association->open = false;
    if (association->transport.is_unheard) {
        transport_close(&association->transport); /* an A-ABORT would wait behind them */
        return;
    }
    abort_encode(source, reason, pdu);
    struct iovec part = { pdu, sizeof(pdu) };
    /* A peer that does not read gets no more time for this. */
    association->lingers = transport_send(&association->transport, &part, 1, false, 1, NULL);
    if (!association->lingers)
        transport_close(&association->transport);
}

bool association_refuse(struct association *association, enum abort_reason reason, const char *what,
                        struct error *err)
{
    association_abort(association, ABORT_BY_PROVIDER, reason);
    return error_set(err, ERROR_INVALID, "%s", what);
}

/* Ends the association after a failed read or write, and returns false. */
static bool end(struct association *association, const struct error *err)
{
    if (err && (err->code == ERROR_TIMEOUT || err->code == ERROR_STOPPED))
        association_abort(association, ABORT_BY_PROVIDER, ABORT_NOT_SPECIFIED);
    else
        drop(association);
    return false;
}

static bool check_open(const struct association *association, struct error *err)
{
    return association->open || error_set(err, ERROR_CLOSED, "the association has ended");
}

static bool accept_contexts(struct association *association, struct slice body,
                            const struct policy *policy, struct buffer *answer, struct error *err)
{
    struct associate *request = mem_alloc(sizeof(*request));
    bool ok = associate_decode(body, PDU_ASSOCIATE_RQ, request, err);
    if (ok) {
        association->contexts = mem_alloc_array(request->context_count,
                                                sizeof(*association->contexts));
        association->context_count = request->context_count;
        associate_called_ae(request, association->called_ae);
        associate_calling_ae(request, association->calling_ae);
        associate_user(request, association->user);
        association->operations = negotiate_operations(request, policy);
        set_peer_max_pdu(association, request->max_length);
        negotiate_contexts(request, policy, association->contexts);
        negotiate_encode_accept(request, policy, association->contexts, answer);
    }
    free(request);
    return ok;
}

struct association *association_accept_take(struct transport *transport, struct slice request,
                                            const struct policy *policy,
                                            const struct association_settings *settings,
                                            struct error *err)
{
    struct association *association = new_association(settings);
    struct buffer answer = buffer_up_to(PDU_REQUEST_LIMIT);
    association->transport = *transport;
    association->transport.kill_fd = settings->kill_fd;
    *transport = (struct transport){ .fd = -1, .kill_fd = -1 };
    bool ok = accept_contexts(association, request, policy, &answer, err) &&
              send_bytes(association, buffer_slice(&answer), err);
    buffer_release(&answer);
    association->open = ok;
    if (!ok) {
        transport_close(&association->transport);
        association_close(association);
        return NULL;
    }
    return association;
}

static void propose_role(struct associate *associate, const struct proposal *proposal)
{
    for (size_t i = 0; i < associate->role_count; i++)
        if (slice_equal(associate->roles[i].sop_class, slice_text(proposal->abstract_syntax)))
            return;
    associate->roles[associate->role_count++] = (struct associate_role){
        .sop_class = slice_text(proposal->abstract_syntax),
        .scu = proposal->roles & ROLE_SCU,
        .scp = proposal->roles & ROLE_SCP,
    };
}

static void encode_request(const struct association *association,
                           const struct association_request *request, struct buffer *pdu)
{
    struct associate *associate = mem_alloc(sizeof(*associate));
    struct buffer syntaxes = buffer_up_to(PDU_REQUEST_LIMIT);
    size_t starts[PDU_CONTEXTS + 1] = { 0 };
    associate->protocol_version = 1;
    associate_set_titles(associate, association->called_ae, association->calling_ae);
    associate->application_context = slice_text(UID_APPLICATION_CONTEXT);
    associate->max_length = association->settings.max_pdu;
    associate->implementation_class = slice_text(UID_IMPLEMENTATION_CLASS);
    associate->implementation_version = slice_text(IMPLEMENTATION_VERSION_NAME);
    associate->context_count = request->proposal_count;
    for (size_t i = 0; i < request->proposal_count; i++) {
        const struct proposal *proposal = &request->proposals[i];
        for (size_t j = 0; j < PROPOSED_SYNTAXES && proposal->transfer_syntaxes[j]; j++)
            pdu_append_syntax(&syntaxes, slice_text(proposal->transfer_syntaxes[j]));
        starts[i + 1] = syntaxes.size;
    }
    for (size_t i = 0; i < request->proposal_count; i++) {
        associate->contexts[i].id = (uint8_t)(2 * i + 1);
        associate->contexts[i].abstract_syntax = slice_text(request->proposals[i].abstract_syntax);
        associate->contexts[i].syntaxes = slice_of(syntaxes.data + starts[i],
                                                   starts[i + 1] - starts[i]);
        if (request->proposals[i].roles != ROLE_DEFAULT)
            propose_role(associate, &request->proposals[i]);
    }
    associate_encode(associate, PDU_ASSOCIATE_RQ, pdu);
    buffer_release(&syntaxes);
    free(associate);
}

/* Makes sure that `size` bytes stand in the read-ahead. */
static bool fill(struct association *association, size_t size, struct error *err)
{
    while (association->ahead_end - association->ahead_start < size) {
        size_t held = association->ahead_end - association->ahead_start;
        if (association->ahead_start) {
            memmove(association->ahead, association->ahead + association->ahead_start, held);
            association->ahead_start = 0;
            association->ahead_end = held;
        }
        struct iovec part = { association->ahead + held, READ_AHEAD - held };
        size_t received;
        if (!transport_receive(&association->transport, &part, 1, association->deadline_ms,
                               &received, err))
            return false;
        association->ahead_end += received;
    }
    return true;
}

static const uint8_t *take(struct association *association, size_t size)
{
    const uint8_t *bytes = association->ahead + association->ahead_start;
    association->ahead_start += size;
    return bytes;
}

/* Receives exactly this much, through the read-ahead. */
static bool receive_all(struct association *association, struct space space, struct error *err)
{
    while (space.size) {
        if (!fill(association, 1, err))
            return false;
        size_t size = association->ahead_end - association->ahead_start;
        size = size < space.size ? size : space.size;
        memcpy(space.data, take(association, size), size);
        space.data += size;
        space.size -= size;
    }
    return true;
}

/* The acceptor can only take away of what was proposed; without its item the roles are the default
 * ones (PS3.7 D.3.3.4). */
static void take_roles(struct presentation_context *context, const struct associate *answer)
{
    uint8_t proposed = context->roles;
    context->roles = ROLE_SCU;
    for (size_t i = 0; i < answer->role_count && proposed != ROLE_DEFAULT; i++) {
        char uid[UID_SIZE];
        if (uid_copy(answer->roles[i].sop_class, uid) && strcmp(uid, context->abstract_syntax) == 0)
            context->roles = proposed & ((answer->roles[i].scu ? ROLE_SCU : 0) |
                                         (answer->roles[i].scp ? ROLE_SCP : 0));
    }
}

/* Marks what the acceptor took; the contexts were proposed as 1, 3, 5 ... */
static void take_answer(struct association *association, const struct associate *answer)
{
    for (size_t i = 0; i < answer->context_count; i++) {
        const struct associate_context *given = &answer->contexts[i];
        struct slice syntaxes = given->syntaxes;
        struct slice uid;
        size_t index = given->id / 2;
        if (index >= association->context_count)
            continue;
        struct presentation_context *context = &association->contexts[index];
        context->result = given->result;
        if (given->result == CONTEXT_ACCEPTED &&
            (!pdu_next_syntax(&syntaxes, &uid) || !uid_copy(uid, context->transfer_syntax)))
            context->result = CONTEXT_NO_TRANSFER_SYNTAX;
        context->syntax = transfer_syntax_or_private(slice_text(context->transfer_syntax));
        take_roles(context, answer);
    }
    set_peer_max_pdu(association, answer->max_length);
}

/* Why, in words (PS3.8 table 9-21). */
static const char *rejection_reason(uint8_t source, uint8_t reason)
{
    static const struct {
        uint8_t source;
        uint8_t reason;
        const char *text;
    } texts[] = {
        { 1, 1, "no reason given" },
        { 1, 2, "application context name not supported" },
        { 1, 3, "calling AE title not recognized" },
        { 1, 7, "called AE title not recognized" },
        { 2, 1, "no reason given" },
        { 2, 2, "protocol version not supported" },
        { 3, 1, "temporary congestion" },
        { 3, 2, "local limit exceeded" },
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].source == source && texts[i].reason == reason)
            return texts[i].text;
    return "a reason that the standard does not know";
}

/* Result 1 is for good; whatever else there may be is not. */
static bool reject(uint8_t result, uint8_t source, uint8_t reason, struct error *err)
{
    static const char *const sources[] = { "somebody unknown", "its service user",
                                           "its service provider (ACSE)",
                                           "its service provider (presentation)" };
    const char *who = sources[source < sizeof(sources) / sizeof(sources[0]) ? source : 0];
    return error_set(err, result == 1 ? ERROR_MISMATCH : ERROR_BUSY,
                     "association rejected %u/%u/%u for %s: %s, says %s", result, source, reason,
                     result == 1 ? "good" : "now", rejection_reason(source, reason), who);
}

static bool receive_answer(struct association *association, struct error *err)
{
    struct associate *answer = NULL;
    uint8_t *body = NULL;
    bool ok = false;
    if (!fill(association, PDU_HEADER_SIZE, err))
        return false;
    const uint8_t *header = take(association, PDU_HEADER_SIZE);
    uint8_t type = header[0];
    uint32_t length = get_u32be(header + 2);
    if (pdu_check_header(type, length, 0) != ABORT_NOT_SPECIFIED ||
        (type != PDU_ASSOCIATE_AC && type != PDU_ASSOCIATE_RJ && type != PDU_ABORT))
        return error_set(err, ERROR_INVALID, "the peer answered the association wrongly");
    body = mem_alloc(length);
    answer = mem_alloc(sizeof(*answer));
    if (!receive_all(association, (struct space){ body, length }, err))
        goto out;
    if (type == PDU_ASSOCIATE_RJ) {
        reject(body[1], body[2], body[3], err);
    } else if (type == PDU_ABORT) {
        error_set(err, ERROR_CLOSED, "association aborted");
    } else if (associate_decode(slice_of(body, length), PDU_ASSOCIATE_AC, answer, err)) {
        take_answer(association, answer);
        ok = association->peer_max_pdu >= MIN_PEER_PDU ||
             error_set(err, ERROR_INVALID, "the peer takes PDUs that are too short");
    }
out:
    free(answer);
    free(body);
    return ok;
}

bool association_open(const struct association_request *request,
                      const struct association_settings *settings, struct association **out,
                      struct error *err)
{
    struct association *association = new_association(settings);
    struct buffer pdu = buffer_up_to(PDU_REQUEST_LIMIT);
    *out = NULL;
    association->deadline_ms = clock_monotonic_ms() + request->connect_timeout_ms;
    memcpy(association->called_ae, request->called_ae,
           strnlen(request->called_ae, AE_TITLE_SIZE - 1));
    memcpy(association->calling_ae, request->calling_ae,
           strnlen(request->calling_ae, AE_TITLE_SIZE - 1));
    association->context_count = request->proposal_count;
    association->contexts = mem_alloc_array(request->proposal_count,
                                            sizeof(*association->contexts));
    for (size_t i = 0; i < request->proposal_count; i++) {
        struct presentation_context *context = &association->contexts[i];
        context->id = (uint8_t)(2 * i + 1);
        context->result = CONTEXT_NO_ABSTRACT_SYNTAX; /* until the answer says otherwise */
        context->roles = request->proposals[i].roles;
        memcpy(context->abstract_syntax, request->proposals[i].abstract_syntax,
               strnlen(request->proposals[i].abstract_syntax, UID_SIZE - 1));
    }
    encode_request(association, request, &pdu);
    association->open =
        buffer_check(&pdu, "association request", err) &&
        transport_connect(&association->transport, request->host, request->port,
                          association->deadline_ms, err) &&
        (!request->tls ||
         transport_secure_client(&association->transport, request->tls, request->host,
                                 request->certificate, association->deadline_ms, err)) &&
        send_bytes(association, buffer_slice(&pdu), err) && receive_answer(association, err);
    buffer_release(&pdu);
    if (!association->open) {
        transport_close(&association->transport);
        association_close(association);
        return false;
    }
    *out = association;
    return true;
}

int association_close(struct association *association)
{
    if (!association)
        return -1;
    association_abort(association, ABORT_BY_USER, ABORT_NOT_SPECIFIED);
    int fd = association->lingers ? transport_take(&association->transport) : -1;
    transport_close(&association->transport);
    free(association->contexts);
    free(association);
    return fd;
}

const char *association_calling_ae(const struct association *association)
{
    return association->calling_ae;
}

const char *association_user(const struct association *association)
{
    return association->user;
}

uint16_t association_operations(const struct association *association)
{
    return association->operations;
}

const char *association_called_ae(const struct association *association)
{
    return association->called_ae;
}

const struct presentation_context *association_context(const struct association *association,
                                                       uint8_t id)
{
    for (size_t i = 0; i < association->context_count; i++)
        if (association->contexts[i].id == id)
            return association->contexts[i].result == CONTEXT_ACCEPTED ? &association->contexts[i]
                                                                       : NULL;
    return NULL;
}

const struct presentation_context *association_context_at(const struct association *association,
                                                          size_t index)
{
    return index < association->context_count ? &association->contexts[index] : NULL;
}

uint32_t association_max_fragment(const struct association *association)
{
    /* Even, as data sets are: no peer should have to see half a value field (PS3.5 7.1.1). */
    return (association->peer_max_pdu - PDV_HEADER_SIZE) & ~1u;
}

bool association_has_ended(const struct association *association)
{
    return !association->open;
}

void association_begin(struct association *association)
{
    association->deadline_ms = clock_monotonic_ms() + association->settings.message_timeout_ms;
    association->progress = 0;
}

bool association_wait_or(struct association *association, int wake_fd, bool *woken,
                         struct error *err)
{
    struct readiness ready = { .readable = association->ahead_end > association->ahead_start ||
                                           association->pdu_left };
    *woken = false;
    if (!check_open(association, err))
        return false;
    if (!ready.readable) {
        int64_t deadline_ms = clock_monotonic_ms() + association->settings.idle_timeout_ms;
        if (!transport_readable(&association->transport, deadline_ms, association->settings.stop_fd,
                                wake_fd, &ready, err))
            return end(association, err);
    }
    if (ready.stopped) {
        error_set(err, ERROR_STOPPED, "the server stops");
        return end(association, err);
    }
    *woken = ready.woken && !ready.readable;
    if (*woken)
        return true;
    if (!ready.readable) {
        error_set(err, ERROR_TIMEOUT, "idle for too long");
        return end(association, err);
    }
    association_begin(association);
    return true;
}

bool association_wait(struct association *association, struct error *err)
{
    bool woken;
    return association_wait_or(association, -1, &woken, err);
}

bool association_has_input(struct association *association, int64_t timeout_ms)
{
    struct readiness ready;
    bool readable = association->ahead_end > association->ahead_start || association->pdu_left;
    if (!association->open || readable)
        return readable;
    int64_t deadline_ms = timeout_ms ? clock_monotonic_ms() + timeout_ms : 0;
    return !transport_readable(&association->transport, deadline_ms, association->settings.kill_fd,
                               -1, &ready, NULL) ||
           ready.readable || ready.stopped;
}

int association_fd(const struct association *association)
{
    return association->transport.fd;
}

/* A PDU header other than P-DATA-TF in Sta6 (PS3.8 9.2, table 9-10). */
static bool take_other_pdu(struct association *association, uint8_t type, struct pdv *pdv,
                           struct error *err)
{
    if (type == PDU_ABORT) {
        drop(association);
        return error_set(err, ERROR_CLOSED, "the peer aborted");
    }
    if (type != PDU_RELEASE_RQ)
        return association_refuse(association, ABORT_UNEXPECTED_PDU, "unexpected PDU", err);
    if (!fill(association, PDU_SHORT_LENGTH, err))
        return end(association, err);
    take(association, PDU_SHORT_LENGTH);
    pdv->released = true;
    return true;
}

/* Reads PDU headers up to one that holds PDVs. */
static bool next_pdu(struct association *association, struct pdv *pdv, struct error *err)
{
    if (!fill(association, PDU_HEADER_SIZE, err))
        return end(association, err);
    const uint8_t *header = take(association, PDU_HEADER_SIZE);
    uint8_t type = header[0];
    uint32_t length = get_u32be(header + 2);
    enum abort_reason reason = pdu_check_header(type, length, association->settings.max_pdu);
    if (type == PDU_ASSOCIATE_RQ || type == PDU_ASSOCIATE_AC || type == PDU_ASSOCIATE_RJ)
        reason = ABORT_UNEXPECTED_PDU;
    if (type != PDU_ABORT && reason != ABORT_NOT_SPECIFIED)
        return association_refuse(association, reason, "PDU of a wrong type or length", err);
    if (type != PDU_DATA)
        return take_other_pdu(association, type, pdv, err);
    association->pdu_left = length;
    return true;
}

bool association_next(struct association *association, struct pdv *pdv, struct error *err)
{
    memset(pdv, 0, sizeof(*pdv));
    if (!check_open(association, err))
        return false;
    if (association->pdu_left == 0 && (!next_pdu(association, pdv, err) || pdv->released))
        return pdv->released;
    if (association->pdu_left < PDV_HEADER_SIZE)
        return association_refuse(association, ABORT_INVALID_PARAMETER, "PDV cut short", err);
    if (!fill(association, PDV_HEADER_SIZE, err))
        return end(association, err);
    const uint8_t *header = take(association, PDV_HEADER_SIZE);
    uint32_t length = get_u32be(header);
    if (length < 2 || length > association->pdu_left - PDV_LENGTH_SIZE)
        return association_refuse(association, ABORT_INVALID_PARAMETER, "PDV of a wrong length",
                                  err);
    /* Empty fragments bring nobody forward, however fast they come. */
    if (length == 2 && clock_monotonic_ms() > association->deadline_ms)
        return association_refuse(association, ABORT_NOT_SPECIFIED, "nothing but empty PDVs", err);
    pdv->context_id = header[4];
    pdv->is_command = header[5] & PDV_COMMAND;
    pdv->is_last = header[5] & PDV_LAST;
    pdv->size = length - 2;
    if (!association_context(association, pdv->context_id))
        return association_refuse(association, ABORT_INVALID_PARAMETER,
                                  "presentation context not accepted", err);
    association->pdv_left = pdv->size;
    association->pdv_is_last = pdv->is_last;
    association->pdu_left -= PDV_LENGTH_SIZE + length;
    return true;
}

/* Bytes that go on renew the deadline, crumbs do not. */
static void note_progress(struct association *association, size_t size)
{
    association->progress += size;
    if (association->progress >= PROGRESS_BYTES)
        association_begin(association);
}

bool association_receive(struct association *association, struct space space, size_t *received,
                         struct error *err)
{
    size_t held = association->ahead_end - association->ahead_start;
    size_t wanted = space.size < association->pdv_left ? space.size : association->pdv_left;
    if (!check_open(association, err))
        return false;
    *received = 0;
    if (wanted == 0)
        return true;
    if (held) {
        *received = held < wanted ? held : wanted;
        memcpy(space.data, take(association, *received), *received);
    } else {
        /* The header behind comes in the same call. Behind the last fragment a whole command may
         * stand; behind others a long fragment, of which no more than the header should be copied
         * twice. */
        bool is_whole = wanted == association->pdv_left;
        size_t ahead = !is_whole ? 0 : association->pdv_is_last ? READ_AHEAD : PDU_DATA_HEADER_SIZE;
        struct iovec parts[] = { { space.data, wanted }, { association->ahead, ahead } };
        size_t size;
        if (!transport_receive(&association->transport, parts, is_whole ? 2 : 1,
                               association->deadline_ms, &size, err))
            return end(association, err);
        *received = size < wanted ? size : wanted;
        association->ahead_start = 0;
        association->ahead_end = size - *received;
    }
    association->pdv_left -= (uint32_t)*received;
    note_progress(association, *received);
    return true;
}

uint32_t association_pdv_left(const struct association *association)
{
    return association->pdv_left;
}

bool association_send(struct association *association, struct iovec *parts, int count, bool more,
                      struct error *err)
{
    if (!check_open(association, err))
        return false;
    return transport_send(&association->transport, parts, count, more,
                          association->settings.message_timeout_ms, err) ||
           end(association, err);
}

bool association_send_file(struct association *association, const struct file_range *range,
                           struct error *err)
{
    if (!check_open(association, err))
        return false;
    if (transport_send_file(&association->transport, range,
                            association->settings.message_timeout_ms, err))
        return true;
    return end(association, err);
}

static bool send_release(struct association *association, enum pdu_type type)
{
    uint8_t pdu[PDU_SHORT_SIZE];
    release_encode(type, pdu);
    return send_bytes(association, slice_of(pdu, sizeof(pdu)), NULL);
}

void association_confirm_release(struct association *association)
{
    if (!association->open)
        return;
    association->open = false;
    association->lingers = send_release(association, PDU_RELEASE_RP);
    if (!association->lingers)
        transport_close(&association->transport);
}

/* What comes while we wait for the A-RELEASE-RP: false when the wait is over (Sta7). */
static bool await_release(struct association *association, int64_t deadline_ms)
{
    struct pdv pdv;
    uint8_t scratch[READ_AHEAD];
    association->deadline_ms = deadline_ms;
    if (!fill(association, PDU_HEADER_SIZE, NULL))
        return false;
    const uint8_t *header = association->ahead + association->ahead_start;
    if (header[0] == PDU_RELEASE_RP || !association_next(association, &pdv, NULL))
        return false;
    /* Both sides released at once: we answer and go on waiting (AR-8, Sta9, Sta11). */
    if (pdv.released)
        return send_release(association, PDU_RELEASE_RP);
    /* P-DATA still on its way is not for us any more (AR-6), and no progress. */
    for (size_t received; association->pdv_left; association->deadline_ms = deadline_ms)
        if (!association_receive(association, (struct space){ scratch, sizeof(scratch) }, &received,
                                 NULL))
            return false;
    return clock_monotonic_ms() < deadline_ms;
}

void association_release(struct association *association, unsigned timeout_ms)
{
    if (!association->open)
        return;
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    if (send_release(association, PDU_RELEASE_RQ))
        while (await_release(association, deadline_ms))
            continue;
    drop(association);
}
