/* SPDX-License-Identifier: MIT */
#include "storage/transaction.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/fault.h"
#include "base/memory.h"
#include "storage/space.h"
#include "storage/store.h"

enum {
    CHUNK_SIZE = 64 << 10,
    SLOTS_FIRST = 64,
};

/* Memory that keys and values are copied to; it does not move. */
struct chunk {
    struct chunk *next;
    size_t used;
    size_t size;
    uint8_t bytes[];
};

struct transaction {
    struct storage *storage;
    bool has_turn;
    struct chunk *chunks;
    struct keyvalue_write *writes; /* in order; a key may come more than once */
    size_t count;
    size_t capacity;
    uint32_t *slots; /* open addressing: 1 + the last write of a key, 0 is free */
    size_t slot_count;
    uint64_t sequence; /* the last one given out */
    bool has_entries;
    uint8_t stream; /* of its entries */
    struct blob_id *deleted;
    size_t deleted_count;
    size_t deleted_capacity;
};

bool transaction_open(struct storage *storage, struct transaction **out, struct error *err)
{
    if (!storage_check(storage, err))
        return false;
    struct transaction *transaction = mem_alloc(sizeof(*transaction));
    transaction->storage = storage;
    pthread_mutex_lock(&storage->turn);
    transaction->has_turn = true;
    transaction->sequence = storage->last_sequence;
    *out = transaction;
    return true;
}

static struct slice keep(struct transaction *transaction, struct slice bytes)
{
    struct chunk *chunk = transaction->chunks;
    if (!chunk || chunk->size - chunk->used < bytes.size) {
        size_t size = bytes.size > CHUNK_SIZE ? bytes.size : CHUNK_SIZE;
        chunk = mem_resize(NULL, sizeof(*chunk) + size);
        chunk->next = transaction->chunks;
        chunk->used = 0;
        chunk->size = size;
        transaction->chunks = chunk;
    }
    uint8_t *copy = chunk->bytes + chunk->used;
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    chunk->used += bytes.size;
    return slice_of(copy, bytes.size);
}

static size_t hash(enum table table, struct slice key)
{
    uint64_t value = 0xCBF29CE484222325u ^ (uint64_t)table; /* FNV-1a */
    for (size_t i = 0; i < key.size; i++)
        value = (value ^ key.data[i]) * 0x100000001B3u;
    return (size_t)(value ^ value >> 32);
}

/* The slot of the key, or the free one where it belongs. */
static uint32_t *slot_of(const struct transaction *transaction, enum table table, struct slice key)
{
    size_t mask = transaction->slot_count - 1;
    for (size_t i = hash(table, key) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &transaction->slots[i];
        if (!*slot)
            return slot;
        const struct keyvalue_write *write = &transaction->writes[*slot - 1];
        if (write->table == table && slice_equal(write->key, key))
            return slot;
    }
}

static void grow_slots(struct transaction *transaction)
{
    if (transaction->slot_count > 2 * transaction->count)
        return;
    free(transaction->slots);
    transaction->slot_count = transaction->slot_count ? transaction->slot_count * 4 : SLOTS_FIRST;
    transaction->slots = mem_alloc_array(transaction->slot_count, sizeof(*transaction->slots));
    for (size_t i = 0; i < transaction->count; i++)
        *slot_of(transaction, transaction->writes[i].table,
                 transaction->writes[i].key) = (uint32_t)i + 1;
}

static void add(struct transaction *transaction, struct keyvalue_write write)
{
    if (transaction->count == transaction->capacity) {
        transaction->capacity = transaction->capacity ? transaction->capacity * 2 : 32;
        transaction->writes = mem_resize_array(transaction->writes, transaction->capacity,
                                               sizeof(*transaction->writes));
    }
    write.key = keep(transaction, write.key);
    write.value = keep(transaction, write.value);
    transaction->writes[transaction->count] = write;
    grow_slots(transaction);
    *slot_of(transaction, write.table, write.key) = (uint32_t)++transaction->count;
}

bool transaction_get(struct transaction *transaction, enum table table, struct slice key,
                     struct buffer *value, bool *found, struct error *err)
{
    uint32_t slot = transaction->count ? *slot_of(transaction, table, key) : 0;
    if (!slot)
        return storage_get(transaction->storage, table, key, value, found, err);
    const struct keyvalue_write *write = &transaction->writes[slot - 1];
    buffer_clear(value);
    *found = !write->remove;
    if (*found)
        buffer_append(value, write->value);
    return buffer_check(value, "value", err);
}

void transaction_put(struct transaction *transaction, enum table table, struct slice key,
                     struct slice value)
{
    add(transaction, (struct keyvalue_write){ .table = table, .key = key, .value = value });
}

void transaction_delete(struct transaction *transaction, enum table table, struct slice key)
{
    add(transaction, (struct keyvalue_write){ .table = table, .key = key, .remove = true });
}

uint64_t transaction_append_feed(struct transaction *transaction, struct slice entry)
{
    struct storage *storage = transaction->storage;
    uint8_t key[8];
    if (!transaction->has_entries) {
        transaction->has_entries = true;
        transaction->stream = entry.size ? entry.data[0] : 0;
        if (storage->last_stream != transaction->stream)
            feed_save_stream(transaction, storage, storage->last_stream);
    }
    put_u64be(key, ++transaction->sequence);
    transaction_put(transaction, TABLE_FEED, slice_of(key, sizeof(key)), entry);
    return transaction->sequence;
}

void transaction_skip_feed(struct transaction *transaction, uint64_t sequence)
{
    if (sequence > transaction->sequence)
        transaction->sequence = sequence;
}

void transaction_delete_blob(struct transaction *transaction, const struct blob_id *id)
{
    uint8_t key[RECLAIM_KEY_SIZE];
    if (transaction->deleted_count == transaction->deleted_capacity) {
        size_t capacity = transaction->deleted_capacity ? transaction->deleted_capacity * 2 : 16;
        transaction->deleted = mem_resize_array(transaction->deleted, capacity,
                                                sizeof(*transaction->deleted));
        transaction->deleted_capacity = capacity;
    }
    transaction->deleted[transaction->deleted_count++] = *id;
    reclaim_key(id, key);
    transaction_put(transaction, TABLE_SEGMENT, slice_of(key, sizeof(key)), slice_of(NULL, 0));
}

static void end_turn(struct transaction *transaction)
{
    if (transaction->has_turn)
        pthread_mutex_unlock(&transaction->storage->turn);
    transaction->has_turn = false;
}

/* In the turn. */
static bool write_all(struct transaction *transaction, uint64_t *ticket, struct error *err)
{
    struct storage *storage = transaction->storage;
    struct keyvalue *keyvalue = storage->keyvalue;
    if (!storage_check(storage, err))
        return false;
    if (!space_for_index(storage->folder_fd))
        return error_set(err, ERROR_NO_SPACE, "no space is left for the index");
    if (transaction->sequence > storage->last_sequence)
        feed_save_sequence(transaction, transaction->sequence);
    segments_collect(storage->segments, transaction);
    struct error why = { 0 };
    bool ok = keyvalue->operations->write(keyvalue, transaction->writes, transaction->count, &why);
    segments_collected(storage->segments, ok);
    if (!ok) {
        /* Of any other failure nobody knows how much of the batch the log holds. */
        if (why.code != ERROR_NO_SPACE)
            atomic_store(&storage->failed, true);
        return error_set(err, why.code, "%s", why.message);
    }
    storage->last_sequence = transaction->sequence;
    if (transaction->has_entries) {
        storage->last_stream = transaction->stream;
        feed_written(storage, transaction->stream, transaction->sequence);
    }
    for (size_t i = 0; i < transaction->deleted_count; i++)
        reclaim_mark(storage->reclaim, &transaction->deleted[i]);
    *ticket = group_sync_written(&storage->commits, storage->last_sequence);
    return true;
}

bool transaction_commit_unsynced(struct transaction *transaction, struct error *err)
{
    uint64_t ticket = 0;
    bool ok = write_all(transaction, &ticket, err);
    end_turn(transaction);
    return ok;
}

bool transaction_commit(struct transaction *transaction, struct error *err)
{
    struct storage *storage = transaction->storage;
    uint64_t ticket = 0;
    if (!transaction->has_turn)
        return error_set(err, ERROR_INVALID, "the transaction has ended");
    bool ok = !transaction->count || write_all(transaction, &ticket, err);
    end_turn(transaction);
    if (!ok || !transaction->count)
        return ok;
    FAULT_POINT("after-index-write");
    if (!group_sync_wait(&storage->commits, ticket, err))
        return false;
    FAULT_POINT("after-commit");
    for (size_t i = 0; i < transaction->deleted_count; i++)
        reclaim_schedule(storage->reclaim, &transaction->deleted[i]);
    return true;
}

void transaction_close(struct transaction *transaction)
{
    if (!transaction)
        return;
    end_turn(transaction);
    while (transaction->chunks) {
        struct chunk *next = transaction->chunks->next;
        free(transaction->chunks);
        transaction->chunks = next;
    }
    free(transaction->writes);
    free(transaction->slots);
    free(transaction->deleted);
    free(transaction);
}
