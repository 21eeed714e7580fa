/* SPDX-License-Identifier: MIT */
#include "archive/query_tags.h"

#include <stdio.h>
#include <stdlib.h>

#include "archive/tag_set.h"
#include "archive/tag_terms.h"
#include "archive/tag_values.h"
#include "base/clock.h"
#include "base/fields.h"
#include "base/log.h"
#include "base/memory.h"

void query_tag_name(const struct query_tag *tag, char name[QUERY_TAG_NAME])
{
    size_t size = 0;
    name[0] = '\0';
    for (size_t i = 0; i < tag->depth && i < QUERY_MAX_DEPTH; i++)
        size += (size_t)snprintf(name + size, QUERY_TAG_NAME - size, "%s%08X", i ? "." : "",
                                 tag->path[i]);
}

/* What is an index already, or computed from many instances, or no value that is matched. */
static bool check_path(const struct query_tag *tag, struct error *err)
{
    char name[QUERY_TAG_NAME];
    uint32_t first = tag->path[0];
    query_tag_name(tag, name);
    if (!tag->depth || tag->depth > QUERY_MAX_DEPTH || !(first >> 16) || first >> 16 == 2)
        return error_set(err, ERROR_INVALID, "no attribute that can be a query tag");
    bool is_computed = row_attribute_level(first, LEVEL_INSTANCE) != LEVEL_INSTANCE &&
                       !attribute_level(first, &(enum level){ 0 });
    if (term_index_find(first) || is_computed || first == TAG_SOP_INSTANCE_UID ||
        first == TAG_STUDY_DATE || first == TAG_SPECIFIC_CHARACTER_SET)
        return error_set(err, ERROR_INVALID, "%s is in the index always", name);
    if (!query_supports(LEVEL_INSTANCE, tag->path, tag->depth))
        return error_set(err, ERROR_INVALID, "%s is not matched by value", name);
    for (size_t i = 0; i + 1 < tag->depth; i++)
        if (!tag_is_private(tag->path[i]) && dictionary_vr(tag->path[i]) != VR_SQ)
            return error_set(err, ERROR_INVALID, "%s: %08X is no sequence", name, tag->path[i]);
    return true;
}

static bool check_vr(const struct query_tag *tag, struct error *err)
{
    char name[QUERY_TAG_NAME];
    uint32_t leaf = tag->path[tag->depth - 1];
    uint16_t vr = dictionary_vr(leaf);
    query_tag_name(tag, name);
    if (!vr_is_known(tag->vr) || tag->vr == VR_SQ || tag->vr == VR_UN)
        return error_set(err, ERROR_INVALID, "%s: a VR of values is needed", name);
    if (vr != VR_UN && vr != tag->vr)
        return error_set(err, ERROR_INVALID, "%s has the VR %c%c", name, vr >> 8, vr & 0xFF);
    if (tag->creator[0] && !tag_is_private(tag->path[0]))
        return error_set(err, ERROR_INVALID, "%s is not private", name);
    if (tag_is_private(tag->path[0]) && (tag->path[0] & 0xFFFF) < 0x1000)
        return error_set(err, ERROR_INVALID, "%s is no private attribute with a value", name);
    return true;
}

static bool complete(struct query_tag *tag, int64_t now_ms, struct error *err)
{
    if (!check_path(tag, err) || !check_vr(tag, err))
        return false;
    if (tag->level < LEVEL_STUDY || tag->level > LEVEL_INSTANCE)
        return error_set(err, ERROR_INVALID, "a query tag is of a study, series or instance");
    if (!tag_table_level(tag->path[0], &tag->indexed))
        tag->indexed = tag->level;
    tag->status = QUERY_TAG_ADDING;
    tag->enabled = true;
    tag->errors = 0;
    tag->added_ms = now_ms;
    tag->done = tag->of = 0;
    return true;
}

static bool is_same(const struct query_tag *tag, const uint32_t *path, size_t depth)
{
    return tag->depth == depth && !memcmp(tag->path, path, depth * sizeof(*path));
}

static struct query_tag *find(struct tag_set *set, const uint32_t *path, size_t depth)
{
    for (size_t i = 0; i < set->count; i++)
        if (is_same(&set->tags[i], path, depth))
            return &set->tags[i];
    return NULL;
}

static uint16_t free_number(struct tag_set *set)
{
    uint16_t number = 1;
    while (tag_set_find(set, number))
        number++;
    return number;
}

static bool add_one(struct archive *archive, struct transaction *transaction,
                    const struct query_tag *asked, int64_t now_ms, struct error *err)
{
    struct tag_set *set = archive->tags;
    struct query_tag tag = *asked;
    char name[QUERY_TAG_NAME];
    if (!complete(&tag, now_ms, err))
        return false;
    query_tag_name(&tag, name);
    if (find(set, tag.path, tag.depth))
        return error_set(err, ERROR_CONFLICT, "%s is a query tag already", name);
    if (set->count == QUERY_TAG_MAX)
        return error_set(err, ERROR_LIMIT, "there are %d query tags at most", QUERY_TAG_MAX);
    tag.number = free_number(set);
    tag_set_put(archive, transaction, &tag);
    return true;
}

/* Durable in the index first; the copy follows at the next start if it does not now. */
static bool finish(struct archive *archive, struct transaction *transaction, bool ok,
                   struct error *err)
{
    struct error why = { 0 };
    ok = ok && transaction_commit(transaction, err);
    transaction_close(transaction);
    if (!ok) {
        tag_set_take_back(archive);
        return false;
    }
    if (!tag_set_save_copy(archive, &why))
        log_warn("query tags: no copy beside the index: %s", why.message);
    tag_set_wake(archive);
    return true;
}

bool query_tags_add(struct archive *archive, const struct query_tag *tags, size_t count,
                    struct error *err)
{
    struct transaction *transaction = NULL;
    int64_t now_ms = clock_unix_ms();
    bool ok = true;
    if (!transaction_open(archive->storage, &transaction, err))
        return false;
    for (size_t i = 0; ok && i < count; i++)
        ok = add_one(archive, transaction, &tags[i], now_ms, err);
    return finish(archive, transaction, ok, err);
}

bool query_tags_list(struct archive *archive, struct query_tag *tags, size_t *count,
                     struct error *err)
{
    return tag_set_read(archive->storage, tags, count, err);
}

static bool not_found(struct error *err)
{
    return error_set(err, ERROR_NOT_FOUND, "no such query tag");
}

bool query_tags_find(struct archive *archive, const uint32_t *path, size_t depth,
                     struct query_tag *tag, struct error *err)
{
    struct query_tag *tags = mem_alloc_array(QUERY_TAG_MAX, sizeof(*tags));
    size_t count;
    bool found = false;
    bool ok = tag_set_read(archive->storage, tags, &count, err);
    for (size_t i = 0; ok && i < count && !found; i++) {
        found = is_same(&tags[i], path, depth);
        if (found)
            *tag = tags[i];
    }
    free(tags);
    return ok && (found || not_found(err));
}

bool query_tags_enable(struct archive *archive, const uint32_t *path, size_t depth, bool enabled,
                       struct query_tag *tag, struct error *err)
{
    struct transaction *transaction = NULL;
    struct buffer position = buffer_up_to(KEY_SIZE);
    if (!transaction_open(archive->storage, &transaction, err))
        return false;
    const struct query_tag *own = find(archive->tags, path, depth);
    bool ok = own ? tag_set_position(archive, own, &position, err) : not_found(err);
    if (ok) {
        *tag = *own;
        tag->enabled = enabled;
        tag_set_put_at(archive, transaction, tag, buffer_slice(&position));
    }
    buffer_release(&position);
    return finish(archive, transaction, ok, err);
}

bool query_tags_remove(struct archive *archive, const uint32_t *path, size_t depth,
                       struct error *err)
{
    struct transaction *transaction = NULL;
    if (!transaction_open(archive->storage, &transaction, err))
        return false;
    const struct query_tag *own = find(archive->tags, path, depth);
    bool ok = own || not_found(err);
    if (ok) {
        struct query_tag tag = *own;
        tag.status = QUERY_TAG_DELETING;
        tag_set_put(archive, transaction, &tag);
    }
    return finish(archive, transaction, ok, err);
}

/* Errors. */

static bool open_errors(struct archive *archive, const struct query_tag *tag,
                        struct storage_cursor **cursor, struct key *prefix, struct error *err)
{
    tag_error_key(prefix, tag->number, NULL);
    return storage_cursor_open_prefix(archive->storage, TABLE_POSITION, key_slice(prefix), cursor,
                                      err);
}

static bool decode_error(struct slice place, struct slice value, struct query_tag_error *error)
{
    struct fields fields = { value, false };
    uint8_t version = fields_u8(&fields);
    error->at_ms = (int64_t)fields_u64(&fields);
    error->message = tag_fault_text(fields_u8(&fields));
    if (!key_split_place(place, &error->place))
        return false;
    fields_text(&fields, error->place.series, UID_SIZE);
    fields_text(&fields, error->place.instance, UID_SIZE);
    return !fields.broken && version == 1;
}

bool query_tags_errors(struct archive *archive, const struct query_tag *tag, size_t offset,
                       size_t limit, struct query_tag_error *errors, size_t *count,
                       struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice key, value;
    struct key prefix;
    bool found = true;
    *count = 0;
    bool ok = open_errors(archive, tag, &cursor, &prefix, err);
    for (size_t i = 0; ok && *count < limit && i < QUERY_TAG_ERRORS; i++) {
        ok = storage_cursor_next(cursor, &key, &value, &found, err);
        if (!ok || !found)
            break;
        memset(&errors[*count], 0, sizeof(*errors));
        if (i >= offset && decode_error(slice_skip(key, prefix.size), value, &errors[*count]))
            ++*count;
    }
    storage_cursor_close(cursor);
    return ok;
}

bool query_tags_count_errors(struct archive *archive, const struct query_tag *tag, uint64_t *count,
                             struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct key prefix;
    bool found = true;
    *count = 0;
    bool ok = open_errors(archive, tag, &cursor, &prefix, err);
    while (ok && *count < QUERY_TAG_ERRORS &&
           (ok = storage_cursor_next(cursor, NULL, NULL, &found, err)) && found)
        ++*count;
    storage_cursor_close(cursor);
    return ok;
}
