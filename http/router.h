/* SPDX-License-Identifier: MIT */
#pragma once
/* Route tables compiled once, then matched by segments. Immutable after router_new, thread-safe. */

#include "base/buffer.h"
#include "http/server.h"

struct router;

enum { ROUTE_MAX_PARAMETERS = 8 };

struct route_match {
    const struct route *route; /* NULL: none for this method (see router_allow) */
    void *context;
    const char *pattern; /* with the prefix, for the log */
    size_t parameter_count;
    const char *names[ROUTE_MAX_PARAMETERS];
    const char *values[ROUTE_MAX_PARAMETERS]; /* point into the segments given */
};

/* Aborts on a pattern that no request could match: that is a fault of the program. */
struct router *router_new(const struct route_table *tables, size_t table_count);
void router_free(struct router *router);

/* False when no route has this path. HEAD finds the route of GET. */
bool router_match(const struct router *router, const char *method, const char *const *segments,
                  size_t segment_count, struct route_match *match);
/* "GET, HEAD, OPTIONS": the methods that the path has, for Allow. */
void router_allow(const struct router *router, const char *const *segments, size_t segment_count,
                  struct buffer *allow);
