/* SPDX-License-Identifier: MIT */
#include "archive/query_key.h"

#include <stdlib.h>

#include "base/memory.h"
#include "dicom/fold.h"

/* Dates and the times that go with them (PS3.4 C.2.2.2.5). */
static const struct date_time {
    uint32_t date;
    uint32_t time;
} date_times[] = {
    { TAG_STUDY_DATE, TAG_STUDY_TIME },
    { TAG_SERIES_DATE, TAG_SERIES_TIME },
    { TAG_CONTENT_DATE, TAG_CONTENT_TIME },
    { 0x00080012, 0x00080013 }, /* Instance Creation */
    { 0x00080022, 0x00080032 }, /* Acquisition */
    { 0x00100030, 0x00100032 }, /* Patient's Birth */
    { TAG_PERFORMED_PROCEDURE_STEP_START_DATE, TAG_PERFORMED_PROCEDURE_STEP_START_TIME },
    { 0x00400250, 0x00400251 }, /* Performed Procedure Step End */
    { 0x00700082, 0x00700083 }, /* Presentation Creation */
};

static void add_creator(struct query_keys *keys, uint32_t tag, struct slice name)
{
    keys->creators = mem_resize_array(keys->creators, keys->creator_count + 1,
                                      sizeof(*keys->creators));
    keys->creators[keys->creator_count++] =
        (struct row_creator){ tag, slice_of(mem_copy(name.data, name.size), name.size) };
}

/* A private creator that is asked for as it is. */
static void note_creator(struct query_keys *keys, const uint32_t *path, size_t depth,
                         struct slice value)
{
    uint32_t element = path[0] & 0xFFFF;
    struct slice name = fold_trim(value);
    if (depth == 1 && tag_is_private(path[0]) && element >= 0x10 && element <= 0xFF && name.size &&
        !memchr(name.data, '*', name.size) && !memchr(name.data, '?', name.size))
        add_creator(keys, path[0], name);
}

static const struct row_creator *find_creator(const struct query_keys *keys, uint32_t tag)
{
    uint32_t creator = (tag & 0xFFFF0000) | (tag >> 8 & 0xFF);
    for (size_t i = 0; tag_is_private(tag) && i < keys->creator_count; i++)
        if (keys->creators[i].tag == creator)
            return &keys->creators[i];
    return NULL;
}

void query_keys_imply_creator(struct query_keys *keys, uint32_t tag, const char *creator)
{
    bool is_asked = false;
    for (size_t i = 0; i < keys->count; i++)
        is_asked |= keys->keys[i].path[0] == tag;
    if (is_asked && !find_creator(keys, tag))
        add_creator(keys, (tag & 0xFFFF0000) | (tag >> 8 & 0xFF), slice_text(creator));
}

bool query_keys_add(struct query_keys *keys, enum level level, const uint32_t *path, size_t depth,
                    struct slice value, struct error *err)
{
    if (!depth || depth > QUERY_MAX_DEPTH)
        return error_set(err, ERROR_INVALID, "a key of %zu tags", depth);
    if (keys->count == QUERY_MAX_KEYS)
        return error_set(err, ERROR_LIMIT, "more than %d keys", QUERY_MAX_KEYS);
    if (keys->count == keys->capacity) {
        keys->capacity = keys->capacity ? keys->capacity * 2 : 16;
        keys->keys = mem_resize_array(keys->keys, keys->capacity, sizeof(*keys->keys));
    }
    note_creator(keys, path, depth, value);
    struct query_key key = { .depth = depth,
                             .level = row_attribute_level(path[0], level),
                             .has_zone = keys->has_zone };
    memcpy(key.path, path, depth * sizeof(*path));
    uint32_t tag = path[depth - 1];
    uint16_t vr = dictionary_vr(tag);
    if (vr == VR_UN)
        vr = VR_LO; /* a private attribute: its text as it is */
    if (!match_key_open_in(tag, vr, value, keys->options, keys->zone_us, &key.match, err))
        return false;
    keys->keys[keys->count++] = key;
    return true;
}

void query_keys_release(struct query_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        match_key_close(keys->keys[i].match);
    for (size_t i = 0; i < keys->creator_count; i++)
        free((void *)(uintptr_t)keys->creators[i].name.data);
    free(keys->creators);
    free(keys->keys);
    memset(keys, 0, sizeof(*keys));
}

static int compare_keys(const void *a, const void *b)
{
    const struct query_key *first = a, *second = b;
    for (size_t i = 0; i < QUERY_MAX_DEPTH; i++) {
        uint32_t one = i < first->depth ? first->path[i] : 0;
        uint32_t other = i < second->depth ? second->path[i] : 0;
        if (one != other)
            return one < other ? -1 : 1;
    }
    return 0;
}

static struct query_key *find_key(const struct query_keys *keys, uint32_t tag)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->keys[i].depth == 1 && keys->keys[i].path[0] == tag)
            return &keys->keys[i];
    }
    return NULL;
}

static bool can_combine(const struct query_key *key)
{
    enum match_kind kind = match_key_kind(key->match);
    return kind == MATCH_RANGE || kind == MATCH_SINGLE;
}

void query_keys_prepare(struct query_keys *keys, bool combine)
{
    if (keys->count)
        qsort(keys->keys, keys->count, sizeof(*keys->keys), compare_keys);
    for (size_t i = 0; i < keys->count; i++) {
        const struct row_creator *creator = find_creator(keys, keys->keys[i].path[0]);
        if (creator)
            keys->keys[i].creator = creator->name;
    }
    for (size_t i = 0; combine && i < sizeof(date_times) / sizeof(date_times[0]); i++) {
        struct query_key *date = find_key(keys, date_times[i].date);
        struct query_key *time = find_key(keys, date_times[i].time);
        if (date && time && can_combine(date) && can_combine(time)) {
            date->time = time;
            time->in_span = true;
        }
    }
}

bool query_key_is_filter(const struct query_key *key)
{
    return match_key_kind(key->match) != MATCH_UNIVERSAL;
}

bool query_keys_filter(const struct query_keys *keys, enum level first, enum level last)
{
    for (size_t i = 0; i < keys->count; i++) {
        const struct query_key *key = &keys->keys[i];
        if (key->level >= first && key->level <= last && query_key_is_filter(key))
            return true;
    }
    return false;
}

/* How many keys from here on share the first at + 1 tags. */
static size_t group_size(const struct query_key *keys, size_t count, size_t at)
{
    size_t size = 1;
    while (size < count && keys[size].depth > at && keys[size].path[at] == keys[0].path[at])
        size++;
    return size;
}

static bool any_filters(const struct query_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (query_key_is_filter(&keys[i]))
            return true;
    }
    return false;
}

static bool match_leaf(const struct query_key *key, const struct dataset *dataset, uint32_t tag)
{
    struct buffer text = buffer_up_to(ROW_TEXT_SIZE);
    dataset_text(dataset, tag, &text);
    bool matches = match_value(key->match, buffer_slice(&text));
    buffer_release(&text);
    return matches;
}

static bool match_sequence(const struct query_key *keys, size_t count, size_t at,
                           const struct dataset *dataset, uint32_t tag);

/* All keys, which share their first `at` tags, match in this one item. */
static bool match_item(const struct query_key *keys, size_t count, size_t at,
                       const struct dataset *item)
{
    for (size_t i = 0; i < count;) {
        size_t size = group_size(keys + i, count - i, at);
        size_t leaves = 0;
        for (; leaves < size && keys[i + leaves].depth == at + 1; leaves++) {
            if (query_key_is_filter(&keys[i + leaves]) &&
                !match_leaf(&keys[i + leaves], item, keys[i].path[at]))
                return false;
        }
        if (leaves < size &&
            !match_sequence(keys + i + leaves, size - leaves, at, item, keys[i].path[at]))
            return false;
        i += size;
    }
    return true;
}

/* The keys share the first at + 1 tags, and go on below the sequence path[at], which stands under
 * `tag`: one of its items must match them all (PS3.4 C.2.2.2.6). As deep as a key, which has a
 * limit. */
static bool match_sequence(const struct query_key *keys, size_t count, size_t at,
                           const struct dataset *dataset, uint32_t tag)
{
    if (!any_filters(keys, count))
        return true;
    struct dataset_items items = dataset_items(dataset, tag);
    for (size_t i = 0; i < QUERY_MAX_ITEMS; i++) {
        struct dataset *item = dataset_items_next(&items);
        bool matches = item && match_item(keys, count, at + 1, item);
        bool is_end = !item;
        dataset_close(item);
        if (matches || is_end)
            return matches;
    }
    return false;
}

static bool match_span(const struct query_key *date, struct row *row, enum level level,
                       struct buffer *date_text, bool *matches, struct error *err)
{
    struct buffer time_text = buffer_up_to(ROW_TEXT_SIZE);
    bool ok = row_text(row, level, date->path[0], date_text, err) &&
              row_text(row, level, date->time->path[0], &time_text, err);
    *matches = ok && match_combined(date->match, date->time->match, buffer_slice(date_text),
                                    buffer_slice(&time_text));
    buffer_release(&time_text);
    return ok;
}

static bool match_simple(const struct query_key *key, struct row *row, enum level level,
                         struct buffer *text, bool *matches, struct error *err)
{
    *matches = true;
    if (!query_key_is_filter(key) || key->in_span)
        return true;
    if (key->time)
        return match_span(key, row, level, text, matches, err);
    if (!row_text(row, level, key->path[0], text, err))
        return false;
    *matches = match_value(key->match, buffer_slice(text));
    return true;
}

/* Keys of one first tag. */
static bool match_group(const struct query_key *keys, size_t count, struct row *row,
                        enum level level, struct buffer *text, bool *matches, struct error *err)
{
    struct row_value value;
    bool found;
    size_t leaves = 0;
    *matches = true;
    for (; leaves < count && keys[leaves].depth == 1; leaves++) {
        if (!match_simple(&keys[leaves], row, level, text, matches, err))
            return false;
        if (!*matches)
            return true;
    }
    if (!any_filters(keys + leaves, count - leaves))
        return true;
    if (!row_find(row, level, keys[0].path[0], text, &value, &found, err))
        return false;
    *matches = found && value.source &&
               match_sequence(keys + leaves, count - leaves, 0, value.source, value.tag);
    return true;
}

bool query_keys_match(const struct query_keys *keys, struct row *row, enum level first,
                      enum level last, bool *matches, struct error *err)
{
    struct buffer text = buffer_up_to(ROW_TEXT_SIZE);
    bool ok = true;
    *matches = true;
    for (size_t i = 0; ok && *matches && i < keys->count;) {
        const struct query_key *key = &keys->keys[i];
        size_t size = group_size(key, keys->count - i, 0);
        if (key->level >= first && key->level <= last)
            ok = match_group(key, size, row, last, &text, matches, err);
        i += size;
    }
    buffer_release(&text);
    return ok;
}
