/* SPDX-License-Identifier: MIT */
#pragma once
/* The one query behind C-FIND and QIDO-RS (PS3.4 C.2.2, C.4.1): keys in, data sets out, newest
 * study first and then by UID, in a stable order. Memory is bounded whatever the number of matches.
 * All of it is the archive as it was when the first match was asked for. One thread at a time. */

#include "archive/archive.h"
#include "dicom/dataset.h"
#include "dicom/match.h"

struct query;

struct query *query_new(struct archive *archive, enum level level);
void query_close(struct query *query);

/* A key along a path of tags (one tag, or sequence then attribute ...): matches by `value` (UTF-8,
 * as in dicom/match.h; empty: universal) and is returned (of a sequence the attributes that keys
 * name, in each item; the whole sequence for a key of its tag alone). The unique keys of the levels
 * above are matched in the same way. Any attribute may be a key: indexed ones are fast.
 * A private attribute together with its creator ((gggg,00bb) as a single value) is looked for in
 * whatever block the creator has, and is answered in the one that the key names (PS3.5 7.8.1).
 * ERROR_INVALID with the tag for a value that cannot be one. */
enum { QUERY_MAX_DEPTH = 16 };
bool query_add_key(struct query *query, const uint32_t *path, size_t depth, struct slice value,
                   struct error *err);
/* How the keys that are added from now on are matched: some of enum match_option. */
void query_set_options(struct query *query, unsigned options);
/* Can a key along this path be matched and returned at the level? Not what stands at levels below,
 * an attribute that the standard does not know, or a value that is not matched (pixels). */
bool query_supports(enum level level, const uint32_t *path, size_t depth);
/* Only returned. A sequence is returned whole. */
bool query_add_return(struct query *query, uint32_t tag, struct error *err);
/* All attributes that are stored for the level (includefield=all). */
void query_return_all(struct query *query);
/* Study Date and Study Time (and such pairs) with ranges are one span (PS3.4 C.2.2.2.5); QIDO
 * always, C-FIND if agreed. */
void query_combine_date_time(struct query *query);
/* Dates and times of the keys that are added from now on are those of a zone ("+0100"), and those
 * of the matches are said in it, with (0008,0201) naming it where that is asked for (PS3.4
 * C.4.1.1.3.1). What does not say its zone is taken to be in this one, and is answered without
 * (0008,0201); birth dates are of no zone. ERROR_INVALID with the tag for what is no offset. */
bool query_set_zone(struct query *query, struct slice offset, struct error *err);
/* Skips the first `offset` matches; 0 limit: no end. */
void query_set_page(struct query *query, uint64_t offset, uint64_t limit);

/* In the order of this attribute, and where that is the same of the one added next, at last in the
 * order that all queries have; what has no value comes last. All matches are then looked at first:
 * ERROR_LIMIT when they are too many, or the page ends too far behind them. */
bool query_add_order(struct query *query, uint32_t tag, bool descending, struct error *err);

/* Called some times a second while query_next and query_count_rest look for matches, which can take
 * long when there are few. When it returns false, they do with its error. */
void query_set_watch(struct query *query, bool (*watch)(void *context, struct error *err),
                     void *context);

/* The next match, or *match NULL at the end. A data set in Explicit VR Little Endian, UTF-8
 * ((0008,0005) ISO_IR 192 if a value is not ASCII), tags ascending: the keys and returns asked for
 * (zero length when unknown), the unique keys of this level and of those above (the Patient ID
 * only at the patient level: below, it is returned when asked for). Counts, Modalities
 * in Study, Retrieve AE Title and availability are computed. Borrowed until the next call. */
bool query_next(struct query *query, const struct dataset **match, struct error *err);

/* After the end of a page: how many more matches there are, counted up to `at_most`. */
bool query_count_rest(struct query *query, uint64_t at_most, uint64_t *count, struct error *err);
/* After query_count_rest: how many matches there are in all. *known false when they were not
 * counted to their end, and nothing else tells: of a query without keys the archive's counts do. */
bool query_total(struct query *query, uint64_t *total, bool *known, struct error *err);
