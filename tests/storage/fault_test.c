/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/metrics.h"
#include "tests/storage/support.h"

#ifdef HOUNSFIELD_FAULTS

enum { SIZE = 300000, EXTENT = 303104 }; /* three in a segment */

/* What is wrong; goes on working with what was wrong before. */
static enum error_code store_code(struct storage *storage, const char *fault, size_t size)
{
    struct error err = { 0 };
    struct blob_id id;
    uint8_t *bytes = make_bytes(size, 99);
    fault_set(fault);
    bool ok = write_blob(storage, "failed", slice_of(bytes, size), &id, &err);
    fault_set(NULL);
    free(bytes);
    CHECK(ok || strlen(err.message) > 10);
    return ok ? ERROR_NONE : err.code;
}

static bool walk_finds(struct storage *storage, const char *key)
{
    struct error err = { 0 };
    struct blob_walk *walk = NULL;
    struct blob_record record;
    bool found = true;
    bool seen = false;
    CHECK_OK(blob_walk_open(storage, &walk, &err), err);
    while (blob_walk_next(walk, &record, &found, &err) && found)
        seen |= slice_equals_text(record.key, key);
    CHECK(!found);
    blob_walk_close(walk);
    return seen;
}

struct deletion {
    struct storage *storage;
    struct blob_id id;
};

static void delete_to_the_end(void *context)
{
    struct deletion *deletion = context;
    delete_blob(deletion->storage, &deletion->id);
    CHECK(wait_for_pending(deletion->storage, 0));
}

TEST(blob_that_is_deleted_while_a_walk_reads_its_record_is_not_shown_as_a_live_one)
{
    struct error err = { 0 };
    struct blob_walk *walk = NULL;
    struct blob_record record;
    bool found = true;
    int live = 0;
    struct storage *storage = open_store(test_folder(), false);
    struct deletion deletion = { storage, store_blob(storage, "first", SIZE, 1) };
    store_blob(storage, "second", SIZE, 2);
    fault_set_call("blob-walk-read", delete_to_the_end, &deletion);
    CHECK_OK(blob_walk_open(storage, &walk, &err), err);
    while (blob_walk_next(walk, &record, &found, &err) && found) {
        CHECK_INT(record.dead, slice_equals_text(record.key, "first"));
        live += !record.dead;
    }
    CHECK(!found);
    CHECK_INT(live, 1);
    blob_walk_close(walk);
    storage_close(storage);
}

/* Of two blobs one is there before, and one is stored after it. */
static void check_refused(const char *fault, size_t size, enum error_code code)
{
    char path[128];
    snprintf(path, sizeof(path), "%s", test_folder());
    struct storage *storage = open_store(path, false);
    struct blob_id before = store_blob(storage, "before", SIZE, 1);
    CHECK_INT(store_code(storage, fault, size), code);
    CHECK(!walk_finds(storage, "failed"));
    CHECK(blob_equals(storage, &before, SIZE, 1));
    struct blob_id after = store_blob(storage, "after", SIZE, 2);
    put_one(storage, TABLE_RECORD, "key", "value");
    storage_close(storage);
    storage = open_store(path, false);
    CHECK(!walk_finds(storage, "failed"));
    CHECK(blob_equals(storage, &before, SIZE, 1));
    CHECK(blob_equals(storage, &after, SIZE, 2));
    CHECK(value_is(storage, TABLE_RECORD, "key", "value"));
    storage_close(storage);
}

TEST(blob_that_the_disk_does_not_take_leaves_nothing_and_the_next_is_stored)
{
    check_refused("segment-write:1:ENOSPC", SIZE, ERROR_NO_SPACE);
    check_refused("segment-write:1:EIO", SIZE, ERROR_IO);
    check_refused("segment-allocate:1:ENOSPC", 3 * SIZE, ERROR_NO_SPACE);
    check_refused("segment-allocate:1:EIO", 3 * SIZE, ERROR_IO);
    check_refused("segment-create:1:EMFILE", 3 * SIZE, ERROR_IO);
    check_refused("segment-create:1:ENOSPC", 3 * SIZE, ERROR_NO_SPACE);
}

TEST(big_blob_that_the_disk_does_not_take_leaves_nothing_and_the_next_is_stored)
{
    check_refused("segment-write:1:ENOSPC", 40 << 20, ERROR_NO_SPACE);
    check_refused("segment-write:4:EIO", 40 << 20, ERROR_IO);
    check_refused("segment-allocate:1:ENOSPC", 40 << 20, ERROR_NO_SPACE);
    check_refused("segment-create:1:ENFILE", 40 << 20, ERROR_IO);
}

TEST(short_and_interrupted_writes_are_gone_on_with)
{
    static const char *const faults[] = { "segment-write-short:1:EIO:3", "segment-write:1:EINTR:2",
                                          "segment-write:1:EINVAL" };
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s", test_folder());
        struct storage *storage = open_store(path, false);
        fault_set(faults[i]);
        struct blob_id id = store_blob(storage, "k", SIZE, 5);
        fault_set(NULL);
        CHECK(blob_equals(storage, &id, SIZE, 5));
        put_one(storage, TABLE_RECORD, "key", "value");
        storage_close(storage);
        storage = open_store(path, false);
        CHECK(blob_equals(storage, &id, SIZE, 5));
        storage_close(storage);
    }
}

TEST(failed_sync_of_a_segment_is_over_after_reopening_and_nothing_promised_is_lost)
{
    for (int big = 0; big < 2; big++) {
        char path[128];
        struct storage_figures figures;
        snprintf(path, sizeof(path), "%s", test_folder());
        struct storage *storage = open_store(path, false);
        struct blob_id before = store_blob(storage, "before", SIZE, 1);
        put_one(storage, TABLE_RECORD, "key", "value");
        CHECK_INT(store_code(storage, "segment-sync:1:EIO", big ? 40 << 20 : SIZE), ERROR_IO);
        storage_figures(storage, &figures);
        CHECK(figures.failed);
        CHECK_INT(store_code(storage, NULL, SIZE), ERROR_IO);
        CHECK(blob_equals(storage, &before, SIZE, 1));
        CHECK(value_is(storage, TABLE_RECORD, "key", "value"));
        storage_close(storage);
        storage = open_store(path, false);
        storage_figures(storage, &figures);
        CHECK(!figures.failed);
        CHECK(blob_equals(storage, &before, SIZE, 1));
        CHECK(value_is(storage, TABLE_RECORD, "key", "value"));
        struct blob_id after = store_blob(storage, "after", SIZE, 2);
        put_one(storage, TABLE_RECORD, "key", "other");
        storage_close(storage);
        storage = open_store(path, false);
        CHECK(blob_equals(storage, &after, SIZE, 2));
        storage_close(storage);
    }
}

TEST(space_that_cannot_be_punched_is_counted_as_held)
{
    struct storage_segment_figures figures;
    bool found = false;
    struct storage *storage = open_store(test_folder(), false);
    struct blob_id kept = store_blob(storage, "kept", SIZE, 1);
    struct blob_id id = store_blob(storage, "gone", SIZE, 2);
    fault_set("segment-punch:1:EIO:0");
    delete_blob(storage, &id);
    CHECK(wait_for_pending(storage, 0));
    fault_set(NULL);
    storage_segment_figures(storage, 0, &figures, &found);
    CHECK_INT(figures.dead_bytes, EXTENT);
    CHECK_INT(figures.held_bytes, EXTENT);
    CHECK(walk_finds(storage, "gone")); /* as dead */
    CHECK(blob_equals(storage, &kept, SIZE, 1));
    storage_close(storage);
}

TEST(deletions_wait_while_there_is_no_descriptor_and_go_on_when_there_is_one)
{
    char path[128];
    struct storage_figures figures;
    struct blob_id ids[4];
    snprintf(path, sizeof(path), "%s", test_folder());
    struct storage *storage = open_store(path, false);
    for (unsigned i = 0; i < 4; i++)
        ids[i] = store_blob(storage, "k", SIZE, i);
    put_one(storage, TABLE_RECORD, "key", "value");
    storage_close(storage);
    storage = open_store(path, false); /* the first segment is closed now */
    fault_set("segment-open:1:EMFILE");
    delete_blob(storage, &ids[1]);
    CHECK(wait_for_pending(storage, 0));
    fault_set(NULL);
    storage_figures(storage, &figures);
    CHECK_INT(figures.blob_bytes, 3 * EXTENT);
    CHECK_INT(figures.dead_bytes, 0);
    CHECK(blob_equals(storage, &ids[0], SIZE, 0));
    storage_close(storage);
}

TEST(deletion_whose_record_cannot_be_read_holds_up_no_other)
{
    struct error err = { 0 };
    struct blob *blob = NULL;
    struct blob_id ids[2];
    struct storage *storage = open_store(test_folder(), false);
    for (unsigned i = 0; i < 2; i++)
        ids[i] = store_blob(storage, "k", SIZE, i);
    int64_t errors = metric_get(METRIC_READ_ERRORS);
    fault_set("segment-read:1:EIO");
    delete_blob(storage, &ids[0]);
    CHECK_SOON(metric_get(METRIC_READ_ERRORS) != errors);
    fault_set(NULL);
    delete_blob(storage, &ids[1]);
    CHECK(wait_for_pending(storage, EXTENT));
    CHECK(!blob_open(storage, &ids[0], &blob, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    storage_close(storage);
}

TEST(read_that_the_disk_refuses_is_an_error_of_that_read_only)
{
    struct error err = { 0 };
    struct blob *blob = NULL;
    uint8_t byte;
    struct storage *storage = open_store(test_folder(), false);
    struct blob_id id = store_blob(storage, "k", SIZE, 1);
    int64_t errors = metric_get(METRIC_READ_ERRORS);
    fault_set("segment-read:1:EIO:2");
    CHECK(!blob_open(storage, &id, &blob, &err));
    CHECK_INT(err.code, ERROR_IO);
    CHECK(!blob_equals(storage, &id, SIZE, 1));
    CHECK_INT(metric_get(METRIC_READ_ERRORS), errors + 2);
    CHECK_OK(blob_open(storage, &id, &blob, &err), err);
    fault_set("segment-read:1:EIO");
    CHECK(!blob_read(blob, 0, (struct space){ &byte, 1 }, &err));
    CHECK_INT(err.code, ERROR_IO);
    fault_set("segment-read:1:EINTR:3");
    CHECK_OK(blob_read(blob, 0, (struct space){ &byte, 1 }, &err), err);
    fault_set(NULL);
    blob_close(blob);
    CHECK(blob_equals(storage, &id, SIZE, 1));
    storage_close(storage);
}

CHILD(store_two_with_an_index)
{
    store_blob(storage, "one", SIZE, 1);
    store_blob(storage, "two", SIZE, 2);
    put_one(storage, TABLE_RECORD, "key", "value");
}

/* The segment begins at 4096, the second record behind the first. */
TEST(place_that_cannot_be_read_at_the_start_costs_nothing_else)
{
    for (int passing = 1; passing <= 6; passing++) {
        char path[128];
        char fault[64];
        struct storage_figures figures;
        struct error err = { 0 };
        struct storage *storage = NULL;
        struct storage_options options = { .path = path, .segment_size = SMALL_SEGMENT };
        snprintf(path, sizeof(path), "%s", test_folder());
        snprintf(fault, sizeof(fault), "segment-read:%d:EIO", passing);
        child_run("store_two_with_an_index", path, false);
        fault_set(fault);
        bool opened = storage_open(&options, &storage, &err);
        fault_set(NULL);
        CHECK_OK(opened, err);
        storage_figures(storage, &figures);
        CHECK_INT(figures.damaged_segments, passing <= 5);
        CHECK(value_is(storage, TABLE_RECORD, "key", "value"));
        struct blob_id id = store_blob(storage, "three", SIZE, 3);
        CHECK_INT(id.segment, passing <= 5 ? 2 : 1); /* nothing is written beside damage */
        CHECK(blob_equals(storage, &id, SIZE, 3));
        CHECK(walk_finds(storage, "one") && walk_finds(storage, "two"));
        CHECK(walk_finds(storage, "three"));
        storage_close(storage);
    }
}

static void check_removal_after(const char *fault)
{
    char path[128];
    char file[256];
    struct storage_figures figures;
    snprintf(path, sizeof(path), "%s", test_folder());
    child_wait(child_start("empty_a_segment", path, false, fault));
    struct storage *storage = open_store(path, false);
    storage_figures(storage, &figures);
    CHECK_INT(figures.missing_segments, 0);
    CHECK(wait_for_pending(storage, 0));
    segment_file(path, 1, file);
    CHECK_SOON(access(file, F_OK) != 0);
    storage_figures(storage, &figures);
    CHECK_INT(figures.segments, 1);
    CHECK_INT(figures.blob_bytes, EXTENT);
    struct blob_id id = store_blob(storage, "k", 3 * SIZE, 9);
    CHECK_INT(id.segment, 3);
    storage_close(storage);
}

CHILD(empty_a_segment)
{
    struct blob_id ids[4];
    for (unsigned i = 0; i < 4; i++)
        ids[i] = store_blob(storage, "k", SIZE, i);
    for (unsigned i = 0; i < 3; i++)
        delete_blob(storage, &ids[i]);
    wait_for_pending(storage, 0);
    nanosleep(&(struct timespec){ .tv_sec = 60 }, NULL); /* until it is killed */
}

TEST(segment_whose_removal_a_crash_cut_off_is_removed_and_none_is_missed)
{
    check_removal_after("before-segment-unlink");
    check_removal_after("after-segment-unlink");
}

#endif
