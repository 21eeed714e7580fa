/* SPDX-License-Identifier: MIT */
#include "dimse/forward_lane.h"

#include "dimse/client.h"
#include "dimse/delivery.h"
#include "dimse/status.h"

void forward_lane_hang_up(struct forward_lane *lane)
{
    client_close(lane->association);
    file_reader_release(&lane->reader);
    configuration_release(lane->configuration);
    lane->association = NULL;
    lane->configuration = NULL;
}

static bool is_known(const struct forward_lane *lane, const struct instance *instance)
{
    for (size_t i = 0; i < lane->count; i++)
        if (!strcmp(lane->combinations[i].sop_class, instance_identity(instance)->sop_class) &&
            !strcmp(lane->combinations[i].transfer_syntax, instance_syntax_uid(instance)))
            return true;
    return false;
}

static void learn(struct forward_lane *lane, const struct instance *instance)
{
    size_t place = lane->count;
    if (lane->count < FORWARD_COMBINATIONS) {
        lane->count++;
    } else {
        place = lane->oldest;
        lane->oldest = (lane->oldest + 1) % FORWARD_COMBINATIONS;
    }
    struct forward_combination *combination = &lane->combinations[place];
    const char *syntax = instance_syntax_uid(instance);
    memset(combination, 0, sizeof(*combination));
    memcpy(combination->sop_class, instance_identity(instance)->sop_class, UID_SIZE);
    memcpy(combination->transfer_syntax, syntax, strnlen(syntax, UID_SIZE - 1));
}

static bool is_first_of_class(const struct forward_lane *lane, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (!strcmp(lane->combinations[i].sop_class, lane->combinations[index].sop_class))
            return false;
    return true;
}

/* As C-MOVE proposes: each SOP class as stored, and once in what we can transcode into. */
static size_t make_proposals(const struct forward_lane *lane, struct proposal *proposals)
{
    size_t count = 0;
    for (size_t i = 0; i < lane->count; i++) {
        const struct forward_combination *combination = &lane->combinations[i];
        proposals[count++] = (struct proposal){
            .abstract_syntax = combination->sop_class,
            .transfer_syntaxes = { combination->transfer_syntax },
        };
        if (is_first_of_class(lane, i))
            proposals[count++] = (struct proposal){
                .abstract_syntax = combination->sop_class,
                .transfer_syntaxes = { UID_EXPLICIT_LITTLE_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN,
                                       UID_JPEG_LS_LOSSLESS, UID_JPEG_2000_LOSSLESS,
#ifdef HOUNSFIELD_OPENJPH
                                       UID_HTJ2K_LOSSLESS,
#endif
                                       UID_RLE_LOSSLESS },
            };
    }
    return count;
}

static bool call(struct forward_lane *lane, const struct configuration *configuration,
                 const struct peer *peer, struct error *err)
{
    struct proposal proposals[PDU_CONTEXTS];
    const struct client_options client = client_options_of_peer(&configuration->options, peer,
                                                                lane->kill_fd);
    lane->configuration = configuration_hold(configuration);
    if (client_open(&client, proposals, make_proposals(lane, proposals), &lane->association, err))
        return true;
    forward_lane_hang_up(lane);
    return false;
}

/* An association that takes this instance, if the destination takes it at all. */
static bool prepare(struct forward_lane *lane, const struct configuration *configuration,
                    const struct peer *peer, const struct instance *instance, struct error *err)
{
    bool is_new = !is_known(lane, instance);
    if (is_new)
        learn(lane, instance);
    /* Nobody asked the peer for anything: what it says is that the association is over. */
    if (lane->association &&
        (is_new || lane->configuration != configuration ||
         association_has_ended(lane->association) || association_has_input(lane->association, 0)))
        forward_lane_hang_up(lane);
    return lane->association || call(lane, configuration, peer, err);
}

static enum forward_outcome exchange(struct forward_lane *lane, struct instance *instance,
                                     struct error *failure)
{
    struct delivery_way way = { .association = lane->association,
                                .role = ROLE_SCU,
                                .reader = &lane->reader };
    struct command command = { .message_id = ++lane->message_id };
    struct message answer;
    bool broken;
    bool sent = delivery_send(&way, instance, &command, &broken, failure);
    if (!sent) {
        /* A data set that was begun can only be taken back with the association. */
        if (broken && !association_has_ended(lane->association))
            association_abort(lane->association, ABORT_BY_USER, ABORT_NOT_SPECIFIED);
        return FORWARD_REFUSED;
    }
    if (!client_answer(lane->association, C_STORE_RQ, command.message_id, &answer, failure) ||
        !message_drain(&answer, failure))
        return FORWARD_REFUSED;
    enum forward_outcome outcome = forward_judge(answer.command.status);
    if (outcome != FORWARD_SENT)
        error_set(failure, outcome == FORWARD_LATER ? ERROR_NO_SPACE : ERROR_MISMATCH,
                  "status %04X", answer.command.status);
    return outcome;
}

enum forward_outcome forward_lane_send(struct forward_lane *lane,
                                       const struct configuration *configuration,
                                       const struct peer *peer, struct instance *instance,
                                       bool *reached, struct error *failure)
{
    *reached = false;
    if (!prepare(lane, configuration, peer, instance, failure)) {
        /* It answered, and takes nothing of what was proposed, this instance included. */
        *reached = failure->code == ERROR_UNSUPPORTED;
        return FORWARD_REFUSED;
    }
    *reached = true;
    enum forward_outcome outcome = exchange(lane, instance, failure);
    if (association_has_ended(lane->association))
        forward_lane_hang_up(lane);
    return outcome;
}
