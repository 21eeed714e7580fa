/* SPDX-License-Identifier: MIT */
#pragma once
/* Objects that match keys (PS3.4 C.2.2), by the index where it has one of the keys and one by one
 * where it has not. Keys go along paths of tags; keys of one sequence must be met by one item of it
 * (C.2.2.2.6). What matches is a data set of the attributes that were asked for. One thread at a
 * time. */

#include "worklist/objects.h"

struct search;

enum { SEARCH_DEPTH = 8, SEARCH_KEYS = 512 };

struct search *search_new(enum object_kind kind);
void search_free(struct search *search);

/* Only what stands on this shelf; without it both are searched, what is live first. */
void search_set_shelf(struct search *search, enum object_shelf shelf);
/* A range of the kind's own date and one of its time (kinds.c) are one span (PS3.4 C.2.2.2.5). */
void search_combine_date_time(struct search *search);

/* Dates and times of the keys that are added from now on are those of a zone ("+0100"), and those
 * of the matches are said in it (PS3.4 K.4.1.1.3, dicom/zone.h). What does not say its zone is
 * taken to be in this one. ERROR_INVALID with the tag for what is no offset. */
bool search_set_zone(struct search *search, struct slice offset, struct error *err);

/* How the keys added from now on are matched: of enum match_option (dicom/match.h). */
void search_set_options(struct search *search, unsigned options);
/* `value` is UTF-8; empty: it matches whatever there is. The attribute is returned too. A key is
 * given once. ERROR_INVALID with the tag for a value that cannot be one, ERROR_LIMIT for too
 * many. */
bool search_add_key(struct search *search, const uint32_t *path, size_t depth, struct slice value,
                    struct error *err);
/* The keys of a data set (the identifier of C-FIND, or a filter), at every depth. Not those in
 * `without`. */
bool search_add_dataset(struct search *search, const struct dataset *keys, const uint32_t *without,
                        size_t without_count, struct error *err);
/* Only returned, a sequence whole. */
bool search_add_return(struct search *search, uint32_t tag, struct error *err);
void search_return_all(struct search *search);

/* Does this data set match? */
bool search_matches(const struct search *search, const struct dataset *dataset);

/* By number from 0; NULL: no more. */
struct search_path {
    const uint32_t *tags;
    size_t depth;
    struct slice value;
};
bool search_key_at(const struct search *search, size_t number, struct search_path *path);

/* The next match; *match NULL at the end. A data set in Explicit VR Little Endian, UTF-8: the keys
 * and returns (zero length when the object has no such attribute; a zone that is not known is left
 * out). Borrowed until the next call.
 * `object` is filled with the object. Keys may not be added any more. */
bool search_next(struct search *search, struct worklist *worklist, struct object *object,
                 const struct dataset **match, struct error *err);
/* Called now and then while nothing matches; when it returns false, search_next does. */
void search_set_watch(struct search *search, bool (*watch)(void *context, struct error *err),
                      void *context);
