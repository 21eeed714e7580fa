/* SPDX-License-Identifier: MIT */
#include "archive/tag_set.h"

#include <stdlib.h>

#include "base/fields.h"
#include "base/memory.h"
#include "storage/note.h"

/* In TABLE_POSITION beside followers' states: {0x01, name, NUL, 16-bit number}. */
enum { STATE_KIND = 1, TAG_VERSION = 1, TAG_SIZE = 4096 };
#define TAG_STATE   "query-tag"
#define ERROR_STATE "query-tag-error"
#define COPY_NAME   "QUERY-TAGS"

struct tag_set *tag_set_new(void)
{
    struct tag_set *set = mem_alloc(sizeof(*set));
    pthread_condattr_t attributes;
    pthread_mutex_init(&set->lock, NULL);
    pthread_mutex_init(&set->copy_lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&set->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return set;
}

void tag_set_free(struct tag_set *set)
{
    if (!set)
        return;
    pthread_cond_destroy(&set->changed);
    pthread_mutex_destroy(&set->lock);
    pthread_mutex_destroy(&set->copy_lock);
    free(set);
}

void tag_set_wake(struct archive *archive)
{
    struct tag_set *set = archive->tags;
    pthread_mutex_lock(&set->lock);
    set->changes++;
    pthread_cond_broadcast(&set->changed);
    pthread_mutex_unlock(&set->lock);
}

struct query_tag *tag_set_find(struct tag_set *set, uint16_t number)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->tags[i].number == number)
            return &set->tags[i];
    return NULL;
}

static void state_prefix(struct key *key, const char *name)
{
    key_start(key, STATE_KIND);
    key_add(key, slice_text(name));
    key_add_byte(key, 0);
}

static void state_key(struct key *key, const char *name, uint16_t number)
{
    state_prefix(key, name);
    key_add_byte(key, (uint8_t)(number >> 8));
    key_add_byte(key, (uint8_t)number);
}

void tag_error_key(struct key *key, uint16_t number, const struct identity *place)
{
    struct key of_place;
    state_key(key, ERROR_STATE, number);
    if (!place)
        return;
    key_place(&of_place, 0, place->study, place->series, place->instance);
    key_add(key, slice_skip(key_slice(&of_place), 1));
}

static void encode(const struct query_tag *tag, struct slice position, struct buffer *out)
{
    buffer_append_byte(out, TAG_VERSION);
    buffer_append_u16le(out, tag->number);
    buffer_append_u16le(out, tag->vr);
    buffer_append_byte(out, (uint8_t)tag->level);
    buffer_append_byte(out, (uint8_t)tag->indexed);
    buffer_append_byte(out, (uint8_t)tag->status);
    buffer_append_byte(out, tag->enabled);
    buffer_append_u64le(out, (uint64_t)tag->added_ms);
    buffer_append_u64le(out, tag->done);
    buffer_append_u64le(out, tag->of);
    fields_put_text(out, tag->creator);
    buffer_append_byte(out, (uint8_t)tag->depth);
    for (size_t i = 0; i < tag->depth; i++)
        buffer_append_u32le(out, tag->path[i]);
    fields_put_bytes(out, position);
}

static bool decode(struct slice bytes, struct query_tag *tag, struct slice *position,
                   struct error *err)
{
    struct fields fields = { bytes, false };
    memset(tag, 0, sizeof(*tag));
    if (fields_u8(&fields) != TAG_VERSION)
        fields.broken = true;
    tag->number = fields_u16(&fields);
    tag->vr = fields_u16(&fields);
    tag->level = fields_u8(&fields);
    tag->indexed = fields_u8(&fields);
    tag->status = fields_u8(&fields);
    tag->enabled = fields_u8(&fields);
    tag->added_ms = (int64_t)fields_u64(&fields);
    tag->done = fields_u64(&fields);
    tag->of = fields_u64(&fields);
    fields_text(&fields, tag->creator, sizeof(tag->creator));
    tag->depth = fields_u8(&fields);
    if (!tag->depth || tag->depth > QUERY_MAX_DEPTH || tag->status > QUERY_TAG_DELETING ||
        tag->level > LEVEL_INSTANCE || tag->indexed > LEVEL_INSTANCE)
        fields.broken = true;
    for (size_t i = 0; !fields.broken && i < tag->depth; i++)
        tag->path[i] = fields_u32(&fields);
    *position = fields_bytes(&fields);
    return !fields.broken || error_set(err, ERROR_CORRUPT, "an extended query tag cannot be read");
}

static int by_time(const void *a, const void *b)
{
    const struct query_tag *first = a, *second = b;
    if (first->added_ms != second->added_ms)
        return first->added_ms < second->added_ms ? -1 : 1;
    return first->number < second->number ? -1 : first->number > second->number;
}

bool tag_set_read(struct storage *storage, struct query_tag *tags, size_t *count, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct key prefix;
    struct slice value, position;
    bool found = true;
    *count = 0;
    state_prefix(&prefix, TAG_STATE);
    bool ok = storage_cursor_open_prefix(storage, TABLE_POSITION, key_slice(&prefix), &cursor, err);
    while (ok && *count < QUERY_TAG_MAX &&
           (ok = storage_cursor_next(cursor, NULL, &value, &found, err)) && found) {
        ok = decode(value, &tags[*count], &position, err);
        *count += ok;
    }
    storage_cursor_close(cursor);
    if (ok && *count)
        qsort(tags, *count, sizeof(*tags), by_time);
    return ok;
}

bool tag_set_load(struct archive *archive, struct error *err)
{
    struct tag_set *set = archive->tags;
    uint64_t errors;
    bool ok = tag_set_read(archive->storage, set->tags, &set->count, err);
    for (size_t i = 0; ok && i < set->count; i++) {
        ok = query_tags_count_errors(archive, &set->tags[i], &errors, err);
        set->tags[i].errors = ok ? (uint32_t)errors : 0;
    }
    return ok;
}

void tag_set_take_back(struct archive *archive)
{
    struct transaction *transaction = NULL;
    if (!transaction_open(archive->storage, &transaction, NULL))
        return;
    tag_set_load(archive, NULL);
    transaction_close(transaction);
}

bool tag_set_position(struct archive *archive, const struct query_tag *tag, struct buffer *position,
                      struct error *err)
{
    struct buffer bytes = buffer_up_to(TAG_SIZE);
    struct query_tag decoded;
    struct slice at = slice_of(NULL, 0);
    struct key key;
    bool found;
    state_key(&key, TAG_STATE, tag->number);
    bool ok = storage_get(archive->storage, TABLE_POSITION, key_slice(&key), &bytes, &found, err) &&
              (!found || decode(buffer_slice(&bytes), &decoded, &at, err));
    buffer_clear(position);
    if (ok)
        buffer_append(position, at);
    buffer_release(&bytes);
    return ok;
}

void tag_set_put_at(struct archive *archive, struct transaction *transaction,
                    const struct query_tag *tag, struct slice position)
{
    struct tag_set *set = archive->tags;
    struct query_tag copy = *tag;
    struct query_tag *own = tag_set_find(set, tag->number);
    struct buffer bytes = buffer_up_to(TAG_SIZE);
    struct key key;
    state_key(&key, TAG_STATE, tag->number);
    encode(&copy, position, &bytes);
    transaction_put(transaction, TABLE_POSITION, key_slice(&key), buffer_slice(&bytes));
    buffer_release(&bytes);
    if (!own)
        own = &set->tags[set->count++];
    *own = copy;
}

void tag_set_put(struct archive *archive, struct transaction *transaction,
                 const struct query_tag *tag)
{
    tag_set_put_at(archive, transaction, tag, slice_of(NULL, 0));
}

void tag_set_drop(struct archive *archive, struct transaction *transaction, uint16_t number)
{
    struct tag_set *set = archive->tags;
    struct query_tag *own = tag_set_find(set, number);
    struct key key;
    state_key(&key, TAG_STATE, number);
    transaction_delete(transaction, TABLE_POSITION, key_slice(&key));
    if (own) {
        size_t behind = (size_t)(set->tags + set->count - own) - 1;
        memmove(own, own + 1, behind * sizeof(*own));
        set->count--;
    }
}

/* The copy: {32-bit size, definition} each. */

enum { COPY_SIZE = QUERY_TAG_MAX * TAG_SIZE };

static bool save_copy(struct archive *archive, struct error *err)
{
    struct query_tag *tags = mem_alloc_array(QUERY_TAG_MAX, sizeof(*tags));
    struct buffer copy = buffer_up_to(COPY_SIZE);
    struct buffer there = buffer_up_to(COPY_SIZE);
    size_t count;
    bool found;
    bool ok = tag_set_read(archive->storage, tags, &count, err) &&
              storage_note_get(archive->storage, COPY_NAME, &there, &found, err);
    for (size_t i = 0; ok && i < count; i++) {
        struct buffer one = buffer_up_to(TAG_SIZE);
        struct query_tag tag = tags[i];
        tag.done = tag.of = 0; /* of this index, not of the tag */
        if (tag.status == QUERY_TAG_READY)
            tag.status = QUERY_TAG_ADDING;
        if (tag.status == QUERY_TAG_ADDING) {
            encode(&tag, slice_of(NULL, 0), &one);
            fields_put_bytes(&copy, buffer_slice(&one));
        }
        buffer_release(&one);
    }
    if (ok && (found || copy.size) && !slice_equal(buffer_slice(&copy), buffer_slice(&there)))
        ok = storage_note_put(archive->storage, COPY_NAME, buffer_slice(&copy), err);
    buffer_release(&copy);
    buffer_release(&there);
    free(tags);
    return ok;
}

/* The lock is held over I/O so that no older copy takes the place of a newer one. */
bool tag_set_save_copy(struct archive *archive, struct error *err)
{
    pthread_mutex_lock(&archive->tags->copy_lock);
    bool ok = save_copy(archive, err);
    pthread_mutex_unlock(&archive->tags->copy_lock);
    return ok;
}

bool tag_set_adopt_copy(struct archive *archive, struct error *err)
{
    struct buffer copy = buffer_up_to(COPY_SIZE);
    struct transaction *transaction = NULL;
    struct slice position;
    struct query_tag tag;
    bool found;
    bool ok = storage_note_get(archive->storage, COPY_NAME, &copy, &found, err);
    if (!ok || !found || !copy.size)
        goto out;
    ok = transaction_open(archive->storage, &transaction, err);
    struct fields fields = { buffer_slice(&copy), false };
    while (ok && fields.rest.size && archive->tags->count < QUERY_TAG_MAX) {
        struct slice one = fields_bytes(&fields);
        ok = !fields.broken ||
             error_set(err, ERROR_CORRUPT, "the copy of extended query tags cannot be read");
        ok = ok && decode(one, &tag, &position, err);
        tag.status = QUERY_TAG_READY;
        if (ok)
            tag_set_put(archive, transaction, &tag);
    }
    ok = ok && transaction_commit_unsynced(transaction, err);
    transaction_close(transaction);
out:
    buffer_release(&copy);
    return ok;
}
