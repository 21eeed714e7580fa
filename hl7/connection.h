/* SPDX-License-Identifier: MIT */
#pragma once
/* One connection of a sender, worked on by whichever thread has its turn: what is there is read,
 * messages are received and answered in order, what cannot be sent waits. It never blocks but for
 * the durability of a message. One thread at a time. */

#include <pthread.h>
#include <stdatomic.h>

#include "hl7/configuration.h"
#include "hl7/mllp.h"
#include "hl7/receive.h"

enum hl7_turn {
    HL7_TURN_READ,  /* to be called again when there is something to read */
    HL7_TURN_WRITE, /* when there is room to write */
    HL7_TURN_END,   /* no more: close it */
};

struct hl7_connection {
    struct hl7_connection *previous; /* in the server's list */
    struct hl7_connection *next;
    pthread_mutex_t turn; /* held from being woken to being armed again */
    int fd;
    struct tls *tls;                       /* NULL: plain */
    struct hl7_configuration *credentials; /* that the session's are of; NULL: plain */
    bool is_shaken;                        /* the handshake is done */
    struct address address;
    char peer[ADDRESS_TEXT_SIZE + 8]; /* with the port, for logs */
    /* When the server ends it, CLOCK_MONOTONIC; 0: never. Written by who has the turn. */
    atomic_int_least64_t deadline_ms;

    struct mllp mllp;
    struct buffer out; /* answers that are not sent yet */
    size_t sent;       /* bytes of it */
    size_t held;       /* bytes that are counted against the budget of all connections */
    struct hl7_receiver receiver;
    const char *why; /* it ended */
    uint64_t accepted;
    uint64_t refused;
};

/* Takes the socket. NULL when TLS cannot be begun. */
struct hl7_connection *hl7_connection_new_take(int fd, const struct sockaddr *address,
                                               struct hl7_configuration *configuration,
                                               bool secure);
void hl7_connection_free(struct hl7_connection *connection);

/* What all connections share: messages that are begun take their memory from it. */
struct hl7_budget {
    atomic_size_t held;
    pthread_mutex_t
        large; /* one large message is worked on at a time: it is copied several times */
    atomic_bool is_stopping;
};

/* One turn, with the configuration that is current. */
enum hl7_turn hl7_connection_turn(struct hl7_connection *connection,
                                  struct hl7_configuration *configuration,
                                  struct hl7_budget *budget);
