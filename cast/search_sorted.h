/* SPDX-License-Identifier: MIT */
#pragma once
/* Matches that are put in order (_sort) where no index has it: of each its id and what it is sorted
 * by, so that their number alone takes memory. One thread at a time. */

#include "base/error.h"
#include "cast/json.h"
#include "cast/patient_id.h"
#include "cast/search_parameters.h"

enum { SEARCH_MOST_SORTED = 20 * 1000 };

struct search_match {
    char id[FHIR_ID_SIZE];
    bool has_time; /* what has none comes last, in either direction */
    int64_t at_ms;
};

struct search_sorted {
    enum search_order order;
    bool descending;
    struct search_match *matches;
    size_t count;
    size_t room;
    bool full; /* there are more than SEARCH_MOST_SORTED */
};

/* Zeroed but for `order` and `descending` to begin with. */
void search_sorted_add(struct search_sorted *sorted, const cJSON *resource);
/* ERROR_LIMIT when there were too many. What is the same comes in the order of ids, in the same
 * direction. */
bool search_sorted_end(struct search_sorted *sorted, struct error *err);
void search_sorted_release(struct search_sorted *sorted);
