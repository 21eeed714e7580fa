/* SPDX-License-Identifier: MIT */
#pragma once
/* DIMSE messages over an association (PS3.7 6.3, PS3.8 annex E): commands and data sets put
 * together from fragments of any cut, and cut into fragments. A data set is received piece by piece
 * into the caller's memory. One thread at a time. */

#include "base/buffer.h"
#include "dimse/association.h"
#include "dimse/command.h"

struct message {
    struct association *association;
    const struct presentation_context *context; /* borrowed from the association */
    struct command command;
    bool data_ended; /* nothing of the data set is left to receive, or there is none */
    bool in_last;    /* the open fragment is the last */
    bool is_held;    /* the data set was received before its time, see message_hold */
    struct buffer held;
    size_t taken; /* of it */
};

/* The next command. *released: the peer sent A-RELEASE-RQ instead. False when the association has
 * ended. */
bool message_receive(struct association *association, struct message *message, bool *released,
                     struct error *err);

/* How many bytes of the data set's open fragment are left; 0 at the end of the data set. */
bool message_available(struct message *message, size_t *available, struct error *err);
/* Receives at least one of them. */
bool message_read(struct message *message, struct space space, size_t *received, struct error *err);
/* Receives the rest of the data set and forgets it. */
bool message_drain(struct message *message, struct error *err);
/* Receives the whole data set, to be read later as if it came then: what stands behind it on the
 * association can be received meanwhile. *fits false: it is longer than `limit` and was drained. */
bool message_hold(struct message *message, size_t limit, bool *fits, struct error *err);
/* Frees what is held. */
void message_release(struct message *message);
/* Receives the whole data set. What is beyond the buffer's limit is drained and leaves it
 * overflowed. */
bool message_read_all(struct message *message, struct buffer *bytes, struct error *err);

/* Sends a command, and a data set when `data` is not NULL, in one call if it is not large. */
bool message_send(struct association *association, uint8_t context_id, struct slice command,
                  const struct slice *data, struct error *err);
/* Sends a command and the data set that stands in a file, the file's bytes uncopied. */
bool message_send_file(struct association *association, uint8_t context_id, struct slice command,
                       const struct file_range *data, struct error *err);

/* Sends a command and a data set that comes in pieces. Nothing goes out before the first fragment
 * is full or the data set ends: what fails before leaves no trace. `command` is borrowed. */
struct message_writer {
    struct association *association;
    uint8_t context_id;
    struct slice command;
    bool begun; /* the command was sent, or part of it */
    struct buffer fragment;
};
struct message_writer message_writer_init(struct association *association, uint8_t context_id,
                                          struct slice command);
bool message_write(struct message_writer *writer, struct slice bytes, struct error *err);
bool message_end_data(struct message_writer *writer, struct error *err);
void message_writer_release(struct message_writer *writer);

/* Answers the request, with a data set unless `data` is NULL. */
bool message_respond_with(const struct message *request, const struct status *status,
                          const struct slice *data, struct error *err);
/* Answers the request. */
bool message_respond(const struct message *request, const struct status *status, struct error *err);
