/* SPDX-License-Identifier: MIT */
/* Keys, compiled. */
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/fold.h"
#include "dicom/match_parts.h"
#include "dicom/tag.h"

enum {
    MAX_KEY = 64 << 10,
    MAX_WILDCARDS = 64,
    MAX_MEMBERS = 20000,
    MAX_LIST = MAX_MEMBERS * UID_SIZE,
    MAX_PARTS = 64, /* values that must all be there */
};

/* The same of what a key says. */
static bool parse_key(const struct match_key *key, struct slice text, struct time_span *span)
{
    return match_parse_time_in(key->vr, text, key->zone_us, span);
}

static bool parse_end(const struct match_key *key, struct slice text, struct time_span *span)
{
    return key->vr == VR_DA ? date_parse_end(text, span) : parse_key(key, text, span);
}

static struct slice keep(struct match_key *key, struct buffer *bytes)
{
    struct slice kept = slice_of(mem_copy(bytes->data, bytes->size), bytes->size);
    key->owned[key->owned_count++] = (void *)(uintptr_t)kept.data;
    buffer_release(bytes);
    return kept;
}

static struct slice keep_time(struct match_key *key, int64_t us)
{
    struct buffer text = buffer_up_to(DATE_TIME_TEXT_SIZE);
    match_append_time(key->vr, us, &text);
    return keep(key, &text);
}

static bool is_wildcard(uint8_t byte)
{
    return byte == '*' || byte == '?';
}

static size_t count_wildcards(struct slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += is_wildcard(text.data[i]);
    return count;
}

static bool is_universal(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '*')
            return false;
    }
    return true;
}

/* What stands before the first wildcard. */
static struct slice literal_start(struct slice pattern)
{
    size_t size = 0;
    while (size < pattern.size && !is_wildcard(pattern.data[size]))
        size++;
    return slice_take(pattern, size);
}

static void set_member(struct match_key *key, struct slice member)
{
    key->members = mem_alloc(sizeof(*key->members));
    key->members[0] = member;
    key->count = 1;
}

int match_compare_members(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static bool open_uids(struct match_key *key, struct slice value, uint32_t tag, struct error *err)
{
    size_t count = 1;
    for (size_t i = 0; i < value.size; i++)
        count += value.data[i] == '\\';
    if (count > MAX_MEMBERS)
        return error_set_tag(err, ERROR_INVALID, tag, "more than %d UIDs in a key", MAX_MEMBERS);
    struct buffer copy = buffer_up_to(MAX_LIST);
    buffer_append(&copy, value);
    struct slice rest = keep(key, &copy);
    key->members = mem_alloc_array(count, sizeof(*key->members));
    for (size_t i = 0; i < count; i++) {
        key->members[i] = fold_trim(match_take_part(&rest, '\\'));
        if (!key->members[i].size)
            return error_set_tag(err, ERROR_INVALID, tag, "an empty member in a list of UIDs");
    }
    qsort(key->members, count, sizeof(*key->members), match_compare_members);
    for (size_t i = 0; i < count; i++) {
        if (!key->count || !slice_equal(key->members[key->count - 1], key->members[i]))
            key->members[key->count++] = key->members[i];
    }
    key->kind = count > 1 ? MATCH_UID_LIST : MATCH_SINGLE;
    return true;
}

/* A key with a hyphen at `at`. False when it is no range. */
static bool parse_range(struct match_key *key, struct slice value, size_t at)
{
    struct slice left = fold_trim(slice_take(value, at));
    struct slice right = fold_trim(slice_skip(value, at + 1));
    struct time_span lower = { INT64_MIN, 0 }, upper = { 0, INT64_MAX };
    if ((!left.size && !right.size) || (left.size && !parse_key(key, left, &lower)) ||
        (right.size && !parse_end(key, right, &upper)))
        return false;
    if (lower.first_us > upper.last_us && key->vr != VR_TM)
        return false;
    key->kind = MATCH_RANGE;
    key->span.first_us = lower.first_us;
    key->span.last_us = upper.last_us;
    if (left.size)
        key->lower = keep_time(key, lower.first_us);
    if (right.size)
        key->upper = keep_time(key, upper.last_us);
    return true;
}

static bool open_time(struct match_key *key, struct slice value, uint32_t tag, struct error *err)
{
    for (size_t at = 0; at < value.size; at++) {
        if (value.data[at] == '-' && parse_range(key, value, at))
            return true;
    }
    if (!parse_key(key, value, &key->span))
        return error_set_tag(err, ERROR_INVALID, tag, "a key is neither %s nor a range of it",
                             key->vr == VR_DA   ? "a date YYYYMMDD"
                             : key->vr == VR_TM ? "a time HHMMSS"
                                                : "a date time YYYYMMDDHHMMSS");
    key->kind = MATCH_SINGLE;
    set_member(key, keep_time(key, key->span.first_us));
    return true;
}

/* The group that says most to an index: a whole one, else the one with the longest start. */
static void choose_name_term(struct match_key *key)
{
    for (size_t i = 0; i < key->group_count; i++) {
        const struct name_group *group = &key->groups[i];
        struct slice start = literal_start(group->pattern);
        /* "A^*" matches "A" as well, whose delimiter is not written. */
        while (start.size && start.data[start.size - 1] == '^')
            start.size--;
        if (group->asked && !group->wildcard) {
            set_member(key, group->pattern);
            return;
        }
        if (start.size > key->prefix.size)
            key->prefix = start;
    }
}

static void open_name(struct match_key *key, struct slice value)
{
    bool asked = false, wildcard = false;
    value = match_trim(VR_PN, value);
    do {
        struct name_group *group = &key->groups[key->group_count];
        struct buffer folded = buffer_up_to(MAX_KEY * 3);
        fold_name_group(match_take_group(&value, key->group_count), &folded);
        group->pattern = keep(key, &folded);
        group->asked = !is_universal(group->pattern);
        group->wildcard = group->asked && count_wildcards(group->pattern) > 0;
        asked |= group->asked;
        wildcard |= group->wildcard;
        key->group_count++;
    } while (value.size);
    key->kind = !asked ? MATCH_UNIVERSAL : wildcard ? MATCH_WILDCARD : MATCH_SINGLE;
    choose_name_term(key);
}

static void open_wild(struct match_key *key, struct slice value)
{
    struct buffer copy = buffer_up_to(MAX_KEY);
    buffer_append(&copy, value);
    key->pattern = keep(key, &copy);
    key->kind = MATCH_WILDCARD;
    key->prefix = literal_start(key->pattern);
}

/* A value that is compared as a whole, folded. */
static bool open_folded(struct match_key *key, struct slice value, uint32_t tag, struct error *err)
{
    struct buffer folded = buffer_up_to(MAX_KEY * 3);
    match_fold(key->vr, value, &folded);
    key->pattern = keep(key, &folded);
    key->kind = MATCH_SINGLE;
    struct match_terms terms = match_fold_terms(key->vr, value);
    struct buffer term = buffer_up_to(MAX_KEY * 3);
    bool any = match_terms_next(&terms, &term);
    if (any)
        set_member(key, keep(key, &term));
    buffer_release(&term);
    return any || error_set_tag(err, ERROR_INVALID, tag, "a list of empty values");
}

static void open_fuzzy(struct match_key *key, struct slice value)
{
    struct buffer folded = buffer_up_to(MAX_KEY * 3);
    fold_text(value, &folded);
    key->pattern = keep(key, &folded);
    key->kind = MATCH_WILDCARD; /* without a prefix: no index helps */
    key->fuzzy = true;
}

/* Each value is a key of its own. */
static bool open_parts(struct match_key *key, struct slice value, unsigned options, uint32_t tag,
                       struct error *err)
{
    key->parts = mem_alloc_array(MAX_PARTS, sizeof(*key->parts));
    key->kind = MATCH_WILDCARD;
    while (value.size) {
        struct slice part = fold_trim(match_take_part(&value, '\\'));
        if (!part.size)
            continue;
        if (key->part_count == MAX_PARTS)
            return error_set_tag(err, ERROR_INVALID, tag, "more than %d values in a key",
                                 MAX_PARTS);
        if (!match_key_open_in(tag, key->vr, part, options, key->zone_us,
                               &key->parts[key->part_count], err))
            return false;
        key->part_count++;
    }
    if (!key->part_count)
        return error_set_tag(err, ERROR_INVALID, tag, "a list of empty values");
    const struct match_key *first = key->parts[0];
    key->prefix = match_key_count(first) ? match_key_member(first, 0) : match_key_prefix(first);
    return true;
}

static bool open_value(struct match_key *key, struct slice value, unsigned options, uint32_t tag,
                       struct error *err)
{
    enum manner manner = match_manner(key->vr);
    size_t wildcards = count_wildcards(value);
    bool list = memchr(value.data, '\\', value.size) &&
                (!vr_is_text(key->vr) || vr_is_multi_valued(key->vr));
    if (options & MATCH_EMPTY_VALUE && slice_equals_text(value, "\"\"")) {
        key->kind = MATCH_EMPTY;
        return true;
    }
    if (manner == MANNER_NONE)
        return error_set_tag(err, ERROR_INVALID, tag,
                             "a value where only a sequence of keys or "
                             "universal matching is possible");
    if (options & MATCH_MULTIPLE_VALUES && list && manner != MANNER_UID && value.size <= MAX_KEY)
        return open_parts(key, value, options & ~(unsigned)MATCH_MULTIPLE_VALUES, tag, err);
    if (wildcards && ((manner != MANNER_WILD && manner != MANNER_NAME) || list))
        return error_set_tag(err, ERROR_INVALID, tag, "a wildcard where there is none");
    if (wildcards > MAX_WILDCARDS)
        return error_set_tag(err, ERROR_INVALID, tag, "more than %d wildcards", MAX_WILDCARDS);
    if (value.size > (manner == MANNER_UID ? MAX_LIST : MAX_KEY))
        return error_set_tag(err, ERROR_INVALID, tag, "a key of %zu bytes", value.size);
    if (manner == MANNER_UID)
        return open_uids(key, value, tag, err);
    if (manner == MANNER_TIME)
        return open_time(key, value, tag, err);
    if (options & MATCH_FUZZY_NAMES && manner == MANNER_NAME && !list) {
        open_fuzzy(key, value);
        return true;
    }
    key->whole = list;
    if (!wildcards && (manner != MANNER_NAME || list))
        return open_folded(key, value, tag, err);
    if (manner == MANNER_NAME)
        open_name(key, value);
    else
        open_wild(key, value);
    return true;
}

bool match_key_open(uint32_t tag, uint16_t vr, struct slice value, struct match_key **out,
                    struct error *err)
{
    return match_key_open_with(tag, vr, value, 0, out, err);
}

bool match_key_open_with(uint32_t tag, uint16_t vr, struct slice value, unsigned options,
                         struct match_key **out, struct error *err)
{
    return match_key_open_in(tag, vr, value, options, 0, out, err);
}

bool match_key_open_in(uint32_t tag, uint16_t vr, struct slice value, unsigned options,
                       int64_t zone_us, struct match_key **out, struct error *err)
{
    struct match_key *key = mem_alloc(sizeof(*key));
    key->vr = vr;
    key->zone_us = zone_us;
    value = fold_trim(value);
    if (!is_universal(value) && !open_value(key, value, options, tag, err)) {
        match_key_close(key);
        return false;
    }
    *out = key;
    return true;
}

void match_key_close(struct match_key *key)
{
    if (!key)
        return;
    for (size_t i = 0; i < key->owned_count; i++)
        free(key->owned[i]);
    for (size_t i = 0; i < key->part_count; i++)
        match_key_close(key->parts[i]);
    free(key->parts);
    free(key->members);
    free(key);
}

enum match_kind match_key_kind(const struct match_key *key)
{
    return key->kind;
}

uint16_t match_key_vr(const struct match_key *key)
{
    return key->vr;
}

size_t match_key_count(const struct match_key *key)
{
    return key->kind == MATCH_SINGLE || key->kind == MATCH_UID_LIST ? key->count : 0;
}

struct slice match_key_member(const struct match_key *key, size_t index)
{
    return key->members[index];
}

struct slice match_key_prefix(const struct match_key *key)
{
    if (key->kind == MATCH_WILDCARD && key->count) /* PN: a group that is given in full */
        return key->members[0];
    return key->prefix;
}

struct slice match_key_lower(const struct match_key *key)
{
    return key->lower;
}

struct slice match_key_upper(const struct match_key *key)
{
    return key->upper;
}
