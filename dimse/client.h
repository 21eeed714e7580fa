/* SPDX-License-Identifier: MIT */
#pragma once
/* What a requestor does on an association of its own: asks, and takes the answers (PS3.7 9.1). For
 * the commands of an operator, for forwarding and for reports of commitment. One thread at a time.
 */

#include "dimse/message.h"

struct dimse_options;
struct peer;

struct client_options {
    const char *host;
    uint16_t port;
    const char *calling_ae;
    const char *called_ae;
    const struct tls_credentials *tls; /* NULL: plain */
    const char *certificate;           /* see base/tls.h; NULL: any that is its host's */
    uint32_t max_pdu;
    unsigned connect_timeout_ms;
    unsigned timeout_ms; /* for an answer, and for what is begun */
    int stop_fd;         /* readable: whatever waits ends; -1: none */
};

/* As our settings say of a peer with host and port; we call it by its title, in our name. */
struct client_options client_options_of_peer(const struct dimse_options *options,
                                             const struct peer *peer, int stop_fd);

/* How long a peer is left alone after so many failures in a row, the first one being 0: what the
 * settings say, then twice as long, up to 5 minutes. */
int64_t client_pause_ms(const struct dimse_options *options, unsigned failures);

/* At most PDU_CONTEXTS proposals. An association of which nothing was accepted is
 * ERROR_UNSUPPORTED; one that was rejected for good ERROR_MISMATCH, for now ERROR_BUSY. */
bool client_open(const struct client_options *options, const struct proposal *proposals,
                 size_t count, struct association **out, struct error *err);
/* In order with A-RELEASE if it is still open. NULL does nothing. */
void client_close(struct association *association);

/* The first accepted context of a SOP class, with this transfer syntax unless that is NULL, in
 * which we may have this role; or NULL. */
const struct presentation_context *client_context(const struct association *association,
                                                  const char *sop_class,
                                                  const char *transfer_syntax, enum role role);
/* Does the peer take this SOP class at all? */
bool client_takes_class(const struct association *association, const char *sop_class);

/* Sends a request of DIMSE-C, with an identifier unless that is NULL; `command` has all but the SOP
 * class, which is that of the context. */
bool client_ask(struct association *association, const struct presentation_context *context,
                struct command *command, const struct slice *identifier, struct error *err);
/* C-CANCEL of a request that runs. */
bool client_cancel(struct association *association, const struct presentation_context *context,
                   uint16_t message_id, struct error *err);
/* The next message, of whatever kind; its data set is still to be read. A peer that releases
 * instead is ERROR_CLOSED. */
bool client_receive(struct association *association, struct message *message, struct error *err);
/* The same, and it must be the answer to this request. */
bool client_answer(struct association *association, uint16_t field, uint16_t message_id,
                   struct message *message, struct error *err);

/* C-ECHO; *status is the peer's. */
bool client_echo(struct association *association, uint16_t message_id, uint16_t *status,
                 struct error *err);
/* C-STORE of a data set that stands in a file as the context has it; `command` names message,
 * class and instance. The answer. */
bool client_store(struct association *association, const struct presentation_context *context,
                  const struct command *command, const struct file_range *data,
                  struct command *answer, struct error *err);
