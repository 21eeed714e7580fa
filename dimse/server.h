/* SPDX-License-Identifier: MIT */
#pragma once
/* DICOM over TCP: listens, negotiates, and serves C-ECHO, C-STORE, C-FIND and C-MOVE on the
 * archive. One thread accepts and reads the A-ASSOCIATE-RQ of all newcomers with epoll; each
 * association then has a worker thread. */

#include "archive/archive.h"
#include "base/error.h"

struct dimse_server;

struct peer {
    const char *ae_title;
    const char *host;
    uint16_t port;
};

struct dimse_options {
    const char *address; /* "127.0.0.1", "::", ... */
    uint16_t port;       /* 0: any free one, see dimse_server_port */
    const char *ae_title;
    bool accept_any_called_ae; /* default false: another called AE title is rejected 1/1/7 */
    const char *const *calling_ae_titles; /* NULL-terminated list of who may call; NULL: anybody */
    const struct peer *peers;             /* C-MOVE destinations */
    size_t peer_count;
    unsigned association_limit;          /* 0: 256 */
    unsigned association_limit_per_peer; /* 0: 64, by address */
    uint32_t max_pdu;                    /* what we announce, 0: 256 KiB (262144) */
    unsigned artim_timeout_ms;           /* 0: 10 s */
    unsigned idle_timeout_ms;            /* 0: 10 min: nothing begun on an association */
    unsigned message_timeout_ms; /* 0: 60 s: a message begun and not going on; a blocked write */
    unsigned connect_timeout_ms; /* 0: 10 s: as requester */
    bool refuse_unknown_sop_classes; /* default false */
};

/* Options are copied. */
bool dimse_server_open(struct archive *archive, const struct dimse_options *options,
                       struct dimse_server **out, struct error *err);
uint16_t dimse_server_port(const struct dimse_server *server);
/* No new associations; those that are open may end their message for `grace_ms`, then they are
 * aborted. */
void dimse_server_close(struct dimse_server *server, int64_t grace_ms);
