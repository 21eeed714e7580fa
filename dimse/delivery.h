/* SPDX-License-Identifier: MIT */
#pragma once
/* One instance as a C-STORE sub-operation of C-MOVE or C-GET (PS3.7 9.1.1): the stored bytes as
 * they are where the peer took the stored transfer syntax, else transcoded. One thread at a time.
 */

#include "archive/retrieve.h"
#include "base/file_reader.h"
#include "dimse/excerpt.h"
#include "dimse/message.h"

enum delivery { DELIVERED, DELIVERED_WITH_WARNING, NOT_DELIVERED };

/* How instances go over an association. */
struct delivery_way {
    struct association *association;
    enum role role;          /* of the association's requestor in the contexts that may be used */
    bool without_bulk;       /* pixels and the like stay here (PS3.4 Z.1.3) */
    struct excerpt *excerpt; /* goes in the place of the instance; or NULL */
    struct file_reader *reader; /* of the stored files; whoever began releases it */
};

/* Sends the C-STORE-RQ and its data set. `command` holds message ID, priority and originator; SOP
 * class and instance are filled in. When it fails, nothing was sent, unless the data set had begun:
 * then *broken, and the association can only be aborted. */
bool delivery_send(struct delivery_way *way, struct instance *instance, struct command *command,
                   bool *broken, struct error *err);

/* What the status of the C-STORE-RSP means for the sub-operation. `failure` says why it failed. */
enum delivery delivery_of_status(uint16_t status, struct error *failure);
