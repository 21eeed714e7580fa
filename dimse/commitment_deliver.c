/* SPDX-License-Identifier: MIT */
#include "dimse/client.h"
#include "dimse/commitment_parts.h"
#include "dimse/peers.h"
#include "dimse/status.h"

enum { CONTEXT_ID = 1, MESSAGE_ID = 1 };

static bool report_over(struct association *association, const struct commitment_report *report,
                        struct error *err)
{
    struct message answer;
    if (!association_context(association, CONTEXT_ID))
        return error_set(err, ERROR_UNSUPPORTED, "the requester takes no storage commitment");
    if (!commitment_report_send(report, association, CONTEXT_ID, MESSAGE_ID, err) ||
        !client_answer(association, N_EVENT_REPORT_RQ, MESSAGE_ID, &answer, err) ||
        !message_drain(&answer, err))
        return false;
    return answer.command.status == STATUS_SUCCESS ||
           error_set(err, ERROR_MISMATCH, "answered with status %04X", answer.command.status);
}

/* In the role that the requester has not (PS3.4 J.3.3.1.3). */
bool commitment_deliver(struct commitment *commitment, const struct commitment_entry *entry,
                        const struct dimse_options *options, const struct commitment_report *report,
                        struct error *err)
{
    const struct peer *peer = peers_find(options, entry->calling_ae);
    const struct proposal proposal = {
        .abstract_syntax = UID_STORAGE_COMMITMENT,
        .transfer_syntaxes = { UID_EXPLICIT_LITTLE_ENDIAN, UID_IMPLICIT_LITTLE_ENDIAN },
        .roles = ROLE_SCP,
    };
    struct association *association = NULL;
    if (!peer || !peer->port)
        return error_set(err, ERROR_NOT_FOUND, "no peer with host and port has this AE title");
    struct client_options client = client_options_of_peer(options, peer, commitment->kill_fd);
    client.calling_ae = entry->called_ae;
    bool ok = client_open(&client, &proposal, 1, &association, err) &&
              report_over(association, report, err);
    client_close(association);
    return ok;
}
