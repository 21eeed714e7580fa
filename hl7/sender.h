/* SPDX-License-Identifier: MIT */
#pragma once
/* A connection of ours to somebody else's MLLP: a message out, its acknowledgement in. Every wait
 * has a deadline and heeds a stop. One thread at a time. */

#include "base/tls.h"
#include "hl7/acknowledge.h"
#include "hl7/mllp.h"

struct hl7_sender_options {
    const char *host; /* an address */
    uint16_t port;
    const struct tls_credentials *tls; /* NULL: plain */
    const char *certificate;           /* that it must show; NULL: one that is valid for the host */
    unsigned timeout_ms;               /* to connect, and for an answer */
    int stop_fd;                       /* readable: give up */
};

struct hl7_sender;
struct hl7_sender *hl7_sender_new(const struct hl7_sender_options *options); /* borrowed */
void hl7_sender_free(struct hl7_sender *sender);

/* Sends a message (without its frame) and reads its acknowledgement; connects when there is no
 * connection. ERROR_CLOSED, ERROR_TIMEOUT, ERROR_IO: it may not have been heard, send it again;
 * ERROR_STOPPED. After an error the connection is closed. *is_out: all of it was handed over, so
 * what is wrong may be the message. */
bool hl7_sender_send(struct hl7_sender *sender, struct slice message, struct slice control_id,
                     bool *is_out, enum hl7_answer *answer, struct error *err);
