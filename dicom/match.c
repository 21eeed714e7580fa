/* SPDX-License-Identifier: MIT */
/* Values, compared with keys. */
#include "dicom/match.h"

#include <stdlib.h>

#include "dicom/fold.h"
#include "dicom/fuzzy.h"
#include "dicom/match_parts.h"
#include "dicom/utf8.h"

/* Nothing but `*` left; for a name also `^`, as empty components at its end are not written. */
static bool is_open_end(struct slice pattern, bool is_name)
{
    for (size_t i = 0; i < pattern.size; i++) {
        if (pattern.data[i] != '*' && !(is_name && pattern.data[i] == '^'))
            return false;
    }
    return true;
}

/* Only the last `*` is ever tried again: what an earlier one could take, the last one can take as
 * well. So the cost is at most the product of the sizes. */
static bool match_wildcards(struct slice pattern, struct slice text, bool is_name)
{
    size_t p = 0, t = 0, size;
    size_t star = SIZE_MAX, retry = 0;
    while (t < text.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = ++p;
            retry = t;
        } else if (p < pattern.size && pattern.data[p] == '?') {
            utf8_next(slice_skip(text, t), &size);
            t += size;
            p++;
        } else if (p < pattern.size && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            utf8_next(slice_skip(text, retry), &size);
            retry += size;
            t = retry;
            p = star;
        } else {
            return false;
        }
    }
    return is_open_end(slice_skip(pattern, p), is_name);
}

static bool match_group(const struct name_group *group, struct slice value, struct buffer *folded)
{
    if (!group->asked)
        return true;
    buffer_clear(folded);
    fold_name_group(value, folded);
    struct slice text = buffer_slice(folded);
    if (!text.size)
        return false;
    return group->wildcard ? match_wildcards(group->pattern, text, true)
                           : slice_equal(group->pattern, text);
}

static bool match_name(const struct match_key *key, struct slice value, struct buffer *folded)
{
    bool any = key->group_count == 1;
    for (size_t index = 0; index < NAME_GROUPS; index++) {
        struct slice part = match_take_group(&value, index);
        if (any && match_group(&key->groups[0], part, folded))
            return true;
        if (!any && index < key->group_count && !match_group(&key->groups[index], part, folded))
            return false;
    }
    return !any;
}

static bool match_one(const struct match_key *key, struct slice value, struct buffer *folded)
{
    struct time_span span;
    value = match_trim(key->vr, value);
    if (!value.size)
        return false;
    switch (match_manner(key->vr)) {
    case MANNER_UID:
        return bsearch(&value, key->members, key->count, sizeof(value), match_compare_members) !=
               NULL;
    case MANNER_TIME:
        if (!match_parse_time(key->vr, value, &span))
            return false;
        if (key->kind == MATCH_SINGLE)
            return span.first_us == key->span.first_us;
        return span.first_us >= key->span.first_us && span.first_us <= key->span.last_us;
    case MANNER_NAME:
        if (!key->fuzzy)
            return match_name(key, value, folded);
        buffer_clear(folded);
        fold_text(value, folded);
        return fuzzy_name_matches(key->pattern, buffer_slice(folded));
    case MANNER_NUMBER:
        buffer_clear(folded);
        match_fold_value(key->vr, value, folded);
        return slice_equal(key->pattern, buffer_slice(folded));
    default:
        return key->kind == MATCH_WILDCARD ? match_wildcards(key->pattern, value, false)
                                           : slice_equal(key->pattern, value);
    }
}

bool match_value(const struct match_key *key, struct slice value)
{
    if (key->kind == MATCH_UNIVERSAL)
        return true;
    if (key->kind == MATCH_EMPTY)
        return fold_trim(value).size == 0;
    for (size_t i = 0; i < key->part_count; i++)
        if (!match_value(key->parts[i], value))
            return false;
    if (key->part_count)
        return true;
    struct buffer folded = buffer_up_to(SIZE_MAX);
    bool found = false;
    if (key->whole) {
        match_fold(key->vr, value, &folded);
        found = slice_equal(key->pattern, buffer_slice(&folded));
    }
    while (!key->whole && !found && value.size)
        found = match_one(key, match_take_value(key->vr, &value), &folded);
    buffer_release(&folded);
    return found;
}

bool match_combined(const struct match_key *date, const struct match_key *time,
                    struct slice date_value, struct slice time_value)
{
    if (date->kind != MATCH_RANGE || time->kind != MATCH_RANGE)
        return match_value(date, date_value) && match_value(time, time_value);
    int64_t from = date->lower.size ? date->span.first_us : INT64_MIN;
    int64_t to = date->upper.size ? date->span.last_us + 1 - DAY_US : INT64_MAX;
    if (date->lower.size && time->lower.size)
        from += time->span.first_us;
    if (date->upper.size)
        to += time->upper.size ? time->span.last_us : DAY_US - 1;
    while (date_value.size && time_value.size) {
        struct time_span day, clock;
        if (date_parse(match_take_part(&date_value, '\\'), &day) &&
            time_parse(match_take_part(&time_value, '\\'), &clock)) {
            int64_t at = day.first_us + clock.first_us;
            if (at >= from && at <= to)
                return true;
        }
    }
    return false;
}
