/* SPDX-License-Identifier: MIT */
#include "archive/listing.h"

#include <stdlib.h>

#include "archive/records.h"
#include "base/memory.h"

enum { SORTED_SIZE = 64 << 20 }; /* bytes of records that are sorted in memory */

struct member {
    int64_t number;
    uint64_t created;
    size_t offset; /* in bytes: the key, then the value */
    uint32_t key_size;
    uint32_t value_size;
};

struct listing {
    struct buffer bytes;
    struct buffer members; /* struct member each */
    size_t position;
    struct storage_cursor *cursor; /* when it is not sorted */
    struct listing_entry entry;
};

static bool add_member(struct listing *listing, struct slice key, struct slice value)
{
    struct member member = { .offset = listing->bytes.size,
                             .key_size = (uint32_t)key.size,
                             .value_size = (uint32_t)value.size };
    if (!record_order(value, &member.number, &member.created))
        member.number = INT64_MAX;
    return buffer_append(&listing->bytes, key) && buffer_append(&listing->bytes, value) &&
           buffer_append(&listing->members, slice_of(&member, sizeof(member)));
}

static int compare_numbers(const void *a, const void *b)
{
    const struct member *first = a, *second = b;
    if (first->number != second->number)
        return first->number < second->number ? -1 : 1;
    return first->offset < second->offset ? -1 : first->offset > second->offset;
}

static bool load(struct listing *listing, struct storage_cursor *cursor, bool *fits,
                 struct error *err)
{
    struct slice key, value;
    bool found = true;
    bool ok = true;
    *fits = true;
    while (ok && *fits && (ok = storage_cursor_next(cursor, &key, &value, &found, err)) && found)
        *fits = add_member(listing, key, value);
    if (ok && *fits && listing->members.size)
        qsort(listing->members.data, listing->members.size / sizeof(struct member),
              sizeof(struct member), compare_numbers);
    return ok;
}

bool listing_open(struct archive *archive, char kind, const char *study, const char *series,
                  struct listing **out, struct error *err)
{
    struct listing *listing = mem_alloc(sizeof(*listing));
    struct storage_cursor *cursor = NULL;
    struct key prefix;
    bool fits = false;
    listing->bytes = buffer_up_to(SORTED_SIZE);
    listing->members = buffer_up_to(SORTED_SIZE);
    key_children(&prefix, kind, study, series);
    bool ok = storage_cursor_open_prefix(archive->storage, TABLE_RECORD, key_slice(&prefix),
                                         &cursor, err) &&
              load(listing, cursor, &fits, err);
    storage_cursor_close(cursor);
    if (ok && !fits) {
        buffer_release(&listing->bytes);
        buffer_release(&listing->members);
        ok = storage_cursor_open_prefix(archive->storage, TABLE_RECORD, key_slice(&prefix),
                                        &listing->cursor, err);
    }
    if (!ok) {
        listing_close(listing);
        return false;
    }
    *out = listing;
    return true;
}

bool listing_open_one(struct archive *archive, const struct identity *place, struct listing **out,
                      struct error *err)
{
    struct key lower, upper;
    struct listing *listing = mem_alloc(sizeof(*listing));
    key_place(&lower, place->instance[0] ? RECORD_INSTANCE : RECORD_SERIES, place->study,
              place->series, place->instance);
    upper = lower;
    key_add_byte(&upper, 0);
    if (!storage_cursor_open(archive->storage, TABLE_RECORD, key_slice(&lower), key_slice(&upper),
                             &listing->cursor, err)) {
        free(listing);
        return false;
    }
    *out = listing;
    return true;
}

void listing_close(struct listing *listing)
{
    if (!listing)
        return;
    storage_cursor_close(listing->cursor);
    buffer_release(&listing->bytes);
    buffer_release(&listing->members);
    free(listing);
}

static bool next_of_cursor(struct listing *listing, const struct listing_entry **entry,
                           struct error *err)
{
    bool found;
    if (!storage_cursor_next(listing->cursor, &listing->entry.key, &listing->entry.value, &found,
                             err))
        return false;
    if (found &&
        !record_order(listing->entry.value, &listing->entry.number, &listing->entry.created))
        listing->entry.number = INT64_MAX;
    *entry = found ? &listing->entry : NULL;
    return true;
}

bool listing_next(struct listing *listing, const struct listing_entry **entry, struct error *err)
{
    if (listing->cursor)
        return next_of_cursor(listing, entry, err);
    *entry = NULL;
    if (listing->position == listing->members.size)
        return true;
    struct member member;
    memcpy(&member, listing->members.data + listing->position, sizeof(member));
    listing->position += sizeof(member);
    const uint8_t *bytes = listing->bytes.data + member.offset;
    listing->entry = (struct listing_entry){
        .number = member.number,
        .created = member.created,
        .key = slice_of(bytes, member.key_size),
        .value = slice_of(bytes + member.key_size, member.value_size),
    };
    *entry = &listing->entry;
    return true;
}

bool listing_place(const struct listing_entry *entry, struct identity *identity, struct error *err)
{
    memset(identity, 0, sizeof(*identity));
    return key_split_place(slice_skip(entry->key, 1), identity) ||
           error_set(err, ERROR_CORRUPT, "a key of the index cannot be read");
}
