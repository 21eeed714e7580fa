/* SPDX-License-Identifier: MIT */
#pragma once
/* One association in either role: the state machine of PS3.8 9.2 from the A-ASSOCIATE-AC on, with
 * its time-outs. Acceptors are made from a complete request that the listener has read; requestors
 * connect. Memory is taken when it is needed. One thread at a time.
 *
 * A protocol error of the peer is answered here with A-ABORT (AA-8), a time-out with A-ABORT, and
 * the peer's own A-ABORT or close with silence (AA-3, AA-4). After that every call fails. */

#include <sys/uio.h>

#include "base/file_range.h"
#include "base/slice.h"
#include "dimse/negotiate.h"
#include "dimse/transport.h"

struct association;

struct association_settings {
    uint32_t max_pdu;            /* what we announce */
    unsigned idle_timeout_ms;    /* nothing begun */
    unsigned message_timeout_ms; /* begun and not going on; a blocked write */
    int stop_fd;                 /* readable: end when idle; -1: none */
    int kill_fd;                 /* readable: end at once; -1: none */
};

/* Acceptor: negotiates and sends the A-ASSOCIATE-AC. Takes the connection. NULL when the peer is
 * gone, with the connection closed. `request` is the body of a PDU that associate_decode passed. */
struct association *association_accept_take(struct transport *transport, struct slice request,
                                            const struct policy *policy,
                                            const struct association_settings *settings,
                                            struct error *err);

/* What a requestor proposes. */
enum { PROPOSED_SYNTAXES = 6 };
struct proposal {
    const char *abstract_syntax;
    const char *transfer_syntaxes[PROPOSED_SYNTAXES]; /* up to the first NULL */
    uint8_t roles; /* ROLE_SCU, ROLE_SCP: what we want to be; ROLE_DEFAULT: not
                      negotiated, SCU. The same in all contexts of a SOP class */
};
struct association_request {
    const char *host;
    uint16_t port;
    const char *called_ae;
    const char *calling_ae;
    const struct proposal *proposals; /* at most PDU_CONTEXTS; context ids 1, 3, 5 ... */
    size_t proposal_count;
    unsigned connect_timeout_ms;       /* for TCP, TLS and the answer */
    const struct tls_credentials *tls; /* NULL: plain */
    const char *certificate;           /* that the peer must show; NULL: any that is its host's */
};
/* Rejected for good is ERROR_MISMATCH, for now ERROR_BUSY (PS3.8 9.3.4). */
bool association_open(const struct association_request *request,
                      const struct association_settings *settings, struct association **out,
                      struct error *err);

/* Requestor: A-RELEASE, waits for the answer at most `timeout_ms`. */
void association_release(struct association *association, unsigned timeout_ms);
/* Frees; returns the socket of an association that ended with our A-ABORT or A-RELEASE-RP and whose
 * peer has not closed yet (it must be drained until ARTIM ends, PS3.8 9.2 Sta13), or -1. An
 * association that is still open is aborted. */
int association_close(struct association *association);

const char *association_calling_ae(const struct association *association);
/* The user name that came with the request, "" for none; admission has found it right. */
const char *association_user(const struct association *association);
/* How many operations the peer may have outstanding. */
uint16_t association_operations(const struct association *association);
const char *association_called_ae(const struct association *association);
/* NULL for an id that was not accepted. */
const struct presentation_context *association_context(const struct association *association,
                                                       uint8_t id);
/* Each by its number, refused ones too; NULL at the end. */
const struct presentation_context *association_context_at(const struct association *association,
                                                          size_t index);
/* Data bytes of the largest PDV that may be sent. */
uint32_t association_max_fragment(const struct association *association);
/* The peer sent A-ABORT or closed, or we aborted, or it was released. */
bool association_has_ended(const struct association *association);

/* Receiving. */
struct pdv {
    bool released; /* no PDV: the peer sent A-RELEASE-RQ */
    uint8_t context_id;
    bool is_command;
    bool is_last;
    uint32_t size;
};
/* Waits for the first byte of a message for as long as one may be idle. ERROR_TIMEOUT and
 * ERROR_STOPPED have been answered with A-ABORT. */
bool association_wait(struct association *association, struct error *err);
/* The same, or until wake_fd (-1: none) is readable and no message has begun: *woken. */
bool association_wait_or(struct association *association, int wake_fd, bool *woken,
                         struct error *err);
/* Is there something to read (or the end), now or within `timeout_ms`? */
bool association_has_input(struct association *association, int64_t timeout_ms);
/* Its socket, to be waited for with others when there is no input yet. */
int association_fd(const struct association *association);
/* A message begins: its time runs from now. */
void association_begin(struct association *association);
/* The header of the next PDV; the one before must have been received to its end. */
bool association_next(struct association *association, struct pdv *pdv, struct error *err);
/* Bytes of the PDV straight into `space`: at most what it has left, at least one. */
bool association_receive(struct association *association, struct space space, size_t *received,
                         struct error *err);
uint32_t association_pdv_left(const struct association *association);

/* Sending. Everything or an error; `parts` are used up. */
bool association_send(struct association *association, struct iovec *parts, int count, bool more,
                      struct error *err);
bool association_send_file(struct association *association, const struct file_range *range,
                           struct error *err);
/* Answers A-RELEASE-RQ. */
void association_confirm_release(struct association *association);
/* Sends A-ABORT unless the association has ended. */
void association_abort(struct association *association, enum abort_source source,
                       enum abort_reason reason);
/* The same for what the peer did wrong, as an error: returns false. */
bool association_refuse(struct association *association, enum abort_reason reason, const char *what,
                        struct error *err);
