/* SPDX-License-Identifier: MIT */
#include "archive/query.h"

#include <stdlib.h>

#include "archive/answer.h"
#include "archive/listing.h"
#include "archive/lookup.h"
#include "archive/plan.h"
#include "archive/query_order.h"
#include "archive/query_scan.h"
#include "archive/tag_set.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "dicom/date_time.h"

struct query {
    struct archive *archive;
    struct archive view; /* what of it is read, as of the first match that was asked for */
    enum level level;
    struct query_keys keys;
    struct answer answer;
    struct query_order order;
    bool is_ordered; /* all matches were looked at */
    bool combine;
    size_t gather_max;
    uint64_t offset;
    uint64_t limit; /* UINT64_MAX: none */

    struct plan *plan; /* NULL until the first match is asked for */
    struct row row;
    struct identity hint;   /* a series or instance that alone can match */
    struct listing *series; /* of the row's study */
    struct listing *instances;
    uint64_t skip;  /* matches still to be passed over */
    uint64_t given; /* matches given */
    uint64_t total; /* of all matches, when they were counted to their end */
    bool has_total;
    bool at_end;

    bool (*watch)(void *context, struct error *err); /* NULL: nobody */
    void *watch_context;
    int64_t watched_ms; /* when it was called */
};

enum { WATCH_INTERVAL_MS = 100 };

struct query *query_new(struct archive *archive, enum level level)
{
    struct query *query = mem_alloc(sizeof(*query));
    query->archive = archive;
    query->level = level;
    query->limit = UINT64_MAX;
    query->gather_max = PLAN_GATHER_MAX;
    query->answer = answer_init();
    query->view.ae_title = archive->ae_title;
    query->view.resume = archive->resume;
    row_init(&query->row, &query->view);
    return query;
}

void query_close(struct query *query)
{
    if (!query)
        return;
    listing_close(query->instances);
    listing_close(query->series);
    plan_close(query->plan);
    row_release(&query->row);
    answer_release(&query->answer);
    query_keys_release(&query->keys);
    query_order_release(&query->order);
    storage_view_close(query->view.storage);
    free(query);
}

bool query_add_key(struct query *query, const uint32_t *path, size_t depth, struct slice value,
                   struct error *err)
{
    if (depth && path[0] == TAG_SPECIFIC_CHARACTER_SET)
        return true; /* says how the keys are written (PS3.4 C.2.2.2): it is none */
    return query_keys_add(&query->keys, query->level, path, depth, value, err) &&
           answer_add(&query->answer, path[0], depth == 1, err);
}

bool query_add_return(struct query *query, uint32_t tag, struct error *err)
{
    return answer_add(&query->answer, tag, true, err);
}

void query_return_all(struct query *query)
{
    query->answer.all = true;
    query->answer.header = true;
}

void query_set_options(struct query *query, unsigned options)
{
    query->keys.options = options;
}

bool query_supports(enum level level, const uint32_t *path, size_t depth)
{
    return row_can_tell(path[0], level) && match_is_by_value(path[depth - 1]);
}

void query_combine_date_time(struct query *query)
{
    query->combine = true;
}

bool query_add_order(struct query *query, uint32_t tag, bool descending, struct error *err)
{
    return query_order_add(&query->order, tag, descending, err);
}

bool query_set_zone(struct query *query, struct slice offset, struct error *err)
{
    if (!zone_offset_parse(offset, &query->keys.zone_us))
        return error_set_tag(err, ERROR_INVALID, TAG_TIMEZONE_OFFSET_FROM_UTC,
                             "a key is no offset from UTC");
    query->keys.has_zone = true;
    row_set_zone(&query->row, offset);
    return true;
}

void query_set_page(struct query *query, uint64_t offset, uint64_t limit)
{
    query->offset = offset;
    query->limit = limit ? limit : UINT64_MAX;
}

void query_limit_index(struct query *query, size_t gather_max)
{
    query->gather_max = gather_max;
}

void query_set_watch(struct query *query, bool (*watch)(void *context, struct error *err),
                     void *context)
{
    query->watch = watch;
    query->watch_context = context;
}

/* Asked before each row that is looked at. */
static bool may_go_on(struct query *query, struct error *err)
{
    if (!query->watch)
        return true;
    int64_t now_ms = clock_monotonic_ms();
    if (query->watched_ms && now_ms - query->watched_ms < WATCH_INTERVAL_MS)
        return true;
    query->watched_ms = now_ms;
    return query->watch(query->watch_context, err);
}

/* A private attribute that is an extended query tag is that of the tag's creator. */
static bool imply_creators(struct query *query, struct error *err)
{
    bool any = false;
    for (size_t i = 0; i < query->keys.count; i++)
        any |= tag_is_private(query->keys.keys[i].path[0]);
    if (!any)
        return true;
    size_t count;
    struct query_tag *tags = mem_alloc_array(QUERY_TAG_MAX, sizeof(*tags));
    bool ok = tag_set_read(query->view.storage, tags, &count, err);
    for (size_t i = 0; ok && i < count; i++)
        if (tags[i].creator[0])
            query_keys_imply_creator(&query->keys, tags[i].path[0], tags[i].creator);
    free(tags);
    return ok;
}

static bool begin(struct query *query, struct error *err)
{
    if (query->plan)
        return true;
    if (!query->view.storage)
        query->view.storage = storage_view_open(query->archive->storage);
    if (!imply_creators(query, err))
        return false;
    query_keys_prepare(&query->keys, query->combine);
    row_set_creators(&query->row, query->keys.creators, query->keys.creator_count);
    answer_prepare(&query->answer, query->level);
    query->skip = query->offset;
    metric_add(METRIC_QUERIES, 1);
    return plan_open(&query->view, &query->keys, query->level, query->gather_max, &query->plan,
                     err);
}

/* Passes over as many matches at once as stand below something, if none of them need be looked at.
 */
static bool skip_whole(struct query *query, enum level first, uint64_t matches)
{
    if (!matches || query->skip < matches || query_keys_filter(&query->keys, first, LEVEL_INSTANCE))
        return false;
    query->skip -= matches;
    return true;
}

/* When every candidate is a match, those that are passed over are not looked at. */
static bool skip_candidates(struct query *query, struct error *err)
{
    uint64_t skipped = 1;
    if (query->level > LEVEL_STUDY || !plan_is_exact(query->plan))
        return true;
    while (query->skip && skipped) {
        if (!may_go_on(query, err) || !plan_skip(query->plan, query->skip, &skipped, err))
            return false;
        query->skip -= skipped;
    }
    return true;
}

/* The next study that matches the keys of patient and study. *found false at the end. */
static bool next_study(struct query *query, bool *found, struct error *err)
{
    bool matches = false;
    if (!skip_candidates(query, err))
        return false;
    while (!matches) {
        if (!may_go_on(query, err) || !plan_next(query->plan, &query->hint, found, err))
            return false;
        if (!*found)
            return true;
        bool there;
        if (!row_load_study(&query->row, query->hint.study, &there, err))
            return false;
        if (there && query->level == LEVEL_PATIENT && !row_load_patient(&query->row, &there, err))
            return false;
        if (!there)
            continue; /* deleted meanwhile */
        enum level last = query->level == LEVEL_PATIENT ? LEVEL_PATIENT : LEVEL_STUDY;
        if (!query_keys_match(&query->keys, &query->row, LEVEL_PATIENT, last, &matches, err))
            return false;
        if (matches && query->level == LEVEL_SERIES &&
            skip_whole(query, LEVEL_SERIES, query->row.study.series))
            matches = false;
        if (matches && query->level == LEVEL_INSTANCE &&
            skip_whole(query, LEVEL_SERIES, query->row.study.instances))
            matches = false;
    }
    return true;
}

/* Closes the listing at its end. */
static bool next_entry(struct listing **listing, struct identity *place, struct slice *record,
                       bool *found, struct error *err)
{
    const struct listing_entry *entry;
    if (!listing_next(*listing, &entry, err))
        return false;
    *found = entry != NULL;
    if (entry) {
        *record = entry->value;
        return listing_place(entry, place, err);
    }
    listing_close(*listing);
    *listing = NULL;
    return true;
}

/* The next series of the study that matches; *found false when there is no more of them. */
static bool next_series(struct query *query, bool *found, struct error *err)
{
    struct identity place;
    struct slice record;
    bool matches = false;
    while (!matches) {
        if (!may_go_on(query, err) || !next_entry(&query->series, &place, &record, found, err))
            return false;
        if (!*found)
            return true;
        if (!row_set_series(&query->row, place.series, record, err) ||
            !query_keys_match(&query->keys, &query->row, LEVEL_SERIES, LEVEL_SERIES, &matches, err))
            return false;
        if (matches && query->level == LEVEL_INSTANCE &&
            skip_whole(query, LEVEL_INSTANCE, query->row.series.instances))
            matches = false;
    }
    return true;
}

static bool next_instance(struct query *query, bool *found, struct error *err)
{
    struct identity place;
    struct slice record;
    bool matches = false;
    while (!matches) {
        if (!may_go_on(query, err) || !next_entry(&query->instances, &place, &record, found, err))
            return false;
        if (!*found)
            return true;
        if (!row_set_instance(&query->row, place.instance, record, err) ||
            !query_keys_match(&query->keys, &query->row, LEVEL_INSTANCE, LEVEL_INSTANCE, &matches,
                              err))
            return false;
    }
    return true;
}

/* A series or an instance that alone can match is read by itself. */
static bool open_series(struct query *query, struct error *err)
{
    struct identity only = query->hint;
    only.instance[0] = '\0';
    if (only.series[0])
        return listing_open_one(&query->view, &only, &query->series, err);
    return listing_open(&query->view, RECORD_SERIES, query->row.place.study, NULL, &query->series,
                        err);
}

static bool open_instances(struct query *query, struct error *err)
{
    const struct identity *place = &query->row.place;
    if (query->hint.instance[0])
        return listing_open_one(&query->view, &query->hint, &query->instances, err);
    return listing_open(&query->view, RECORD_INSTANCE, place->study, place->series,
                        &query->instances, err);
}

/* The next row that matches all keys: depth first through studies, series and instances. */
static bool next_row(struct query *query, bool *found, struct error *err)
{
    for (;;) {
        if (query->instances) {
            if (!next_instance(query, found, err))
                return false;
            if (*found)
                return true;
        } else if (query->series) {
            if (!next_series(query, found, err))
                return false;
            if (*found && query->level == LEVEL_SERIES)
                return true;
            if (*found && !open_instances(query, err))
                return false;
        } else {
            if (!next_study(query, found, err))
                return false;
            if (!*found || query->level <= LEVEL_STUDY)
                return true;
            if (!open_series(query, err))
                return false;
        }
    }
}

/* Looks at all matches, and keeps those up to the end of the page. */
static bool sort_matches(struct query *query, struct error *err)
{
    bool found = true;
    uint64_t end = query->limit > ORDER_MAX_KEPT ? ORDER_MAX_KEPT : query->limit;
    end = query->offset > UINT64_MAX - end ? UINT64_MAX : query->offset + end;
    query->skip = 0;
    if (!query_order_begin(&query->order, end, err))
        return false;
    while (found) {
        if (!next_row(query, &found, err) ||
            (found && !query_order_take(&query->order, &query->row, query->level, err)))
            return false;
    }
    query_order_end(&query->order);
    query->is_ordered = true;
    return true;
}

/* The record of a series or instance that was there before, in what the query sees. */
static bool load_record(struct query *query, char kind, const char *series, const char *instance,
                        struct buffer *record, struct error *err)
{
    struct key key;
    bool found;
    key_place(&key, kind, query->row.place.study, series, instance);
    return storage_get(query->view.storage, TABLE_RECORD, key_slice(&key), record, &found, err) &&
           (found || error_set(err, ERROR_CORRUPT, "a match is not there any more"));
}

static bool load_row(struct query *query, const struct identity *place, struct error *err)
{
    struct row *row = &query->row;
    struct buffer record = buffer_up_to(RECORD_SIZE);
    bool found = true;
    bool ok = row_load_study(row, place->study, &found, err);
    if (ok && query->level == LEVEL_PATIENT)
        ok = row_load_patient(row, &found, err);
    if (ok && query->level >= LEVEL_SERIES)
        ok = load_record(query, RECORD_SERIES, place->series, NULL, &record, err) &&
             row_set_series(row, place->series, buffer_slice(&record), err);
    if (ok && query->level == LEVEL_INSTANCE)
        ok = load_record(query, RECORD_INSTANCE, place->series, place->instance, &record, err) &&
             row_set_instance(row, place->instance, buffer_slice(&record), err);
    buffer_release(&record);
    return ok;
}

static bool next_ordered(struct query *query, const struct dataset **match, struct error *err)
{
    if (!query->is_ordered && !sort_matches(query, err))
        return false;
    const struct identity *place = query_order_at(&query->order, query->offset + query->given);
    if (!place || query->given == query->limit)
        return true;
    struct identity copy = *place;
    query->given++;
    if (!load_row(query, &copy, err) ||
        !answer_write(&query->answer, &query->row, query->level, &query->keys, err))
        return false;
    *match = query->answer.dataset;
    return true;
}

bool query_next(struct query *query, const struct dataset **match, struct error *err)
{
    bool found = true;
    *match = NULL;
    if (!begin(query, err))
        return false;
    if (query->order.count)
        return next_ordered(query, match, err);
    while (!query->at_end && query->given < query->limit) {
        if (!next_row(query, &found, err))
            return false;
        query->at_end = !found;
        if (!found)
            break;
        if (query->skip) {
            query->skip--;
            continue;
        }
        query->given++;
        if (!answer_write(&query->answer, &query->row, query->level, &query->keys, err))
            return false;
        *match = query->answer.dataset;
        return true;
    }
    return true;
}

static bool count_rest_ordered(struct query *query, uint64_t at_most, uint64_t *count,
                               struct error *err)
{
    if (!query->is_ordered && !sort_matches(query, err))
        return false;
    uint64_t end = query->offset + query->given;
    *count = query->order.seen > end ? query->order.seen - end : 0;
    if (*count > at_most)
        *count = at_most;
    query->total = query->order.seen;
    query->has_total = true;
    return true;
}

bool query_count_rest(struct query *query, uint64_t at_most, uint64_t *count, struct error *err)
{
    *count = 0;
    if (!begin(query, err))
        return false;
    if (query->order.count)
        return count_rest_ordered(query, at_most, count, err);
    /* To count is to skip as many, and to see how many that were. */
    uint64_t pending = query->skip;
    uint64_t whole = at_most > UINT64_MAX - pending ? UINT64_MAX : at_most + pending;
    query->skip = whole;
    while (!query->at_end && query->skip) {
        bool found;
        if (!next_row(query, &found, err))
            return false;
        query->at_end = !found;
        if (found && query->skip)
            query->skip--;
    }
    uint64_t passed = whole - query->skip;
    *count = passed > pending ? passed - pending : 0;
    query->has_total = query->at_end;
    query->total = query->offset - pending + query->given + passed;
    query->skip = 0;
    return true;
}

bool query_total(struct query *query, uint64_t *total, bool *known, struct error *err)
{
    struct archive_counts counts;
    *total = query->total;
    *known = query->has_total;
    if (*known || query_keys_filter(&query->keys, LEVEL_PATIENT, LEVEL_INSTANCE))
        return true;
    if (!begin(query, err) || !archive_count(&query->view, &counts, err))
        return false;
    const uint64_t of_levels[] = { counts.patients, counts.studies, counts.series,
                                   counts.instances };
    *total = of_levels[query->level];
    *known = true;
    return true;
}
