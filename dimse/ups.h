/* SPDX-License-Identifier: MIT */
#pragma once
/* Between the files of the unified procedure step as SCP (PS3.4 annex CC). */

#include "dimse/attributes.h"
#include "dimse/session.h"
#include "worklist/workitem.h"

enum { UPS_DATASET_SIZE = 4 << 20 };

/* What a request brought. */
struct ups_request {
    struct session *session;
    struct message *message;
    struct attributes attributes; /* dataset NULL: it had none */
    struct workitem_outcome outcome;
};

/* Receives what comes with the request, into what is to be released. False when the association has
 * ended, or when the request was refused and answered: *answered. */
bool ups_receive(struct ups_request *ups, struct session *session, struct message *request,
                 bool must_have, bool *answered, struct error *err);
void ups_release(struct ups_request *ups);

/* Answers with the outcome; when the worklist `failed`, with that. */
bool ups_answer(struct ups_request *ups, const struct error *failed, struct error *err);
