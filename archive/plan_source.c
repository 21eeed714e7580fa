/* SPDX-License-Identifier: MIT */
#include "archive/plan_source.h"

#include "archive/tag_terms.h"
#include "archive/terms.h"
#include "dicom/date_time.h"

static bool single(const struct query_key *key)
{
    return match_key_kind(key->match) == MATCH_SINGLE && match_key_count(key->match) == 1;
}

static bool has_members(const struct query_key *key)
{
    return match_key_count(key->match) > 0;
}

static bool text_source(const struct query_key *key, char field, struct plan_source *source)
{
    source->key = key;
    source->field = field;
    source->kind = single(key) ? SOURCE_TERM : SOURCE_TERMS;
    return has_members(key) ||
           (match_key_kind(key->match) == MATCH_WILDCARD && match_key_prefix(key->match).size);
}

static bool uid_source(const struct query_key *key, enum source_kind kind,
                       struct plan_source *source)
{
    source->key = key;
    source->kind = kind;
    source->cost = match_key_count(key->match);
    return has_members(key);
}

static bool date_source(const struct query_key *key, struct plan_source *source)
{
    enum match_kind kind = match_key_kind(key->match);
    source->key = key;
    source->kind = SOURCE_DATES;
    return kind == MATCH_RANGE || single(key);
}

/* False for a key that no built-in index helps with. */
static bool built_in_source(const struct query_key *key, enum level level,
                            struct plan_source *source)
{
    uint32_t tag = key->path[0];
    *source = (struct plan_source){ 0 };
    if (key->depth != 1 || !query_key_is_filter(key))
        return false;
    if (level == LEVEL_PATIENT && tag != TAG_PATIENT_ID && tag != TAG_PATIENT_NAME)
        return false;
    const struct term_index *index = term_index_find(tag);
    if (index)
        return text_source(key, index->field, source);
    switch (tag) {
    case TAG_STUDY_INSTANCE_UID:
        return uid_source(key, SOURCE_STUDIES, source);
    case TAG_SERIES_INSTANCE_UID:
        return level >= LEVEL_SERIES && uid_source(key, SOURCE_SERIES, source);
    case TAG_SOP_INSTANCE_UID:
        return level == LEVEL_INSTANCE && uid_source(key, SOURCE_INSTANCES, source);
    case TAG_STUDY_DATE:
        return date_source(key, source);
    case TAG_MODALITY:
        return level >= LEVEL_SERIES && single(key) && text_source(key, TERM_MODALITY, source);
    case TAG_MODALITIES_IN_STUDY:
        return single(key) && text_source(key, TERM_MODALITY, source);
    default:
        return false;
    }
}

static bool is_range(const struct query_key *key)
{
    return match_key_kind(key->match) == MATCH_RANGE;
}

/* The ranges of times are matched together with their dates, and days lie elsewhere in other zones.
 */
static bool tag_source(const struct query_key *key, enum level level, const struct query_tag *tags,
                       size_t tag_count, struct plan_source *source)
{
    bool is_of_zones = key->has_zone &&
                       (match_key_vr(key->match) == VR_DA || match_key_vr(key->match) == VR_TM ||
                        match_key_vr(key->match) == VR_DT);
    if (!query_key_is_filter(key) || key->in_span || is_of_zones)
        return false;
    for (size_t i = 0; i < tag_count; i++) {
        const struct query_tag *tag = &tags[i];
        if (!tag_serves(tag, level, key->path, key->depth) ||
            !slice_equal(slice_text(tag->creator), key->creator))
            continue;
        *source = (struct plan_source){ .number = tag->number };
        bool helps = text_source(key, TERM_TAG, source);
        source->kind = helps && single(key) ? SOURCE_TAG : SOURCE_TAGS;
        return helps || is_range(key);
    }
    return false;
}

bool plan_source_find(const struct query_key *key, enum level level, const struct query_tag *tags,
                      size_t tag_count, struct plan_source *source)
{
    return built_in_source(key, level, source) || tag_source(key, level, tags, tag_count, source);
}

/* Ranges of keys. */

/* The day that is so many days later; an open end stays open. */
static struct slice other_day(struct slice day, int days, char text[DATE_TEXT_SIZE])
{
    struct time_span span;
    if (!date_parse(day, &span))
        return day;
    date_format(span.first_us + days * DAY_US, text);
    return slice_text(text);
}

/* Zones lie up to 26 hours apart, and the index has the dates as they are stored. */
static void date_range(const struct query_key *key, struct key *lower, struct key *upper)
{
    enum { DAYS_APART = 2 };
    char texts[2][DATE_TEXT_SIZE];
    bool is_single = single(key);
    struct slice first = is_single ? match_key_member(key->match, 0) : match_key_lower(key->match);
    struct slice last = is_single ? first : match_key_upper(key->match);
    if (key->has_zone) {
        first = other_day(first, -DAYS_APART, texts[0]);
        last = other_day(last, DAYS_APART, texts[1]);
    }
    term_date_range(first, last, lower, upper);
}

/* Places with more values than the index takes are candidates of every key. */
static size_t tag_range_count(const struct plan_source *source)
{
    return (has_members(source->key) ? match_key_count(source->key->match) : 1) + 1;
}

static void tag_range(const struct plan_source *source, size_t index, struct key *lower,
                      struct key *upper)
{
    const struct match_key *match = source->key->match;
    uint16_t number = source->number;
    if (index + 1 == tag_range_count(source)) {
        tag_value_key(lower, number, slice_text(TAG_MANY));
    } else if (has_members(source->key)) {
        tag_value_key(lower, number, match_key_member(match, index));
    } else if (is_range(source->key)) {
        tag_prefix_key(lower, number, match_key_upper(match));
        key_after_prefix(upper, key_slice(lower));
        tag_prefix_key(lower, number, match_key_lower(match));
        return;
    } else {
        tag_prefix_key(lower, number, match_key_prefix(match));
    }
    key_after_prefix(upper, key_slice(lower));
}

size_t plan_source_ranges(const struct plan_source *source)
{
    if (source->kind == SOURCE_TAG || source->kind == SOURCE_TAGS)
        return tag_range_count(source);
    return source->kind == SOURCE_TERMS && has_members(source->key)
               ? match_key_count(source->key->match)
               : 1;
}

void plan_source_range(const struct plan_source *source, size_t index, struct key *lower,
                       struct key *upper)
{
    switch (source->kind) {
    case SOURCE_TAG:
    case SOURCE_TAGS:
        tag_range(source, index, lower, upper);
        return;
    case SOURCE_DATES:
        date_range(source->key, lower, upper);
        return;
    case SOURCE_TERM:
    case SOURCE_TERMS:
        if (has_members(source->key))
            term_value_key(lower, source->field, match_key_member(source->key->match, index));
        else
            term_prefix_key(lower, source->field, match_key_prefix(source->key->match));
        break;
    default:
        key_start(lower, TERM_DATE);
        break;
    }
    key_after_prefix(upper, key_slice(lower));
}

/* With equal costs the more telling attribute is taken. */
static int preference(const struct plan_source *source)
{
    static const char fields[] = { TERM_PATIENT_ID,   TERM_ACCESSION_NUMBER,    TERM_STUDY_ID,
                                   TERM_PATIENT_NAME, TERM_REFERRING_PHYSICIAN, 0,
                                   TERM_MODALITY };
    if (source->kind >= SOURCE_STUDIES)
        return SOURCE_STUDIES - (int)source->kind;
    for (size_t i = 0; i < sizeof(fields); i++) {
        if (fields[i] == source->field)
            return (int)i + 1;
    }
    return (int)sizeof(fields) + 1;
}

bool plan_source_is_better(const struct plan_source *a, const struct plan_source *b)
{
    return a->cost < b->cost || (a->cost == b->cost && preference(a) < preference(b));
}
