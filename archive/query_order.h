/* SPDX-License-Identifier: MIT */
#pragma once
/* Matches put in an order of the caller's. All matches are looked at, and of these only as many are
 * kept as lie up to the end of the page, each as its sort key and its place. One thread at a time.
 */

#include "archive/row.h"

enum {
    ORDER_MAX_TERMS = 8,
    ORDER_MAX_KEPT = 50000,     /* matches up to the end of a page */
    ORDER_MAX_SEEN = 1000000,   /* matches of a search */
    ORDER_VALUE_SIZE = 128,     /* bytes of a value that are compared */
    ORDER_MAX_BYTES = 64 << 20, /* of all that is kept */
};

struct order_term {
    uint32_t tag;
    bool descending;
};

struct ordered; /* a match that is kept */

struct query_order {
    struct order_term terms[ORDER_MAX_TERMS];
    size_t count;
    struct ordered *kept; /* a heap, the last one on top; after the end in order */
    size_t kept_count;
    size_t capacity;
    size_t most;
    size_t bytes;
    uint64_t seen;
};

void query_order_release(struct query_order *order);
/* ERROR_LIMIT beyond ORDER_MAX_TERMS. */
bool query_order_add(struct query_order *order, uint32_t tag, bool descending, struct error *err);
/* Of what follows only the first `most` in order are kept. ERROR_LIMIT when that is too much. */
bool query_order_begin(struct query_order *order, uint64_t most, struct error *err);
/* A match, in the order that breaks ties. */
bool query_order_take(struct query_order *order, struct row *row, enum level level,
                      struct error *err);
void query_order_end(struct query_order *order);
/* NULL behind the last one. */
const struct identity *query_order_at(const struct query_order *order, uint64_t index);
