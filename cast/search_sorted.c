/* SPDX-License-Identifier: MIT */
#include "cast/search_sorted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cast/search_date.h"

static const char *time_of(enum search_order order, const cJSON *resource)
{
    return order == ORDER_LAST_UPDATED ? json_text(json_get(resource, "meta"), "lastUpdated")
           : order == ORDER_STARTED    ? json_text(resource, "started")
                                       : NULL;
}

void search_sorted_add(struct search_sorted *sorted, const cJSON *resource)
{
    const char *time = time_of(sorted->order, resource);
    struct time_span span = { 0, 0 };
    if (sorted->count == SEARCH_MOST_SORTED) {
        sorted->full = true;
        return;
    }
    if (sorted->count == sorted->room) {
        sorted->room = sorted->room ? sorted->room * 2 : 64;
        sorted->matches = mem_resize_array(sorted->matches, sorted->room, sizeof *sorted->matches);
    }
    struct search_match *match = &sorted->matches[sorted->count++];
    snprintf(match->id, sizeof match->id, "%s", json_text(resource, "id"));
    match->has_time = time && time_span_read(time, &span);
    match->at_ms = match->has_time ? span.from_ms : 0;
}

static int compare(const void *a, const void *b)
{
    const struct search_match *first = a, *second = b;
    if (first->has_time != second->has_time)
        return first->has_time ? -1 : 1;
    if (first->at_ms != second->at_ms)
        return first->at_ms < second->at_ms ? -1 : 1;
    return strcmp(first->id, second->id);
}

static int compare_descending(const void *a, const void *b)
{
    const struct search_match *first = a, *second = b;
    return first->has_time != second->has_time ? compare(a, b) : compare(b, a);
}

bool search_sorted_end(struct search_sorted *sorted, struct error *err)
{
    if (sorted->full)
        return error_set(err, ERROR_LIMIT, "there are too many matches to be sorted");
    if (sorted->count)
        qsort(sorted->matches, sorted->count, sizeof *sorted->matches,
              sorted->descending ? compare_descending : compare);
    return true;
}

void search_sorted_release(struct search_sorted *sorted)
{
    free(sorted->matches);
    sorted->matches = NULL;
}
