/* SPDX-License-Identifier: MIT */
#pragma once
/* The terms of extended query tags, docs/index-format.md: {'X', number, folded value, NUL, stamp,
 * place}, and for each place a record of those it has, so that they are taken away without reading
 * a header. In the write turn. */

#include "archive/row.h"
#include "archive/tag_set.h"
#include "archive/terms.h"

enum {
    TERM_TAG = 'X',
    RECORD_TAG_TERMS = 'T',
    TAG_VALUES_MAX = 64,      /* of one tag at a place; then it has TAG_MANY instead of the rest */
    TAG_TERMS_SIZE = 4 << 20, /* of the record of a place */
};

/* Stands for values that are not in the index: no UTF-8 begins so. */
#define TAG_MANY "\xFF"

/* Where the values of a place are read: an attribute of the tables from its summary, any other one
 * (and what a partial summary left out) from the header. */
struct tag_source {
    const struct summary *summary;   /* NULL: of an instance, all is read from the header */
    const struct dataset *header;    /* NULL: it is as it was */
    const struct identity *instance; /* whose header stands for the place */
    int64_t now_ms;
};

/* Makes the terms of a study, series or instance what its values say. `place` ends at its level. */
bool tag_terms_update(struct archive *archive, struct transaction *transaction, enum level level,
                      const struct identity *place, const uint8_t *stamp,
                      const struct tag_source *source, struct error *err);
bool tag_terms_remove(struct archive *archive, struct transaction *transaction,
                      const struct identity *place, struct error *err);
/* The study has another date now: a record of its terms, by its key. */
bool tag_terms_restamp(struct transaction *transaction, struct slice record_key,
                       const uint8_t *stamp, struct error *err);
/* All records of a study that the index had before this turn. */
bool tag_terms_restamp_study(struct archive *archive, struct transaction *transaction,
                             const char *study, const uint8_t *stamp, struct error *err);
/* Takes one term out of the index and out of its place's record. */
bool tag_terms_forget(struct transaction *transaction, struct slice term, struct error *err);

/* Can this tag's index answer for a key of a query of this level? */
bool tag_serves(const struct query_tag *tag, enum level level, const uint32_t *path, size_t depth);
/* The beginning of all terms of a tag, of those with a value, of those that begin with one. */
void tag_key(struct key *key, uint16_t number);
void tag_value_key(struct key *key, uint16_t number, struct slice value);
void tag_prefix_key(struct key *key, uint16_t number, struct slice prefix);
/* The parts of a term, by the level that its value says. False when it is none. */
bool tag_split(struct slice term, struct slice level, struct slice *stamp, struct identity *place);
/* The level from the first tag on: LEVEL_STUDY also of what is the patient's. False: no summary
 * has it. */
bool tag_table_level(uint32_t tag, enum level *level);
