/* SPDX-License-Identifier: MIT */
#pragma once
/* The searchset while it is filled: matches of one page, what is included with them, and the links
 * (R4 3.1.1.5). One thread at a time. */

#include "cast/search_request.h"
#include "cast/search_sorted.h"
#include "cast/view_source.h"

struct search_entries {
    const struct view_source *source;
    const struct search_request *request;
    int64_t now_ms;
    bool counting;                /* matches are only counted */
    struct search_sorted *sorted; /* where matches are only noted; or NULL */
    uint64_t skip;                /* matches that are still to be passed over */
    uint64_t matched;             /* with those that were passed over */
    uint64_t given;
    bool more;        /* the page is full and there is one more, or the walk was broken off */
    size_t instances; /* in the page */
    cJSON *seen;      /* object: ids of matches */
    cJSON *shown;     /* object: "Patient/x" of what is included */
    cJSON *list;      /* Bundle.entry */
    bool cut;         /* not all is included that should be */
};

void search_entries_init(struct search_entries *entries, const struct view_source *source,
                         const struct search_request *request);
void search_entries_release(struct search_entries *entries);

/* Forgets what was counted or noted. */
void search_entries_begin_again(struct search_entries *entries);
bool search_entries_seen(const struct search_entries *entries, const char *id);
/* Takes the resource (*resource is NULL then) when it fits and has a place. */
void search_entries_offer(struct search_entries *entries, cJSON **resource, const cJSON *patient);
/* What _include and _revinclude ask for, behind the matches. */
bool search_entries_include(struct search_entries *entries, struct error *err);
/* Takes the entries. `next`: the parameter by which the next page begins ("_offset=20"), NULL:
 * there is none. `total`: NULL: not known. */
cJSON *search_entries_bundle(struct search_entries *entries, const char *here, const char *next,
                             const uint64_t *total);
