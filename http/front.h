/* SPDX-License-Identifier: MIT */
#pragma once
/* A listening port and the library's daemons behind it: one that takes connections and, when the
 * certificate was renewed meanwhile, earlier ones that serve theirs to the end. With server*.c the
 * door to libmicrohttpd. One thread at a time. */

#include <microhttpd.h>

#include "base/error.h"
#include "http/certificate.h"

struct front;

struct front_options {
    int fd; /* that listens; taken over, also on failure */
    bool is_ipv6;
    unsigned connection_limit;
    unsigned idle_timeout_s;
    void *context; /* of all that follows */
    MHD_AcceptPolicyCallback admit;
    MHD_AccessHandlerCallback handle;
    MHD_NotifyConnectionCallback connection;
    MHD_RequestCompletedCallback completed;
    void *(*request_line)(void *context, const char *uri, struct MHD_Connection *connection);
};

/* certificate NULL: without TLS. */
bool front_open(const struct front_options *options, const struct certificate *certificate,
                struct front **out, struct error *err);
/* Connections from now on see this certificate; those that are open go on. On failure all stays as
 * it was. */
bool front_renew(struct front *front, const struct certificate *certificate, struct error *err);
/* Takes no new connections. */
void front_quiesce(struct front *front);
/* Ends what is open. NULL does nothing. */
void front_close(struct front *front);
