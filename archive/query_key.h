/* SPDX-License-Identifier: MIT */
#pragma once
/* The keys of a query, and whether a row matches them (PS3.4 C.2.2.2). */

#include "archive/query.h"
#include "archive/row.h"

enum { QUERY_MAX_KEYS = 1000, QUERY_MAX_ITEMS = 1000 };

struct query_key {
    uint32_t path[QUERY_MAX_DEPTH];
    size_t depth;
    struct match_key *match;
    enum level level;             /* at which it can be told first */
    const struct query_key *time; /* a date's time, when both are one span */
    bool in_span;                 /* a time that is matched together with its date */
    struct slice creator;         /* of a private attribute, as keys name it; else empty */
    bool has_zone;                /* a day of it lies over others of other zones */
};

struct query_keys {
    struct query_key *keys;
    size_t count;
    size_t capacity;
    struct row_creator *creators; /* of private attributes, as keys name them */
    size_t creator_count;
    unsigned options; /* enum match_option */
    bool has_zone;    /* dates and times are those of a zone: */
    int64_t zone_us;  /* so far ahead of UTC */
};

bool query_keys_add(struct query_keys *keys, enum level level, const uint32_t *path, size_t depth,
                    struct slice value, struct error *err);
void query_keys_release(struct query_keys *keys);
/* The creator of a private attribute for which no key names one. Before the first match. */
void query_keys_imply_creator(struct query_keys *keys, uint32_t tag, const char *creator);
/* Orders them by their paths; `combine` joins dates and times. Before the first match. */
void query_keys_prepare(struct query_keys *keys, bool combine);

bool query_key_is_filter(const struct query_key *key); /* not universal */
/* Does any key of these levels filter? */
bool query_keys_filter(const struct query_keys *keys, enum level first, enum level last);

/* Do the keys of the levels from `first` to `last` match the row, which is loaded to `last`? */
bool query_keys_match(const struct query_keys *keys, struct row *row, enum level first,
                      enum level last, bool *matches, struct error *err);
