/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/blob_limits.h"
#include "tests/storage/support.h"

/* For a child, which cannot CHECK. */
static struct blob_id quick_blob(struct storage *storage, const char *key, size_t size,
                                 unsigned seed)
{
    struct error err;
    struct blob_id id = { 0 };
    uint8_t *bytes = make_bytes(size, seed);
    write_blob(storage, key, slice_of(bytes, size), &id, &err);
    free(bytes);
    return id;
}

/* "key:L" or "key:D" of every record. */
static const char *walk_text(struct storage *storage)
{
    static char text[512];
    struct error err = { 0 };
    struct blob_walk *walk = NULL;
    struct blob_record record;
    bool found = true;
    size_t size = 0;
    text[0] = '\0';
    CHECK_OK(blob_walk_open(storage, &walk, &err), err);
    for (;;) {
        CHECK_OK(blob_walk_next(walk, &record, &found, &err), err);
        if (!found)
            break;
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%.*s:%c ", (int)record.key.size,
                                 (const char *)record.key.data, record.dead ? 'D' : 'L');
    }
    blob_walk_close(walk);
    return text;
}

CHILD(store_three)
{
    quick_blob(storage, "one", 50000, 1);
    quick_blob(storage, "two", 60000, 2);
    quick_blob(storage, "three", 70000, 3);
}

enum {
    OFFSET_TWO = 4096 + 13 * 4096, /* behind 640 + 50000 bytes */
    OFFSET_THREE = OFFSET_TWO + 15 * 4096,
    OFFSET_END = OFFSET_THREE + 18 * 4096,
};

TEST(whole_records_are_found_after_a_crash_and_the_next_one_follows_them)
{
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        char path[128];
        snprintf(path, sizeof(path), "%s", test_folder());
        child_run("store_three", path, in_memory);
        struct storage *storage = open_store(path, in_memory);
        CHECK_TEXT(walk_text(storage), "one:L two:L three:L ");
        struct blob_id id = store_blob(storage, "four", 1000, 4);
        CHECK_INT(id.segment, 1);
        CHECK_INT(id.offset, OFFSET_END);
        CHECK_TEXT(walk_text(storage), "one:L two:L three:L four:L ");
        CHECK(blob_equals(storage, &id, 1000, 4));
        storage_close(storage);
    }
}

static void damage(const char *folder, off_t offset, const char *bytes, size_t size)
{
    char path[256];
    segment_file(folder, 1, path);
    int fd = open(path, O_RDWR);
    bool ok = pwrite(fd, bytes, size, offset) == (ssize_t)size;
    close(fd);
    CHECK(ok);
}

TEST(record_with_half_a_payload_is_not_shown_after_a_crash)
{
    char path[128];
    char zeros[4096] = { 0 };
    struct error err;
    snprintf(path, sizeof(path), "%s", test_folder());
    child_run("store_three", path, true);
    damage(path, OFFSET_THREE + 8 * 4096, zeros, sizeof(zeros));
    for (int round = 0; round < 2; round++) {
        struct storage *storage = open_store(path, true);
        CHECK_TEXT(walk_text(storage), round ? "one:L two:L four:L " : "one:L two:L ");
        struct blob_id torn = { .segment = 1, .offset = OFFSET_THREE, .size = 70000 };
        struct blob *blob = NULL;
        CHECK(!blob_open(storage, &torn, &blob, &err));
        CHECK_INT(err.code, ERROR_CORRUPT);
        if (round == 0) {
            struct blob_id id = store_blob(storage, "four", 1000, 4);
            CHECK(blob_equals(storage, &id, 1000, 4));
        }
        storage_close(storage);
    }
}

CHILD(store_one_and_stream)
{
    struct error err;
    struct blob_writer *writer = NULL;
    uint8_t *bytes = make_bytes(1 << 20, 3);
    quick_blob(storage, "one", 50000, 1);
    if (blob_writer_open(storage, slice_text("big"), &writer, &err))
        for (int i = 0; i < 40; i++)
            blob_writer_write(writer, slice_of(bytes, 1 << 20), &err);
    free(bytes);
}

/* Neither segment is in the index yet, and the one with the torn record is not the last. */
TEST(record_with_half_a_payload_is_not_shown_beside_a_big_blob_that_was_cut_off)
{
    char path[128];
    char zeros[4096] = { 0 };
    snprintf(path, sizeof(path), "%s", test_folder());
    child_run("store_one_and_stream", path, true);
    damage(path, 4096 + 8 * 4096, zeros, sizeof(zeros));
    struct storage *storage = open_store(path, true);
    CHECK_TEXT(walk_text(storage), "");
    storage_close(storage);
}

TEST(record_without_its_header_is_overwritten_after_a_crash)
{
    char path[128];
    char zeros[4096] = { 0 };
    snprintf(path, sizeof(path), "%s", test_folder());
    child_run("store_three", path, true);
    damage(path, OFFSET_THREE, zeros, sizeof(zeros));
    struct storage *storage = open_store(path, true);
    CHECK_TEXT(walk_text(storage), "one:L two:L ");
    struct blob_id id = store_blob(storage, "four", 65000, 4);
    CHECK_INT(id.offset, OFFSET_THREE);
    CHECK_TEXT(walk_text(storage), "one:L two:L four:L ");
    CHECK(blob_equals(storage, &id, 65000, 4));
    storage_close(storage);
}

TEST(rotten_header_in_the_middle_hides_its_own_record_only)
{
    char path[128];
    snprintf(path, sizeof(path), "%s", test_folder());
    child_run("store_three", path, true);
    damage(path, OFFSET_TWO + 16, "rot", 3);
    struct storage *storage = open_store(path, true);
    CHECK_TEXT(walk_text(storage), "one:L three:L ");
    storage_close(storage);
}

TEST(rotten_segment_header_costs_no_record)
{
    char path[128];
    snprintf(path, sizeof(path), "%s", test_folder());
    child_run("store_three", path, true);
    damage(path, 0, "rotten", 6);
    struct storage *storage = open_store(path, true);
    CHECK_TEXT(walk_text(storage), "one:L two:L three:L ");
    storage_close(storage);
}

TEST(file_cut_within_the_last_record_loses_that_record_only)
{
    char path[128];
    char file[256];
    snprintf(path, sizeof(path), "%s", test_folder());
    child_run("store_three", path, true);
    segment_file(path, 1, file);
    CHECK(truncate(file, OFFSET_THREE + 5000) == 0);
    struct storage *storage = open_store(path, true);
    CHECK_TEXT(walk_text(storage), "one:L two:L ");
    struct blob_id id = store_blob(storage, "four", 100000, 4);
    CHECK(blob_equals(storage, &id, 100000, 4));
    CHECK_TEXT(walk_text(storage), "one:L two:L four:L ");
    storage_close(storage);
}

TEST(payload_that_looks_like_a_record_is_not_taken_for_one)
{
    char path[128];
    char file[256];
    uint8_t copy[16 * 4096];
    struct error err = { 0 };
    struct blob_id id;
    snprintf(path, sizeof(path), "%s", test_folder());
    struct storage *storage = open_store(path, true);
    store_blob(storage, "one", 50000, 1);
    segment_file(path, 1, file);
    int fd = open(file, O_RDWR);
    CHECK(pread(fd, copy, sizeof(copy), 4096) == (ssize_t)sizeof(copy));
    /* A record inside a payload, at a multiple of 4096 of the file. */
    struct blob_writer *writer = NULL;
    CHECK_OK(blob_writer_open(storage, slice_text("two"), &writer, &err), err);
    CHECK_OK(blob_writer_write(writer, slice_of(copy, 4096 - RECORD_HEADER_SIZE), &err), err);
    CHECK_OK(blob_writer_write(writer, slice_of(copy, sizeof(copy)), &err), err);
    CHECK_OK(blob_writer_finish(writer, &id, &err), err);
    blob_writer_close(writer);
    CHECK(pwrite(fd, "rot", 3, (off_t)id.offset + 20) == 3); /* so that the walk looks inside */
    close(fd);
    CHECK_TEXT(walk_text(storage), "one:L ");
    storage_close(storage);
}

CHILD(delete_one)
{
    struct error err;
    struct transaction *transaction = NULL;
    struct blob_id id = quick_blob(storage, "kept", 200000, 2);
    id = quick_blob(storage, "gone", 300000, 1);
    if (transaction_open(storage, &transaction, &err)) {
        transaction_put(transaction, TABLE_RECORD, slice_text("deleted"), slice_text("yes"));
        transaction_delete_blob(transaction, &id);
        transaction_commit(transaction, &err);
        wait_for_pending(storage, 0);
    }
}

static void check_deletion_is_done_after(const char *fault)
{
    char path[128];
    char file[256];
    struct stat status;
    struct storage_figures figures;
    struct storage_segment_figures segment;
    bool found = false;
    snprintf(path, sizeof(path), "%s", test_folder());
    child_wait(child_start("delete_one", path, false, fault));
    struct storage *storage = open_store(path, false);
    CHECK(value_is(storage, TABLE_RECORD, "deleted", "yes"));
    CHECK(wait_for_pending(storage, 0));
    CHECK_TEXT(walk_text(storage), "kept:L ");
    storage_figures(storage, &figures);
    CHECK_INT(figures.blob_bytes, 200704);
    CHECK_INT(figures.dead_bytes, 0);
    storage_segment_figures(storage, 0, &segment, &found);
    CHECK_INT(segment.records, 2);
    CHECK_INT(segment.dead_records, 1);
    CHECK_INT(segment.dead_bytes, 303104);
    storage_close(storage);
    segment_file(path, 1, file);
    CHECK(stat(file, &status) == 0);
    CHECK(status.st_blocks * 512 < 250000);
    storage = open_store(path, false);
    CHECK_TEXT(walk_text(storage), "kept:L ");
    storage_figures(storage, &figures);
    CHECK_INT(figures.blob_bytes, 200704);
    storage_close(storage);
}

TEST(deletion_that_a_crash_left_undone_is_done_at_the_next_start)
{
    check_deletion_is_done_after("after-commit");
    check_deletion_is_done_after("before-blob-reclaim");
    check_deletion_is_done_after("after-blob-dead");
    check_deletion_is_done_after("after-blob-punch");
    check_deletion_is_done_after("after-blob-recorded");
}

/* Blobs, then a record for each that names it, as an archive does. Tells the parent after each
 * commit how many are promised. */
CHILD(store_and_promise)
{
    struct error err;
    int promises = (int)strtol(getenv("STORAGE_TEST_PIPE"), NULL, 10);
    for (unsigned i = 0; i < 30; i++) {
        struct transaction *transaction = NULL;
        uint8_t bytes[BLOB_ID_SIZE];
        char key[16];
        struct blob_id id = quick_blob(storage, "k", 20000 + i * 1000, i);
        blob_id_encode(&id, bytes);
        snprintf(key, sizeof(key), "%u", i);
        if (!transaction_open(storage, &transaction, &err))
            return;
        transaction_put(transaction, TABLE_RECORD, slice_text(key), slice_of(bytes, sizeof(bytes)));
        transaction_append_feed(transaction, slice_text(key));
        bool ok = transaction_commit(transaction, &err);
        transaction_close(transaction);
        if (!ok || write(promises, "x", 1) != 1)
            return;
    }
}

static void check_promises(struct storage *storage, unsigned promised)
{
    struct error err = { 0 };
    struct buffer value = buffer_up_to(64);
    unsigned present = 0;
    bool found = true;
    for (unsigned i = 0; i < 30 && found; i++) {
        char key[16];
        struct blob_id id;
        snprintf(key, sizeof(key), "%u", i);
        CHECK_OK(storage_get(storage, TABLE_RECORD, slice_text(key), &value, &found, &err), err);
        if (!found)
            break;
        present++;
        blob_id_decode(value.data, &id);
        CHECK(blob_equals(storage, &id, 20000 + i * 1000, i));
    }
    buffer_release(&value);
    CHECK(present >= promised);
    CHECK(present <= promised + 1);
    CHECK_INT(feed_latest(storage), present);
}

TEST(kill_at_any_point_loses_nothing_that_was_promised)
{
    static const char *const points[] = { "before-segment-write", "after-segment-write",
                                          "after-segment-sync", "after-index-write",
                                          "after-commit" };
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        char path[128];
        char fault[64];
        char byte;
        char text[16];
        int promise_pipe[2];
        unsigned promised = 0;
        snprintf(path, sizeof(path), "%s", test_folder());
        snprintf(fault, sizeof(fault), "%s:%d", points[i], 17);
        CHECK(pipe(promise_pipe) == 0);
        snprintf(text, sizeof(text), "%d", promise_pipe[1]);
        setenv("STORAGE_TEST_PIPE", text, 1);
        pid_t child = child_start("store_and_promise", path, false, fault);
        close(promise_pipe[1]);
        while (read(promise_pipe[0], &byte, 1) == 1)
            promised++;
        close(promise_pipe[0]);
        child_wait(child);
#ifdef HOUNSFIELD_FAULTS
        CHECK_INT(promised, 16);
#endif
        struct storage *storage = open_store(path, false);
        check_promises(storage, promised);
        struct blob_id id = store_blob(storage, "after", 5000, 99);
        CHECK(blob_equals(storage, &id, 5000, 99));
        check_promises(storage, promised);
        storage_close(storage);
    }
}

CHILD(stream_half)
{
    struct error err;
    struct blob_writer *writer = NULL;
    uint8_t *bytes = make_bytes(1 << 20, 3);
    if (blob_writer_open(storage, slice_text("big"), &writer, &err))
        for (int i = 0; i < 50; i++)
            blob_writer_write(writer, slice_of(bytes, 1 << 20), &err);
    free(bytes);
}

TEST(big_blob_that_a_crash_cut_off_leaves_nothing)
{
    char path[128];
    char file[256];
    struct stat status;
    snprintf(path, sizeof(path), "%s", test_folder());
    child_run("stream_half", path, false);
    segment_file(path, 1, file);
    CHECK(stat(file, &status) == 0);
    struct storage *storage = open_store(path, false);
    CHECK(stat(file, &status) != 0);
    CHECK_TEXT(walk_text(storage), "");
    storage_close(storage);
}

CHILD(fill_segments)
{
    for (unsigned i = 0; i < 10; i++) {
        struct error err;
        struct transaction *transaction = NULL;
        quick_blob(storage, "k", 300000, i);
        if (transaction_open(storage, &transaction, &err))
            transaction_append_feed(transaction, slice_text("x"));
        transaction_commit(transaction, &err);
        transaction_close(transaction);
    }
}

TEST(counts_of_the_segments_are_right_after_a_crash)
{
    struct storage_figures figures;
    char path[128];
    snprintf(path, sizeof(path), "%s", test_folder());
    child_run("fill_segments", path, false);
    for (int round = 0; round < 2; round++) {
        struct storage *storage = open_store(path, false);
        storage_figures(storage, &figures);
        CHECK_INT(figures.segments, 4);
        CHECK_INT(figures.blob_bytes, 10 * 303104);
        CHECK_INT(figures.dead_bytes, 0);
        storage_close(storage);
    }
}

/* It would open as an empty archive, and its feed would begin anew behind all who follow it. */
TEST(segments_without_their_index_are_refused)
{
    struct error err = { 0 };
    struct storage *storage = NULL;
    char path[128];
    char command[320];
    snprintf(path, sizeof(path), "%s", test_folder());
    const struct storage_options options = { .path = path };
    child_run("fill_segments", path, false);
    snprintf(command, sizeof(command), "mv %s/index %s/away", path, path);
    CHECK(system(command) == 0);
    CHECK(!storage_open(&options, &storage, &err));
    CHECK(err.code == ERROR_CORRUPT && strstr(err.message, "index"));
    snprintf(command, sizeof(command), "mv %s/away %s/index", path, path);
    CHECK(system(command) == 0);
    CHECK_OK(storage_open(&options, &storage, &err), err);
    storage_close(storage);
}

TEST(segment_file_that_vanished_is_an_error_and_not_a_deletion)
{
    struct error err = { 0 };
    char path[128];
    char file[256];
    struct storage_figures figures;
    struct blob *blob = NULL;
    struct blob_id ids[4];
    snprintf(path, sizeof(path), "%s", test_folder());
    struct storage *storage = open_store(path, false);
    for (unsigned i = 0; i < 4; i++)
        ids[i] = store_blob(storage, "k", 300000, i); /* three in a segment */
    put_one(storage, TABLE_RECORD, "key", "value");
    storage_close(storage);
    segment_file(path, 1, file);
    storage = open_store(path, false);
    CHECK(unlink(file) == 0); /* while it is not open */
    for (int round = 0; round < 2; round++) {
        CHECK(!blob_open(storage, &ids[0], &blob, &err));
        CHECK_INT(err.code, ERROR_CORRUPT);
        CHECK(strstr(err.message, "segment 1") && strstr(err.message, "gone"));
        storage_figures(storage, &figures);
        CHECK_INT(figures.missing_segments, 1);
        CHECK(blob_equals(storage, &ids[3], 300000, 3));
        struct blob_id id = store_blob(storage, "k", 1000, 7);
        CHECK(blob_equals(storage, &id, 1000, 7));
        delete_blob(storage, &ids[1]); /* there is nothing to give back */
        CHECK(wait_for_pending(storage, 0));
        storage_close(storage);
        storage = open_store(path, false);
    }
    storage_close(storage);
}

CHILD(delete_the_last)
{
    struct error err;
    struct transaction *transaction = NULL;
    quick_blob(storage, "kept", 50000, 1);
    struct blob_id id = quick_blob(storage, "gone", 60000, 2);
    if (transaction_open(storage, &transaction, &err)) {
        transaction_delete_blob(transaction, &id);
        transaction_commit(transaction, &err);
        wait_for_pending(storage, 0);
    }
}

/* Who knows the place from before must not find another record there. */
TEST(place_of_a_deleted_record_is_not_given_out_again_after_a_crash)
{
    char path[128];
    struct error err = { 0 };
    struct blob *blob = NULL;
    snprintf(path, sizeof(path), "%s", test_folder());
    child_run("delete_the_last", path, false);
    struct storage *storage = open_store(path, false);
    struct blob_id id = store_blob(storage, "new", 60000, 3);
    CHECK_INT(id.offset, OFFSET_THREE);
    CHECK_TEXT(walk_text(storage), "kept:L new:L ");
    struct blob_id gone = { .segment = 1, .offset = OFFSET_TWO, .size = 60000 };
    CHECK(!blob_open(storage, &gone, &blob, &err));
    storage_close(storage);
}

/* Bytes that this process has read by now. */
static uint64_t bytes_read(void)
{
    unsigned long long bytes = 0;
    FILE *file = fopen("/proc/self/io", "r");
    CHECK(file && fscanf(file, "rchar: %llu", &bytes) == 1);
    fclose(file);
    return bytes;
}

CHILD(begin_a_wide_segment)
{
    struct error err;
    char path[160];
    struct storage *wide = NULL;
    snprintf(path, sizeof(path), "%s/wide", getenv("STORAGE_TEST_PATH"));
    storage_close(storage);
    const struct storage_options options = { .path = path, .segment_size = 256 << 20 };
    if (storage_open(&options, &wide, &err))
        quick_blob(wide, "one", 300000, 1);
}

TEST(start_after_a_crash_does_not_read_what_was_never_written)
{
    struct error err = { 0 };
    char path[160];
    struct storage *storage = NULL;
    const char *folder = test_folder();
    snprintf(path, sizeof(path), "%s/wide", folder);
    child_run("begin_a_wide_segment", folder, false);
    const struct storage_options options = { .path = path, .segment_size = 256 << 20 };
    uint64_t before = bytes_read();
    CHECK_OK(storage_open(&options, &storage, &err), err);
    CHECK(bytes_read() - before < 4 << 20);
    CHECK_TEXT(walk_text(storage), "one:L ");
    storage_close(storage);
}

TEST(many_deleted_neighbours_leave_one_hole_that_walks_step_over)
{
    enum { COUNT = 200 };
    struct error err = { 0 };
    char path[128];
    char file[256];
    struct stat status;
    struct blob_id ids[COUNT];
    struct storage_segment_figures figures;
    struct transaction *transaction = NULL;
    bool found = false;
    snprintf(path, sizeof(path), "%s", test_folder());
    struct storage *storage = open_store(path, false);
    for (unsigned i = 0; i < COUNT; i++)
        ids[i] = store_blob(storage, i == 0 || i == COUNT - 1 ? "kept" : "gone", 3000, i);
    CHECK_OK(transaction_open(storage, &transaction, &err), err);
    for (unsigned i = 1; i < COUNT - 1; i++)
        transaction_delete_blob(transaction, &ids[i]);
    CHECK_OK(transaction_commit(transaction, &err), err);
    transaction_close(transaction);
    CHECK(wait_for_pending(storage, 0));
    storage_segment_figures(storage, 0, &figures, &found);
    CHECK_INT(figures.records, COUNT);
    CHECK_INT(figures.dead_records, COUNT - 2);
    CHECK_INT(figures.dead_bytes, (COUNT - 2) * 4096);
    CHECK_INT(figures.held_bytes, 0);
    CHECK_TEXT(walk_text(storage), "kept:L kept:L ");
    storage_close(storage);
    segment_file(path, 1, file);
    CHECK(stat(file, &status) == 0);
    CHECK(status.st_blocks * 512 <= 8 * 4096);
    storage = open_store(path, false);
    CHECK_TEXT(walk_text(storage), "kept:L kept:L ");
    CHECK(blob_equals(storage, &ids[0], 3000, 0));
    CHECK(blob_equals(storage, &ids[COUNT - 1], 3000, COUNT - 1));
    storage_close(storage);
}

TEST(file_system_that_cannot_punch_keeps_the_records_as_dead)
{
    struct error err = { 0 };
    char path[128];
    struct storage_figures figures;
    struct storage *storage = NULL;
    snprintf(path, sizeof(path), "%s", test_folder());
    const struct storage_options options = { .path = path,
                                             .segment_size = SMALL_SEGMENT,
                                             .cannot_punch = true };
    CHECK_OK(storage_open(&options, &storage, &err), err);
    struct blob_id id = store_blob(storage, "gone", 300000, 1);
    store_blob(storage, "kept", 300000, 2);
    delete_blob(storage, &id);
    CHECK(wait_for_pending(storage, 0));
    CHECK_TEXT(walk_text(storage), "gone:D kept:L ");
    storage_figures(storage, &figures);
    CHECK_INT(figures.dead_bytes, 303104);
    storage_close(storage);
}

TEST(broken_index_is_refused_with_the_way_out)
{
    char path[128];
    char command[512];
    struct error err = { 0 };
    struct storage *storage = NULL;
    snprintf(path, sizeof(path), "%s", test_folder());
    const struct storage_options options = { .path = path };
    storage_close(open_store(path, false));
    snprintf(
        command, sizeof(command),
        "printf '\\377' | dd of=$(ls %s/index/MANIFEST-* | tail -n 1) bs=1 seek=40 conv=notrunc "
        "2>&1 | cat >/dev/null",
        path);
    CHECK(system(command) == 0);
    CHECK(!storage_open(&options, &storage, &err));
    CHECK_INT(err.code, ERROR_CORRUPT);
    CHECK(strstr(err.message, "hounsfield rebuild"));
}
