/* SPDX-License-Identifier: MIT */
#pragma once
/* Where C-MOVE sends to: C-STORE as SCU over one association after the other, as few as the 128
 * presentation contexts allow. First every instance is planned, then each round opens an
 * association for as many SOP classes and transfer syntaxes as fit, and sends what goes over it:
 * the stored bytes as they are if the destination takes the stored transfer syntax, else
 * transcoded. One thread at a time. */

#include "dimse/delivery.h"
#include "dimse/session.h"

struct destination;

/* `request` (the C-MOVE-RQ) gives originator and priority. All is borrowed. */
struct destination *destination_new(struct session *session, const struct command *request,
                                    const struct peer *peer);
/* Releases an open association. */
void destination_free(struct destination *destination);

/* Goes in the place of the one instance that is sent. Borrowed; NULL: none. */
void destination_set_excerpt(struct destination *destination, struct excerpt *excerpt);
void destination_plan(struct destination *destination, const struct instance *instance);
/* Takes over what another one to the same peer has planned. */
void destination_plan_as(struct destination *destination, const struct destination *other);
/* False when all that was planned has had its round. */
bool destination_next_round(struct destination *destination);
bool destination_has_round(const struct destination *destination, const struct instance *instance);

/* Calls the destination when there is no association to it. False while it has not answered within
 * `timeout_ms`; true when instances can be sent, or when none can because it was given up. */
bool destination_is_ready(struct destination *destination, int64_t timeout_ms);
bool destination_is_given_up(const struct destination *destination);
/* Sends an instance, after destination_is_ready. False with the reason when it is not delivered. */
bool destination_begin(struct destination *destination, struct instance *instance,
                       struct error *failure);
/* After that: has the destination answered, or taken too long for it? */
bool destination_is_answered(struct destination *destination);
/* It gets no more than this time for the answer that it owes. */
void destination_hasten(struct destination *destination, int64_t timeout_ms);
/* Waits until one of them may have been answered. False when none was within `timeout_ms`. */
bool destination_await(struct destination *const *destinations, size_t count, int64_t timeout_ms);
/* Takes the answer. `failure` says why an instance was not delivered. */
enum delivery destination_finish(struct destination *destination, struct error *failure);
