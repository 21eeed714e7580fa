/* SPDX-License-Identifier: MIT */
#include "archive/tag_terms.h"

#include <stdlib.h>

#include "archive/document.h"
#include "archive/tag_values.h"
#include "base/bytes.h"
#include "base/fields.h"
#include "base/memory.h"

enum { TERMS_VERSION = 1, NUMBER_SIZE = 2, ENTRY_HEAD = 3 };

/* Keys. */

void tag_key(struct key *key, uint16_t number)
{
    key_start(key, TERM_TAG);
    key_add_byte(key, (uint8_t)(number >> 8));
    key_add_byte(key, (uint8_t)number);
}

void tag_prefix_key(struct key *key, uint16_t number, struct slice prefix)
{
    tag_key(key, number);
    key_add(key, slice_take(prefix, KEY_VALUE_SIZE));
}

void tag_value_key(struct key *key, uint16_t number, struct slice value)
{
    tag_prefix_key(key, number, value);
    if (value.size <= KEY_VALUE_SIZE)
        key_add_byte(key, 0);
}

static void term_key(struct key *key, uint16_t number, struct slice value, const uint8_t *stamp,
                     struct slice place)
{
    tag_prefix_key(key, number, value);
    key_add_byte(key, 0);
    key_add(key, slice_of(stamp, STAMP_SIZE));
    key_add(key, place);
}

/* A folded value may hold a NUL, a stamp never does, and a place holds as many as its level says.
 */
bool tag_split(struct slice term, struct slice level, struct slice *stamp, struct identity *place)
{
    size_t start = term.size;
    if (level.size != 1 || level.data[0] < LEVEL_STUDY || level.data[0] > LEVEL_INSTANCE ||
        term.size < 1 + NUMBER_SIZE)
        return false;
    for (int nuls = level.data[0] - LEVEL_STUDY + 1; nuls; nuls--) {
        if (start == 0)
            return false;
        start--;
        while (start > NUMBER_SIZE && term.data[start] != 0)
            start--;
    }
    if (start <= NUMBER_SIZE || start + 1 + STAMP_SIZE >= term.size)
        return false;
    *stamp = slice_of(term.data + start + 1, STAMP_SIZE);
    return key_split_place(slice_skip(term, start + 1 + STAMP_SIZE), place);
}

bool tag_table_level(uint32_t tag, enum level *level)
{
    if (!attribute_level(tag, level))
        return false;
    if (*level == LEVEL_PATIENT)
        *level = LEVEL_STUDY;
    return true;
}

/* Searches for studies see an attribute of series in the header that stands for the study. */
static bool is_of_level(const struct query_tag *tag, enum level level)
{
    return tag->indexed == level || (tag->indexed == LEVEL_SERIES && level == LEVEL_STUDY);
}

bool tag_serves(const struct query_tag *tag, enum level level, const uint32_t *path, size_t depth)
{
    enum level own;
    if (tag->status != QUERY_TAG_READY || !tag->enabled || tag->depth != depth ||
        memcmp(tag->path, path, depth * sizeof(*path)) != 0 || level < LEVEL_STUDY)
        return false;
    /* Every header that can stand for a level is that of an instance. */
    if (tag->indexed == LEVEL_INSTANCE)
        return true;
    return tag_table_level(path[0], &own) || is_of_level(tag, level);
}

/* Terms of a place: {16-bit number, 8-bit size, value} each. */

struct place_terms {
    bool found;
    uint8_t stamp[STAMP_SIZE];
    struct slice entries;
    struct buffer bytes;
};

static struct slice place_of(struct slice record_key)
{
    return slice_skip(record_key, 1);
}

static bool load(struct transaction *transaction, struct slice record_key,
                 struct place_terms *terms, struct error *err)
{
    terms->bytes = buffer_up_to(TAG_TERMS_SIZE);
    terms->entries = slice_of(NULL, 0);
    if (!transaction_get(transaction, TABLE_RECORD, record_key, &terms->bytes, &terms->found, err))
        return false;
    if (!terms->found)
        return true;
    struct fields fields = { buffer_slice(&terms->bytes), false };
    uint8_t version = fields_u8(&fields);
    struct slice stamp = fields_take(&fields, STAMP_SIZE);
    if (fields.broken || version != TERMS_VERSION)
        return error_set(err, ERROR_CORRUPT, "terms of a place cannot be read");
    memcpy(terms->stamp, stamp.data, STAMP_SIZE);
    terms->entries = fields.rest;
    return true;
}

static bool next_entry(struct slice *rest, struct slice *entry)
{
    if (rest->size < ENTRY_HEAD || rest->size < (size_t)ENTRY_HEAD + rest->data[2])
        return false;
    *entry = slice_take(*rest, (size_t)ENTRY_HEAD + rest->data[2]);
    *rest = slice_skip(*rest, entry->size);
    return true;
}

static bool holds(struct slice entries, struct slice entry)
{
    struct slice other;
    while (next_entry(&entries, &other))
        if (slice_equal(other, entry))
            return true;
    return false;
}

static void entry_key(struct key *key, struct slice entry, const uint8_t *stamp, struct slice place)
{
    term_key(key, get_u16le(entry.data), slice_skip(entry, ENTRY_HEAD), stamp, place);
}

/* The terms that `entries` stand for; where `others` is a list, but those in it. */
static void delete_terms(struct transaction *transaction, struct slice entries,
                         const uint8_t *stamp, struct slice place, struct slice others)
{
    struct slice entry;
    struct key key;
    while (next_entry(&entries, &entry)) {
        if (holds(others, entry))
            continue;
        entry_key(&key, entry, stamp, place);
        transaction_delete(transaction, TABLE_TERM, key_slice(&key));
    }
}

static void put_terms(struct transaction *transaction, struct slice entries, const uint8_t *stamp,
                      struct slice place, struct slice others)
{
    struct slice entry;
    struct key key;
    uint8_t level = LEVEL_STUDY;
    for (size_t i = 0; i < place.size; i++)
        level = (uint8_t)(level + (place.data[i] == 0));
    while (next_entry(&entries, &entry)) {
        if (holds(others, entry))
            continue;
        entry_key(&key, entry, stamp, place);
        transaction_put(transaction, TABLE_TERM, key_slice(&key), slice_of(&level, 1));
    }
}

static void put_record(struct transaction *transaction, struct slice record_key,
                       const uint8_t *stamp, struct slice entries)
{
    struct buffer bytes = buffer_up_to(TAG_TERMS_SIZE);
    buffer_append_byte(&bytes, TERMS_VERSION);
    buffer_append(&bytes, slice_of(stamp, STAMP_SIZE));
    buffer_append(&bytes, entries);
    if (entries.size)
        transaction_put(transaction, TABLE_RECORD, record_key, buffer_slice(&bytes));
    else
        transaction_delete(transaction, TABLE_RECORD, record_key);
    buffer_release(&bytes);
}

/* Makes the terms of a place `entries` under a stamp. */
static bool replace(struct transaction *transaction, struct slice record_key, const uint8_t *stamp,
                    struct slice entries, struct error *err)
{
    const struct slice none = slice_of(NULL, 0);
    struct place_terms old;
    bool ok = load(transaction, record_key, &old, err);
    bool same_stamp = ok && old.found && memcmp(old.stamp, stamp, STAMP_SIZE) == 0;
    if (ok && !(same_stamp && slice_equal(old.entries, entries)) && (old.found || entries.size)) {
        struct slice place = place_of(record_key);
        delete_terms(transaction, old.entries, old.stamp, place, same_stamp ? entries : none);
        put_terms(transaction, entries, stamp, place, same_stamp ? old.entries : none);
        put_record(transaction, record_key, stamp, entries);
    }
    buffer_release(&old.bytes);
    return ok;
}

static void record_key_of(struct key *key, const struct identity *place)
{
    key_place(key, RECORD_TAG_TERMS, place->study, place->series, place->instance);
}

bool tag_terms_remove(struct archive *archive, struct transaction *transaction,
                      const struct identity *place, struct error *err)
{
    static const uint8_t stamp[STAMP_SIZE];
    struct tag_set *set = archive->tags;
    struct key key;
    if (!set->count)
        return true;
    for (size_t i = 0; i < set->count; i++) {
        if (!set->tags[i].errors)
            continue;
        tag_error_key(&key, set->tags[i].number, place);
        transaction_delete(transaction, TABLE_POSITION, key_slice(&key));
    }
    record_key_of(&key, place);
    return replace(transaction, key_slice(&key), stamp, slice_of(NULL, 0), err);
}

bool tag_terms_restamp(struct transaction *transaction, struct slice record_key,
                       const uint8_t *stamp, struct error *err)
{
    struct place_terms old;
    bool ok = load(transaction, record_key, &old, err) &&
              (!old.found || replace(transaction, record_key, stamp, old.entries, err));
    buffer_release(&old.bytes);
    return ok;
}

bool tag_terms_restamp_study(struct archive *archive, struct transaction *transaction,
                             const char *study, const uint8_t *stamp, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct key lower, upper;
    struct slice key;
    bool found = true;
    key_place(&lower, RECORD_TAG_TERMS, study, NULL, NULL);
    upper = lower;
    key_add_byte(&upper, 1); /* the study, and all that begins with it and a NUL */
    bool ok = storage_cursor_open(archive->storage, TABLE_RECORD, key_slice(&lower),
                                  key_slice(&upper), &cursor, err);
    while (ok && (ok = storage_cursor_next(cursor, &key, NULL, &found, err)) && found)
        ok = tag_terms_restamp(transaction, key, stamp, err);
    storage_cursor_close(cursor);
    return ok;
}

bool tag_terms_forget(struct transaction *transaction, struct slice term, struct error *err)
{
    struct buffer value = buffer_up_to(16);
    struct buffer entries = buffer_up_to(TAG_TERMS_SIZE);
    struct place_terms old = { .bytes = buffer_up_to(0) };
    struct identity place;
    struct slice stamp, entry;
    struct key key;
    bool found;
    bool ok = transaction_get(transaction, TABLE_TERM, term, &value, &found, err);
    if (!ok || !found)
        goto out;
    transaction_delete(transaction, TABLE_TERM, term);
    if (!tag_split(term, buffer_slice(&value), &stamp, &place))
        goto out;
    record_key_of(&key, &place);
    ok = load(transaction, key_slice(&key), &old, err);
    struct slice rest = old.entries;
    while (ok && next_entry(&rest, &entry))
        if (get_u16le(entry.data) != get_u16be(term.data + 1))
            buffer_append(&entries, entry);
    if (ok && old.found)
        put_record(transaction, key_slice(&key), old.stamp, buffer_slice(&entries));
out:
    buffer_release(&old.bytes);
    buffer_release(&entries);
    buffer_release(&value);
    return ok;
}

/* Values. */

static void keep_old(const struct query_tag *tag, struct slice old, struct buffer *entries)
{
    struct slice entry;
    while (next_entry(&old, &entry))
        if (get_u16le(entry.data) == tag->number)
            buffer_append(entries, entry);
}

static void note_error(struct transaction *transaction, struct query_tag *tag,
                       const struct identity *place, const struct tag_source *source,
                       enum tag_fault fault)
{
    struct buffer value = buffer_up_to(512);
    struct key key;
    if (fault ? tag->errors >= QUERY_TAG_ERRORS : !tag->errors)
        return;
    tag_error_key(&key, tag->number, place);
    if (!fault) {
        transaction_delete(transaction, TABLE_POSITION, key_slice(&key));
        return;
    }
    tag->errors++;
    buffer_append_byte(&value, TERMS_VERSION);
    buffer_append_u64le(&value, (uint64_t)source->now_ms);
    buffer_append_byte(&value, (uint8_t)fault);
    fields_put_text(&value, source->instance->series);
    fields_put_text(&value, source->instance->instance);
    transaction_put(transaction, TABLE_POSITION, key_slice(&key), buffer_slice(&value));
    buffer_release(&value);
}

/* Where a tag's values are: NULL when they are what they were. */
static const struct dataset *dataset_of(const struct query_tag *tag, enum level level,
                                        const struct tag_source *source,
                                        const struct dataset *summary, const struct dataset *header)
{
    struct element element;
    enum level own;
    if (!source->summary || !tag_table_level(tag->path[0], &own) || own != level)
        return header;
    if (source->summary->partial && !dataset_find(summary, tag->path[0], &element))
        return header;
    return summary;
}

static void gather(struct transaction *transaction, struct query_tag *tag,
                   const struct identity *place, const struct tag_source *source,
                   const struct dataset *dataset, struct buffer *entries)
{
    struct tag_values values = { .number = tag->number, .entries = entries };
    tag_values_gather(&values, tag, dataset);
    note_error(transaction, tag, place, source, values.fault);
}

static bool opens(const struct summary *summary, struct dataset **dataset, struct error *err)
{
    *dataset = NULL;
    return !summary || dataset_open(buffer_slice(&summary->bytes),
                                    transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)),
                                    NULL, 0, dataset, err);
}

bool tag_terms_update(struct archive *archive, struct transaction *transaction, enum level level,
                      const struct identity *place, const uint8_t *stamp,
                      const struct tag_source *source, struct error *err)
{
    struct tag_set *set = archive->tags;
    struct buffer entries = buffer_up_to(TAG_TERMS_SIZE);
    struct document document = document_init();
    struct place_terms old = { .bytes = buffer_up_to(0) };
    struct dataset *summary = NULL;
    const struct dataset *header = source->header;
    struct key key;
    bool found, ok = true;
    if (!set->count)
        return true;
    /* What a partial summary does not have is looked up where it was read from. */
    if (source->summary && source->summary->partial && !header) {
        ok = document_load(archive, source->instance, &document, &found, err);
        header = document.dataset;
    }
    record_key_of(&key, place);
    ok = ok && load(transaction, key_slice(&key), &old, err) &&
         opens(source->summary, &summary, err);
    for (size_t i = 0; ok && i < set->count; i++) {
        struct query_tag *tag = &set->tags[i];
        if (!is_of_level(tag, level) || tag->status == QUERY_TAG_DELETING)
            continue;
        const struct dataset *from = dataset_of(tag, level, source, summary, header);
        if (from)
            gather(transaction, tag, place, source, from, &entries);
        else
            keep_old(tag, old.entries, &entries);
    }
    ok = ok && buffer_check(&entries, "terms of a place", err) &&
         replace(transaction, key_slice(&key), stamp, buffer_slice(&entries), err);
    dataset_close(summary);
    document_release(&document);
    buffer_release(&old.bytes);
    buffer_release(&entries);
    return ok;
}
