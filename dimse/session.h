/* SPDX-License-Identifier: MIT */
#pragma once
/* An association being served: takes its messages one by one and dispatches them to the services. A
 * session lives on its worker's thread. */

#include "archive/archive.h"
#include "dimse/commitment.h"
#include "dimse/message.h"
#include "dimse/server.h"
#include "dimse/status.h"

enum { SESSION_PENDING = 16 };

struct session {
    struct archive *archive;
    struct worklist *worklist;           /* NULL: there is none, and no service of it comes here */
    const struct dimse_options *options; /* complete: no zeroes that stand for defaults */
    const struct peer *peer;             /* who called, NULL when it is not in the table */
    uint8_t rights;                      /* of the peer, and of the user that it named */
    struct association *association;
    const char *address; /* of the peer, as it is logged */
    struct commitment *commitment;
    struct commitment_line *line; /* NULL until storage commitment is asked for */
    int stop_fd;
    int kill_fd;
    /* What was done, for the line that is logged at the end. */
    uint64_t stored;
    uint64_t failed;
    uint64_t queries;
    uint64_t moved;
    /* What came in while an operation ran, in order. */
    struct message pending[SESSION_PENDING];
    size_t pending_count;
    size_t held; /* bytes of their data sets */
    bool released;
};

/* Serves until the association ends. Returns why, for the log: "released", "aborted" ... */
const char *session_run(struct session *session, struct error *err);

/* Has the operation of this request been cancelled, by C-CANCEL or by A-RELEASE (which ends it in
 * the same way)? Takes what has come in meanwhile. False when the association has ended. */
bool session_poll(struct session *session, const struct message *request, bool *cancelled,
                  struct error *err);

/* Logs that a request is answered with a failure. Its data set is not looked at: no patient data.
 */
void session_note_refusal(const struct session *session, const struct message *request,
                          const struct status *status);

/* Who is refused what it has no right to (PS3.7 C.5.25) is noted in the audit trail. */
void session_note_forbidden(const struct session *session, const char *what);

/* Drains the request's data set and answers it. */
bool session_refuse(struct session *session, struct message *request, const struct status *status,
                    struct error *err);
