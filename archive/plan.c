/* SPDX-License-Identifier: MIT */
#include "archive/plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "archive/lookup.h"
#include "archive/plan_source.h"
#include "archive/resume.h"
#include "archive/tag_terms.h"
#include "archive/terms.h"
#include "base/memory.h"
#include "storage/feed.h"

enum {
    PROBE_MAX = 1000, /* terms that are counted before choosing an index */
    /* A walk that passes over many keys notes a place after so many of them, far from its beginning
     * after more. */
    SKIP_STEP = 2000,
    SKIP_STEP_FAR = 10000,
    SKIP_FAR = 20000,
    RESUME_LEAST = 200, /* what stands nearer to the beginning is soon found again */
};

/* A gathered candidate: what it is sorted by, and its place. */
struct candidate {
    uint8_t stamp[STAMP_SIZE];
    char study[UID_SIZE];
    char series[UID_SIZE];
    char instance[UID_SIZE];
};

struct plan {
    struct archive *archive;
    enum level level;
    size_t gather_max;
    bool exact;
    struct query_tag *tags; /* those that are defined, if a key may be one */
    size_t tag_count;
    struct storage_cursor *cursor;
    bool of_tag;      /* the cursor walks terms of an extended query tag: */
    bool has_pending; /* one was read too far */
    struct identity pending;
    bool of_patients;        /* the cursor walks patients' records */
    struct walk_range range; /* of the cursor */
    struct key last;         /* the key that the cursor gave last */
    uint64_t passed;         /* keys up to that one */
    bool is_gathered;
    struct buffer gathered; /* struct candidate each; patients' keys are sliced below */
    size_t position;
};

/* The walk over one range that gives the candidates in order. Its points to resume from hold for
 * what is there before the cursor is opened. */
static bool open_walk(struct plan *plan, enum table table, const struct key *lower,
                      const struct key *upper, struct error *err)
{
    plan->range.table = table;
    plan->range.lower = *lower;
    plan->range.upper = *upper;
    plan->range.change = feed_latest(plan->archive->storage);
    return storage_cursor_open(plan->archive->storage, table, key_slice(lower), key_slice(upper),
                               &plan->cursor, err);
}

static bool open_range(struct plan *plan, const struct plan_source *source, size_t index,
                       struct storage_cursor **cursor, struct error *err)
{
    struct key lower, upper;
    plan_source_range(source, index, &lower, &upper);
    return storage_cursor_open(plan->archive->storage, TABLE_TERM, key_slice(&lower),
                               key_slice(&upper), cursor, err);
}

/* Counts the terms of a source, up to `most`. */
static bool probe(struct plan *plan, struct plan_source *source, uint64_t most, struct error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < plan_source_ranges(source) && source->cost < most; i++) {
        struct storage_cursor *cursor = NULL;
        bool found = true;
        ok = open_range(plan, source, i, &cursor, err);
        while (ok && found && source->cost < most) {
            ok = storage_cursor_next(cursor, NULL, NULL, &found, err);
            source->cost += ok && found;
        }
        storage_cursor_close(cursor);
    }
    return ok;
}

/* UIDs first, whose candidates are known without a look; of the others no more are counted than it
 * takes to see that they are not better. */
static bool choose(struct plan *plan, const struct query_keys *keys, struct plan_source *chosen,
                   struct error *err)
{
    struct plan_source source;
    *chosen = (struct plan_source){ .kind = SOURCE_ALL, .cost = UINT64_MAX };
    for (size_t i = 0; i < 2 * keys->count; i++) {
        bool of_uids = i < keys->count;
        if (!plan_source_find(&keys->keys[i % keys->count], plan->level, plan->tags,
                              plan->tag_count, &source) ||
            (source.kind >= SOURCE_STUDIES) != of_uids)
            continue;
        uint64_t most = chosen->cost < PROBE_MAX ? chosen->cost + 1 : PROBE_MAX;
        if (!of_uids && !probe(plan, &source, most, err))
            return false;
        if (plan_source_is_better(&source, chosen))
            *chosen = source;
    }
    return true;
}

/* Gathering. */

static bool gather(struct plan *plan, const uint8_t *stamp, const struct identity *place)
{
    struct candidate candidate = { 0 };
    memcpy(candidate.stamp, stamp, STAMP_SIZE);
    memcpy(candidate.study, place->study, UID_SIZE);
    memcpy(candidate.series, place->series, UID_SIZE);
    memcpy(candidate.instance, place->instance, UID_SIZE);
    return buffer_append(&plan->gathered, slice_of(&candidate, sizeof(candidate)));
}

static bool gather_study(struct plan *plan, const struct identity *place, struct error *err)
{
    struct study_record record;
    bool found;
    study_record_init(&record);
    bool ok = lookup_study(plan->archive, place->study, &record, &found, err);
    if (ok && found)
        gather(plan, record.stamp, place);
    study_record_release(&record);
    return ok;
}

static void copy_uid(struct slice uid, char text[UID_SIZE])
{
    uid = slice_take(uid, UID_SIZE - 1);
    memset(text, 0, UID_SIZE);
    if (uid.size)
        memcpy(text, uid.data, uid.size);
}

static bool gather_terms(struct plan *plan, const struct plan_source *source, size_t index,
                         struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice key, value, stamp, study;
    bool is_tag = source->kind == SOURCE_TAG || source->kind == SOURCE_TAGS;
    bool found = true;
    bool ok = open_range(plan, source, index, &cursor, err);
    while (ok && !plan->gathered.overflowed &&
           (ok = storage_cursor_next(cursor, &key, &value, &found, err)) && found) {
        struct identity place = { 0 };
        if (is_tag ? !tag_split(key, value, &stamp, &place) : !term_split(key, &stamp, &study))
            continue;
        if (!is_tag)
            copy_uid(study, place.study);
        gather(plan, stamp.data, &place);
    }
    storage_cursor_close(cursor);
    return ok;
}

/* The studies of a series UID: one, unless peers reuse UIDs. */
static bool gather_series(struct plan *plan, struct slice uid, bool is_only, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct identity place = { 0 };
    struct key prefix;
    struct slice key;
    bool found = true;
    copy_uid(uid, place.series);
    term_series_key(&prefix, place.series);
    if (!is_only)
        place.series[0] = '\0';
    bool ok = storage_cursor_open_prefix(plan->archive->storage, TABLE_TERM, key_slice(&prefix),
                                         &cursor, err);
    while (ok && (ok = storage_cursor_next(cursor, &key, NULL, &found, err)) && found) {
        copy_uid(slice_skip(key, prefix.size), place.study);
        ok = gather_study(plan, &place, err);
    }
    storage_cursor_close(cursor);
    return ok;
}

static bool gather_instance(struct plan *plan, struct slice uid, bool is_only, struct error *err)
{
    struct identity place = { 0 };
    char text[UID_SIZE];
    bool found;
    copy_uid(uid, text);
    if (!lookup_place(plan->archive, text, &place, &found, err))
        return false;
    if (!is_only) {
        place.series[0] = '\0';
        place.instance[0] = '\0';
    }
    return !found || gather_study(plan, &place, err);
}

static bool gather_uid(struct plan *plan, const struct plan_source *source, size_t index,
                       struct error *err)
{
    struct slice uid = match_key_member(source->key->match, index);
    bool is_only = match_key_count(source->key->match) == 1;
    struct identity place = { 0 };
    if (uid.size >= UID_SIZE)
        return true;
    if (source->kind == SOURCE_SERIES)
        return gather_series(plan, uid, is_only, err);
    if (source->kind == SOURCE_INSTANCES)
        return gather_instance(plan, uid, is_only, err);
    copy_uid(uid, place.study);
    return gather_study(plan, &place, err);
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *first = a, *second = b;
    int order = memcmp(first->stamp, second->stamp, STAMP_SIZE);
    return order ? order : strcmp(first->study, second->study);
}

static int compare_patients(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static size_t candidate_count(const struct plan *plan)
{
    return plan->gathered.size / sizeof(struct candidate);
}

/* Of a study that is a candidate twice no more is known than what both say. */
static void merge(struct candidate *candidate, const struct candidate *other)
{
    if (strcmp(candidate->instance, other->instance) != 0)
        candidate->instance[0] = '\0';
    if (strcmp(candidate->series, other->series) != 0) {
        candidate->series[0] = '\0';
        candidate->instance[0] = '\0';
    }
}

/* In order, and each study once. */
static void sort_candidates(struct plan *plan)
{
    struct candidate *candidates = (struct candidate *)(void *)plan->gathered.data;
    size_t count = candidate_count(plan);
    size_t kept = 0;
    if (!count)
        return;
    qsort(candidates, count, sizeof(*candidates), compare_candidates);
    for (size_t i = 1; i < count; i++) {
        if (compare_candidates(&candidates[kept], &candidates[i]) != 0)
            candidates[++kept] = candidates[i];
        else
            merge(&candidates[kept], &candidates[i]);
    }
    plan->gathered.size = (kept + 1) * sizeof(*candidates);
}

/* False in *fits when there are more than memory is given for. */
static bool gather_all(struct plan *plan, const struct plan_source *source, bool *fits,
                       struct error *err)
{
    size_t count = source->kind >= SOURCE_STUDIES ? match_key_count(source->key->match)
                                                  : plan_source_ranges(source);
    bool ok = true;
    plan->gathered = buffer_up_to(plan->gather_max * sizeof(struct candidate));
    for (size_t i = 0; ok && !plan->gathered.overflowed && i < count; i++)
        ok = source->kind >= SOURCE_STUDIES ? gather_uid(plan, source, i, err)
                                            : gather_terms(plan, source, i, err);
    *fits = !plan->gathered.overflowed;
    if (ok && *fits)
        sort_candidates(plan);
    else
        buffer_release(&plan->gathered);
    return ok;
}

/* Patients. */

/* The newest study of a patient. */
static bool newest_study(struct plan *plan, struct slice patient_key, struct identity *place,
                         bool *found, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct key prefix;
    struct slice key, stamp, study;
    term_patient_key(&prefix, patient_key);
    bool ok = storage_cursor_open_prefix(plan->archive->storage, TABLE_TERM, key_slice(&prefix),
                                         &cursor, err) &&
              storage_cursor_next(cursor, &key, NULL, found, err);
    memset(place, 0, sizeof(*place));
    if (ok && *found) {
        *found = term_split(key, &stamp, &study);
        copy_uid(study, place->study);
    }
    storage_cursor_close(cursor);
    return ok;
}

/* Turns gathered studies into the newest study of each of their patients, by patient. */
static bool gather_patients(struct plan *plan, struct error *err)
{
    size_t count = candidate_count(plan);
    struct slice *keys = mem_alloc_array(count ? count : 1, sizeof(*keys));
    struct study_record record;
    struct identity place = { 0 };
    size_t patients = 0;
    bool found, ok = true;
    study_record_init(&record);
    for (size_t i = 0; ok && i < count; i++) {
        const struct candidate *candidate =
            (const struct candidate *)(const void *)plan->gathered.data + i;
        ok = lookup_study(plan->archive, candidate->study, &record, &found, err);
        if (!ok || !found)
            continue;
        struct slice key = buffer_slice(&record.patient_key);
        keys[patients++] = slice_of(mem_copy(key.data, key.size), key.size);
    }
    study_record_release(&record);
    if (patients)
        qsort(keys, patients, sizeof(*keys), compare_patients);
    buffer_clear(&plan->gathered);
    for (size_t i = 0; i < patients; i++) {
        if (i && slice_equal(keys[i], keys[i - 1]))
            continue;
        ok = ok && newest_study(plan, keys[i], &place, &found, err);
        if (ok && found)
            gather(plan, (const uint8_t *)"00000000000000", &place);
    }
    for (size_t i = 0; i < patients; i++)
        free((void *)(uintptr_t)keys[i].data);
    free(keys);
    return ok;
}

static bool open_patients(struct plan *plan, struct error *err)
{
    struct key lower, upper;
    key_start(&lower, RECORD_PATIENT);
    key_after_prefix(&upper, key_slice(&lower));
    plan->of_patients = true;
    return open_walk(plan, TABLE_RECORD, &lower, &upper, err);
}

/* Opening. */

static bool filters(const struct query_keys *keys, const struct query_key *except)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (&keys->keys[i] != except && query_key_is_filter(&keys->keys[i]))
            return true;
    }
    return false;
}

/* In order of the index: all studies, or a range of days. */
static bool open_ordered(struct plan *plan, const struct query_keys *keys,
                         const struct plan_source *source, struct error *err)
{
    if (plan->level == LEVEL_PATIENT) {
        plan->exact = !filters(keys, NULL);
        return open_patients(plan, err);
    }
    bool answers_key = source->kind == SOURCE_DATES && !source->key->time && !source->key->has_zone;
    struct key lower, upper;
    plan->exact = !filters(keys, answers_key ? source->key : NULL);
    plan_source_range(source, 0, &lower, &upper);
    return open_walk(plan, TABLE_TERM, &lower, &upper, err);
}

/* What is too much to be sorted is walked by date. */
static bool open_fallback(struct plan *plan, const struct query_keys *keys, struct error *err)
{
    struct plan_source source = { .kind = SOURCE_ALL };
    for (size_t i = 0; i < keys->count && source.kind == SOURCE_ALL; i++) {
        struct plan_source other;
        if (plan_source_find(&keys->keys[i], plan->level, plan->tags, plan->tag_count, &other) &&
            other.kind == SOURCE_DATES)
            source = other;
    }
    return open_ordered(plan, keys, &source, err);
}

/* *none false: there are places of which the index does not have all values. */
static bool has_many(struct plan *plan, const struct plan_source *source, bool *none,
                     struct error *err)
{
    struct storage_cursor *cursor = NULL;
    bool found = false;
    bool ok = open_range(plan, source, plan_source_ranges(source) - 1, &cursor, err) &&
              storage_cursor_next(cursor, NULL, NULL, &found, err);
    storage_cursor_close(cursor);
    *none = !found;
    return ok;
}

static bool open_source(struct plan *plan, const struct query_keys *keys,
                        const struct plan_source *source, struct error *err)
{
    bool fits;
    bool is_ordered = (source->kind <= SOURCE_TERM || source->kind == SOURCE_TAG) &&
                      (plan->level != LEVEL_PATIENT || source->kind == SOURCE_ALL);
    if (is_ordered && source->kind == SOURCE_TAG && !has_many(plan, source, &is_ordered, err))
        return false;
    plan->of_tag = is_ordered && source->kind == SOURCE_TAG;
    if (is_ordered)
        return open_ordered(plan, keys, source, err);
    if (!gather_all(plan, source, &fits, err))
        return false;
    if (!fits)
        return open_fallback(plan, keys, err);
    plan->is_gathered = true;
    return plan->level != LEVEL_PATIENT || gather_patients(plan, err);
}

/* As the archive had them when the query began: their terms are those of that moment. */
static bool read_tags(struct plan *plan, const struct query_keys *keys, struct error *err)
{
    struct plan_source source;
    bool is_wanted = false;
    for (size_t i = 0; i < keys->count && !is_wanted; i++)
        is_wanted = query_key_is_filter(&keys->keys[i]) &&
                    !plan_source_find(&keys->keys[i], plan->level, NULL, 0, &source);
    if (!is_wanted || plan->level == LEVEL_PATIENT)
        return true;
    plan->tags = mem_alloc_array(QUERY_TAG_MAX, sizeof(*plan->tags));
    return tag_set_read(plan->archive->storage, plan->tags, &plan->tag_count, err);
}

bool plan_open(struct archive *archive, const struct query_keys *keys, enum level level,
               size_t gather_max, struct plan **out, struct error *err)
{
    struct plan *plan = mem_alloc(sizeof(*plan));
    struct plan_source source = { .kind = SOURCE_ALL };
    plan->archive = archive;
    plan->level = level;
    plan->gather_max = gather_max;
    bool ok = (!gather_max || read_tags(plan, keys, err)) &&
              (!gather_max || choose(plan, keys, &source, err)) &&
              open_source(plan, keys, &source, err);
    if (!ok) {
        plan_close(plan);
        return false;
    }
    *out = plan;
    return true;
}

void plan_close(struct plan *plan)
{
    if (!plan)
        return;
    storage_cursor_close(plan->cursor);
    buffer_release(&plan->gathered);
    free(plan->tags);
    free(plan);
}

bool plan_is_exact(const struct plan *plan)
{
    return plan->exact;
}

static bool next_gathered(struct plan *plan, struct identity *place, bool *found)
{
    struct candidate candidate;
    memset(place, 0, sizeof(*place));
    *found = plan->position < candidate_count(plan);
    if (!*found)
        return true;
    memcpy(&candidate, plan->gathered.data + plan->position++ * sizeof(candidate),
           sizeof(candidate));
    memcpy(place->study, candidate.study, UID_SIZE);
    memcpy(place->series, candidate.series, UID_SIZE);
    memcpy(place->instance, candidate.instance, UID_SIZE);
    return true;
}

static bool step(struct plan *plan, struct slice *key, bool *found, struct error *err)
{
    if (!storage_cursor_next(plan->cursor, key, NULL, found, err))
        return false;
    if (*found) {
        plan->passed++;
        plan->last.size = 0;
        key_add(&plan->last, *key);
    }
    return true;
}

/* So that the next page goes on from here. */
static void note_place(struct plan *plan)
{
    if (plan->passed >= RESUME_LEAST)
        resume_note(plan->archive->resume, &plan->range, plan->passed, &plan->last);
}

/* Goes to the furthest place before the wanted one at which a walk like this one has been. */
static bool resume_walk(struct plan *plan, uint64_t wanted, struct error *err)
{
    uint64_t passed;
    resume_find(plan->archive->resume, &plan->range, wanted, &plan->last, &passed);
    if (!passed)
        return true;
    struct key lower = plan->last;
    key_add_byte(&lower, 0); /* the first key that can stand behind it */
    storage_cursor_close(plan->cursor);
    plan->cursor = NULL;
    plan->passed = passed;
    return storage_cursor_open(plan->archive->storage, plan->range.table, key_slice(&lower),
                               key_slice(&plan->range.upper), &plan->cursor, err);
}

bool plan_skip(struct plan *plan, uint64_t at_most, uint64_t *skipped, struct error *err)
{
    struct slice key;
    bool found = true;
    uint64_t begin = plan->passed;
    if (!begin && at_most >= RESUME_LEAST && !resume_walk(plan, at_most, err))
        return false;
    uint64_t end = begin + at_most;
    uint64_t step_size = plan->passed < SKIP_FAR ? SKIP_STEP : SKIP_STEP_FAR;
    if (end > plan->passed + step_size)
        end = plan->passed + step_size;
    note_place(plan);
    while (found && plan->passed < end) {
        if (!step(plan, &key, &found, err))
            return false;
    }
    note_place(plan);
    *skipped = plan->passed - begin;
    return true;
}

/* The next place of a tag's value; *found false at the end. */
static bool next_tagged_place(struct plan *plan, struct identity *place, bool *found,
                              struct error *err)
{
    struct slice key, value, stamp;
    for (;;) {
        if (!storage_cursor_next(plan->cursor, &key, &value, found, err))
            return false;
        if (!*found)
            return true;
        if (tag_split(key, value, &stamp, place))
            return true;
    }
}

/* The terms of a study stand together: of one that has several, what they have in common. */
static bool next_tagged(struct plan *plan, struct identity *place, bool *found, struct error *err)
{
    struct candidate candidate = { 0 }, other = { 0 };
    struct identity next;
    if (!plan->has_pending && !next_tagged_place(plan, &plan->pending, &plan->has_pending, err))
        return false;
    *found = plan->has_pending;
    if (!*found)
        return true;
    *place = plan->pending;
    memcpy(candidate.series, place->series, UID_SIZE);
    memcpy(candidate.instance, place->instance, UID_SIZE);
    for (;;) {
        if (!next_tagged_place(plan, &next, &plan->has_pending, err))
            return false;
        if (!plan->has_pending || strcmp(next.study, place->study) != 0)
            break;
        memcpy(other.series, next.series, UID_SIZE);
        memcpy(other.instance, next.instance, UID_SIZE);
        merge(&candidate, &other);
    }
    plan->pending = next;
    memcpy(place->series, candidate.series, UID_SIZE);
    memcpy(place->instance, candidate.instance, UID_SIZE);
    return true;
}

bool plan_next(struct plan *plan, struct identity *place, bool *found, struct error *err)
{
    struct slice key, stamp, study;
    if (plan->is_gathered)
        return next_gathered(plan, place, found);
    if (plan->of_tag)
        return next_tagged(plan, place, found, err);
    memset(place, 0, sizeof(*place));
    for (;;) {
        if (!step(plan, &key, found, err))
            return false;
        if (!*found)
            return true;
        if (plan->of_patients) {
            if (!newest_study(plan, slice_skip(key, 1), place, found, err))
                return false;
            if (*found)
                return true;
        } else if (term_split(key, &stamp, &study)) {
            copy_uid(study, place->study);
            return true;
        }
    }
}
