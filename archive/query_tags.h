/* SPDX-License-Identifier: MIT */
#pragma once
/* Extended query tags: attributes that somebody wants an index of beside those that are built in.
 * What is stored from now on is indexed at once, what is there already in the background, from its
 * stored headers; until that has ended, and without an index at all, queries give the same answers
 * more slowly. Thread-safe. */

#include "archive/query.h"

struct transaction;

enum {
    QUERY_TAG_MAX = 128,      /* at a time */
    QUERY_TAG_CREATOR = 64,   /* characters of a private creator */
    QUERY_TAG_ERRORS = 10000, /* values that could not be read, of one tag; more are not noted */
    QUERY_TAG_NAME = 9 * QUERY_MAX_DEPTH, /* "0040A730.0040A160", and its end */
};

enum query_tag_status { QUERY_TAG_ADDING, QUERY_TAG_READY, QUERY_TAG_DELETING };

struct query_tag {
    uint16_t number; /* by which the index knows it */
    uint32_t path[QUERY_MAX_DEPTH];
    size_t depth;
    uint16_t vr;
    char creator[QUERY_TAG_CREATOR + 1]; /* "": none */
    enum level level;                    /* as it was asked for: study, series or instance */
    enum level
        indexed; /* whose values are terms: an attribute of the tables has a level of its own */
    enum query_tag_status status;
    bool enabled; /* queries use the index */
    int64_t added_ms;
    uint64_t done;   /* studies, series or instances that were indexed in the background */
    uint64_t of;     /* of so many, when it began */
    uint32_t errors; /* noted, about */
};

/* Adds them all or none. Path, VR, creator, level are read. ERROR_INVALID for what cannot be an
 * index, ERROR_CONFLICT for what is one already, ERROR_LIMIT beyond QUERY_TAG_MAX. */
bool query_tags_add(struct archive *archive, const struct query_tag *tags, size_t count,
                    struct error *err);
/* All, in the order in which they were added; `tags` has room for QUERY_TAG_MAX. */
bool query_tags_list(struct archive *archive, struct query_tag *tags, size_t *count,
                     struct error *err);
/* ERROR_NOT_FOUND. */
bool query_tags_find(struct archive *archive, const uint32_t *path, size_t depth,
                     struct query_tag *tag, struct error *err);
bool query_tags_enable(struct archive *archive, const uint32_t *path, size_t depth, bool enabled,
                       struct query_tag *tag, struct error *err);
/* Its index is removed in the background; until then it is there, and deleting. */
bool query_tags_remove(struct archive *archive, const uint32_t *path, size_t depth,
                       struct error *err);

/* A value that is none of its VR: where, when and what is wrong with it. */
struct query_tag_error {
    struct identity place;
    int64_t at_ms;
    const char *message; /* without the value */
};
bool query_tags_errors(struct archive *archive, const struct query_tag *tag, size_t offset,
                       size_t limit, struct query_tag_error *errors, size_t *count,
                       struct error *err);
bool query_tags_count_errors(struct archive *archive, const struct query_tag *tag, uint64_t *count,
                             struct error *err);

/* "0040A730.0040A160" */
void query_tag_name(const struct query_tag *tag, char name[QUERY_TAG_NAME]);

/* Indexes what is stored already, and removes what is deleted, with a thread of its own. */
struct tag_indexer;
bool tag_indexer_open(struct archive *archive, struct tag_indexer **out, struct error *err);
void tag_indexer_close(struct tag_indexer *indexer);
