/* SPDX-License-Identifier: MIT */
#include "storage/backup.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/backup_manifest.h"
#include "storage/blob_limits.h"
#include "storage/folder.h"
#include "storage/space.h"
#include "tests/storage/support.h"

enum { BLOB = 100000 };

/* A data directory, a backup and a restored directory beside each other. */
struct places {
    char data[160];
    char backup[160];
    char restored[160];
};

static struct places make_places(void)
{
    struct places places;
    const char *folder = test_folder();
    CHECK(mkdir(folder, 0700) == 0 || access(folder, F_OK) == 0);
    snprintf(places.data, sizeof(places.data), "%s/data", folder);
    snprintf(places.backup, sizeof(places.backup), "%s/backup", folder);
    snprintf(places.restored, sizeof(places.restored), "%s/restored", folder);
    return places;
}

static struct storage *open_at(const char *path)
{
    return open_store(path, false);
}

static struct backup_report back_up(struct storage *storage, const char *directory)
{
    struct error err = { 0 };
    struct backup_report report;
    struct backup_options options = { .directory = directory, .verify = true };
    CHECK_OK(storage_backup(storage, &options, NULL, &report, &err), err);
    return report;
}

static struct error refused_backup(struct storage *storage, const char *directory)
{
    struct error err = { 0 };
    struct backup_report report;
    struct backup_options options = { .directory = directory };
    CHECK(!storage_backup(storage, &options, NULL, &report, &err));
    return err;
}

static struct storage *restore_and_open(const struct places *places)
{
    struct error err = { 0 };
    struct backup_report report;
    CHECK_OK(storage_restore(places->backup, places->restored, false, NULL, &report, &err), err);
    return open_at(places->restored);
}

static void remove_tree(const char *path)
{
    char command[256];
    snprintf(command, sizeof(command), "rm -rf %s", path);
    CHECK(system(command) == 0);
}

/* As the archive does it: the blob, then a transaction that refers to it and tells it. */
static bool store_one(struct storage *storage, const char *key, size_t size, unsigned seed,
                      struct error *err)
{
    struct blob_id id;
    struct transaction *transaction = NULL;
    uint8_t encoded[BLOB_ID_SIZE];
    uint8_t *bytes = make_bytes(size, seed);
    bool ok = write_blob(storage, key, slice_of(bytes, size), &id, err) &&
              transaction_open(storage, &transaction, err);
    free(bytes);
    if (!ok)
        return false;
    blob_id_encode(&id, encoded);
    transaction_put(transaction, TABLE_RECORD, slice_text(key), slice_of(encoded, sizeof(encoded)));
    transaction_append_feed(transaction, slice_text(key));
    ok = transaction_commit(transaction, err);
    transaction_close(transaction);
    return ok;
}

static void store(struct storage *storage, const char *key, size_t size, unsigned seed)
{
    struct error err = { 0 };
    CHECK_OK(store_one(storage, key, size, seed, &err), err);
}

static bool find(struct storage *storage, const char *key, struct blob_id *id)
{
    struct error err = { 0 };
    struct buffer value = buffer_up_to(BLOB_ID_SIZE);
    bool found = false;
    CHECK_OK(storage_get(storage, TABLE_RECORD, slice_text(key), &value, &found, &err), err);
    if (found)
        blob_id_decode(value.data, id);
    buffer_release(&value);
    return found;
}

static bool remove_one(struct storage *storage, const char *key, const struct blob_id *id,
                       struct error *err)
{
    struct transaction *transaction = NULL;
    if (!transaction_open(storage, &transaction, err))
        return false;
    transaction_delete(transaction, TABLE_RECORD, slice_text(key));
    transaction_delete_blob(transaction, id);
    transaction_append_feed(transaction, slice_text(key));
    bool ok = transaction_commit(transaction, err);
    transaction_close(transaction);
    return ok;
}

static void drop(struct storage *storage, const char *key)
{
    struct error err = { 0 };
    struct blob_id id;
    CHECK(find(storage, key, &id));
    CHECK_OK(remove_one(storage, key, &id, &err), err);
}

static bool holds(struct storage *storage, const char *key, size_t size, unsigned seed)
{
    struct blob_id id;
    return find(storage, key, &id) && blob_equals(storage, &id, size, seed);
}

/* How many records that live a walk finds under the key: what a new index would be made of. */
static int count_live(struct storage *storage, const char *key)
{
    struct error err = { 0 };
    struct blob_walk *walk = NULL;
    struct blob_record record;
    bool found = true;
    int count = 0;
    CHECK_OK(blob_walk_open(storage, &walk, &err), err);
    for (;;) {
        CHECK_OK(blob_walk_next(walk, &record, &found, &err), err);
        if (!found)
            break;
        count += !record.dead && slice_equals_text(record.key, key);
    }
    blob_walk_close(walk);
    return count;
}

TEST(restored_archive_is_the_one_that_was_backed_up)
{
    struct places places = make_places();
    struct storage *storage = open_at(places.data);
    store(storage, "one", BLOB, 1);
    store(storage, "two", 0, 2);
    store(storage, "big", BLOB_BLOCK_SIZE + 12345, 3);
    for (int i = 0; i < 30; i++) /* over several segments of 1 MiB */
        store_blob(storage, "more", BLOB, 10 + (unsigned)i);
    struct backup_report report = back_up(storage, places.backup);
    CHECK_INT(report.latest_sequence, 3);
    CHECK(report.segments >= 4 && report.copied_bytes >= 33 << 20);
    store(storage, "later", BLOB, 4);
    storage_close(storage);
    remove_tree(places.data);

    storage = restore_and_open(&places);
    CHECK(holds(storage, "one", BLOB, 1));
    CHECK(holds(storage, "two", 0, 2));
    CHECK(holds(storage, "big", BLOB_BLOCK_SIZE + 12345, 3));
    CHECK(!holds(storage, "later", BLOB, 4));
    CHECK_INT(count_live(storage, "more"), 30);
    store(storage, "new", BLOB, 5);
    storage_close(storage);
    storage = open_at(places.restored);
    CHECK(holds(storage, "one", BLOB, 1));
    CHECK(holds(storage, "new", BLOB, 5));
    storage_close(storage);
}

/* Whether a backup and a restore keep nothing in the page cache, and drop nothing. */
static bool leaves_page_cache(void)
{
    enum { COUNT = 8 };
    struct error err = { 0 };
    struct blob_id ids[COUNT];
    struct backup_report report;
    struct places places = make_places();
    struct storage *storage = open_at(places.data);
    for (unsigned i = 0; i < COUNT; i++)
        ids[i] = store_blob(storage, "more", BLOB, i);
    drop_cached_pages(places.data);
    bool in_memory = cached_pages(places.data) > 0; /* a file system without a disk */
    CHECK(blob_equals(storage, &ids[3], BLOB, 3));
    size_t before = cached_pages(places.data);
    CHECK(before >= BLOB / 4096 && (in_memory || before < COUNT * BLOB / 4096));
    back_up(storage, places.backup);
    bool ok = cached_pages(places.data) == before && (in_memory || !cached_pages(places.backup));
    storage_close(storage);

    CHECK_OK(storage_restore(places.backup, places.restored, false, NULL, &report, &err), err);
    ok = ok && (in_memory || (!cached_pages(places.backup) && !cached_pages(places.restored)));
    storage = open_at(places.restored);
    for (unsigned i = 0; i < COUNT; i++)
        CHECK(blob_equals(storage, &ids[i], BLOB, i));
    storage_close(storage);
    remove_tree(places.data);
    remove_tree(places.backup);
    remove_tree(places.restored);
    return ok;
}

/* The kernel may keep or lose a page that is on its way to one of its lists, but not each time. */
TEST(backup_and_restore_leave_the_page_cache_as_it_was)
{
    enum { ATTEMPTS = 10 };
    bool ok = false;
    for (int attempt = 0; !ok && attempt < ATTEMPTS; attempt++)
        ok = leaves_page_cache();
    CHECK(ok);
}

TEST(second_backup_copies_only_what_is_new)
{
    struct places places = make_places();
    struct storage *storage = open_at(places.data);
    for (int i = 0; i < 25; i++)
        store(storage, "old", BLOB, (unsigned)i);
    struct backup_report first = back_up(storage, places.backup);
    CHECK(first.copied_bytes > 25 * BLOB);
    struct backup_report none = back_up(storage, places.backup);
    CHECK(none.copied_bytes < 64 << 10); /* the files of the index that are its state */
    CHECK_INT(none.blob_bytes, first.blob_bytes);
    store(storage, "new", BLOB, 77);
    struct backup_options options = { .directory = places.backup, .dry_run = true };
    struct backup_report planned;
    struct error err = { 0 };
    CHECK_OK(storage_backup(storage, &options, NULL, &planned, &err), err);
    struct backup_report second = back_up(storage, places.backup);
    uint64_t extent = record_extent(BLOB);
    CHECK_INT(second.blob_bytes - first.blob_bytes, extent);
    CHECK(second.copied_bytes >= extent && second.copied_bytes < extent + (128 << 10));
    CHECK(planned.copied_bytes >= extent && planned.copied_bytes < extent + (256 << 10));
    CHECK_INT(planned.segments, second.segments);
    storage_close(storage);
    storage = restore_and_open(&places);
    CHECK(holds(storage, "new", BLOB, 77));
    CHECK(holds(storage, "old", BLOB, 24));
    storage_close(storage);
}

TEST(dry_run_writes_nothing)
{
    struct places places = make_places();
    struct error err = { 0 };
    struct backup_report report;
    struct storage *storage = open_at(places.data);
    store(storage, "one", BLOB, 1);
    struct backup_options options = { .directory = places.backup, .dry_run = true };
    CHECK_OK(storage_backup(storage, &options, NULL, &report, &err), err);
    CHECK(report.copied_bytes > BLOB && report.segments == 1);
    CHECK(access(places.backup, F_OK) != 0);
    back_up(storage, places.backup);
    storage_close(storage);
    CHECK_OK(storage_restore(places.backup, places.restored, true, NULL, &report, &err), err);
    CHECK(report.copied_bytes > BLOB);
    CHECK(access(places.restored, F_OK) != 0);
}

TEST(what_was_deleted_before_a_backup_does_not_come_back_from_its_segments)
{
    struct places places = make_places();
    struct storage *storage = open_at(places.data);
    for (int i = 0; i < 40; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%d", i);
        store(storage, key, BLOB, (unsigned)i);
    }
    uint64_t before = back_up(storage, places.backup).segments;
    for (int i = 0; i < 10; i++) { /* all of the first segment, and one of another */
        char key[16];
        snprintf(key, sizeof(key), "key%d", i);
        drop(storage, key);
    }
    drop(storage, "key35");
    CHECK(wait_for_pending(storage, 0));
    struct backup_report report = back_up(storage, places.backup);
    CHECK(report.segments < before);
    CHECK(report.removed_bytes > BLOB / 2);
    storage_close(storage);
    storage = restore_and_open(&places);
    for (int i = 0; i < 40; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%d", i);
        CHECK_INT(count_live(storage, key), i >= 10 && i != 35);
        CHECK(holds(storage, key, BLOB, (unsigned)i) == (i >= 10 && i != 35));
    }
    storage_close(storage);
}

/* A reader keeps the record from being marked dead while the backup is made. */
TEST(deletion_that_waits_for_a_reader_is_done_in_the_backup)
{
    struct places places = make_places();
    struct error err = { 0 };
    struct blob *blob = NULL;
    struct blob_id id;
    struct storage *storage = open_at(places.data);
    store(storage, "one", BLOB, 1);
    store(storage, "two", BLOB, 2);
    CHECK(find(storage, "one", &id));
    CHECK_OK(blob_open(storage, &id, &blob, &err), err);
    drop(storage, "one");
    CHECK(back_up(storage, places.backup).removed_bytes > BLOB / 2);
    uint8_t byte[1];
    CHECK_OK(blob_read(blob, BLOB - 1, (struct space){ byte, 1 }, &err), err);
    blob_close(blob);
    storage_close(storage);
    storage = restore_and_open(&places);
    CHECK(wait_for_pending(storage, 0));
    CHECK_INT(count_live(storage, "one"), 0);
    CHECK(holds(storage, "two", BLOB, 2));
    storage_close(storage);
}

TEST(feed_of_a_restored_archive_goes_on_above_all_that_the_lost_one_gave_out)
{
    struct places places = make_places();
    struct storage *storage = open_at(places.data);
    append_feed(storage, "first");
    back_up(storage, places.backup);
    append_feed(storage, "seen by others and lost");
    storage_close(storage);
    uint64_t least = (uint64_t)clock_unix_ms() * 1000;
    storage = restore_and_open(&places);
    uint64_t sequence = append_feed(storage, "next");
    CHECK(sequence > least);
    storage_close(storage);
}

TEST(backup_goes_on_from_the_restored_archive)
{
    struct places places = make_places();
    struct storage *storage = open_at(places.data);
    for (int i = 0; i < 30; i++)
        store(storage, "old", BLOB, (unsigned)i);
    back_up(storage, places.backup);
    storage_close(storage);
    storage = restore_and_open(&places);
    store(storage, "new", BLOB, 77);
    struct backup_report report = back_up(storage, places.backup);
    CHECK(report.copied_bytes < record_extent(BLOB) + (256 << 10));
    storage_close(storage);
    /* From now on the other one is no predecessor any more. */
    storage = open_at(places.data);
    struct error err = refused_backup(storage, places.backup);
    CHECK_INT(err.code, ERROR_CONFLICT);
    CHECK(strstr(err.message, "another copy"));
    storage_close(storage);
}

TEST(archive_that_was_set_back_is_not_mixed_into_a_later_backup)
{
    struct places places = make_places();
    char command[512];
    struct storage *storage = open_at(places.data);
    store(storage, "one", BLOB, 1);
    storage_close(storage);
    snprintf(command, sizeof(command), "cp -a %s %s.before", places.data, places.data);
    CHECK(system(command) == 0);
    storage = open_at(places.data);
    store(storage, "two", BLOB, 2);
    back_up(storage, places.backup);
    storage_close(storage);
    remove_tree(places.data);
    snprintf(command, sizeof(command), "mv %s.before %s", places.data, places.data);
    CHECK(system(command) == 0);
    storage = open_at(places.data);
    CHECK_INT(refused_backup(storage, places.backup).code, ERROR_CONFLICT);
    store(storage, "other", BLOB, 3);
    CHECK_INT(refused_backup(storage, places.backup).code, ERROR_CONFLICT);
    store(storage, "more", BLOB, 4);
    struct error err = refused_backup(storage, places.backup);
    CHECK_INT(err.code, ERROR_CONFLICT);
    CHECK(strstr(err.message, "set back"));
    storage_close(storage);
    storage = restore_and_open(&places);
    CHECK(holds(storage, "two", BLOB, 2));
    storage_close(storage);
}

TEST(backup_of_another_archive_and_other_things_are_left_alone)
{
    struct places places = make_places();
    struct storage *storage = open_at(places.data);
    struct storage *other = open_at(places.restored);
    store(storage, "one", BLOB, 1);
    back_up(storage, places.backup);
    struct error err = refused_backup(other, places.backup);
    CHECK_INT(err.code, ERROR_CONFLICT);
    CHECK(strstr(err.message, "another archive"));
    err = refused_backup(storage, places.restored); /* a data directory */
    CHECK_INT(err.code, ERROR_BUSY);
    storage_close(other);
    err = refused_backup(storage, places.restored);
    CHECK_INT(err.code, ERROR_CONFLICT);
    storage_close(storage);
    storage = open_at(places.data);
    CHECK(holds(storage, "one", BLOB, 1));
    storage_close(storage);
}

TEST(a_refused_backup_leaves_nothing_in_a_folder_of_others)
{
    static const char *const others[] = { "passwd", "segments" };
    struct places places = make_places();
    char path[600];
    struct storage *storage = open_at(places.data);
    for (size_t i = 0; i < 2; i++) {
        CHECK(mkdir(places.backup, 0750) == 0);
        snprintf(path, sizeof(path), "%s/%s", places.backup, others[i]);
        CHECK(mkdir(path, 0750) == 0);
        CHECK_INT(refused_backup(storage, places.backup).code, ERROR_CONFLICT);
        CHECK(rmdir(path) == 0);
        CHECK(rmdir(places.backup) == 0); /* it is empty */
    }
    storage_close(storage);
}

TEST(backup_makes_its_own_folder_and_none_above_it)
{
    static const char *const deep[] = { "disk/backup", "disk//backup//", "disk/../disk/backup" };
    struct places places = make_places();
    struct storage *storage = open_at(places.data);
    char base[200];
    char path[512];
    snprintf(base, sizeof(base), "%s.beside", places.data);
    CHECK(mkdir(base, 0700) == 0);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", base, deep[i]);
        struct error err = refused_backup(storage, path);
        CHECK_INT(err.code, ERROR_NOT_FOUND);
        CHECK(strstr(err.message, "mounted"));
    }
    CHECK(rmdir(base) == 0 && mkdir(base, 0700) == 0); /* it is empty */
    snprintf(path, sizeof(path), "%s/disk//", base);
    back_up(storage, path);
    back_up(storage, path);
    storage_close(storage);
}

TEST(a_relative_path_of_a_backup_is_taken_from_here)
{
    struct places places = make_places();
    struct storage *storage = open_at(places.data);
    char *before = getcwd(NULL, 0);
    CHECK(before && chdir(places.data) == 0 && chdir("..") == 0);
    struct error err = refused_backup(storage, "elsewhere/backup");
    back_up(storage, "beside");
    CHECK(chdir(before) == 0);
    free(before);
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    storage_close(storage);
}

TEST(backup_onto_the_data_directory_or_within_it_is_refused)
{
    struct places places = make_places();
    char path[512];
    struct storage *storage = open_at(places.data);
    CHECK_INT(refused_backup(storage, places.data).code, ERROR_INVALID);
    snprintf(path, sizeof(path), "%s/here", places.data);
    CHECK_INT(refused_backup(storage, path).code, ERROR_INVALID);
    CHECK(access(path, F_OK) != 0);
    snprintf(path, sizeof(path), "%s/../data/segments", places.data);
    CHECK_INT(refused_backup(storage, path).code, ERROR_INVALID);
    snprintf(path, sizeof(path), "%s/..", places.data);
    CHECK_INT(refused_backup(storage, path).code, ERROR_INVALID);
    snprintf(path, sizeof(path), "%s.link", places.data);
    CHECK(symlink(places.data, path) == 0);
    CHECK_INT(refused_backup(storage, path).code, ERROR_INVALID);
    storage_close(storage);
}

TEST(index_in_memory_has_no_backup)
{
    struct places places = make_places();
    struct storage *storage = open_store(places.data, true);
    CHECK_INT(refused_backup(storage, places.backup).code, ERROR_UNSUPPORTED);
    storage_close(storage);
}

TEST(restore_touches_no_directory_that_has_something_in_it)
{
    struct places places = make_places();
    struct error err = { 0 };
    struct backup_report report;
    struct storage *storage = open_at(places.data);
    store(storage, "one", BLOB, 1);
    back_up(storage, places.backup);
    CHECK(!storage_restore(places.backup, places.data, false, NULL, &report, &err));
    CHECK_INT(err.code, ERROR_CONFLICT);
    CHECK(!storage_restore(places.backup, places.data, true, NULL, &report, &err));
    CHECK_INT(err.code, ERROR_CONFLICT);
    CHECK(!storage_restore(places.data, places.restored, false, NULL, &report, &err));
    CHECK(holds(storage, "one", BLOB, 1));
    storage_close(storage);
}

static void damage(const char *path, off_t offset)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    CHECK(pread(fd, &byte, 1, offset) == 1);
    byte ^= 0x40;
    CHECK(pwrite(fd, &byte, 1, offset) == 1);
    close(fd);
}

static struct error refused_verify(const char *directory)
{
    struct error err = { 0 };
    struct backup_report report;
    CHECK(!storage_backup_verify(directory, NULL, &report, &err));
    return err;
}

TEST(damaged_backup_is_detected)
{
    struct places places = make_places();
    struct error err = { 0 };
    struct backup_report report;
    char path[512];
    char command[600];
    struct storage *storage = open_at(places.data);
    store(storage, "one", BLOB, 1);
    store(storage, "two", BLOB, 2);
    back_up(storage, places.backup);
    storage_close(storage);
    CHECK_OK(storage_backup_verify(places.backup, NULL, &report, &err), err);

    segment_file(places.backup, 1, path);
    damage(path, SEGMENT_BLOCK + 50000); /* a payload */
    CHECK_INT(refused_verify(places.backup).code, ERROR_CORRUPT);
    damage(path, SEGMENT_BLOCK + 50000);
    damage(path, SEGMENT_BLOCK + (off_t)record_extent(BLOB) + 130); /* a record header */
    CHECK_INT(refused_verify(places.backup).code, ERROR_CORRUPT);
    damage(path, SEGMENT_BLOCK + (off_t)record_extent(BLOB) + 130);
    CHECK_OK(storage_backup_verify(places.backup, NULL, &report, &err), err);

    snprintf(path, sizeof(path), "%s/BACKUP", places.backup);
    damage(path, 100);
    CHECK_INT(refused_verify(places.backup).code, ERROR_CORRUPT);
    CHECK(!storage_restore(places.backup, places.restored, false, NULL, &report, &err));
    CHECK_INT(err.code, ERROR_CORRUPT);
    damage(path, 100);

    snprintf(command, sizeof(command),
             "f=$(ls %s/index/*.sst | head -1); printf '\\377' | dd of=$f bs=1 seek=20 "
             "conv=notrunc 2>/dev/null",
             places.backup);
    CHECK(system(command) == 0);
    CHECK_INT(refused_verify(places.backup).code, ERROR_CORRUPT);
    CHECK(!storage_restore(places.backup, places.restored, false, NULL, &report, &err));
    CHECK_INT(err.code, ERROR_CORRUPT);
    CHECK(access(places.restored, F_OK) != 0); /* an error leaves nothing */
}

struct limit {
    uint64_t steps;
    uint64_t seen;
    const char *phase;
};

static bool is_enough(void *context)
{
    struct limit *limit = context;
    return limit->seen >= limit->steps;
}

static void count_step(void *context, const char *phase, const char *unit, uint64_t done,
                       uint64_t total)
{
    struct limit *limit = context;
    (void)unit;
    if (total && done <= total && strcmp(phase, limit->phase) == 0)
        limit->seen++;
}

TEST(cancelled_backup_leaves_the_one_before_and_the_next_goes_on_where_it_was)
{
    struct places places = make_places();
    struct error err = { 0 };
    struct backup_report report;
    struct storage *storage = open_at(places.data);
    store(storage, "first", BLOB, 1);
    back_up(storage, places.backup);
    for (int i = 0; i < 60; i++)
        store(storage, "later", BLOB, 100 + (unsigned)i);
    struct limit limit = { .steps = 5, .phase = "copying segments" };
    struct job job = { .progress = count_step, .cancelled = is_enough, .context = &limit };
    struct backup_options options = { .directory = places.backup };
    CHECK(!storage_backup(storage, &options, &job, &report, &err));
    CHECK_INT(err.code, ERROR_STOPPED);
    CHECK_OK(storage_backup_verify(places.backup, NULL, &report, &err), err);
    CHECK_INT(report.latest_sequence, 1);
    struct storage *restored = restore_and_open(&places);
    CHECK(holds(restored, "first", BLOB, 1));
    CHECK(!holds(restored, "later", BLOB, 159));
    storage_close(restored);
    remove_tree(places.restored);

    report = back_up(storage, places.backup);
    CHECK(report.copied_bytes < 55 * record_extent(BLOB)); /* some stood there already */
    storage_close(storage);
    storage = restore_and_open(&places);
    CHECK(holds(storage, "first", BLOB, 1));
    CHECK(holds(storage, "later", BLOB, 159));
    CHECK_INT(count_live(storage, "later"), 60);
    storage_close(storage);
}

TEST(cancelled_restore_leaves_nothing)
{
    struct places places = make_places();
    struct error err = { 0 };
    struct backup_report report;
    struct storage *storage = open_at(places.data);
    for (int i = 0; i < 30; i++)
        store(storage, "old", BLOB, (unsigned)i);
    back_up(storage, places.backup);
    storage_close(storage);
    struct limit limit = { .steps = 2, .phase = "restoring segments" };
    struct job job = { .progress = count_step, .cancelled = is_enough, .context = &limit };
    CHECK(!storage_restore(places.backup, places.restored, false, &job, &report, &err));
    CHECK_INT(err.code, ERROR_STOPPED);
    CHECK(access(places.restored, F_OK) != 0);
}

struct traffic {
    struct storage *storage;
    unsigned number;
    atomic_bool stop;
    atomic_uint stored; /* key <number>-<i> for i below it */
    atomic_uint deleted;
};

static void traffic_key(const struct traffic *traffic, unsigned i, char key[32])
{
    snprintf(key, 32, "t%u-%u", traffic->number, i);
}

/* Stores, and deletes every third one a while later; leaves others some of the disk. */
static void *run_traffic(void *argument)
{
    struct traffic *traffic = argument;
    struct error err = { 0 };
    char key[32];
    for (unsigned i = 0; !atomic_load(&traffic->stop); i++) {
        traffic_key(traffic, i, key);
        if (!store_one(traffic->storage, key, 30000 + i % 7 * 1000, traffic->number * 10000 + i,
                       &err))
            break;
        atomic_store(&traffic->stored, i + 1);
        if (i >= 9 && (i - 9) % 3 == 0) {
            struct blob_id id;
            traffic_key(traffic, i - 9, key);
            atomic_store(&traffic->deleted, i - 9 + 1); /* may be gone from now on */
            if (!find(traffic->storage, key, &id) || !remove_one(traffic->storage, key, &id, &err))
                break;
        }
        nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL);
    }
    return NULL;
}

static void check_traffic(struct storage *storage, const struct traffic *traffic, unsigned stored,
                          unsigned deleted, unsigned stored_after)
{
    char key[32];
    struct blob_id id;
    for (unsigned i = 0; i < stored_after; i++) {
        traffic_key(traffic, i, key);
        bool found = find(storage, key, &id);
        if (found)
            CHECK(blob_equals(storage, &id, 30000 + i % 7 * 1000, traffic->number * 10000 + i));
        if (i < stored && i % 3 != 0)
            CHECK(found);
        if (i % 3 == 0 && i + 3 < deleted)
            CHECK(!found); /* its deletion had ended */
    }
}

TEST(backup_beside_stores_and_deletes_holds_all_that_was_acknowledged_before_it_began)
{
    enum { THREADS = 2, ROUNDS = 3 };
    struct places places = make_places();
    struct storage *storage = open_at(places.data);
    struct traffic traffic[THREADS] = { 0 };
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        traffic[i].storage = storage;
        traffic[i].number = i + 1;
        CHECK(pthread_create(&threads[i], NULL, run_traffic, &traffic[i]) == 0);
    }
    bool waited = true;
    for (int round = 0; round < ROUNDS && waited; round++) {
        unsigned stored[THREADS];
        unsigned deleted[THREADS];
        unsigned goal = atomic_load(&traffic[0].stored) + 25;
        for (unsigned turn = 0; atomic_load(&traffic[0].stored) < goal && test_wait(&turn);)
            ;
        waited = atomic_load(&traffic[0].stored) >= goal;
        for (int i = 0; i < THREADS; i++) {
            stored[i] = atomic_load(&traffic[i].stored);
            deleted[i] = atomic_load(&traffic[i].deleted);
        }
        back_up(storage, places.backup);
        struct storage *restored = restore_and_open(&places);
        for (int i = 0; i < THREADS; i++)
            check_traffic(restored, &traffic[i], stored[i], deleted[i],
                          atomic_load(&traffic[i].stored));
        storage_close(restored);
        remove_tree(places.restored);
    }
    for (int i = 0; i < THREADS; i++)
        atomic_store(&traffic[i].stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(waited);
    CHECK(wait_for_pending(storage, 0));
    for (int i = 0; i < THREADS; i++)
        check_traffic(storage, &traffic[i], atomic_load(&traffic[i].stored),
                      atomic_load(&traffic[i].deleted), atomic_load(&traffic[i].stored));
    storage_close(storage);
}

static void child_places(struct places *places)
{
    const char *data = getenv("STORAGE_TEST_PATH");
    snprintf(places->data, sizeof(places->data), "%s", data);
    snprintf(places->backup, sizeof(places->backup), "%.*sbackup", (int)(strlen(data) - 4), data);
    snprintf(places->restored, sizeof(places->restored), "%.*srestored", (int)(strlen(data) - 4),
             data);
}

CHILD(change_and_back_up)
{
    struct error err = { 0 };
    struct places places;
    struct blob_id id;
    struct backup_report report;
    child_places(&places);
    for (unsigned i = 0; i < 20; i++)
        store_one(storage, "second", BLOB, 100 + i, &err);
    if (find(storage, "gone", &id))
        remove_one(storage, "gone", &id, &err);
    wait_for_pending(storage, 0);
    struct backup_options options = { .directory = places.backup };
    if (!storage_backup(storage, &options, NULL, &report, &err))
        fprintf(stderr, "%s\n", err.message);
    _exit(1); /* the point was not met */
}

TEST(crash_at_any_step_of_a_backup_leaves_one_that_is_whole)
{
#ifdef HOUNSFIELD_FAULTS
    static const char *const points[] = { "backup-after-checkpoint", "backup-after-index",
                                          "backup-after-segments", "backup-after-manifest",
                                          "backup-after-deaths" };
    for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
        struct places places = make_places();
        struct error err = { 0 };
        struct backup_report report;
        struct storage *storage = open_at(places.data);
        store(storage, "first", BLOB, 1);
        store(storage, "gone", BLOB, 2);
        back_up(storage, places.backup);
        storage_close(storage);
        child_wait(child_start("change_and_back_up", places.data, false, points[i]));
        bool published = i >= 3;
        CHECK_OK(storage_backup_verify(places.backup, NULL, &report, &err), err);
        storage = restore_and_open(&places);
        CHECK(holds(storage, "first", BLOB, 1));
        CHECK(holds(storage, "gone", BLOB, 2) == !published);
        CHECK(holds(storage, "second", BLOB, 119) == published);
        storage_close(storage);
        remove_tree(places.restored);

        storage = open_at(places.data);
        char path[512];
        snprintf(path, sizeof(path), "%s/index.backup", places.data);
        CHECK(access(path, F_OK) != 0);
        back_up(storage, places.backup);
        storage_close(storage);
        storage = restore_and_open(&places);
        CHECK(holds(storage, "first", BLOB, 1));
        CHECK(holds(storage, "second", BLOB, 119));
        CHECK_INT(count_live(storage, "gone"), 0);
        CHECK_INT(count_live(storage, "second"), 20);
        storage_close(storage);
    }
#endif
}

CHILD(restore_here)
{
    struct error err = { 0 };
    struct places places;
    struct backup_report report;
    child_places(&places);
    (void)storage;
    storage_restore(places.backup, places.restored, false, NULL, &report, &err);
    _exit(1);
}

TEST(crash_at_any_step_of_a_restore_leaves_no_data_directory)
{
#ifdef HOUNSFIELD_FAULTS
    static const char *const points[] = { "restore-after-index", "restore-after-segments",
                                          "restore-before-format" };
    for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
        struct places places = make_places();
        struct error err = { 0 };
        struct storage *storage = open_at(places.data);
        store(storage, "first", BLOB, 1);
        back_up(storage, places.backup);
        storage_close(storage);
        child_wait(child_start("restore_here", places.data, false, points[i]));
        struct storage_options options = { .path = places.restored };
        CHECK(!storage_open(&options, &storage, &err));
        CHECK_INT(err.code, ERROR_CORRUPT);
        remove_tree(places.restored);
        storage = restore_and_open(&places);
        CHECK(holds(storage, "first", BLOB, 1));
        storage_close(storage);
    }
#endif
}

static bool mount_disk(const char *path, const char *size)
{
    mkdir(path, 0700);
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", path, "tmpfs", 0, size) == 0;
}

#define INSIST(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "    not so: %s\n", #condition);                                       \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

CHILD(back_up_to_a_small_disk)
{
    struct error err = { 0 };
    struct places places;
    struct backup_report report;
    child_places(&places);
    if (!mount_disk(places.backup, "size=8m")) {
        printf("     (no permission to mount: nothing was tried)\n");
        fflush(stdout);
        return;
    }
    struct backup_options options = { .directory = places.backup };
    INSIST(store_one(storage, "first", BLOB, 1, &err));
    INSIST(storage_backup(storage, &options, NULL, &report, &err));
    for (unsigned i = 0; i < 100; i++)
        INSIST(store_one(storage, "second", BLOB, 100 + i, &err));
    INSIST(!storage_backup(storage, &options, NULL, &report, &err));
    INSIST(err.code == ERROR_NO_SPACE);
    INSIST(storage_backup_verify(places.backup, NULL, &report, &err));
    INSIST(report.latest_sequence == 1);
    INSIST(store_one(storage, "third", BLOB, 3, &err)); /* the archive goes on */
    struct storage *restored = NULL;
    struct storage_options where = { .path = places.restored };
    INSIST(storage_restore(places.backup, places.restored, false, NULL, &report, &err));
    INSIST(storage_open(&where, &restored, &err));
    struct blob_id id;
    INSIST(find(restored, "first", &id) && blob_equals(restored, &id, BLOB, 1));
    storage_close(restored);
}

TEST(full_disk_of_a_backup_is_told_and_leaves_the_one_before)
{
    struct places places = make_places();
    child_run("back_up_to_a_small_disk", places.data, false);
}

/* Fills the disk and deletes, while segments are copied. */
static void fill_and_delete(void *context, const char *phase, const char *unit, uint64_t done,
                            uint64_t total)
{
    struct storage *storage = context;
    struct error err = { 0 };
    struct blob_id id;
    (void)unit;
    (void)done;
    (void)total;
    if (strcmp(phase, "copying segments") != 0 || !find(storage, "first", &id))
        return;
    while (store_one(storage, "fill", 1 << 20, 1, &err))
        ;
    INSIST(err.code == ERROR_NO_SPACE);
    INSIST(remove_one(storage, "first", &id, &err));
}

CHILD(back_up_a_full_disk)
{
    struct error err = { 0 };
    struct places places;
    struct backup_report report;
    char data[200];
    child_places(&places);
    if (!mount_disk(places.restored, "size=64m")) {
        printf("     (no permission to mount: nothing was tried)\n");
        fflush(stdout);
        return;
    }
    snprintf(data, sizeof(data), "%s/data", places.restored);
    struct storage *small = NULL;
    struct storage_options where = { .path = data, .segment_size = SMALL_SEGMENT };
    (void)storage;
    INSIST(storage_open(&where, &small, &err));
    INSIST(store_one(small, "first", BLOB, 1, &err));
    for (unsigned i = 0; i < 50; i++)
        INSIST(store_one(small, "second", BLOB, 100 + i, &err));
    struct job job = { .progress = fill_and_delete, .context = small };
    struct backup_options options = { .directory = places.backup };
    INSIST(!storage_backup(small, &options, &job, &report, &err));
    INSIST(err.code == ERROR_NO_SPACE);
    INSIST(wait_for_pending(small, 0));
    INSIST(storage_backup(small, &options, NULL, &report, &err));
    INSIST(storage_backup_verify(places.backup, NULL, &report, &err));
    storage_close(small);
}

TEST(full_archive_gets_the_space_of_what_is_deleted_before_a_backup_ends)
{
    struct places places = make_places();
    /* Threads of RocksDB would not see the disk if they were there before it. */
    child_run("back_up_a_full_disk", places.data, true);
}

TEST(backup_of_a_newer_program_is_not_restored)
{
    struct places places = make_places();
    struct error err = { 0 };
    struct backup_report report;
    char command[600];
    struct storage *storage = open_at(places.data);
    store(storage, "one", BLOB, 1);
    back_up(storage, places.backup);
    storage_close(storage);
    snprintf(command, sizeof(command),
             "sed -i 's/^hounsfield backup 1/hounsfield backup 2/' %s/BACKUP", places.backup);
    CHECK(system(command) == 0);
    CHECK(!storage_restore(places.backup, places.restored, false, NULL, &report, &err));
    CHECK_INT(err.code, ERROR_UNSUPPORTED);
}

/* A backup may lie where others can write. */
TEST(links_in_a_backup_lead_nothing_of_it_elsewhere)
{
    static const char *const names[] = { "LOCK", "BACKUP.new", "segments/00000001" };
    struct places places = make_places();
    struct storage *storage = open_at(places.data);
    char path[600];
    char victim[600];
    char content[16] = "";
    store(storage, "one", BLOB, 1);
    snprintf(victim, sizeof(victim), "%s.victim", places.data);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        FILE *file = fopen(victim, "w");
        CHECK(file && fputs("precious", file) >= 0 && fclose(file) == 0);
        if (i) {
            back_up(storage, places.backup);
            store(storage, names[i], BLOB, 2);
        } else {
            CHECK(mkdir(places.backup, 0750) == 0);
        }
        snprintf(path, sizeof(path), "%s/%s", places.backup, names[i]);
        if (i == 2)
            segment_file(places.backup, 1, path);
        unlink(path);
        CHECK(symlink(victim, path) == 0);
        CHECK_INT(refused_backup(storage, places.backup).code, ERROR_IO);
        file = fopen(victim, "r");
        CHECK(file && fgets(content, sizeof(content), file) && fclose(file) == 0);
        CHECK_TEXT(content, "precious");
        remove_tree(places.backup);
    }
    storage_close(storage);
}

TEST(a_backup_of_pipes_or_with_segments_out_of_order_is_damaged)
{
    struct places places = make_places();
    struct error err = { 0 };
    struct backup_manifest manifest = { 0 };
    bool found = false;
    struct storage *storage = open_at(places.data);
    store(storage, "one", BLOB, 1);
    back_up(storage, places.backup);
    storage_close(storage);
    int folder = open(places.backup, O_RDONLY | O_DIRECTORY);
    CHECK_OK(backup_manifest_load(folder, BACKUP_MANIFEST, &manifest, &found, &err), err);
    CHECK(found && manifest.segment_count);
    struct backup_segment again = manifest.segments[0];
    backup_manifest_add_segment(&manifest, &again);
    CHECK_OK(backup_manifest_save(folder, BACKUP_MANIFEST, &manifest, &err), err);
    backup_manifest_release(&manifest);
    CHECK_INT(refused_verify(places.backup).code, ERROR_CORRUPT);
    CHECK(unlinkat(folder, BACKUP_MANIFEST, 0) == 0);
    CHECK(mkfifoat(folder, BACKUP_MANIFEST, 0600) == 0);
    CHECK_INT(refused_verify(places.backup).code, ERROR_CORRUPT);
    close(folder);
}

TEST(two_backups_at_once_are_refused)
{
    struct places places = make_places();
    struct storage *storage = open_at(places.data);
    store(storage, "one", BLOB, 1);
    atomic_store(&storage->backed_up, true);
    CHECK_INT(refused_backup(storage, places.backup).code, ERROR_BUSY);
    atomic_store(&storage->backed_up, false);
    int fd = -1;
    struct error err = { 0 };
    back_up(storage, places.backup);
    int folder = open(places.backup, O_RDONLY | O_DIRECTORY);
    CHECK_OK(folder_lock(folder, "LOCK", false, &fd, &err), err);
    CHECK_INT(refused_backup(storage, places.backup).code, ERROR_BUSY);
    close(fd);
    close(folder);
    back_up(storage, places.backup);
    storage_close(storage);
}
