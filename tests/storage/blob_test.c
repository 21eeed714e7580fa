/* SPDX-License-Identifier: MIT */
#include "storage/blob.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "storage/blob_limits.h"
#include "tests/storage/support.h"

TEST(blob_id_survives_encoding_and_sorts_by_place)
{
    struct blob_id id = { 7, 0xDEADBEEF, 4096, 12345678901 };
    struct blob_id back;
    uint8_t bytes[BLOB_ID_SIZE];
    blob_id_encode(&id, bytes);
    blob_id_decode(bytes, &back);
    CHECK(back.segment == 7 && back.crc32c == 0xDEADBEEF && back.offset == 4096 &&
          back.size == 12345678901);
}

TEST(blobs_of_all_sizes_read_back_as_they_were_written_also_after_reopening)
{
    static const size_t sizes[] = { 0, 1, 3455, 3456, 3457, 4096, 100000, 1 << 20, 3 << 20 };
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    const char *path = mem_copy_text(test_folder());
    struct blob_id ids[COUNT];
    for (int round = 0; round < 2; round++) {
        struct storage *storage = open_store(path, false);
        for (unsigned i = 0; i < COUNT; i++) {
            if (round == 0)
                ids[i] = store_blob(storage, "key", sizes[i], i);
            CHECK(blob_equals(storage, &ids[i], sizes[i], i));
        }
        storage_close(storage);
    }
    free((char *)path);
}

TEST(small_blob_shows_its_bytes_while_it_is_gathered)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct blob_writer *writer = NULL;
    struct space space;
    CHECK_OK(blob_writer_open(storage, slice_text(""), &writer, &err), err);
    CHECK_INT(blob_writer_bytes(writer).size, 0);
    CHECK(blob_writer_bytes(writer).data);
    CHECK_OK(blob_writer_space(writer, 5, &space, &err), err);
    CHECK(space.size >= 1 && space.size <= 5);
    memcpy(space.data, "hello", 5);
    CHECK_OK(blob_writer_advance(writer, 5, &err), err);
    CHECK_OK(blob_writer_write(writer, slice_text(" world"), &err), err);
    CHECK_INT(blob_writer_size(writer), 11);
    CHECK(slice_equals_text(blob_writer_bytes(writer), "hello world"));
    blob_writer_close(writer);
    storage_close(storage);
}

TEST(writer_closed_without_finish_leaves_no_trace)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct blob_writer *writer = NULL;
    struct blob_walk *walk = NULL;
    struct blob_record record;
    bool found = true;
    CHECK_OK(blob_writer_open(storage, slice_text("k"), &writer, &err), err);
    CHECK_OK(blob_writer_write(writer, slice_text("bytes"), &err), err);
    blob_writer_close(writer);
    CHECK_OK(blob_walk_open(storage, &walk, &err), err);
    CHECK_OK(blob_walk_next(walk, &record, &found, &err), err);
    CHECK(!found);
    blob_walk_close(walk);
    storage_close(storage);
}

static bool write_big(struct storage *storage, uint64_t size, bool finish, struct blob_id *id)
{
    struct error err = { 0 };
    struct blob_writer *writer = NULL;
    uint8_t *bytes = make_bytes(1 << 20, 3);
    CHECK_OK(blob_writer_open(storage, slice_text("late"), &writer, &err), err);
    bool ok = true;
    for (uint64_t left = size; ok && left;) {
        size_t piece = left < 1 << 20 ? (size_t)left : 1 << 20;
        ok = blob_writer_write(writer, slice_of(bytes, piece), &err);
        left -= piece;
    }
    bool streams = blob_writer_bytes(writer).data == NULL;
    blob_writer_set_key(writer, slice_text("big"));
    if (finish)
        ok = ok && blob_writer_finish(writer, id, &err);
    blob_writer_close(writer);
    free(bytes);
    return ok && streams;
}

TEST(big_blob_streams_into_a_segment_of_its_own)
{
    struct error err = { 0 };
    uint64_t size = BLOB_BLOCK_SIZE + 9 * (uint64_t)(1 << 20) + 17;
    const char *path = mem_copy_text(test_folder());
    struct storage *storage = open_store(path, false);
    struct blob_id small = store_blob(storage, "small", 100, 1);
    struct blob_id id;
    struct blob_walk *walk = NULL;
    struct blob_record record;
    bool found = false;
    CHECK(write_big(storage, size, true, &id));
    CHECK(id.segment != small.segment && id.size == size);
    struct blob_id after = store_blob(storage, "after", 100, 2);
    CHECK_INT(after.segment, small.segment);
    storage_close(storage);

    storage = open_store(path, false);
    struct blob *blob = NULL;
    CHECK_OK(blob_open(storage, &id, &blob, &err), err);
    CHECK_OK(blob_verify(blob, &err), err);
    CHECK_INT(blob_size(blob), size);
    blob_close(blob);
    CHECK_OK(blob_walk_open(storage, &walk, &err), err);
    int count = 0;
    while (blob_walk_next(walk, &record, &found, &err) && found)
        count += slice_equals_text(record.key, count == 2 ? "big" : count ? "after" : "small");
    CHECK_INT(count, 3);
    blob_walk_close(walk);
    storage_close(storage);
    free((char *)path);
}

TEST(blobs_stream_early_when_all_together_hold_too_much_memory)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct blob_id ids[2];
    block_pool_set_budget(storage->pool, 2 * BLOB_PIECE_SIZE);
    CHECK(!write_big(storage, 2 * BLOB_PIECE_SIZE, true, &ids[0])); /* fits */
    CHECK(
        !write_big(storage, 2 * BLOB_PIECE_SIZE, true, &ids[1])); /* what it held was given back */
    CHECK(write_big(storage, 5 * BLOB_PIECE_SIZE + 17, true, &ids[0]));
    block_pool_set_budget(storage->pool, 0);
    CHECK(write_big(storage, BLOB_PIECE_SIZE + 1, true, &ids[1]));
    for (int i = 0; i < 2; i++) {
        struct blob *blob = NULL;
        CHECK_OK(blob_open(storage, &ids[i], &blob, &err), err);
        CHECK_OK(blob_verify(blob, &err), err);
        blob_close(blob);
    }
    CHECK(ids[0].size == 5 * BLOB_PIECE_SIZE + 17 && ids[1].size == BLOB_PIECE_SIZE + 1);
    storage_close(storage);
}

TEST(big_blob_closed_without_finish_leaves_no_segment)
{
    struct storage *storage = open_store(test_folder(), true);
    struct storage_figures figures;
    struct blob_id id;
    CHECK(write_big(storage, BLOB_BLOCK_SIZE + 100, false, &id));
    storage_figures(storage, &figures);
    CHECK_INT(figures.segments, 0);
    storage_close(storage);
}

TEST(deleted_big_blob_takes_its_segment_with_it)
{
    struct storage *storage = open_store(test_folder(), true);
    struct storage_figures figures = { .segments = 1 };
    struct blob_id id;
    CHECK(write_big(storage, BLOB_BLOCK_SIZE + 100, true, &id));
    delete_blob(storage, &id);
    for (unsigned turn = 0; figures.segments && test_wait(&turn);)
        storage_figures(storage, &figures);
    CHECK_INT(figures.segments, 0);
    CHECK_INT(figures.blob_bytes, 0);
    storage_close(storage);
}

TEST(range_of_a_blob_can_be_read_from_its_file)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct blob_id id = store_blob(storage, "k", 5000, 9);
    struct blob *blob = NULL;
    uint8_t *expected = make_bytes(5000, 9);
    uint8_t bytes[100];
    CHECK_OK(blob_open(storage, &id, &blob, &err), err);
    struct file_range range = blob_range(blob, 4000, 100);
    CHECK_INT(range.size, 100);
    CHECK(pread(range.fd, bytes, 100, (off_t)range.offset) == 100);
    CHECK(memcmp(bytes, expected + 4000, 100) == 0);
    CHECK(!blob_read(blob, 4950, (struct space){ bytes, 100 }, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    blob_close(blob);
    free(expected);
    storage_close(storage);
}

TEST(key_that_is_too_long_is_refused)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct blob_writer *writer = NULL;
    struct blob_id id;
    uint8_t *key = make_bytes(513, 1);
    CHECK_OK(blob_writer_open(storage, slice_of(key, 513), &writer, &err), err);
    CHECK(!blob_writer_finish(writer, &id, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    blob_writer_set_key(writer, slice_of(key, 512));
    CHECK_OK(blob_writer_finish(writer, &id, &err), err);
    blob_writer_close(writer);
    free(key);
    storage_close(storage);
}

TEST(id_of_another_blob_is_found_out)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct blob_id id = store_blob(storage, "k", 5000, 9);
    struct blob *blob = NULL;
    struct blob_id wrong = id;
    wrong.crc32c ^= 1;
    CHECK(!blob_open(storage, &wrong, &blob, &err));
    CHECK_INT(err.code, ERROR_CORRUPT);
    wrong = id;
    wrong.segment = 99; /* its file is gone, or never was */
    CHECK(!blob_open(storage, &wrong, &blob, &err));
    CHECK_INT(err.code, ERROR_CORRUPT);
    wrong = id;
    wrong.offset = 1 << 30;
    CHECK(!blob_open(storage, &wrong, &blob, &err));
    CHECK_INT(err.code, ERROR_CORRUPT);
    storage_close(storage);
}

TEST(rot_in_a_payload_is_found_by_verify)
{
    struct error err = { 0 };
    const char *path = mem_copy_text(test_folder());
    char file[256];
    struct storage *storage = open_store(path, true);
    struct blob_id id = store_blob(storage, "k", 50000, 9);
    struct blob *blob = NULL;
    segment_file(path, id.segment, file);
    int fd = open(file, O_RDWR);
    CHECK(pwrite(fd, "rot", 3, (off_t)id.offset + 20000) == 3);
    close(fd);
    CHECK_OK(blob_open(storage, &id, &blob, &err), err);
    CHECK(!blob_verify(blob, &err));
    CHECK_INT(err.code, ERROR_CORRUPT);
    blob_close(blob);
    storage_close(storage);
    free((char *)path);
}

TEST(walk_shows_every_record_in_the_order_of_writing_with_its_key)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct blob_id ids[40];
    char key[16];
    for (unsigned i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        ids[i] = store_blob(storage, key, 100000, i);
    }
    struct blob_walk *walk = NULL;
    struct blob_record record;
    struct blob *reader = NULL;
    bool found = true;
    CHECK_OK(blob_open(storage, &ids[7], &reader, &err), err); /* so that it stays for now */
    delete_blob(storage, &ids[7]);
    CHECK_OK(blob_walk_open(storage, &walk, &err), err);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        CHECK_OK(blob_walk_next(walk, &record, &found, &err), err);
        CHECK(found);
        CHECK(slice_equals_text(record.key, key));
        CHECK(memcmp(&record.id, &ids[i], sizeof(ids[i])) == 0);
        CHECK_INT(record.dead, i == 7);
    }
    CHECK_OK(blob_walk_next(walk, &record, &found, &err), err);
    CHECK(!found);
    blob_walk_close(walk);
    blob_close(reader);
    CHECK(ids[39].segment > ids[0].segment);
    storage_close(storage);
}

TEST(deleted_blob_is_gone_and_its_space_is_given_back)
{
    struct error err = { 0 };
    const char *path = mem_copy_text(test_folder());
    char file[256];
    struct stat before;
    struct stat after;
    struct storage *storage = open_store(path, true);
    struct storage_figures figures;
    struct blob_id id = store_blob(storage, "k", 500000, 1);
    struct blob_id kept = store_blob(storage, "k", 1000, 2);
    struct blob *blob = NULL;
    segment_file(path, id.segment, file);
    CHECK(stat(file, &before) == 0);
    delete_blob(storage, &id);
    CHECK(!blob_open(storage, &id, &blob, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    CHECK(wait_for_pending(storage, 0));
    CHECK(stat(file, &after) == 0);
    CHECK(after.st_blocks * 512 <= before.st_blocks * 512 - 500000);
    CHECK(!blob_open(storage, &id, &blob, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    CHECK(blob_equals(storage, &kept, 1000, 2));
    storage_figures(storage, &figures);
    CHECK_INT(figures.blob_bytes, 4096);
    CHECK_INT(figures.dead_bytes, 0);
    storage_close(storage);
    free((char *)path);
}

TEST(blob_that_is_being_read_stays_until_it_is_closed)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct blob_id id = store_blob(storage, "k", 300000, 1);
    struct blob *blob = NULL;
    struct blob *second = NULL;
    CHECK_OK(blob_open(storage, &id, &blob, &err), err);
    delete_blob(storage, &id);
    CHECK(!blob_open(storage, &id, &second, &err));
    CHECK_INT(err.code, ERROR_NOT_FOUND);
    nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
    CHECK(reclaim_pending_bytes(storage->reclaim) > 0);
    CHECK_OK(blob_verify(blob, &err), err);
    blob_close(blob);
    CHECK(wait_for_pending(storage, 0));
    storage_close(storage);
}

TEST(discarded_blob_is_dead_after_reopening)
{
    struct error err = { 0 };
    const char *path = mem_copy_text(test_folder());
    struct storage *storage = open_store(path, false);
    struct blob_id id = store_blob(storage, "k", 300000, 1);
    struct blob *blob = NULL;
    CHECK_OK(blob_discard(storage, &id, &err), err);
    CHECK(!blob_open(storage, &id, &blob, &err));
    storage_close(storage);
    storage = open_store(path, false);
    CHECK(!blob_open(storage, &id, &blob, &err));
    storage_close(storage);
    free((char *)path);
}

TEST(segment_that_cannot_be_read_is_not_removed)
{
    char file[256];
    struct error err = { 0 };
    struct segment *segment = NULL;
    struct blob_id ids[3];
    const char *path = test_folder();
    struct storage *storage = open_store(path, true);
    for (unsigned i = 0; i < 3; i++)
        ids[i] = store_blob(storage, "k", 400000, i); /* two in a segment */
    CHECK(ids[2].segment > ids[0].segment);
    /* Counts that a crash left wrong say that nothing lives in it. */
    CHECK_OK(segments_pin(storage->segments, ids[0].segment, &segment, &err), err);
    for (int i = 0; i < 2; i++)
        segments_count_dead(storage->segments, segment, record_extent(400000), 0, false);
    segments_unpin(storage->segments, segment);
    segment_file(path, ids[0].segment, file);
    CHECK(truncate(file, SEGMENT_BLOCK) == 0); /* reads fail from here on */
    CHECK(!segments_take_dead(storage->segments));
    CHECK(access(file, F_OK) == 0);
    CHECK(!segments_take_dead(storage->segments));
    storage_close(storage);
}

TEST(segment_without_a_living_record_is_removed_and_its_number_is_not_used_again)
{
    const char *path = mem_copy_text(test_folder());
    char file[256];
    struct stat status;
    struct blob_id ids[6];
    struct storage_figures figures;
    struct storage *storage = open_store(path, false);
    for (unsigned i = 0; i < 6; i++)
        ids[i] = store_blob(storage, "k", 400000, i); /* two in a segment */
    CHECK_INT(ids[5].segment, 3);
    for (unsigned i = 0; i < 4; i++)
        delete_blob(storage, &ids[i]);
    CHECK(wait_for_pending(storage, 0));
    storage_close(storage);
    segment_file(path, 1, file);
    CHECK(stat(file, &status) != 0);
    segment_file(path, 2, file);
    CHECK(stat(file, &status) != 0);

    storage = open_store(path, false);
    storage_figures(storage, &figures);
    CHECK_INT(figures.segments, 1);
    CHECK(blob_equals(storage, &ids[4], 400000, 4));
    CHECK(blob_equals(storage, &ids[5], 400000, 5));
    storage_close(storage);
    free((char *)path);
}

struct writing {
    struct storage *storage;
    unsigned first;
    bool ok;
};

static void *write_many(void *argument)
{
    struct writing *writing = argument;
    struct error err = { 0 };
    writing->ok = true;
    for (unsigned i = 0; i < 30 && writing->ok; i++) {
        struct blob_id id;
        unsigned seed = writing->first + i;
        size_t size = 1000 + seed * 997 % 90000;
        uint8_t *bytes = make_bytes(size, seed);
        writing->ok = write_blob(writing->storage, "k", slice_of(bytes, size), &id, &err) &&
                      blob_equals(writing->storage, &id, size, seed);
        free(bytes);
        if (i % 3 == 0)
            writing->ok = writing->ok && blob_discard(writing->storage, &id, &err);
    }
    return NULL;
}

TEST(eight_writers_at_once_get_back_what_each_of_them_wrote)
{
    enum { THREADS = 8 };
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    pthread_t threads[THREADS];
    struct writing writings[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        writings[i] = (struct writing){ .storage = storage, .first = i * 1000 };
        pthread_create(&threads[i], NULL, write_many, &writings[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(writings[i].ok);
    struct blob_walk *walk = NULL;
    struct blob_record record;
    bool found = true;
    int live = 0;
    CHECK(wait_for_pending(storage, 0));
    CHECK_OK(blob_walk_open(storage, &walk, &err), err);
    while (blob_walk_next(walk, &record, &found, &err) && found)
        live += !record.dead;
    blob_walk_close(walk);
    CHECK_INT(live, THREADS * 20);
    storage_close(storage);
}

static int count_open_files(void)
{
    int count = 0;
    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

TEST(many_segments_are_read_with_a_bounded_number_of_open_files)
{
    enum { COUNT = 400 };
    struct error err = { 0 };
    struct storage *storage = NULL;
    struct blob_id ids[COUNT];
    struct storage_figures figures;
    struct storage_options options = { .path = test_folder(),
                                       .segment_size = 8192,
                                       .index_in_memory = true };
    CHECK_OK(storage_open(&options, &storage, &err), err);
    int before = count_open_files();
    for (unsigned i = 0; i < COUNT; i++)
        ids[i] = store_blob(storage, "k", 3000, i);
    storage_figures(storage, &figures);
    CHECK_INT(figures.segments, COUNT);
    struct blob *first = NULL;
    CHECK_OK(blob_open(storage, &ids[0], &first, &err), err);
    int fd = blob_range(first, 0, 1).fd;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < COUNT; i++)
            CHECK(blob_equals(storage, &ids[i], 3000, i));
    CHECK(count_open_files() <= before + 2 * 257 + 4);
    CHECK_INT(blob_range(first, 0, 1).fd, fd);
    CHECK_OK(blob_verify(first, &err), err);
    blob_close(first);
    storage_close(storage);
}

TEST(reading_and_deleting_beside_writers_finds_every_blob_whole)
{
    enum { COUNT = 200 };
    struct storage *storage = open_store(test_folder(), true);
    struct writing writing = { .storage = storage, .first = 5000 };
    pthread_t thread;
    pthread_create(&thread, NULL, write_many, &writing);
    bool ok = true;
    for (unsigned i = 0; i < COUNT && ok; i++) {
        struct error err = { 0 };
        struct blob_id id = store_blob(storage, "k", 3000 + i * 13, i);
        ok = blob_equals(storage, &id, 3000 + i * 13, i) &&
             (i % 2 || blob_discard(storage, &id, &err));
    }
    pthread_join(thread, NULL);
    CHECK(ok);
    CHECK(writing.ok);
    storage_close(storage);
}

TEST(figures_of_each_segment_say_what_in_it_lives_and_what_is_dead)
{
    struct storage *storage = open_store(test_folder(), false);
    struct storage_segment_figures figures;
    bool found = false;
    storage_segment_figures(storage, 0, &figures, &found);
    CHECK(!found);
    for (unsigned i = 0; i < 3; i++)
        store_blob(storage, "a", 300000, i); /* 303104 bytes each, three to a segment */
    struct blob_id id = store_blob(storage, "b", 300000, 3);
    store_blob(storage, "big", 34 << 20, 4);
    delete_blob(storage, &id);
    CHECK(wait_for_pending(storage, 0));
    storage_segment_figures(storage, 0, &figures, &found);
    CHECK(found && figures.number == 1 && figures.sealed && !figures.single);
    CHECK_INT(figures.records, 3);
    CHECK_INT(figures.bytes, 3 * 303104);
    CHECK_INT(figures.dead_records + figures.dead_bytes + figures.held_bytes, 0);
    storage_segment_figures(storage, 1, &figures, &found);
    CHECK(found && figures.number == 2 && !figures.sealed && !figures.single);
    CHECK_INT(figures.records, 1);
    CHECK_INT(figures.dead_records, 1);
    CHECK_INT(figures.dead_bytes, 303104);
    CHECK(figures.held_bytes <= figures.dead_bytes);
    storage_segment_figures(storage, 2, &figures, &found);
    CHECK(found && figures.number == 3 && figures.sealed && figures.single);
    CHECK(figures.records == 1 && figures.bytes > 34 << 20);
    storage_segment_figures(storage, 3, &figures, &found);
    CHECK(!found);
    storage_segment_figures(storage, UINT32_MAX, &figures, &found);
    CHECK(!found);
    storage_close(storage);
}

static void read_all_aside(struct storage *storage, const struct blob_id *id, uint8_t *bytes,
                           const uint8_t *expected)
{
    struct error err = { 0 };
    struct blob *blob = NULL;
    struct space space = { bytes, id->size };
    CHECK_OK(blob_open_aside(storage, id, &blob, &err), err);
    CHECK_OK(blob_read(blob, 0, space, &err), err);
    CHECK(memcmp(bytes, expected, id->size) == 0);
    CHECK_OK(blob_verify(blob, &err), err);
    for (size_t at = 0; at < id->size; at += 70001) {
        size_t size = id->size - at < 70001 ? id->size - at : 70001;
        memset(bytes, 0, size);
        CHECK_OK(blob_read_disk(blob, at, (struct space){ bytes, size }, &err), err);
        CHECK(memcmp(bytes, expected + at, size) == 0);
    }
    CHECK(!blob_read_disk(blob, id->size, (struct space){ bytes, 1 }, &err));
    CHECK_INT(err.code, ERROR_INVALID);
    blob_close(blob);
}

static void check_aside(const char *name, size_t size)
{
    enum { COUNT = 3, ATTEMPTS = 10 };
    struct error err = { 0 };
    struct blob_id ids[COUNT];
    struct blob *blob = NULL;
    char path[128];
    uint8_t *expected[COUNT], *bytes = mem_alloc(size);
    snprintf(path, sizeof(path), "%s/%s", test_folder(), name);
    struct storage *storage = open_store(path, false);
    for (unsigned i = 0; i < COUNT; i++) {
        ids[i] = store_blob(storage, "key", size, i);
        expected[i] = mem_alloc(size);
        CHECK_OK(blob_open(storage, &ids[i], &blob, &err), err);
        CHECK_OK(blob_read(blob, 0, (struct space){ expected[i], size }, &err), err);
        blob_close(blob);
    }
    /* The kernel may keep or lose a page that is on its way to one of its lists, but not each time.
     */
    bool is_as_it_was = false;
    for (int attempt = 0; !is_as_it_was && attempt < ATTEMPTS; attempt++) {
        drop_cached_pages(path);
        CHECK_OK(blob_open(storage, &ids[1], &blob, &err), err);
        CHECK_OK(blob_read(blob, 0, (struct space){ bytes, size }, &err), err);
        blob_close(blob);
        size_t before = cached_pages(path);
        for (unsigned i = 0; i < COUNT; i++)
            read_all_aside(storage, &ids[i], bytes, expected[i]);
        is_as_it_was = before >= size / 4096 && cached_pages(path) == before;
    }
    CHECK(is_as_it_was);
    for (unsigned i = 0; i < COUNT; i++)
        free(expected[i]);
    free(bytes);
    storage_close(storage);
}

TEST(who_reads_all_there_is_leaves_the_page_cache_as_it_was)
{
    CHECK(mkdir(test_folder(), 0700) == 0 || access(test_folder(), F_OK) == 0);
    check_aside("big", 250001);
    check_aside("small", 3000); /* read at once with its header */
    check_aside("smallest", 1);
}

/* Byte `at` of a payload that no piece of another place equals. */
static uint8_t byte_at(uint64_t at)
{
    return (uint8_t)(at ^ at >> 8 ^ at >> 16 ^ at >> 24);
}

static void check_read_back(uint64_t size)
{
    struct error err = { 0 };
    struct storage *storage = open_store(test_folder(), true);
    struct blob_writer *writer = NULL;
    struct blob *blob = NULL, *copied = NULL;
    struct blob_id id, copy;
    uint8_t piece[4096];
    CHECK_OK(blob_writer_open(storage, slice_text("k"), &writer, &err), err);
    for (uint64_t at = 0; at < size;) {
        struct space space;
        CHECK_OK(blob_writer_space(writer, (size_t)(size - at), &space, &err), err);
        for (size_t i = 0; i < space.size; i++)
            space.data[i] = byte_at(at + i);
        CHECK_OK(blob_writer_advance(writer, space.size, &err), err);
        at += space.size;
    }
    for (uint64_t at = 0; at + sizeof(piece) <= size; at += size / 997 + 1) {
        struct space space = { piece, sizeof(piece) };
        CHECK_OK(blob_writer_read(writer, at, space, &err), err);
        for (size_t i = 0; i < sizeof(piece); i++)
            CHECK_INT(piece[i], byte_at(at + i));
    }
    CHECK(!blob_writer_read(writer, size, (struct space){ piece, 1 }, &err));
    CHECK_OK(blob_writer_finish(writer, &id, &err), err);
    blob_writer_close(writer);
    CHECK_OK(blob_open(storage, &id, &blob, &err), err);
    CHECK_OK(blob_copy(storage, blob, &id, slice_text("other"), &copy, &err), err);
    CHECK_INT(copy.size, (long long)id.size);
    CHECK_INT(copy.crc32c, id.crc32c);
    CHECK(copy.segment != id.segment || copy.offset != id.offset);
    CHECK_OK(blob_open(storage, &copy, &copied, &err), err);
    CHECK_OK(blob_verify(copied, &err), err);
    blob_close(copied);
    blob_close(blob);
    storage_close(storage);
}

TEST(what_was_written_is_read_back_before_it_is_finished_and_can_be_copied)
{
    check_read_back(5000);
    check_read_back((uint64_t)40 << 20); /* a part of it stands in its segment already */
}
