/* SPDX-License-Identifier: MIT */
#pragma once
/* Ends searches that nobody waits for, or that find nothing for too long: what no index knows is
 * looked for in every header that there is. By value; one thread. */

#include "http/server.h"

struct search_watch {
    const struct request *request;
    int64_t timeout_ms; /* without another match */
    int64_t begun_ms;
    int64_t matched_ms;
};

struct search_watch search_watch_begin(const struct request *request, int64_t timeout_ms);
/* There was a match. */
void search_watch_matched(struct search_watch *watch);
/* For query_set_watch and search_set_watch, with the watch as context. False: ERROR_LIMIT (413,
 * PS3.18 table 10.6.3-1) when it takes too long, ERROR_STOPPED when the client has gone. */
bool search_watch_look(void *context, struct error *err);
