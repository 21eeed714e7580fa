/* SPDX-License-Identifier: MIT */
#pragma once
/* Who gets in: the request itself, and who sends it from where. Thread-safe. */

#include <sys/socket.h>

#include "dimse/configuration.h"

/* Does this PDU header open an association? False with the reason to abort with. */
bool admission_check_header(const uint8_t header[PDU_HEADER_SIZE], enum abort_reason *reason);
/* The body of an A-ASSOCIATE-RQ. False when there is nothing to negotiate: answer with A-ABORT,
 * reason 6. */
bool admission_decode(struct slice body, struct associate *request, struct error *err);

/* Result 0: let in, if there is room. `tls` is NULL when the caller came without it: then it is
 * none of those who must show a certificate. *to_resolve: and if peers_resolve agrees with the host
 * of the caller's peer, which is a name. */
struct rejection admission_check(const struct configuration *configuration,
                                 const struct associate *request,
                                 const struct sockaddr_storage *address, const struct tls *tls,
                                 bool *to_resolve);

/* Tells the log and the metrics. */
void admission_note(struct rejection rejection, const struct sockaddr_storage *address,
                    const char *called_ae, const char *calling_ae);

/* The answer for whoever is not the peer whose title it uses. */
extern const struct rejection admission_stranger;
