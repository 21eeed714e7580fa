/* SPDX-License-Identifier: MIT */
#include "dicom/match.h"

#include <stdlib.h>

#include "base/memory.h"
#include "dicom/date_time.h"
#include "dicom/fold.h"
#include "dicom/fuzzy.h"
#include "dicom/tag.h"
#include "dicom/utf8.h"

enum {
    MAX_KEY = 64 << 10,
    MAX_WILDCARDS = 64,
    MAX_MEMBERS = 20000,
    MAX_LIST = MAX_MEMBERS * UID_SIZE,
    NAME_GROUPS = 3,
    MAX_OWNED = 8,
    MAX_PARTS = 64, /* values that must all be there */
};

/* What one component group of a PN must be. */
struct name_group {
    bool asked; /* false: anything, also nothing */
    bool wildcard;
    struct slice pattern;
};

struct match_key {
    uint16_t vr;
    enum match_kind kind;
    bool whole; /* a backslash in it: compared with all values at once */
    struct slice pattern;
    struct slice *members;
    size_t count;
    struct slice prefix;
    struct slice lower;
    struct slice upper;
    struct time_span span; /* DA TM DT: of the single value, or of the range */
    int64_t zone_us;       /* DT: of a key without an offset */
    struct name_group groups[NAME_GROUPS];
    size_t group_count;       /* 1: any group of the value */
    bool fuzzy;               /* PN: `pattern` is like the value */
    struct match_key **parts; /* keys that must all match */
    size_t part_count;
    void *owned[MAX_OWNED];
    size_t owned_count;
};

/* How values of a VR are compared. */
enum manner {
    MANNER_NONE, /* not by value */
    MANNER_LITERAL,
    MANNER_WILD, /* text with wildcards */
    MANNER_NAME,
    MANNER_UID,
    MANNER_NUMBER,
    MANNER_TIME,
};

static enum manner manner_of(uint16_t vr)
{
    switch (vr) {
    case VR_AE:
    case VR_CS:
    case VR_LO:
    case VR_LT:
    case VR_SH:
    case VR_ST:
    case VR_UC:
    case VR_UR:
    case VR_UT:
        return MANNER_WILD;
    case VR_PN:
        return MANNER_NAME;
    case VR_UI:
        return MANNER_UID;
    case VR_DA:
    case VR_TM:
    case VR_DT:
        return MANNER_TIME;
    case VR_IS:
    case VR_DS:
    case VR_US:
    case VR_SS:
    case VR_UL:
    case VR_SL:
    case VR_UV:
    case VR_SV:
    case VR_FL:
    case VR_FD:
        return MANNER_NUMBER;
    case VR_SQ:
    case VR_OB:
    case VR_OW:
    case VR_OD:
    case VR_OF:
    case VR_OL:
    case VR_OV:
        return MANNER_NONE;
    default:
        return MANNER_LITERAL; /* AS, AT, UN */
    }
}

/* One of several parts, by a separator. */
static struct slice take_part(struct slice *rest, uint8_t separator)
{
    const uint8_t *end = rest->size ? memchr(rest->data, separator, rest->size) : NULL;
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    struct slice part = slice_take(*rest, size);
    *rest = slice_skip(*rest, end ? size + 1 : size);
    return part;
}

/* Long text has one value, whatever is in it; the backslash is a character there. */
static struct slice take_value(uint16_t vr, struct slice *rest)
{
    if (vr_is_text(vr) && !vr_is_multi_valued(vr)) {
        struct slice all = *rest;
        *rest = slice_of(NULL, 0);
        return all;
    }
    return take_part(rest, '\\');
}

/* More than three groups there are not: what stands behind them is dropped. */
static struct slice take_group(struct slice *rest, size_t index)
{
    struct slice group = take_part(rest, '=');
    if (index + 1 == NAME_GROUPS)
        *rest = slice_of(NULL, 0);
    return group;
}

/* Without padding, a name also without the delimiters of groups that are not there. */
static struct slice trim(uint16_t vr, struct slice value)
{
    value = fold_trim(value);
    while (vr == VR_PN && value.size && value.data[value.size - 1] == '=') {
        value.size--;
        value = fold_trim(value);
    }
    return value;
}

/* DA, TM, DT. */
static bool parse_time_in(uint16_t vr, struct slice text, int64_t zone_us, struct time_span *span)
{
    return vr == VR_DA   ? date_parse(text, span)
           : vr == VR_TM ? time_parse(text, span)
                         : date_time_parse_in(text, zone_us, span);
}

static bool parse_time(uint16_t vr, struct slice text, struct time_span *span)
{
    return parse_time_in(vr, text, 0, span);
}

/* The same of what a key says. */
static bool parse_key(const struct match_key *key, struct slice text, struct time_span *span)
{
    return parse_time_in(key->vr, text, key->zone_us, span);
}

static bool parse_end(const struct match_key *key, struct slice text, struct time_span *span)
{
    return key->vr == VR_DA ? date_parse_end(text, span) : parse_key(key, text, span);
}

static void append_time(uint16_t vr, int64_t us, struct buffer *folded)
{
    char text[DATE_TIME_TEXT_SIZE];
    if (vr == VR_DA)
        date_format(us, text);
    else if (vr == VR_TM)
        time_format(us, text);
    else
        date_time_format(us, text);
    buffer_append_text(folded, text);
}

static void fold_name(struct slice value, struct buffer *folded)
{
    size_t end = folded->size;
    for (size_t index = 0; index < NAME_GROUPS; index++) {
        size_t start = folded->size;
        fold_name_group(take_group(&value, index), folded);
        if (folded->size > start)
            end = folded->size;
        if (index + 1 < NAME_GROUPS)
            buffer_append_byte(folded, '=');
    }
    folded->size = end;
}

/* A single value. */
static void fold_value(uint16_t vr, struct slice value, struct buffer *folded)
{
    struct time_span span;
    value = trim(vr, value);
    switch (manner_of(vr)) {
    case MANNER_NAME:
        fold_name(value, folded);
        return;
    case MANNER_NUMBER:
        if (fold_number(value, folded))
            return;
        break;
    case MANNER_TIME:
        if (parse_time(vr, value, &span)) {
            append_time(vr, span.first_us, folded);
            return;
        }
        break;
    default:
        break;
    }
    buffer_append(folded, value);
}

void match_fold(uint16_t vr, struct slice value, struct buffer *folded)
{
    bool more;
    do {
        size_t before = value.size;
        struct slice one = take_value(vr, &value);
        more = before > one.size; /* there was a separator */
        fold_value(vr, one, folded);
        if (more)
            buffer_append_byte(folded, '\\');
    } while (more);
}

struct match_terms match_fold_terms(uint16_t vr, struct slice value)
{
    struct match_terms terms = { vr, value, { NULL, 0 }, 0 };
    return terms;
}

bool match_terms_next(struct match_terms *terms, struct buffer *term)
{
    buffer_clear(term);
    while (!term->size && (terms->groups.size || terms->rest.size)) {
        if (terms->vr != VR_PN) {
            fold_value(terms->vr, take_value(terms->vr, &terms->rest), term);
            continue;
        }
        if (!terms->groups.size) {
            terms->groups = trim(VR_PN, take_value(VR_PN, &terms->rest));
            terms->group = 0;
        }
        fold_name_group(take_group(&terms->groups, terms->group++), term);
    }
    return term->size != 0;
}

/* Keys. */

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
    append_time(key->vr, us, &text);
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

static int compare_members(const void *a, const void *b)
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
        key->members[i] = fold_trim(take_part(&rest, '\\'));
        if (!key->members[i].size)
            return error_set_tag(err, ERROR_INVALID, tag, "an empty member in a list of UIDs");
    }
    qsort(key->members, count, sizeof(*key->members), compare_members);
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
    value = trim(VR_PN, value);
    do {
        struct name_group *group = &key->groups[key->group_count];
        struct buffer folded = buffer_up_to(MAX_KEY * 3);
        fold_name_group(take_group(&value, key->group_count), &folded);
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
        struct slice part = fold_trim(take_part(&value, '\\'));
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
    enum manner manner = manner_of(key->vr);
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

/* Comparing. */

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
        struct slice part = take_group(&value, index);
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
    value = trim(key->vr, value);
    if (!value.size)
        return false;
    switch (manner_of(key->vr)) {
    case MANNER_UID:
        return bsearch(&value, key->members, key->count, sizeof(value), compare_members) != NULL;
    case MANNER_TIME:
        if (!parse_time(key->vr, value, &span))
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
        fold_value(key->vr, value, folded);
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
        found = match_one(key, take_value(key->vr, &value), &folded);
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
        if (date_parse(take_part(&date_value, '\\'), &day) &&
            time_parse(take_part(&time_value, '\\'), &clock)) {
            int64_t at = day.first_us + clock.first_us;
            if (at >= from && at <= to)
                return true;
        }
    }
    return false;
}

bool match_is_by_value(uint32_t tag)
{
    uint16_t vr = dictionary_vr(tag);
    if (tag >> 16 < 8 || (tag & 0xFFFF) == 0)
        return false;
    if (tag_is_private(tag))
        return true;
    return vr == VR_SQ || (vr != VR_UN && manner_of(vr) != MANNER_NONE);
}
