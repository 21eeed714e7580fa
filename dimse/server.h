/* SPDX-License-Identifier: MIT */
#pragma once
/* DICOM over TCP: listens, negotiates, and serves C-ECHO, C-STORE, C-FIND, C-MOVE, C-GET and
 * storage commitment on the archive, and unified procedure steps on the worklist. One thread
 * accepts and reads the A-ASSOCIATE-RQ of all newcomers with epoll; each association then has a
 * worker thread. */

#include "archive/archive.h"
#include "base/error.h"
#include "base/tls.h"

struct dimse_server;
struct worklist;

enum { MOVE_LANES = 16 };

/* What a peer may ask for; C-ECHO is everybody's. */
enum right {
    RIGHT_STORE = 1 << 0,
    RIGHT_FIND = 1 << 1,
    RIGHT_MOVE = 1 << 2,
    RIGHT_GET = 1 << 3,
    RIGHT_COMMIT = 1 << 4,
    RIGHT_WORKLIST = 1 << 5,
    RIGHT_ALL = (1 << 6) - 1,
};

/* Somebody known by an AE title: who may call, and where is sent to. */
struct peer {
    const char *ae_title;
    const char *host; /* name or address; NULL: it calls from anywhere and nothing is sent to it */
    uint16_t port;    /* 0: nothing is sent to it */
    uint8_t rights;   /* enum right */
    bool tls;         /* it is called over TLS */
    const char *certificate;              /* that it must show, see base/tls.h; NULL: any */
    const char *character_set;            /* Specific Character Set it likes best; NULL: any */
    const char *const *transfer_syntaxes; /* it likes best, NULL-terminated; NULL: any */
    const char *const *destinations; /* that it may have moved to, NULL-terminated; NULL: any */
    uint16_t operations;             /* outstanding at once, 0: as everybody */
    unsigned association_limit;      /* 0: as everybody */
    unsigned associations; /* over which a C-MOVE sends to it at once, 0: 1; at most MOVE_LANES */
};

/* Somebody known by a user identity (PS3.7 D.3.3.7). */
struct user {
    const char *name;
    const char *passcode; /* NULL: the name is enough */
    uint8_t rights;       /* enum right; what the peer has not, the user has not either */
};

/* What is stored from now on goes to a peer as well (dimse/forward.h). Several rules of one peer:
 * one of them is enough. */
struct forward_rule {
    const char *to;                       /* AE title of a peer that can be sent to */
    const char *const *modalities;        /* NULL-terminated; NULL or empty: all */
    const char *const *calling_ae_titles; /* who sent it to us; likewise */
};

struct dimse_options {
    struct worklist *worklist; /* the caller's; NULL: none of its services is there. A reload does
                                  not change it */
    const struct archive *archive; /* whose rules may coerce; the server fills it in */
    const char *address;           /* "127.0.0.1", "::", ... */
    uint16_t port;                 /* 0: any free one, see dimse_server_port */
    uint16_t tls_port;             /* 0: TLS is not listened for */
    struct tls_files tls_files;
    const struct tls_credentials *tls; /* made of them by configuration_new; NULL: none */
    const char *ae_title;
    bool accept_any_called_ae; /* default false: another called AE title is rejected 1/1/7 */
    const char *const *calling_ae_titles; /* NULL-terminated list of who may call; NULL: anybody */
    const struct peer *peers;
    size_t peer_count;
    const struct user *users; /* none: identities are not looked at */
    size_t user_count;
    bool require_user;                   /* who gives no identity is rejected */
    uint16_t operations;                 /* that a requestor may have outstanding, 0: 16 */
    bool trust_network;                  /* without calling_ae_titles anybody may call, though
                                            `address` is more than the loopback */
    unsigned association_limit;          /* 0: 256 */
    unsigned association_limit_per_peer; /* 0: 64, by address */
    uint32_t max_pdu;                    /* what we announce, 0: 256 KiB (262144) */
    unsigned artim_timeout_ms;           /* 0: 10 s */
    unsigned idle_timeout_ms;            /* 0: 10 min: nothing begun on an association */
    unsigned message_timeout_ms; /* 0: 60 s: a message begun and not going on; a blocked write */
    unsigned connect_timeout_ms; /* 0: 10 s: as requester */
    unsigned query_timeout_ms;   /* 0: 60 s: from one match of a C-FIND to the next */
    bool refuse_unknown_sop_classes; /* default false */
    uint16_t conflict_status;        /* of a C-STORE of other content than is stored, 0: 0111 */
    const char *const
        *refused_sop_classes;     /* NULL-terminated list of those switched off; or NULL */
    unsigned commitment_wait_ms;  /* for instances that are not here yet; 0: not at all */
    unsigned commitment_retry_ms; /* 0: 10 s: the first pause, each next one is twice as long */
    const struct forward_rule *forward_rules;
    size_t forward_rule_count;
    const char *const *performed_to; /* AE titles that are told what becomes of performed procedure
                                        steps, NULL-terminated; or NULL */
    const char *const *availability_to; /* AE titles that are told what is here, NULL-terminated; or
                                           NULL */
    unsigned availability_quiet_ms;     /* 0: 30 s: so long a study has not changed */
    unsigned forward_retry_ms; /* 0: 5 s: the first pause, each next one is twice as long */
};

/* Options are copied. */
bool dimse_server_open(struct archive *archive, const struct dimse_options *options,
                       struct dimse_server **out, struct error *err);
uint16_t dimse_server_port(const struct dimse_server *server);
/* Takes other options for all associations that are yet to come: everything but address and ports.
 * Open associations keep what they began with. On failure all stays as it was. */
bool dimse_server_reload(struct dimse_server *server, const struct dimse_options *options,
                         struct error *err);
/* No new associations; those that are open may end their message for `grace_ms`, then they are
 * aborted. */
void dimse_server_close(struct dimse_server *server, int64_t grace_ms);
