/* SPDX-License-Identifier: MIT */
#pragma once
/* The series of a study, or the instances of a series, as one snapshot in the order of their
 * numbers and then UIDs. What is too large to be sorted in memory comes in the order of UIDs. One
 * thread at a time. */

#include "archive/core.h"
#include "archive/keys.h"
#include "base/buffer.h"

struct listing_entry {
    int64_t number;
    uint64_t created; /* sequence number of its first change in the feed */
    struct slice key;
    struct slice value; /* the record, empty when only keys were asked for */
};

struct listing;

/* All records of a kind below a place: RECORD_SERIES of a study (series NULL), RECORD_INSTANCE of a
 * series or, with series NULL, of a whole study (then by UIDs of series first). */
bool listing_open(struct archive *archive, char kind, const char *study, const char *series,
                  struct listing **out, struct error *err);
/* Only the record at this place: of a series when its instance is "". */
bool listing_open_one(struct archive *archive, const struct identity *place, struct listing **out,
                      struct error *err);
/* The next one, or *entry NULL at the end. Borrowed until the next call. */
bool listing_next(struct listing *listing, const struct listing_entry **entry, struct error *err);
/* The place that an entry's key names. */
bool listing_place(const struct listing_entry *entry, struct identity *identity, struct error *err);
void listing_close(struct listing *listing);
