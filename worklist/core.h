/* SPDX-License-Identifier: MIT */
#pragma once
/* The worklist as its own files see it. */

#include "storage/storage.h"
#include "storage/transaction.h"
#include "worklist/objects.h"

struct worklist {
    struct storage *storage;
    _Atomic int64_t subscriptions; /* how many there are, about; -1: to be counted */
    struct worklist_options options;
};

/* All that the worklist keeps stands under this byte in the tables record and term, and its entries
 * of the feed begin with it: the archive's keys begin with capitals, its entries with 1. */
enum {
    WORKLIST_BYTE = 'w',
    OBJECT_VERSION = 1,
    TERM_VALUE_SIZE = 200, /* of a folded value; what is longer is cut */
    STAMP_SIZE = 14,       /* YYYYMMDDHHMMSS */
    TERM_KEY_SIZE = 4 + TERM_VALUE_SIZE + 1 + STAMP_SIZE + OBJECT_KEY_SIZE,
    OBJECT_RECORD_LIMIT = OBJECT_DATASET_LIMIT + OBJECT_OWN_LIMIT + OBJECT_LINKS_LIMIT + 256,
    OBJECT_TERMS_MAX = 4096,
    ALL_OBJECTS = '*', /* the index of all, by their stamps alone */
};

struct turn {
    struct worklist *worklist;
    struct transaction *transaction;
    struct buffer scratch;
    size_t followed; /* objects that what is told of patients came into: flow.c */
    size_t followed_bytes;
    bool flow_is_left;
};

/* {WORKLIST_BYTE, kind, key}. Replaces. */
void object_record_key(enum object_kind kind, const char *key, struct buffer *out);
void object_record_encode(const struct object *object, struct buffer *out);
bool object_record_decode(struct slice record, enum object_kind kind, const char *key,
                          struct object *object, struct error *err);

/* A term is {WORKLIST_BYTE, kind, shelf, index, value, NUL, stamp, key}. The list is terms one
 * after the other, each with its 16-bit size before it. */
bool object_terms(const struct object *object, struct buffer *list, struct error *err);
bool object_terms_next(struct slice *list, struct slice *term);
void object_terms_write(struct transaction *transaction, struct slice before, struct slice after);
/* The key in a term whose value is `value_size` long, or ends with the first NUL when it is not
 * known (SIZE_MAX). False for what is no term. */
bool object_term_split(struct slice term, size_t value_size, struct slice *stamp,
                       struct slice *key);

/* An entry of the feed. Appends. */
struct object_change;
void object_change_encode(const struct object_change *change, struct buffer *out);
bool object_change_decode(struct slice entry, uint64_t sequence, struct object_change *change,
                          struct error *err);
