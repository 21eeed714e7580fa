/* SPDX-License-Identifier: MIT */
#pragma once
/* Dates as searches compare them (R4 3.1.1.4.7): a date of whatever precision is a span of time,
 * and a prefix says how the span that is asked for lies to that of the resource. */

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds since 1970, the end not in it. */
struct time_span {
    int64_t from_ms;
    int64_t to_ms;
};

/* "2026", "2026-01", "2026-01-31", "2026-01-31T08:05", with seconds, fractions and a zone. What has
 * no zone is taken to be in UTC. False when it is no date. */
bool time_span_read(const char *text, struct time_span *span);

enum search_prefix {
    PREFIX_EQ,
    PREFIX_NE,
    PREFIX_GT,
    PREFIX_LT,
    PREFIX_GE,
    PREFIX_LE,
    PREFIX_SA,
    PREFIX_EB,
    PREFIX_AP,
};
/* "ge2026-01-01": the prefix (PREFIX_EQ when there is none) and what follows it. */
enum search_prefix search_prefix_read(const char *text, const char **rest);
/* `now_ms`: what is approximate depends on how long ago it is. */
bool time_span_fits(enum search_prefix prefix, struct time_span wanted, struct time_span held,
                    int64_t now_ms);
