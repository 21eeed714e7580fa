/* SPDX-License-Identifier: MIT */
#include "storage/feed.h"

#include "tests/storage/support.h"

TEST(feed_begins_at_one_and_shows_entries_in_order)
{
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        struct error err = { 0 };
        struct storage *storage = open_store(test_folder(), in_memory);
        struct storage_cursor *cursor = NULL;
        struct slice key;
        struct slice entry;
        bool found = false;
        CHECK_INT(feed_latest(storage), 0);
        CHECK_INT(append_feed(storage, "one"), 1);
        CHECK_INT(append_feed(storage, "two"), 2);
        CHECK_INT(append_feed(storage, "three"), 3);
        CHECK_INT(feed_latest(storage), 3);
        CHECK_OK(feed_open(storage, 1, &cursor, &err), err);
        append_feed(storage, "later");
        CHECK_OK(storage_cursor_next(cursor, &key, &entry, &found, &err), err);
        CHECK(found && feed_sequence(key) == 2 && slice_equals_text(entry, "two"));
        CHECK_OK(storage_cursor_next(cursor, &key, &entry, &found, &err), err);
        CHECK(found && feed_sequence(key) == 3 && slice_equals_text(entry, "three"));
        CHECK_OK(storage_cursor_next(cursor, &key, &entry, &found, &err), err);
        CHECK(!found);
        storage_cursor_close(cursor);
        CHECK_OK(feed_open(storage, 9, &cursor, &err), err);
        CHECK_OK(storage_cursor_next(cursor, &key, &entry, &found, &err), err);
        CHECK(!found);
        storage_cursor_close(cursor);
        storage_close(storage);
    }
}

static void trim_feed(struct storage *storage, uint64_t sequence)
{
    struct error err = { 0 };
    struct transaction *transaction = NULL;
    uint8_t key[8];
    for (int i = 0; i < 8; i++)
        key[i] = (uint8_t)(sequence >> (56 - 8 * i));
    CHECK_OK(transaction_open(storage, &transaction, &err), err);
    transaction_delete(transaction, TABLE_FEED, slice_of(key, sizeof(key)));
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
}

TEST(sequence_numbers_go_on_after_a_restart_also_when_the_last_entries_are_deleted)
{
    char path[128];
    snprintf(path, sizeof(path), "%s", test_folder());
    struct storage *storage = open_store(path, false);
    append_feed(storage, "one");
    append_feed(storage, "two");
    storage_close(storage);
    storage = open_store(path, false);
    CHECK_INT(feed_latest(storage), 2);
    CHECK_INT(append_feed(storage, "three"), 3);
    trim_feed(storage, 1);
    trim_feed(storage, 2);
    trim_feed(storage, 3);
    storage_close(storage);
    storage = open_store(path, false);
    CHECK_INT(feed_latest(storage), 3);
    CHECK_INT(append_feed(storage, "four"), 4);
    storage_close(storage);
}

TEST(position_of_a_follower_survives_a_restart)
{
    struct error err = { 0 };
    uint64_t position = 7;
    char path[128];
    snprintf(path, sizeof(path), "%s", test_folder());
    struct storage *storage = open_store(path, false);
    CHECK_OK(feed_position_load(storage, "cast", &position, &err), err);
    CHECK_INT(position, 0);
    CHECK_OK(feed_position_save(storage, "cast", 41, &err), err);
    CHECK_OK(feed_position_save(storage, "cast", 42, &err), err);
    CHECK_OK(feed_position_save(storage, "forward", 3, &err), err);
    storage_close(storage);
    storage = open_store(path, false);
    CHECK_OK(feed_position_load(storage, "cast", &position, &err), err);
    CHECK_INT(position, 42);
    CHECK_OK(feed_position_load(storage, "forward", &position, &err), err);
    CHECK_INT(position, 3);
    storage_close(storage);
}

TEST(waiting_for_the_feed_ends_at_its_deadline)
{
    struct storage *storage = open_store(test_folder(), true);
    int64_t begin = clock_monotonic_ms();
    CHECK(!feed_wait(storage, 0, 50));
    int64_t waited = clock_monotonic_ms() - begin;
    CHECK(waited >= 49 && waited < 5000);
    append_feed(storage, "one");
    CHECK(feed_wait(storage, 0, 0));
    CHECK(!feed_wait(storage, 1, 0));
    storage_close(storage);
}

static void *append_later(void *argument)
{
    struct transaction *transaction = NULL;
    struct error err;
    nanosleep(&(struct timespec){ .tv_nsec = 30000000 }, NULL);
    if (transaction_open(argument, &transaction, &err)) {
        transaction_append_feed(transaction, slice_text("one"));
        transaction_commit(transaction, &err);
    }
    transaction_close(transaction);
    return NULL;
}

TEST(waiting_for_the_feed_ends_with_a_new_entry)
{
    struct storage *storage = open_store(test_folder(), true);
    pthread_t thread;
    int64_t begin = clock_monotonic_ms();
    pthread_create(&thread, NULL, append_later, storage);
    bool news = feed_wait(storage, 0, 20000);
    int64_t waited = clock_monotonic_ms() - begin;
    pthread_join(thread, NULL);
    CHECK(news);
    CHECK(waited < 10000);
    storage_close(storage);
}

static void *wake_later(void *argument)
{
    nanosleep(&(struct timespec){ .tv_nsec = 30000000 }, NULL);
    feed_wake(argument);
    return NULL;
}

TEST(waiting_for_the_feed_ends_when_it_is_woken)
{
    struct storage *storage = open_store(test_folder(), true);
    pthread_t thread;
    int64_t begin = clock_monotonic_ms();
    pthread_create(&thread, NULL, wake_later, storage);
    bool news = feed_wait(storage, 0, 20000);
    int64_t waited = clock_monotonic_ms() - begin;
    pthread_join(thread, NULL);
    CHECK(!news);
    CHECK(waited < 10000);
    storage_close(storage);
}

struct following {
    struct storage *storage;
    atomic_bool *stop;
    uint64_t seen;
    bool ok;
};

/* Follows the feed as a cast would, and notes whether anything was skipped or came twice. */
static bool follow_once(struct following *following, struct error *err)
{
    struct storage_cursor *cursor = NULL;
    struct slice key;
    bool found = true;
    if (!feed_open(following->storage, following->seen, &cursor, err))
        return false;
    uint64_t latest_before = feed_latest(following->storage);
    bool ok = true;
    while (ok && storage_cursor_next(cursor, &key, NULL, &found, err) && found) {
        ok = feed_sequence(key) == following->seen + 1 && feed_sequence(key) <= latest_before;
        following->seen = feed_sequence(key);
    }
    storage_cursor_close(cursor);
    return ok;
}

static void *follow(void *argument)
{
    struct following *following = argument;
    struct error err = { 0 };
    following->ok = true;
    while (following->ok && !atomic_load(following->stop)) {
        feed_wait(following->storage, following->seen, 20);
        following->ok = follow_once(following, &err);
    }
    following->ok = following->ok && follow_once(following, &err);
    return NULL;
}

static void *append_many(void *argument)
{
    struct error err = { 0 };
    for (int i = 0; i < 60; i++) {
        struct transaction *transaction = NULL;
        if (!transaction_open(argument, &transaction, &err))
            break;
        transaction_append_feed(transaction, slice_text("a"));
        transaction_append_feed(transaction, slice_text("b"));
        transaction_commit(transaction, &err);
        transaction_close(transaction);
    }
    return NULL;
}

TEST(no_sequence_number_appears_behind_a_reader)
{
    enum { WRITERS = 6, READERS = 2 };
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        struct storage *storage = open_store(test_folder(), in_memory);
        pthread_t writers[WRITERS];
        pthread_t readers[READERS];
        struct following followings[READERS];
        atomic_bool stop = false;
        for (int i = 0; i < READERS; i++) {
            followings[i] = (struct following){ .storage = storage, .stop = &stop };
            pthread_create(&readers[i], NULL, follow, &followings[i]);
        }
        for (int i = 0; i < WRITERS; i++)
            pthread_create(&writers[i], NULL, append_many, storage);
        for (int i = 0; i < WRITERS; i++)
            pthread_join(writers[i], NULL);
        atomic_store(&stop, true);
        for (int i = 0; i < READERS; i++) {
            pthread_join(readers[i], NULL);
            CHECK(followings[i].ok);
            CHECK_INT(followings[i].seen, WRITERS * 60 * 2);
        }
        storage_close(storage);
    }
}

/* As a restore and a rebuild do it. */
static void skip_feed(struct storage *storage, uint64_t sequence)
{
    struct error err = { 0 };
    struct transaction *transaction = NULL;
    CHECK_OK(transaction_open(storage, &transaction, &err), err);
    transaction_skip_feed(transaction, sequence);
    transaction_put(transaction, TABLE_RECORD, slice_text("key"), slice_text("value"));
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
}

TEST(who_has_read_all_entries_waits_though_the_numbers_go_on_behind_them)
{
    char path[128];
    snprintf(path, sizeof(path), "%s", test_folder());
    struct storage *storage = open_store(path, false);
    append_feed(storage, "one");
    append_feed(storage, "two");
    CHECK_INT(feed_behind(storage, 0), 2);
    CHECK_INT(feed_behind(storage, 9), 0);
    skip_feed(storage, 1000000);
    storage_close(storage);
    storage = open_store(path, false);
    CHECK_INT(feed_latest(storage), 1000000);
    CHECK_INT(feed_behind(storage, 0), 2);
    CHECK_INT(feed_behind(storage, 1), 1);
    CHECK_INT(feed_behind(storage, 2), 0);
    CHECK_INT(feed_behind(storage, 1000), 0);
    CHECK(feed_wait(storage, 1, 60000));
    CHECK(!feed_wait(storage, 2, 1));
    CHECK_INT(append_feed(storage, "three"), 1000001);
    CHECK(feed_wait(storage, 2, 60000));
    CHECK_INT(feed_behind(storage, 0), 3);
    CHECK_INT(feed_behind(storage, 2), 1);
    CHECK_INT(feed_behind(storage, 1000001), 0);
    storage_close(storage);
}

TEST(numbers_before_the_first_entry_are_nothing_to_wait_for)
{
    char path[128];
    snprintf(path, sizeof(path), "%s", test_folder());
    struct storage *storage = open_store(path, false);
    skip_feed(storage, 1000000);
    storage_close(storage);
    storage = open_store(path, false);
    CHECK_INT(feed_latest(storage), 1000000);
    CHECK_INT(feed_behind(storage, 0), 0);
    CHECK(!feed_wait(storage, 0, 1));
    CHECK_INT(append_feed(storage, "one"), 1000001);
    CHECK_INT(feed_behind(storage, 0), 1);
    storage_close(storage);
    storage = open_store(path, false);
    CHECK_INT(feed_behind(storage, 0), 1);
    CHECK_INT(feed_behind(storage, 4000), 1);
    CHECK_INT(feed_behind(storage, 1000001), 0);
    storage_close(storage);
}
