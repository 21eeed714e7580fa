/* SPDX-License-Identifier: MIT */
#include "worklist/search.h"

#include <stdlib.h>

#include "base/memory.h"
#include "dicom/date_time.h"
#include "dicom/encode.h"
#include "dicom/match.h"
#include "dicom/zone.h"
#include "worklist/kinds.h"

enum {
    VALUE_LIMIT = 1 << 20,
    STAMP_DIGITS = 14,
    WATCH_EVERY = 64, /* objects that did not match */
    PROBES = 256,     /* terms that are counted to see which index leads to fewer objects */
};

struct search_key {
    uint32_t path[SEARCH_DEPTH];
    size_t depth;
    struct buffer value;
    struct match_key *match; /* NULL: it is only returned */
    bool is_combined;        /* a time, matched with the date that stands before it */
};

struct search {
    enum object_kind kind;
    unsigned options;
    struct zone zone; /* "": as it is stored */
    bool returns_all;
    struct search_key *keys; /* in the order of their paths */
    size_t count;
    bool (*watch)(void *context, struct error *err);
    void *watch_context;
    /* The walk. */
    bool begun;
    bool combines;
    enum object_shelf one_shelf; /* 0: both */
    struct object_range range;
    char first[STAMP_DIGITS + 1];
    char last[STAMP_DIGITS + 1];
    const enum object_shelf *shelves;
    size_t shelf_count;
    size_t shelf;
    struct object_walk *walk;
    const struct match_key *uids; /* the objects are asked for by their keys; or NULL */
    size_t uid;                   /* of them: the next */
    struct buffer text;
    struct buffer bytes;
    struct zone_copy said; /* the object in the zone */
    struct dataset *match;
};

struct search *search_new(enum object_kind kind)
{
    struct search *search = mem_alloc(sizeof(*search));
    search->kind = kind;
    search->text = buffer_up_to(VALUE_LIMIT);
    search->bytes = buffer_up_to(OBJECT_DATASET_LIMIT);
    return search;
}

void search_free(struct search *search)
{
    if (!search)
        return;
    for (size_t i = 0; i < search->count; i++) {
        match_key_close(search->keys[i].match);
        buffer_release(&search->keys[i].value);
    }
    object_walk_close(search->walk);
    dataset_close(search->match);
    zone_copy_release(&search->said);
    buffer_release(&search->text);
    buffer_release(&search->bytes);
    free(search->keys);
    free(search);
}

bool search_set_zone(struct search *search, struct slice offset, struct error *err)
{
    return zone_init(&search->zone, offset) ||
           error_set_tag(err, ERROR_INVALID, TAG_TIMEZONE_OFFSET_FROM_UTC,
                         "Timezone Offset From UTC is none");
}

void search_set_options(struct search *search, unsigned options)
{
    search->options = options;
}

void search_set_shelf(struct search *search, enum object_shelf shelf)
{
    search->one_shelf = shelf;
}

void search_combine_date_time(struct search *search)
{
    search->combines = true;
}

void search_return_all(struct search *search)
{
    search->returns_all = true;
}

void search_set_watch(struct search *search, bool (*watch)(void *context, struct error *err),
                      void *context)
{
    search->watch = watch;
    search->watch_context = context;
}

/* --- keys ---------------------------------------------------------------------------------- */

static int compare_paths(const struct search_key *a, const uint32_t *path, size_t depth)
{
    for (size_t i = 0; i < a->depth && i < depth; i++)
        if (a->path[i] != path[i])
            return a->path[i] < path[i] ? -1 : 1;
    return a->depth < depth ? -1 : a->depth > depth;
}

static struct search_key *insert(struct search *search, const uint32_t *path, size_t depth,
                                 struct error *err)
{
    size_t at = 0;
    int order = 1;
    while (at < search->count && (order = compare_paths(&search->keys[at], path, depth)) < 0)
        at++;
    if (at < search->count && order == 0)
        return &search->keys[at];
    if (search->count == SEARCH_KEYS || depth == 0 || depth > SEARCH_DEPTH) {
        error_set(err, ERROR_LIMIT, "there are too many keys, or one is too deep");
        return NULL;
    }
    search->keys = mem_resize_array(search->keys, search->count + 1, sizeof(*search->keys));
    memmove(&search->keys[at + 1], &search->keys[at], (search->count - at) * sizeof(*search->keys));
    search->count++;
    search->keys[at] = (struct search_key){ .depth = depth, .value = buffer_up_to(VALUE_LIMIT) };
    memcpy(search->keys[at].path, path, depth * sizeof(path[0]));
    return &search->keys[at];
}

bool search_add_key(struct search *search, const uint32_t *path, size_t depth, struct slice value,
                    struct error *err)
{
    struct search_key *key = insert(search, path, depth, err);
    if (!key)
        return false;
    uint16_t vr = dictionary_vr(path[depth - 1]);
    if (!value.size || vr == VR_SQ || key->match)
        return true;
    buffer_append(&key->value, value);
    return buffer_check(&key->value, "key", err) &&
           match_key_open_in(path[depth - 1], vr, value, search->options, search->zone.us,
                             &key->match, err);
}

bool search_add_return(struct search *search, uint32_t tag, struct error *err)
{
    return insert(search, &tag, 1, err) != NULL;
}

static bool is_in(uint32_t tag, const uint32_t *tags, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (tags[i] == tag)
            return true;
    return false;
}

/* A sequence of a key's data set that is empty asks for all of it; one with an item for what the
 * item names. */
bool search_add_dataset(struct search *search, const struct dataset *keys, const uint32_t *without,
                        size_t without_count, struct error *err)
{
    struct walk walk = dataset_walk(keys);
    struct element element;
    uint32_t path[DATASET_MAX_DEPTH + 1];
    bool has_keys[DATASET_MAX_DEPTH + 1] = { false };
    size_t depth = 0;
    bool ok = true;
    for (enum walk_event event; ok && (event = walk_next(&walk, &element)) != WALK_END;) {
        bool is_left_out = depth == 0 ? is_in(element.tag, without, without_count)
                                      : is_in(path[0], without, without_count);
        switch (event) {
        case WALK_SEQUENCE:
            path[depth++] = element.tag;
            has_keys[depth] = false;
            break;
        case WALK_SEQUENCE_END:
            if (!has_keys[depth] && !is_in(path[0], without, without_count))
                ok = search_add_key(search, path, depth, slice_of(NULL, 0), err);
            depth--;
            has_keys[depth] = true;
            break;
        case WALK_ELEMENT:
            path[depth] = element.tag;
            has_keys[depth] = true;
            if (is_left_out || !(element.tag & 0xFFFF) || element.tag == TAG_SPECIFIC_CHARACTER_SET)
                break;
            buffer_clear(&search->text);
            dataset_element_text(keys, &element, &search->text);
            ok = buffer_check(&search->text, "key", err) &&
                 search_add_key(search, path, depth + 1, buffer_slice(&search->text), err);
            break;
        default:
            break;
        }
    }
    return ok;
}

bool search_key_at(const struct search *search, size_t number, struct search_path *path)
{
    if (number >= search->count)
        return false;
    const struct search_key *key = &search->keys[number];
    *path = (struct search_path){ key->path, key->depth, buffer_slice(&key->value) };
    return true;
}

/* --- matching ------------------------------------------------------------------------------ */

/* The keys that share what the first of them has at this depth: how many. */
static size_t group_of(const struct search_key *keys, size_t count, size_t depth)
{
    size_t size = 1;
    while (size < count && keys[size].path[depth] == keys[0].path[depth])
        size++;
    return size;
}

static bool value_matches(const struct search_key *key, const struct search_key *time,
                          const struct dataset *dataset)
{
    struct buffer text = buffer_up_to(VALUE_LIMIT);
    struct buffer clock = buffer_up_to(VALUE_LIMIT);
    dataset_text(dataset, key->path[key->depth - 1], &text);
    if (time)
        dataset_text(dataset, time->path[time->depth - 1], &clock);
    bool ok = time ? match_combined(key->match, time->match, buffer_slice(&text),
                                    buffer_slice(&clock))
                   : match_value(key->match, buffer_slice(&text));
    buffer_release(&text);
    buffer_release(&clock);
    return ok;
}

static bool has_matching(const struct search_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (keys[i].match)
            return true;
    return false;
}

/* As deep as the keys, which have a limit. */
static bool matches(const struct search_key *keys, size_t count, size_t depth,
                    const struct dataset *dataset)
{
    for (size_t i = 0; i < count;) {
        size_t size = group_of(keys + i, count - i, depth);
        const struct search_key *group = keys + i;
        i += size;
        if (!has_matching(group, size))
            continue;
        if (group->depth == depth + 1 && group->match) {
            const struct search_key *time = i < count && keys[i].is_combined ? &keys[i] : NULL;
            if (!group->is_combined && !value_matches(group, time, dataset))
                return false;
            continue;
        }
        size_t skip = group->depth == depth + 1;
        struct dataset_items items = dataset_items(dataset, group->path[depth]);
        struct dataset *item;
        bool found = false;
        while (!found && (item = dataset_items_next(&items))) {
            found = matches(group + skip, size - skip, depth + 1, item);
            dataset_close(item);
        }
        if (!found)
            return false;
    }
    return true;
}

bool search_matches(const struct search *search, const struct dataset *dataset)
{
    return matches(search->keys, search->count, 0, dataset);
}

/* --- answers ------------------------------------------------------------------------------- */

static void encode_empty(struct encoder *encoder, uint32_t tag)
{
    uint16_t vr = dictionary_vr(tag);
    if (vr == VR_SQ) {
        encode_sequence_begin(encoder, tag);
        encode_sequence_end(encoder);
    } else {
        encode_bytes(encoder, tag, vr, slice_of(NULL, 0));
    }
}

static void encode_asked(const struct search_key *keys, size_t count, size_t depth,
                         const struct dataset *dataset, struct encoder *encoder)
{
    for (size_t i = 0; i < count;) {
        size_t size = group_of(keys + i, count - i, depth);
        const struct search_key *group = keys + i;
        uint32_t tag = group->path[depth];
        struct element element;
        i += size;
        if (group->depth == depth + 1 || !dataset_find(dataset, tag, &element)) {
            if (!encode_copy(encoder, dataset, tag) && tag != TAG_TIMEZONE_OFFSET_FROM_UTC)
                encode_empty(encoder, tag);
            continue;
        }
        struct dataset_items items = dataset_items(dataset, tag);
        struct dataset *item;
        encode_sequence_begin(encoder, tag);
        while ((item = dataset_items_next(&items))) {
            encode_item_begin(encoder);
            encode_asked(group, size, depth + 1, item, encoder);
            encode_item_end(encoder);
            dataset_close(item);
        }
        encode_sequence_end(encoder);
    }
}

static bool answer(struct search *search, const struct object *object,
                   const struct dataset *dataset, struct error *err)
{
    dataset_close(search->match);
    search->match = NULL;
    if (search->returns_all)
        return object_dataset(object, &search->match, err);
    struct encoder encoder = { &search->bytes, true };
    buffer_clear(&search->bytes);
    encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    encode_asked(search->keys, search->count, 0, dataset, &encoder);
    return buffer_check(&search->bytes, "match", err) &&
           dataset_open(buffer_slice(&search->bytes),
                        transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                        &search->match, err);
}

/* --- the walk ------------------------------------------------------------------------------ */

static bool is_at(const struct search_key *key, const struct attribute_path *path)
{
    return key->match && path->depth && path->depth == key->depth &&
           memcmp(path->tags, key->path, key->depth * sizeof(key->path[0])) == 0;
}

static void take_stamp(struct slice folded, char stamp[STAMP_DIGITS + 1])
{
    size_t size = strlen(stamp);
    folded = slice_take(folded, STAMP_DIGITS - size);
    if (folded.size)
        memcpy(stamp + size, folded.data, folded.size);
    stamp[size + folded.size] = '\0';
}

/* The index has dates as they are stored: in another zone they may be those of two days more. */
static void widen(char stamp[STAMP_DIGITS + 1], int64_t by_days)
{
    struct time_span day;
    if (date_parse(slice_take(slice_text(stamp), DATE_TEXT_SIZE - 1), &day))
        date_format(day.first_us + by_days * DAY_US, stamp);
    else
        stamp[0] = '\0';
}

/* A single date, or a range, of the kind's own date bounds the walk (a DT is folded to UTC, as the
 * index has it); a time that is one span with it does too. */
static void choose_dates(struct search *search)
{
    const struct object_kind_row *row = object_kind_row(search->kind);
    struct search_key *date = NULL, *time = NULL;
    for (size_t i = 0; i < search->count; i++) {
        if (is_at(&search->keys[i], &row->date))
            date = &search->keys[i];
        if (is_at(&search->keys[i], &row->time))
            time = &search->keys[i];
    }
    if (!date)
        return;
    enum match_kind kind = match_key_kind(date->match);
    bool is_range = kind == MATCH_RANGE;
    /* Both ends of a single DA are the day; a single DT may be a year. */
    if (kind == MATCH_SINGLE && match_key_count(date->match) == 1 &&
        match_key_vr(date->match) == VR_DA) {
        take_stamp(match_key_member(date->match, 0), search->first);
        take_stamp(match_key_member(date->match, 0), search->last);
    } else if (is_range) {
        take_stamp(match_key_lower(date->match), search->first);
        take_stamp(match_key_upper(date->match), search->last);
    }
    if (search->combines && is_range && time && match_key_kind(time->match) == MATCH_RANGE) {
        time->is_combined = true; /* it stands right behind the date */
        if (search->first[0])
            take_stamp(match_key_lower(time->match), search->first);
        if (search->last[0])
            take_stamp(match_key_upper(time->match), search->last);
    }
    if (search->zone.text[0]) {
        widen(search->first, -2);
        widen(search->last, 2);
    }
    search->range.first = search->first[0] ? search->first : NULL;
    search->range.last = search->last[0] ? search->last : NULL;
}

/* What the index can be asked for a key; false when it is of no use. */
static bool range_of_key(const struct search *search, const struct search_key *key,
                         struct object_range *range)
{
    const struct object_index *index =
        key->match ? object_index_find(object_kind_row(search->kind), key->path, key->depth) : NULL;
    if (!index)
        return false;
    enum match_kind kind = match_key_kind(key->match);
    bool is_single = (kind == MATCH_SINGLE || kind == MATCH_UID_LIST) &&
                     match_key_count(key->match) == 1;
    struct slice prefix = match_key_prefix(key->match);
    if (!is_single && (kind != MATCH_WILDCARD || !prefix.size))
        return false;
    *range = search->range;
    range->index = index->id;
    range->prefix = !is_single;
    range->value = is_single ? match_key_member(key->match, 0) : prefix;
    return true;
}

/* The index that leads to the fewest objects, as far as is counted: of the walk over all by their
 * dates, and of the keys that are in an index. */
static bool choose_index(struct search *search, struct worklist *worklist, struct error *err)
{
    struct object_range range, best = search->range;
    size_t fewest = PROBES, count;
    bool has_dates = best.first || best.last;
    best.shelf = search->range.shelf = search->shelves[0];
    if (has_dates && !object_walk_count(worklist, &best, PROBES, &fewest, err))
        return false;
    for (size_t i = 0; i < search->count && fewest > 1; i++) {
        if (!range_of_key(search, &search->keys[i], &range))
            continue;
        if (!object_walk_count(worklist, &range, fewest, &count, err))
            return false;
        /* Of several that have too many to count, one that matches exactly; names that begin so
         * rather than all, but not rather than a range of dates. */
        if (count < fewest || (!best.index && (!range.prefix || !has_dates))) {
            best = range;
            fewest = count;
        }
    }
    search->range = best;
    return true;
}

static bool begin(struct search *search, struct worklist *worklist, struct error *err)
{
    static const enum object_shelf shelves[] = { OBJECT_LIVE, OBJECT_DONE };
    search->begun = true;
    search->range.kind = search->kind;
    search->shelves = search->one_shelf == OBJECT_DONE ? shelves + 1 : shelves;
    search->shelf_count = search->one_shelf ? 1 : 2;
    choose_dates(search);
    return choose_index(search, worklist, err);
}

/* A work item and a performed step are known by their SOP Instance UID: it is the object's key. */
static const struct match_key *find_uids(const struct search *search)
{
    if (search->kind != OBJECT_WORKITEM && search->kind != OBJECT_PERFORMED)
        return NULL;
    for (size_t i = 0; i < search->count; i++) {
        const struct search_key *key = &search->keys[i];
        if (key->depth == 1 && key->path[0] == TAG_SOP_INSTANCE_UID && key->match &&
            match_key_count(key->match) > 0)
            return key->match;
    }
    return NULL;
}

static bool next_by_uid(struct search *search, struct worklist *worklist, struct object *object,
                        bool *found, struct error *err)
{
    *found = false;
    while (!*found && search->uid < match_key_count(search->uids)) {
        struct slice member = match_key_member(search->uids, search->uid++);
        char key[UID_SIZE];
        if (uid_copy(member, key) && !object_get(worklist, search->kind, key, object, found, err))
            return false;
        *found = *found && (!search->one_shelf || object->shelf == search->one_shelf);
    }
    return true;
}

static bool next_object(struct search *search, struct worklist *worklist, struct object *object,
                        bool *found, struct error *err)
{
    if (search->uids)
        return next_by_uid(search, worklist, object, found, err);
    for (;;) {
        if (!search->walk) {
            *found = false;
            if (search->shelf == search->shelf_count)
                return true;
            search->range.shelf = search->shelves[search->shelf++];
            if (!object_walk_open(worklist, &search->range, &search->walk, err))
                return false;
        }
        if (!object_walk_next(search->walk, object, found, err))
            return false;
        if (*found)
            return true;
        object_walk_close(search->walk);
        search->walk = NULL;
    }
}

bool search_next(struct search *search, struct worklist *worklist, struct object *object,
                 const struct dataset **match, struct error *err)
{
    bool found = true;
    *match = NULL;
    if (!search->begun)
        search->uids = find_uids(search);
    if (!search->begun && !begin(search, worklist, err))
        return false;
    for (size_t seen = 1; !*match; seen++) {
        struct dataset *dataset = NULL;
        if (seen % WATCH_EVERY == 0 && search->watch && !search->watch(search->watch_context, err))
            return false;
        if (!next_object(search, worklist, object, &found, err))
            return false;
        if (!found)
            return true;
        /* What is left of one that was deleted has no data set. */
        if (!object->dataset.size)
            continue;
        if (!object_dataset(object, &dataset, err))
            return false;
        const struct dataset *said = dataset;
        bool ok = !search->zone.text[0] ||
                  zone_copy_make(&search->said, dataset, NULL, &search->zone, err);
        if (ok && search->zone.text[0])
            said = search->said.dataset;
        if (ok && search_matches(search, said)) {
            ok = answer(search, object, said, err);
            *match = search->match;
        }
        dataset_close(dataset);
        if (!ok)
            return false;
    }
    return true;
}
