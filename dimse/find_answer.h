/* SPDX-License-Identifier: MIT */
#pragma once
/* What every C-FIND has in common, whatever it searches: matches go out one by one, in a character
 * set that the requester reads, until there are no more, it cancels, or none comes in time. One
 * thread at a time. */

#include "dimse/service.h"

struct find_answer {
    struct session *session;
    const struct message *request;
    const char *level;          /* Query/Retrieve Level of each response; NULL: it has none */
    bool has_unsupported;       /* keys that are neither matched nor returned (PS3.4 C.4.1.1.3.2) */
    struct buffer charset_name; /* (0008,0005) of the identifier, or of the table of peers */
    struct charset_writer *charset; /* of the responses, where they can be said in it */
    struct buffer data;
    uint64_t count;
    int64_t deadline_ms; /* for the next match */
    bool cancelled;
    bool ended;
};

void find_answer_init(struct find_answer *answer, struct session *session,
                      const struct message *request, const struct dataset *identifier);
void find_answer_release(struct find_answer *answer);

/* To be asked now and then while nothing matches: false when the search is to end, with `err` when
 * time is up. `context` is the answer. */
bool find_answer_watch(void *context, struct error *err);

/* *match NULL: no more. */
typedef bool find_next(void *context, const struct dataset **match, struct error *err);
/* All matches. Leaves the final status; false when the association has ended. */
bool find_answer_send_all(struct find_answer *answer, find_next *next, void *context,
                          struct status *status, struct error *err);
