/* SPDX-License-Identifier: MIT */
#include "dimse/destination.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

enum {
    COMBINATIONS = 4096, /* of SOP class and transfer syntax; more are not delivered */
    MAX_LOSSES = 3,      /* associations lost before we give the destination up */
    RELEASE_TIMEOUT_MS = 5000,
};

struct combination {
    char sop_class[UID_SIZE];
    char transfer_syntax[UID_SIZE];
};

/* A call that is being made, on a thread of its own: a destination may take as long to answer as
 * the requester must not be left without a sign. */
struct call {
    struct destination *destination;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool has_ended;                  /* guarded by lock; what follows is the thread's until then */
    struct association *association; /* NULL: see err */
    struct error err;
};

struct destination {
    struct session *session;
    const struct command *request;
    const struct peer *peer;
    struct combination *combinations;
    size_t count;
    size_t round_start; /* the combinations of this round */
    size_t round_end;
    struct association *association;
    struct call *call; /* NULL: none is being made */
    unsigned losses;
    bool is_given_up;
    struct error reason; /* why it was given up */
    uint16_t message_id;
    int64_t deadline_ms; /* for the answer to the last request */
    bool has_answer;     /* it has come, or the end */
    struct file_reader reader;
    struct excerpt *excerpt; /* that is sent; or NULL */
};

struct destination *destination_new(struct session *session, const struct command *request,
                                    const struct peer *peer)
{
    struct destination *destination = mem_alloc(sizeof(*destination));
    destination->session = session;
    destination->request = request;
    destination->peer = peer;
    return destination;
}

void destination_set_excerpt(struct destination *destination, struct excerpt *excerpt)
{
    destination->excerpt = excerpt;
}

static void end_call(struct destination *destination);

static void hang_up(struct destination *destination)
{
    end_call(destination);
    if (!destination->association)
        return;
    association_release(destination->association, RELEASE_TIMEOUT_MS);
    association_close(destination->association);
    destination->association = NULL;
}

void destination_free(struct destination *destination)
{
    if (!destination)
        return;
    hang_up(destination);
    file_reader_release(&destination->reader);
    free(destination->combinations);
    free(destination);
}

/* SIZE_MAX when it was not planned. */
static size_t find_combination(const struct destination *destination,
                               const struct instance *instance)
{
    const char *sop_class = instance_identity(instance)->sop_class;
    const char *syntax = instance_syntax_uid(instance);
    for (size_t i = 0; i < destination->count; i++)
        if (strcmp(destination->combinations[i].sop_class, sop_class) == 0 &&
            strcmp(destination->combinations[i].transfer_syntax, syntax) == 0)
            return i;
    return SIZE_MAX;
}

void destination_plan(struct destination *destination, const struct instance *instance)
{
    if (destination->count == COMBINATIONS || find_combination(destination, instance) != SIZE_MAX)
        return;
    size_t count = destination->count + 1;
    destination->combinations = mem_resize_array(destination->combinations, count,
                                                 sizeof(*destination->combinations));
    struct combination *combination = &destination->combinations[destination->count++];
    memset(combination, 0, sizeof(*combination));
    const char *sop_class = instance_identity(instance)->sop_class;
    const char *syntax = instance_syntax_uid(instance);
    memcpy(combination->sop_class, sop_class, strnlen(sop_class, UID_SIZE - 1));
    memcpy(combination->transfer_syntax, syntax, strnlen(syntax, UID_SIZE - 1));
}

void destination_plan_as(struct destination *destination, const struct destination *other)
{
    free(destination->combinations);
    destination->count = other->count;
    destination->combinations = mem_copy(other->combinations,
                                         other->count * sizeof(*other->combinations));
}

bool destination_is_given_up(const struct destination *destination)
{
    return destination->is_given_up && !destination->association;
}

/* Is this the first combination of its SOP class in the round? */
static bool is_new_class(const struct destination *destination, size_t index)
{
    for (size_t i = destination->round_start; i < index; i++)
        if (strcmp(destination->combinations[i].sop_class,
                   destination->combinations[index].sop_class) == 0)
            return false;
    return true;
}

bool destination_next_round(struct destination *destination)
{
    size_t contexts = 0;
    hang_up(destination);
    destination->round_start = destination->round_end;
    for (size_t i = destination->round_start; i < destination->count; i++) {
        contexts += is_new_class(destination, i) ? 2 : 1;
        if (contexts > PDU_CONTEXTS)
            break;
        destination->round_end = i + 1;
    }
    return destination->round_end > destination->round_start;
}

bool destination_has_round(const struct destination *destination, const struct instance *instance)
{
    size_t index = find_combination(destination, instance);
    /* What was stored after the plan, or beyond its limit, goes (and fails) with the first round.
     */
    if (index == SIZE_MAX)
        return destination->round_start == 0;
    return index >= destination->round_start && index < destination->round_end;
}

static void add_syntax(struct proposal *proposal, const char *uid)
{
    size_t count = 0;
    for (; count < PROPOSED_SYNTAXES && proposal->transfer_syntaxes[count]; count++)
        if (strcmp(proposal->transfer_syntaxes[count], uid) == 0)
            return;
    if (count < PROPOSED_SYNTAXES)
        proposal->transfer_syntaxes[count] = uid;
}

/* Those into which we can transcode: what the destination likes best, what every receiver knows,
 * and what else we can encode. */
static struct proposal propose_transcoded(const struct destination *destination,
                                          const char *sop_class)
{
    static const char *const ours[] = { UID_EXPLICIT_LITTLE_ENDIAN,
                                        UID_IMPLICIT_LITTLE_ENDIAN,
                                        UID_JPEG_LS_LOSSLESS,
                                        UID_JPEG_2000_LOSSLESS,
#ifdef HOUNSFIELD_OPENJPH
                                        UID_HTJ2K_LOSSLESS,
#endif
                                        UID_RLE_LOSSLESS };
    struct proposal proposal = { .abstract_syntax = sop_class };
    const char *const *liked = destination->peer->transfer_syntaxes;
    for (; liked && *liked; liked++)
        for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
            if (strcmp(ours[i], *liked) == 0)
                add_syntax(&proposal, ours[i]);
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        add_syntax(&proposal, ours[i]);
    return proposal;
}

/* Each SOP class with each transfer syntax that is stored, and once to be transcoded. */
static size_t make_proposals(const struct destination *destination, struct proposal *proposals)
{
    size_t count = 0;
    for (size_t i = destination->round_start; i < destination->round_end; i++) {
        const struct combination *combination = &destination->combinations[i];
        proposals[count++] = (struct proposal){
            .abstract_syntax = combination->sop_class,
            .transfer_syntaxes = { combination->transfer_syntax },
        };
        if (is_new_class(destination, i))
            proposals[count++] = propose_transcoded(destination, combination->sop_class);
    }
    return count;
}

static bool dial(const struct destination *destination, struct association **out, struct error *err)
{
    struct proposal proposals[PDU_CONTEXTS];
    const struct dimse_options *options = destination->session->options;
    struct association_request request = {
        .host = destination->peer->host,
        .port = destination->peer->port,
        .called_ae = destination->peer->ae_title,
        .calling_ae = options->ae_title,
        .proposals = proposals,
        .proposal_count = make_proposals(destination, proposals),
        .connect_timeout_ms = options->connect_timeout_ms,
        .tls = destination->peer->tls ? options->tls : NULL,
        .certificate = destination->peer->certificate,
    };
    struct association_settings settings = {
        .max_pdu = options->max_pdu,
        .idle_timeout_ms = options->message_timeout_ms,
        .message_timeout_ms = options->message_timeout_ms,
        .stop_fd = -1,
        .kill_fd = destination->session->kill_fd,
    };
    return association_open(&request, &settings, out, err) || error_add_context(err, "destination");
}

static void *call(void *context)
{
    struct call *call = context;
    struct association *association = NULL;
    struct error err = { .code = ERROR_NONE };
    dial(call->destination, &association, &err);
    pthread_mutex_lock(&call->lock);
    call->association = association;
    call->err = err;
    call->has_ended = true;
    pthread_cond_signal(&call->ended);
    pthread_mutex_unlock(&call->lock);
    return NULL;
}

static void begin_call(struct destination *destination)
{
    struct call *made = mem_alloc(sizeof(*made));
    pthread_condattr_t attributes;
    made->destination = destination;
    pthread_mutex_init(&made->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&made->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    int failure = pthread_create(&made->thread, NULL, call, made);
    if (!failure) {
        destination->call = made;
        return;
    }
    error_set_errno(&destination->reason, failure, "a thread for the destination");
    destination->is_given_up = true;
    pthread_cond_destroy(&made->ended);
    pthread_mutex_destroy(&made->lock);
    free(made);
}

/* Waits for the thread, and takes what came of the call. */
static void end_call(struct destination *destination)
{
    struct call *made = destination->call;
    if (!made)
        return;
    pthread_join(made->thread, NULL);
    destination->association = made->association;
    if (!made->association) {
        destination->is_given_up = true;
        destination->reason = made->err;
    }
    pthread_cond_destroy(&made->ended);
    pthread_mutex_destroy(&made->lock);
    free(made);
    destination->call = NULL;
}

bool destination_is_ready(struct destination *destination, int64_t timeout_ms)
{
    if (destination->association || destination->is_given_up)
        return true;
    if (!destination->call)
        begin_call(destination);
    struct call *made = destination->call;
    if (!made)
        return true;
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000 };
    int failure = 0;
    pthread_mutex_lock(&made->lock);
    while (!made->has_ended && !failure)
        failure = pthread_cond_timedwait(&made->ended, &made->lock, &until);
    bool has_ended = made->has_ended;
    pthread_mutex_unlock(&made->lock);
    if (has_ended)
        end_call(destination);
    return has_ended;
}

/* The association is of no more use; the next instance gets another, a few times. */
static void lose(struct destination *destination, const struct error *err)
{
    int fd = association_close(destination->association);
    if (fd >= 0)
        close(fd);
    destination->association = NULL;
    /* What we cannot read ourselves is no fault of the peer's. */
    if (err->code == ERROR_CORRUPT || ++destination->losses < MAX_LOSSES)
        return;
    destination->is_given_up = true;
    destination->reason = *err;
}

/* A data set that was begun can only be ended, or taken back with the association. Where the peer
 * still listens the failure is that of one instance and none of the peer's. */
static void take_back(struct destination *destination)
{
    if (association_has_ended(destination->association))
        return;
    int fd = association_close(destination->association);
    if (fd >= 0)
        close(fd);
    destination->association = NULL;
}

static bool send_request(struct destination *destination, struct instance *instance,
                         struct error *err)
{
    bool broken;
    struct command command = {
        .message_id = ++destination->message_id,
        .priority = destination->request->priority,
        .originator_id = destination->request->message_id,
    };
    memcpy(command.originator, association_calling_ae(destination->session->association),
           AE_TITLE_SIZE);
    struct delivery_way way = { .association = destination->association,
                                .role = ROLE_SCU,
                                .excerpt = destination->excerpt,
                                .reader = &destination->reader };
    bool ok = delivery_send(&way, instance, &command, &broken, err);
    if (broken)
        take_back(destination);
    return ok;
}

static bool receive_status(struct destination *destination, uint16_t *status, struct error *err)
{
    struct message response;
    bool released = false;
    if (!destination->has_answer) {
        association_abort(destination->association, ABORT_BY_USER, ABORT_NOT_SPECIFIED);
        return error_set(err, ERROR_TIMEOUT, "destination did not answer in time");
    }
    association_begin(destination->association);
    if (!message_receive(destination->association, &response, &released, err))
        return false;
    if (released) {
        association_confirm_release(destination->association);
        return error_set(err, ERROR_CLOSED, "destination released the association");
    }
    if (response.command.field != (C_STORE_RQ | COMMAND_RESPONSE) ||
        response.command.responded_id != destination->message_id)
        return association_refuse(destination->association, ABORT_NOT_SPECIFIED,
                                  "destination answered another request", err);
    *status = response.command.status;
    return message_drain(&response, err);
}

/* What failed may have cost the association. */
static void note_failure(struct destination *destination, const struct error *failure)
{
    if (destination->association && association_has_ended(destination->association))
        lose(destination, failure);
}

bool destination_begin(struct destination *destination, struct instance *instance,
                       struct error *failure)
{
    if (!destination->association) {
        *failure = destination->reason;
        return false;
    }
    if (!send_request(destination, instance, failure)) {
        note_failure(destination, failure);
        return false;
    }
    destination->deadline_ms = clock_monotonic_ms() +
                               destination->session->options->message_timeout_ms;
    return true;
}

bool destination_await(struct destination *const *destinations, size_t count, int64_t timeout_ms)
{
    struct pollfd waited[MOVE_LANES];
    for (size_t i = 0; i < count && i < MOVE_LANES; i++)
        waited[i] = (struct pollfd){ .fd = association_fd(destinations[i]->association),
                                     .events = POLLIN };
    return poll(waited, count < MOVE_LANES ? count : MOVE_LANES, (int)timeout_ms) > 0;
}

void destination_hasten(struct destination *destination, int64_t timeout_ms)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    if (deadline_ms < destination->deadline_ms)
        destination->deadline_ms = deadline_ms;
}

bool destination_is_answered(struct destination *destination)
{
    destination->has_answer = association_has_input(destination->association, 0);
    return destination->has_answer || clock_monotonic_ms() >= destination->deadline_ms;
}

enum delivery destination_finish(struct destination *destination, struct error *failure)
{
    uint16_t status = 0;
    if (!receive_status(destination, &status, failure)) {
        note_failure(destination, failure);
        return NOT_DELIVERED;
    }
    return delivery_of_status(status, failure);
}
