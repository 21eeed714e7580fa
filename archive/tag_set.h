/* SPDX-License-Identifier: MIT */
#pragma once
/* The definitions of extended query tags as they stand in TABLE_POSITION, and the set of them that
 * everybody who stores looks at. The set is read and changed in the write turn only. */

#include <pthread.h>

#include "archive/core.h"
#include "archive/keys.h"
#include "archive/query_tags.h"
#include "storage/transaction.h"

struct tag_set {
    struct query_tag tags[QUERY_TAG_MAX];
    size_t count; /* guarded by the write turn, as the tags are */
    pthread_mutex_t lock;
    pthread_cond_t changed;    /* there is work for the indexer */
    unsigned changes;          /* guarded by lock */
    pthread_mutex_t copy_lock; /* held while the copy beside the index is written */
};

struct tag_set *tag_set_new(void);
void tag_set_free(struct tag_set *set);

/* Fills it from the index. Nobody else uses the archive, or it is the write turn. */
bool tag_set_load(struct archive *archive, struct error *err);
/* The definitions as `storage` (or a view of it) has them. */
bool tag_set_read(struct storage *storage, struct query_tag *tags, size_t *count,
                  struct error *err);
/* In the index and in the set. The caller commits. */
void tag_set_put(struct archive *archive, struct transaction *transaction,
                 const struct query_tag *tag);
void tag_set_drop(struct archive *archive, struct transaction *transaction, uint16_t number);
/* With the place at which the background work stands: the key of a record. */
void tag_set_put_at(struct archive *archive, struct transaction *transaction,
                    const struct query_tag *tag, struct slice position);
bool tag_set_position(struct archive *archive, const struct query_tag *tag, struct buffer *position,
                      struct error *err);
/* The set was changed for a transaction that did not come to its end, and has ended. */
void tag_set_take_back(struct archive *archive);
void tag_set_wake(struct archive *archive);

/* A copy beside the index, so that an index that is made anew has the tags too. */
bool tag_set_save_copy(struct archive *archive, struct error *err);
/* For a rebuild: takes the tags from the copy. All that is stored then is indexed at once. */
bool tag_set_adopt_copy(struct archive *archive, struct error *err);

struct query_tag *tag_set_find(struct tag_set *set, uint16_t number);

/* Errors: {number, place} */
void tag_error_key(struct key *key, uint16_t number, const struct identity *place);
