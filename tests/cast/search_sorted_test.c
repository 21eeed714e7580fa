/* SPDX-License-Identifier: MIT */
#include "cast/search_sorted.h"

#include <stdio.h>

#include "tests/test.h"

static void add(struct search_sorted *sorted, const char *id, const char *started)
{
    cJSON *resource = json_object();
    json_set_text(resource, "id", id);
    json_set_text(resource, "started", started);
    search_sorted_add(sorted, resource);
    cJSON_Delete(resource);
}

static void check_order(bool descending, const char *const *ids, size_t count)
{
    struct search_sorted sorted = { .order = ORDER_STARTED, .descending = descending };
    struct error err;
    add(&sorted, "none", NULL);
    add(&sorted, "late", "2024-01-02T00:30:00+02:00");
    add(&sorted, "b", "2024-01-01T23:00:00Z");
    add(&sorted, "a", "2024-01-01T23:00:00Z");
    add(&sorted, "day", "2024-01-01");
    add(&sorted, "odd", "yesterday");
    CHECK_OK(search_sorted_end(&sorted, &err), err);
    CHECK_INT(sorted.count, count);
    for (size_t i = 0; i < count; i++)
        CHECK_TEXT(sorted.matches[i].id, ids[i]);
    search_sorted_release(&sorted);
}

TEST(matches_are_sorted_as_instants_and_what_has_none_comes_last_either_way)
{
    static const char *const up[] = { "day", "late", "a", "b", "none", "odd" };
    static const char *const down[] = { "b", "a", "late", "day", "odd", "none" };
    check_order(false, up, sizeof up / sizeof *up);
    check_order(true, down, sizeof down / sizeof *down);
}

TEST(more_matches_than_can_be_sorted_are_refused_and_take_no_memory)
{
    struct search_sorted sorted = { .order = ORDER_ID };
    struct error err;
    char id[32];
    for (int i = 0; i <= SEARCH_MOST_SORTED; i++) {
        snprintf(id, sizeof id, "%d", i);
        add(&sorted, id, NULL);
    }
    CHECK_INT(sorted.count, SEARCH_MOST_SORTED);
    CHECK(!search_sorted_end(&sorted, &err));
    CHECK_INT(err.code, ERROR_LIMIT);
    search_sorted_release(&sorted);
    CHECK_OK(search_sorted_end(&(struct search_sorted){ .order = ORDER_ID }, &err), err);
}
