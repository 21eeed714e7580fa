/* SPDX-License-Identifier: MIT */
#include "archive/commitment_queue.h"

#include <stdio.h>
#include <string.h>

#include "archive/changes.h"
#include "base/bytes.h"

/* Keys are {calling AE title} \ {Transaction UID} for an entry, and that with \ and a number of
 * three digits for a part: no AE title has a backslash. An entry, all numbers little endian:
 * version 1, reported, parts u16, count u32, attempts u32, checksum u64, received u64, reported at
 * u64, called AE title. */
static const char *const followers[] = { "commitment", "commitment-web" };

enum {
    ENTRY_VERSION = 1,
    ENTRY_SIZE = 36 + COMMITMENT_TITLE_SIZE,
    PART_SIZE = 512 << 10,
    KEY_TEXT_SIZE = COMMITMENT_TITLE_SIZE + UID_SIZE + 8,
};

/* FNV-1a. */
uint64_t commitment_checksum(struct slice references)
{
    uint64_t sum = 0xCBF29CE484222325u;
    for (size_t i = 0; i < references.size; i++)
        sum = (sum ^ references.data[i]) * 0x100000001B3u;
    return sum;
}

static void entry_key(const struct commitment_entry *entry, char key[KEY_TEXT_SIZE])
{
    snprintf(key, KEY_TEXT_SIZE, "%s\\%s", entry->calling_ae, entry->transaction);
}

static void part_key(const struct commitment_entry *entry, unsigned part, char key[KEY_TEXT_SIZE])
{
    snprintf(key, KEY_TEXT_SIZE, "%s\\%s\\%03u", entry->calling_ae, entry->transaction,
             part % 1000);
}

static bool put_entry(struct archive *archive, const struct commitment_entry *entry,
                      struct error *err)
{
    char key[KEY_TEXT_SIZE];
    struct buffer value = buffer_up_to(ENTRY_SIZE);
    entry_key(entry, key);
    buffer_append_byte(&value, ENTRY_VERSION);
    buffer_append_byte(&value, entry->is_reported);
    buffer_append_u16le(&value, entry->parts);
    buffer_append_u32le(&value, entry->count);
    buffer_append_u32le(&value, entry->attempts);
    buffer_append_u64le(&value, entry->checksum);
    buffer_append_u64le(&value, (uint64_t)entry->received_ms);
    buffer_append_u64le(&value, (uint64_t)entry->changed_ms);
    buffer_append(&value, slice_of(entry->called_ae, COMMITMENT_TITLE_SIZE));
    bool ok = buffer_check(&value, "commitment", err) &&
              follower_put(archive, followers[entry->queue], key, buffer_slice(&value), err);
    buffer_release(&value);
    return ok;
}

static bool remove_parts(struct archive *archive, const struct commitment_entry *entry,
                         struct error *err)
{
    char key[KEY_TEXT_SIZE];
    for (unsigned i = 0; i < entry->parts; i++) {
        part_key(entry, i, key);
        if (!follower_put(archive, followers[entry->queue], key, slice_of(NULL, 0), err))
            return false;
    }
    return true;
}

bool commitment_queue_put(struct archive *archive, struct commitment_entry *entry,
                          struct slice references, struct error *err)
{
    char key[KEY_TEXT_SIZE];
    entry->checksum = commitment_checksum(references);
    for (entry->parts = 0; references.size; entry->parts++) {
        struct slice part = slice_take(references, PART_SIZE);
        references = slice_skip(references, part.size);
        part_key(entry, entry->parts, key);
        if (!follower_put(archive, followers[entry->queue], key, part, err))
            return false;
    }
    return put_entry(archive, entry, err);
}

bool commitment_queue_update(struct archive *archive, struct commitment_entry *entry,
                             struct error *err)
{
    struct commitment_entry before = *entry;
    if (!entry->is_reported)
        return put_entry(archive, entry, err);
    /* What a crash leaves of the parts is removed by commitment_queue_next. */
    entry->parts = 0;
    return put_entry(archive, entry, err) && remove_parts(archive, &before, err);
}

bool commitment_queue_references(struct archive *archive, const struct commitment_entry *entry,
                                 struct buffer *references, struct error *err)
{
    struct buffer part = buffer_up_to(PART_SIZE);
    bool ok = true;
    buffer_clear(references);
    for (unsigned i = 0; ok && i < entry->parts; i++) {
        char key[KEY_TEXT_SIZE];
        bool found = false;
        part_key(entry, i, key);
        ok = follower_get(archive, followers[entry->queue], key, &part, &found, err) &&
             (found || error_set(err, ERROR_CORRUPT, "a part of the references is missing"));
        if (ok)
            buffer_append(references, buffer_slice(&part));
    }
    buffer_release(&part);
    ok = ok && buffer_check(references, "references", err);
    if (ok && commitment_checksum(buffer_slice(references)) != entry->checksum)
        return error_set(err, ERROR_CORRUPT, "the references are not those that were taken");
    return ok;
}

bool commitment_queue_remove(struct archive *archive, const struct commitment_entry *entry,
                             struct error *err)
{
    char key[KEY_TEXT_SIZE];
    entry_key(entry, key);
    return remove_parts(archive, entry, err) &&
           follower_put(archive, followers[entry->queue], key, slice_of(NULL, 0), err);
}

static bool decode(enum commitment_queue queue, struct slice key, struct slice value,
                   struct commitment_entry *entry)
{
    const uint8_t *slash = memchr(key.data, '\\', key.size);
    memset(entry, 0, sizeof(*entry));
    entry->queue = queue;
    if (!slash || value.size != ENTRY_SIZE || value.data[0] != ENTRY_VERSION)
        return false;
    size_t title_size = (size_t)(slash - key.data);
    struct slice transaction = slice_skip(key, title_size + 1);
    if (!title_size || title_size >= COMMITMENT_TITLE_SIZE ||
        !uid_copy(transaction, entry->transaction))
        return false;
    memcpy(entry->calling_ae, key.data, title_size);
    entry->is_reported = value.data[1];
    entry->parts = get_u16le(value.data + 2);
    entry->count = get_u32le(value.data + 4);
    entry->attempts = get_u32le(value.data + 8);
    entry->checksum = get_u64le(value.data + 12);
    entry->received_ms = (int64_t)get_u64le(value.data + 20);
    entry->changed_ms = (int64_t)get_u64le(value.data + 28);
    memcpy(entry->called_ae, value.data + 36, COMMITMENT_TITLE_SIZE - 1);
    return true;
}

/* Is a part none of its entry's, or without one? */
static bool is_orphan(struct archive *archive, enum commitment_queue queue, struct slice key,
                      bool *orphan, struct error *err)
{
    enum { NUMBER_SIZE = 4 }; /* with its backslash */
    struct buffer entry = buffer_up_to(ENTRY_SIZE);
    struct buffer name = buffer_up_to(KEY_TEXT_SIZE);
    size_t name_size = key.size > NUMBER_SIZE ? key.size - NUMBER_SIZE : 0;
    unsigned part = 0;
    bool found = false;
    for (size_t i = name_size + 1; i < key.size; i++)
        part = 10 * part + (unsigned)(key.data[i] - '0');
    buffer_append(&name, slice_take(key, name_size));
    bool ok = follower_get(archive, followers[queue], buffer_text(&name), &entry, &found, err);
    *orphan = !found || entry.size != ENTRY_SIZE || part >= get_u16le(entry.data + 2);
    buffer_release(&entry);
    buffer_release(&name);
    return ok;
}

bool commitment_queue_next(struct archive *archive, enum commitment_queue queue,
                           struct buffer *after, struct commitment_entry *entry, bool *found,
                           struct error *err)
{
    struct buffer key = buffer_up_to(KEY_TEXT_SIZE);
    struct buffer value = buffer_up_to(PART_SIZE);
    bool ok = true;
    for (bool done = false; ok && !done;) {
        bool there = false;
        bool orphan = false;
        ok = follower_next_key(archive, followers[queue], buffer_text(after), &key, found, err);
        if (!ok || !*found)
            break;
        buffer_clear(after);
        buffer_append(after, buffer_slice(&key));
        const char *text = buffer_text(&key);
        const char *first = strchr(text, '\\');
        if (first && !strchr(first + 1, '\\')) {
            ok = follower_get(archive, followers[queue], text, &value, &there, err);
            done = ok && there && decode(queue, buffer_slice(&key), buffer_slice(&value), entry);
            continue;
        }
        ok = is_orphan(archive, queue, buffer_slice(&key), &orphan, err) &&
             (!orphan || follower_put(archive, followers[queue], text, slice_of(NULL, 0), err));
    }
    buffer_release(&key);
    buffer_release(&value);
    return ok;
}
