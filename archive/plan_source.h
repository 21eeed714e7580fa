/* SPDX-License-Identifier: MIT */
#pragma once
/* What an index offers for a key of a query: a way to the candidates, as ranges of terms or as
 * UIDs. Pure functions. */

#include "archive/keys.h"
#include "archive/query_key.h"
#include "archive/query_tags.h"

enum source_kind {
    SOURCE_ALL,     /* every study by date, or every patient */
    SOURCE_DATES,   /* a range of days, in order */
    SOURCE_TERM,    /* one value, in order */
    SOURCE_TERMS,   /* several values or a prefix: to be gathered */
    SOURCE_TAG,     /* one value of an extended query tag, in order */
    SOURCE_TAGS,    /* several, a prefix or a range: to be gathered */
    SOURCE_STUDIES, /* UIDs: to be gathered */
    SOURCE_SERIES,
    SOURCE_INSTANCES,
};

/* A way to the candidates. */
struct plan_source {
    enum source_kind kind;
    const struct query_key *key;
    char field;
    uint16_t number; /* of an extended query tag */
    uint64_t cost;   /* candidates, as far as they were counted */
};

/* False for a key that no index helps with; `tags` are the extended query tags that are defined. */
bool plan_source_find(const struct query_key *key, enum level level, const struct query_tag *tags,
                      size_t tag_count, struct plan_source *source);
/* The ranges of terms that a source has, each from `lower` up to before `upper`. */
size_t plan_source_ranges(const struct plan_source *source);
void plan_source_range(const struct plan_source *source, size_t index, struct key *lower,
                       struct key *upper);
/* Cheaper, or as cheap and more telling. */
bool plan_source_is_better(const struct plan_source *a, const struct plan_source *b);
