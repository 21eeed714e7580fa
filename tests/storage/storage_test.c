/* SPDX-License-Identifier: MIT */
#include "storage/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/storage/support.h"

static const char *keys_of(struct storage_cursor *cursor)
{
    static char text[256];
    struct error err = { 0 };
    struct slice key;
    bool found = true;
    size_t size = 0;
    while (storage_cursor_next(cursor, &key, NULL, &found, &err) && found)
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%.*s ", (int)key.size,
                                 (const char *)key.data);
    text[size] = '\0';
    storage_cursor_close(cursor);
    return text;
}

TEST(records_survive_a_restart)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/made/when/missing", test_folder());
    struct storage *storage = open_store(path, false);
    put_one(storage, TABLE_RECORD, "a", "1");
    storage_close(storage);
    storage = open_store(path, false);
    CHECK(value_is(storage, TABLE_RECORD, "a", "1"));
    CHECK(value_is(storage, TABLE_RECORD, "b", NULL));
    storage_close(storage);
}

TEST(prefix_cursor_shows_only_keys_with_the_prefix)
{
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        struct error err = { 0 };
        struct storage *storage = open_store(test_folder(), in_memory);
        struct storage_cursor *cursor = NULL;
        put_one(storage, TABLE_TERM, "a", "");
        put_one(storage, TABLE_TERM, "ab", "");
        put_one(storage, TABLE_TERM, "ab\xff", "");
        put_one(storage, TABLE_TERM, "ab\xff\xff", "");
        put_one(storage, TABLE_TERM, "ac", "");
        put_one(storage, TABLE_TERM, "\xff", "");
        put_one(storage, TABLE_TERM, "\xff\xff", "");
        CHECK_OK(storage_cursor_open_prefix(storage, TABLE_TERM, slice_text("ab"), &cursor, &err),
                 err);
        CHECK_TEXT(keys_of(cursor), "ab ab\xff ab\xff\xff ");
        CHECK_OK(
            storage_cursor_open_prefix(storage, TABLE_TERM, slice_text("ab\xff"), &cursor, &err),
            err);
        CHECK_TEXT(keys_of(cursor), "ab\xff ab\xff\xff ");
        CHECK_OK(storage_cursor_open_prefix(storage, TABLE_TERM, slice_text("\xff"), &cursor, &err),
                 err);
        CHECK_TEXT(keys_of(cursor), "\xff \xff\xff ");
        CHECK_OK(storage_cursor_open_prefix(storage, TABLE_TERM, slice_text(""), &cursor, &err),
                 err);
        CHECK_TEXT(keys_of(cursor), "a ab ab\xff ab\xff\xff ac \xff \xff\xff ");
        CHECK_OK(storage_cursor_open_backwards(storage, TABLE_TERM, slice_text("ab"),
                                               slice_text("ac"), &cursor, &err),
                 err);
        CHECK_TEXT(keys_of(cursor), "ab\xff\xff ab\xff ab ");
        storage_close(storage);
    }
}

CHILD(hold_the_directory)
{
    char ready[256];
    (void)storage;
    snprintf(ready, sizeof(ready), "%s/ready", getenv("STORAGE_TEST_PATH"));
    if (creat(ready, 0600) >= 0)
        pause();
}

TEST(second_opener_is_told_that_the_directory_is_in_use)
{
    struct error err = { 0 };
    char path[128];
    char ready[160];
    struct storage *storage = NULL;
    struct storage_options options = { .path = path };
    snprintf(path, sizeof(path), "%s", test_folder());
    snprintf(ready, sizeof(ready), "%s/ready", path);
    pid_t child = child_start("hold_the_directory", path, false, NULL);
    CHECK_SOON(access(ready, F_OK) == 0);
    bool opened = storage_open(&options, &storage, &err);
    kill(child, SIGKILL);
    child_wait(child);
    CHECK(!opened);
    CHECK_INT(err.code, ERROR_BUSY);
    CHECK(strstr(err.message, "stop that one first"));
    CHECK_OK(storage_open(&options, &storage, &err), err);
    storage_close(storage);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    CHECK(file);
    fputs(text, file);
    fclose(file);
}

/* A folder that is there, in which there is nothing. */
static const char *empty_folder(void)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s", test_folder());
    CHECK(mkdir(path, 0700) == 0);
    return path;
}

static struct error refused(const char *path)
{
    struct error err = { 0 };
    struct storage *storage = NULL;
    struct storage_options options = { .path = path };
    CHECK(!storage_open(&options, &storage, &err));
    return err;
}

TEST(a_folder_that_holds_other_things_is_not_taken_for_a_new_data_directory)
{
    const char *path = empty_folder();
    char name[160];
    snprintf(name, sizeof(name), "%s/letter.txt", path);
    write_text(path, "letter.txt", "of somebody");
    struct error err = refused(path);
    CHECK_INT(err.code, ERROR_INVALID);
    CHECK(strstr(err.message, "letter.txt"));
    CHECK(unlink(name) == 0);
    CHECK(rmdir(path) == 0); /* nothing of ours is in it */
}

TEST(an_empty_folder_and_one_of_an_opening_that_was_cut_off_become_data_directories)
{
    const char *path = empty_folder();
    char name[160];
    storage_close(open_store(path, false));
    path = empty_folder();
    snprintf(name, sizeof(name), "%s/lost+found", path);
    CHECK(mkdir(name, 0700) == 0);
    write_text(path, "LOCK", "");
    write_text(path, "FORMAT.new", "houn");
    storage_close(open_store(path, false));
}

TEST(newer_format_is_refused_and_left_alone)
{
    const char *path = empty_folder();
    storage_close(open_store(path, false));
    write_text(path, "FORMAT", "hounsfield storage 2\n");
    CHECK_INT(refused(path).code, ERROR_UNSUPPORTED);
    write_text(path, "FORMAT", "something else\n");
    CHECK_INT(refused(path).code, ERROR_CORRUPT);
}

TEST(data_without_a_format_file_is_not_taken_for_an_empty_directory)
{
    const char *path = empty_folder();
    char format[160];
    storage_close(open_store(path, false));
    snprintf(format, sizeof(format), "%s/FORMAT", path);
    CHECK(unlink(format) == 0);
    CHECK_INT(refused(path).code, ERROR_CORRUPT);
}

static int failing_sync(int fd)
{
    (void)fd;
    errno = EIO;
    return -1;
}

TEST(failed_sync_of_the_index_stops_all_writing_but_no_reading)
{
    struct error err = { 0 };
    struct watched *watched = NULL;
    struct storage *storage = open_watched(test_folder(), &watched);
    struct transaction *transaction = NULL;
    struct storage_figures figures;
    struct blob_id id = store_blob(storage, "k", 1000, 1);
    uint64_t sequence = append_feed(storage, "good");
    put_one(storage, TABLE_RECORD, "a", "1");
    atomic_store(&watched->fail_sync, true);
    CHECK_OK(transaction_open(storage, &transaction, &err), err);
    transaction_append_feed(transaction, slice_text("bad"));
    CHECK(!transaction_commit(transaction, &err));
    CHECK_INT(err.code, ERROR_IO);
    transaction_close(transaction);
    atomic_store(&watched->fail_sync, false); /* a disk that recovers is not believed */
    CHECK(!transaction_open(storage, &transaction, &err));
    CHECK_INT(err.code, ERROR_IO);
    CHECK(!write_blob(storage, "k", slice_text("x"), &id, &err));
    CHECK_INT(err.code, ERROR_IO);
    CHECK_INT(feed_latest(storage), sequence);
    CHECK(value_is(storage, TABLE_RECORD, "a", "1"));
    CHECK(blob_equals(storage, &id, 1000, 1));
    storage_figures(storage, &figures);
    CHECK(figures.failed);
    storage_close(storage);
}

TEST(failed_sync_of_a_segment_stops_all_writing_but_no_reading)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct transaction *transaction = NULL;
    struct blob_id id = store_blob(storage, "k", 1000, 1);
    struct blob_id other;
    storage->segments->sync_file = failing_sync;
    CHECK(!write_blob(storage, "k", slice_text("x"), &other, &err));
    CHECK_INT(err.code, ERROR_IO);
    storage->segments->sync_file = fdatasync;
    CHECK(!write_blob(storage, "k", slice_text("x"), &other, &err));
    CHECK_INT(err.code, ERROR_IO);
    CHECK(!transaction_open(storage, &transaction, &err));
    CHECK_INT(err.code, ERROR_IO);
    CHECK(!blob_discard(storage, &id, &err));
    CHECK(blob_equals(storage, &id, 1000, 1));
    storage_close(storage);
}

TEST(full_index_refuses_a_commit_without_a_trace_and_goes_on_later)
{
    struct error err = { 0 };
    struct watched *watched = NULL;
    struct storage *storage = open_watched(test_folder(), &watched);
    struct transaction *transaction = NULL;
    struct blob_id id = store_blob(storage, "k", 1000, 1);
    put_one(storage, TABLE_RECORD, "a", "1");
    uint64_t before = append_feed(storage, "one");
    atomic_store(&watched->fail_write, true);
    CHECK_OK(transaction_open(storage, &transaction, &err), err);
    put_text(transaction, TABLE_RECORD, "a", "2");
    transaction_append_feed(transaction, slice_text("two"));
    transaction_delete_blob(transaction, &id);
    CHECK(!transaction_commit(transaction, &err));
    CHECK_INT(err.code, ERROR_NO_SPACE);
    transaction_close(transaction);
    CHECK(value_is(storage, TABLE_RECORD, "a", "1"));
    CHECK(blob_equals(storage, &id, 1000, 1));
    CHECK_INT(feed_latest(storage), before);
    atomic_store(&watched->fail_write, false);
    CHECK_INT(append_feed(storage, "two"), before + 1);
    storage_close(storage);
}

/* Else the next opening would read all of it again. */
TEST(orderly_stop_leaves_nothing_in_the_log_of_the_index)
{
    char path[128];
    char pattern[160];
    char value[1001];
    glob_t logs;
    struct stat status;
    struct error err = { 0 };
    struct transaction *transaction = NULL;
    snprintf(path, sizeof(path), "%s", test_folder());
    memset(value, 'v', 1000);
    value[1000] = '\0';
    struct storage *storage = open_store(path, false);
    CHECK_OK(transaction_open(storage, &transaction, &err), err);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        put_text(transaction, TABLE_RECORD, key, value);
    }
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
    storage_close(storage);
    snprintf(pattern, sizeof(pattern), "%s/index/*.log", path);
    CHECK(glob(pattern, 0, NULL, &logs) == 0);
    for (size_t i = 0; i < logs.gl_pathc; i++) {
        CHECK(stat(logs.gl_pathv[i], &status) == 0);
        CHECK(status.st_size < 1000);
    }
    globfree(&logs);
    storage = open_store(path, false);
    CHECK(value_is(storage, TABLE_RECORD, "999", value));
    storage_close(storage);
}
