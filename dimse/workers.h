/* SPDX-License-Identifier: MIT */
#pragma once
/* The threads that serve associations: one each, at most as many as the limit. Admits, counts by
 * peer, ends. One thread (the listener's) calls everything but workers_new and _close. */

#include <sys/socket.h>

#include "base/buffer.h"
#include "dimse/commitment.h"
#include "dimse/pdu.h"

struct workers;

/* All of it outlives the workers. */
struct workers *workers_new(struct archive *archive, struct worklist *worklist,
                            struct commitment *commitment);

/* Readable when workers_reap has something to do. */
int workers_wake_fd(const struct workers *workers);

/* Somebody who wants an association. */
struct call {
    int fd;
    struct sockaddr_storage address;
    char calling_ae[AE_TITLE_SIZE];
    bool to_resolve; /* the peer's host must be asked for before it is let in */
};
/* `request` is a complete A-ASSOCIATE-RQ with its PDU header, that admission_check let in with this
 * configuration. Result 0: socket and request are taken. Otherwise nothing is taken, and the peer
 * must be answered with what is returned. */
struct rejection workers_admit_take(struct workers *workers, const struct call *call,
                                    const struct configuration *configuration,
                                    struct buffer *request);

/* Somebody who begins TLS, and whose request is still to be read. True: the socket is taken, and
 * whatever is to be answered is answered by the worker. False: too many are at it. */
bool workers_greet_take(struct workers *workers, const struct call *call,
                        const struct configuration *configuration);

/* Joins what has ended. Each call gives at most one socket that is still to be drained, in *fd
 * (else -1); false when there is no more to do. */
bool workers_reap(struct workers *workers, int *fd);

/* Idle associations end at once, others may end their message for `grace_ms`. Frees. */
void workers_close(struct workers *workers, int64_t grace_ms);
