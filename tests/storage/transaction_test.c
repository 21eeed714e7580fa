/* SPDX-License-Identifier: MIT */
#include "storage/transaction.h"

#include <unistd.h>

#include "base/clock.h"
#include "tests/storage/support.h"

static bool sees(struct transaction *transaction, const char *key, const char *expected)
{
    struct error err = { 0 };
    struct buffer value = buffer_up_to(64);
    bool found = false;
    CHECK_OK(transaction_get(transaction, TABLE_RECORD, slice_text(key), &value, &found, &err),
             err);
    bool same = expected ? found && slice_equals_text(buffer_slice(&value), expected) : !found;
    buffer_release(&value);
    return same;
}

TEST(transaction_sees_its_own_puts_and_deletes_and_nobody_else_does)
{
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        struct error err = { 0 };
        struct storage *storage = open_store(test_folder(), in_memory);
        struct transaction *transaction = NULL;
        put_one(storage, TABLE_RECORD, "a", "1");
        put_one(storage, TABLE_RECORD, "b", "2");
        CHECK_OK(transaction_open(storage, &transaction, &err), err);
        CHECK(sees(transaction, "a", "1"));
        put_text(transaction, TABLE_RECORD, "a", "changed");
        put_text(transaction, TABLE_TERM, "b", "in another table");
        transaction_delete(transaction, TABLE_RECORD, slice_text("b"));
        CHECK(sees(transaction, "a", "changed"));
        CHECK(sees(transaction, "b", NULL));
        put_text(transaction, TABLE_RECORD, "b", "again");
        CHECK(sees(transaction, "b", "again"));
        CHECK(value_is(storage, TABLE_RECORD, "a", "1"));
        CHECK(value_is(storage, TABLE_RECORD, "b", "2"));
        CHECK_OK(transaction_commit(transaction, &err), err);
        transaction_close(transaction);
        CHECK(value_is(storage, TABLE_RECORD, "a", "changed"));
        CHECK(value_is(storage, TABLE_RECORD, "b", "again"));
        CHECK(value_is(storage, TABLE_TERM, "b", "in another table"));
        storage_close(storage);
    }
}

TEST(transaction_closed_without_commit_leaves_no_trace)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct transaction *transaction = NULL;
    struct blob_id id = store_blob(storage, "k", 100, 1);
    CHECK_OK(transaction_open(storage, &transaction, &err), err);
    put_text(transaction, TABLE_RECORD, "a", "1");
    CHECK_INT(transaction_append_feed(transaction, slice_text("entry")), 1);
    transaction_delete_blob(transaction, &id);
    transaction_close(transaction);
    CHECK(value_is(storage, TABLE_RECORD, "a", NULL));
    CHECK(blob_equals(storage, &id, 100, 1));
    CHECK_INT(feed_latest(storage), 0);
    CHECK_INT(append_feed(storage, "entry"), 1);
    storage_close(storage);
}

TEST(transaction_of_many_thousand_keys_reads_back_each_of_them)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct transaction *transaction = NULL;
    char key[32];
    char value[32];
    CHECK_OK(transaction_open(storage, &transaction, &err), err);
    for (int i = 0; i < 30000; i++) {
        snprintf(key, sizeof(key), "key-%d", i % 20000);
        snprintf(value, sizeof(value), "value-%d", i);
        put_text(transaction, TABLE_RECORD, key, value);
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        snprintf(value, sizeof(value), "value-%d", i < 10000 ? i + 20000 : i);
        CHECK(sees(transaction, key, value));
    }
    CHECK(sees(transaction, "key-20000", NULL));
    transaction_close(transaction);
    storage_close(storage);
}

TEST(committing_twice_is_an_error)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct transaction *transaction = NULL;
    CHECK_OK(transaction_open(storage, &transaction, &err), err);
    put_text(transaction, TABLE_RECORD, "a", "1");
    CHECK_OK(transaction_commit(transaction, &err), err);
    CHECK(!transaction_commit(transaction, &err));
    transaction_close(transaction);
    storage_close(storage);
}

struct counting {
    struct storage *storage;
    int rounds;
    bool ok;
};

static bool count_up(struct storage *storage, struct error *err)
{
    struct transaction *transaction = NULL;
    struct buffer value = buffer_up_to(64);
    char text[32];
    bool found = false;
    bool ok = transaction_open(storage, &transaction, err) &&
              transaction_get(transaction, TABLE_RECORD, slice_text("count"), &value, &found, err);
    if (ok) {
        long count = found ? strtol(buffer_text(&value), NULL, 10) : 0;
        snprintf(text, sizeof(text), "%ld", count + 1);
        put_text(transaction, TABLE_RECORD, "count", text);
        transaction_append_feed(transaction, slice_text(text));
        ok = transaction_commit(transaction, err);
    }
    transaction_close(transaction);
    buffer_release(&value);
    return ok;
}

static void *count_many(void *argument)
{
    struct counting *counting = argument;
    struct error err = { 0 };
    counting->ok = true;
    for (int i = 0; i < counting->rounds && counting->ok; i++)
        counting->ok = count_up(counting->storage, &err);
    return NULL;
}

static bool count_with_threads(struct storage *storage, int threads, int rounds)
{
    pthread_t ids[16];
    struct counting countings[16];
    bool ok = true;
    for (int i = 0; i < threads; i++) {
        countings[i] = (struct counting){ .storage = storage, .rounds = rounds };
        pthread_create(&ids[i], NULL, count_many, &countings[i]);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        ok = ok && countings[i].ok;
    }
    return ok;
}

TEST(eight_threads_that_count_up_one_record_lose_nothing)
{
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        struct storage *storage = open_store(test_folder(), in_memory);
        CHECK(count_with_threads(storage, 8, 50));
        CHECK(value_is(storage, TABLE_RECORD, "count", "400"));
        CHECK_INT(feed_latest(storage), 400);
        storage_close(storage);
    }
}

TEST(commits_of_all_who_wait_share_one_sync)
{
    struct watched *watched = NULL;
    struct storage *storage = open_watched(test_folder(), &watched);
    atomic_store(&watched->sync_ms, 5);
    CHECK(count_with_threads(storage, 8, 20));
    CHECK(value_is(storage, TABLE_RECORD, "count", "160"));
    int syncs = atomic_load(&watched->syncs);
    CHECK(syncs >= 20);
    CHECK(syncs <= 80); /* 160 commits */
    storage_close(storage);
}

TEST(single_commit_costs_one_sync)
{
    struct watched *watched = NULL;
    struct storage *storage = open_watched(test_folder(), &watched);
    for (int i = 0; i < 10; i++)
        put_one(storage, TABLE_RECORD, "a", "1");
    CHECK_INT(atomic_load(&watched->syncs), 10);
    storage_close(storage);
}

static void *put_in_thread(void *storage)
{
    put_one(storage, TABLE_RECORD, "a", "1");
    return NULL;
}

TEST(what_is_seen_before_its_sync_can_be_waited_for)
{
    struct watched *watched = NULL;
    struct storage *storage = open_watched(test_folder(), &watched);
    struct error err;
    pthread_t writer;
    atomic_store(&watched->sync_ms, 200);
    CHECK(pthread_create(&writer, NULL, put_in_thread, storage) == 0);
    while (!value_is(storage, TABLE_RECORD, "a", "1"))
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    CHECK_OK(storage_settle(storage, &err), err);
    CHECK_INT(atomic_load(&watched->synced), 1);
    CHECK_INT(feed_latest(storage), 0);
    pthread_join(writer, NULL);
    CHECK_OK(storage_settle(storage, &err), err);
    CHECK_INT(atomic_load(&watched->syncs), 1); /* nothing to wait for costs nothing */
    storage_close(storage);
}

static int slow_sync(int fd)
{
    nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    return fdatasync(fd);
}

static void *store_many(void *argument)
{
    struct counting *counting = argument;
    struct error err = { 0 };
    struct blob_id id;
    counting->ok = true;
    for (int i = 0; i < counting->rounds && counting->ok; i++)
        counting->ok = write_blob(counting->storage, "k", slice_text("bytes"), &id, &err);
    return NULL;
}

TEST(blobs_of_all_who_wait_share_one_sync)
{
    enum { THREADS = 8 };
    struct storage *storage = open_store(test_folder(), true);
    struct counting countings[THREADS];
    pthread_t ids[THREADS];
    storage->segments->sync_file = slow_sync;
    for (int i = 0; i < THREADS; i++) {
        countings[i] = (struct counting){ .storage = storage, .rounds = 20 };
        pthread_create(&ids[i], NULL, store_many, &countings[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(ids[i], NULL);
        CHECK(countings[i].ok);
    }
    struct error err = { 0 };
    struct segment *segment = NULL;
    CHECK_OK(segments_pin(storage->segments, 1, &segment, &err), err);
    CHECK(group_sync_count(&segment->sync) <= 80); /* 160 blobs */
    CHECK(group_sync_count(&segment->sync) >= 20);
    segments_unpin(storage->segments, segment);
    storage_close(storage);
}
