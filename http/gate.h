/* SPDX-License-Identifier: MIT */
#pragma once
/* What a request has to pass before a route sees it: where it comes from, whether its head is sound
 * and its target is here, and whose it is (PS3.18 8.5). Thread-safe, but for what is said
 * otherwise.
 */

#include "http/exchange.h"
#include "http/framing.h"

struct gate;

/* The tables are copied; their routes must outlive the gate. */
struct gate *gate_new(const struct http_options *options, const struct route_table *tables,
                      size_t table_count);
void gate_free(struct gate *gate);
/* Under which the server is reached when nobody says otherwise. Before the first request. */
void gate_set_bound_url(struct gate *gate, bool secure, const char *url);
/* Takes other users. Requests that were let in already go on, but for those that wait
 * (gate_lets_stay). */
void gate_reload(struct gate *gate, const struct http_options *options);

/* A proxy whose word on its clients is taken? */
bool gate_is_proxy(const struct gate *gate, const struct address *address);

/* A request whose head has come; the headers are in the request already. */
struct arrival {
    const struct address *peer;
    const char *version;
    const char *target;
    bool secure;              /* by TLS */
    bool sound_head;          /* http/head.h */
    bool has_too_many_fields; /* not all are in the request */
    const char *turned_away;  /* why nobody is served now; NULL: one is */
};
/* All that can be said from the headers alone; leaves the response empty when the request is fine
 * so far. False: what follows on this connection cannot be trusted, or is not wanted. */
bool gate_check(struct gate *gate, const struct arrival *arrival, struct request *request,
                struct response *response, struct framing *framing);
/* For requests that last: false when the users are others now, or the one of this request has
 * expired, so that it must be asked anew. */
bool gate_lets_stay(struct gate *gate, const struct request *request);
/* May a page of the Origin that the request names talk to us: one of ours, or one that is let in?
 * Who names none is no page. */
bool gate_allows_origin(const struct gate *gate, const struct request *request);
/* What an answer says to pages of other origins. */
void gate_finish(const struct gate *gate, const struct request *request, struct response *response);
