/* SPDX-License-Identifier: MIT */
#include "archive/compact.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/blob_key.h"
#include "archive/changes.h"
#include "archive/core.h"
#include "archive/delete.h"
#include "archive/rebuild.h"
#include "archive/records.h"
#include "archive/retrieve.h"
#include "archive/verify.h"
#include "base/clock.h"
#include "storage/blob.h"
#include "tests/archive/fixture.h"

enum { SEGMENT_SIZE = 1 << 20, PIXELS = 100000, INSTANCES = 33 };

/* Small segments, on a file system that cannot give parts of a file back, if not said otherwise. */
static void open_small(struct fixture *fixture, const char *folder, bool can_punch)
{
    struct error err = { 0 };
    struct storage_options storage = { .path = folder,
                                       .segment_size = SEGMENT_SIZE,
                                       .cannot_punch = !can_punch };
    struct archive_options archive = { .ae_title = "TESTARCHIVE", .minimum_free_bytes = 1 };
    if (folder != fixture->folder)
        snprintf(fixture->folder, sizeof(fixture->folder), "%s", folder);
    CHECK_OK(storage_open(&storage, &fixture->storage, &err), err);
    CHECK_OK(archive_open(fixture->storage, &archive, &fixture->archive, &err), err);
}

static void reopen_small(struct fixture *fixture)
{
    fixture_close(fixture);
    open_small(fixture, fixture->folder, false);
}

static void name_instance(int number, char uid[UID_SIZE])
{
    snprintf(uid, UID_SIZE, "1.1.1.%d", number);
}

static struct object make_object(const char *uid, size_t pixels)
{
    return (struct object){ .study = "1.1",
                            .series = "1.1.1",
                            .instance = uid,
                            .patient_id = "A",
                            .patient_name = "DOE^JOHN",
                            .modality = "CT",
                            .pixels = pixels,
                            .fill = (uint8_t)atoi(uid + 6) };
}

static void store_some(struct fixture *fixture, int from, int count, size_t pixels)
{
    for (int i = from; i < from + count; i++) {
        char uid[UID_SIZE];
        name_instance(i, uid);
        struct object object = make_object(uid, pixels);
        store(fixture, &object);
    }
}

static bool remove_instance(struct archive *archive, int number, struct error *err)
{
    char uid[UID_SIZE];
    uint64_t count;
    name_instance(number, uid);
    return archive_delete(archive, "1.1", "1.1.1", uid, &count, err);
}

/* All but every third one. */
static void remove_most(struct fixture *fixture, int from, int count)
{
    struct error err = { 0 };
    for (int i = from; i < from + count; i++)
        if (i % 3)
            CHECK_OK(remove_instance(fixture->archive, i, &err), err);
}

static bool deleted_are_counted(struct fixture *fixture)
{
    struct storage_segment_figures figures = { 0 };
    struct storage_figures all;
    uint64_t alive = 0;
    bool found;
    storage_figures(fixture->storage, &all);
    for (;;) {
        storage_segment_figures(fixture->storage, figures.number, &figures, &found);
        if (!found)
            return alive == all.blob_bytes;
        alive += figures.bytes - figures.dead_bytes;
    }
}

static void wait_for_dead(struct fixture *fixture)
{
    CHECK_SOON(deleted_are_counted(fixture));
}

static bool has_segment(struct fixture *fixture, uint32_t number)
{
    struct storage_segment_figures figures;
    bool found;
    storage_segment_figures(fixture->storage, number - 1, &figures, &found);
    return found && figures.number == number;
}

static void wait_for_end_of(struct fixture *fixture, uint32_t number)
{
    CHECK_SOON(!has_segment(fixture, number));
}

static struct compact_report compact(struct fixture *fixture, double share, bool dry_run)
{
    const struct compact_options options = { .dead_share = share, .dry_run = dry_run };
    struct compact_report report;
    struct error err = { 0 };
    CHECK_OK(archive_compact(fixture->archive, &options, NULL, &report, &err), err);
    return report;
}

static void print_finding(void *context, const struct verify_finding *finding)
{
    (void)context;
    printf("    %s %s segment=%u offset=%llu %s\n", verify_kind_name(finding->kind),
           finding->identity.instance, finding->segment, (unsigned long long)finding->offset,
           finding->message);
}

static uint64_t count_findings(struct fixture *fixture, enum verify_kind but)
{
    const struct verify_options options = { .finding = print_finding };
    struct verify_report report;
    struct error err = { 0 };
    uint64_t findings = 0;
    CHECK_OK(archive_verify(fixture->archive, &options, NULL, &report, &err), err);
    for (int i = 0; i < VERIFY_KIND_COUNT; i++)
        findings += (enum verify_kind)i == but ? 0 : report.findings[i];
    return findings;
}

static bool read_pixels(struct instance *instance, uint8_t fill, struct error *err)
{
    struct file_range range;
    uint8_t bytes[2];
    if (!instance_dataset(instance, &range, err) ||
        !instance_read(instance, range.size - 2, (struct space){ bytes, 2 }, err))
        return false;
    return (bytes[0] == fill && bytes[1] == fill) || error_set(err, ERROR_CORRUPT, "other pixels");
}

static bool check_instance(struct archive *archive, int number, struct error *err)
{
    char uid[UID_SIZE];
    struct instance *instance = NULL;
    name_instance(number, uid);
    bool ok = instance_open(archive, "1.1", "1.1.1", uid, &instance, err) &&
              read_pixels(instance, (uint8_t)number, err);
    instance_close(instance);
    return ok;
}

/* Of `count` every third one is there. */
static void check_rest(struct fixture *fixture, int count)
{
    for (int i = 0; i < count; i++) {
        struct error err = { 0 };
        if (i % 3 == 0)
            CHECK_OK(check_instance(fixture->archive, i, &err), err);
        else
            CHECK(!check_instance(fixture->archive, i, &err) && err.code == ERROR_GONE);
    }
}

TEST(compaction_moves_what_lives_and_the_segments_go)
{
    struct fixture fixture;
    struct storage_figures before, after;
    open_small(&fixture, test_folder(), false);
    store_some(&fixture, 0, INSTANCES, PIXELS);
    remove_most(&fixture, 0, INSTANCES);
    wait_for_dead(&fixture);
    storage_figures(fixture.storage, &before);
    struct compact_report dry = compact(&fixture, 0.3, true);
    struct compact_report report = compact(&fixture, 0.3, false);
    CHECK_INT(report.segments, 3);
    CHECK_INT(report.moved, 10);
    CHECK_INT(report.kept + report.removed, 0);
    CHECK(report.freed_bytes > 18 * PIXELS);
    CHECK_INT(dry.segments, report.segments);
    CHECK_INT(dry.moved, report.moved);
    CHECK_INT(dry.moved_bytes, report.moved_bytes);
    CHECK_INT(dry.freed_bytes, report.freed_bytes);
    for (uint32_t number = 1; number <= 3; number++)
        wait_for_end_of(&fixture, number);
    wait_for_dead(&fixture);
    storage_figures(fixture.storage, &after);
    CHECK_INT(after.blob_bytes, before.blob_bytes);
    CHECK_INT(after.dead_bytes, before.dead_bytes - report.freed_bytes);
    CHECK_INT(compact(&fixture, 0.3, false).segments, 0);
    for (int round = 0; round < 2; round++) {
        check_rest(&fixture, INSTANCES);
        CHECK_TEXT(counts_text(&fixture), "1 1 1 11");
        CHECK_INT(count_findings(&fixture, VERIFY_KIND_COUNT), 0);
        CHECK_INT(changes_latest(fixture.archive), INSTANCES + 22);
        reopen_small(&fixture);
    }
    fixture_close(&fixture);
}

TEST(what_was_given_back_to_the_file_system_needs_no_compaction)
{
    struct fixture fixture;
    open_small(&fixture, test_folder(), true);
    store_some(&fixture, 0, INSTANCES, PIXELS);
    remove_most(&fixture, 0, INSTANCES);
    wait_for_dead(&fixture);
    CHECK_INT(compact(&fixture, 0.3, false).segments, 0);
    CHECK(has_segment(&fixture, 1));
    store_some(&fixture, 300, 600, 100); /* as small as a record can be */
    remove_most(&fixture, 300, 600);
    wait_for_dead(&fixture);
    CHECK_INT(compact(&fixture, 0.5, false).segments, 0);
    CHECK_INT(count_findings(&fixture, VERIFY_KIND_COUNT), 0);
    fixture_close(&fixture);
}

TEST(a_segment_with_little_dead_space_stays)
{
    struct fixture fixture;
    struct error err = { 0 };
    open_small(&fixture, test_folder(), false);
    store_some(&fixture, 0, INSTANCES, PIXELS);
    CHECK_OK(remove_instance(fixture.archive, 1, &err), err);
    wait_for_dead(&fixture);
    CHECK_INT(compact(&fixture, 0.2, false).segments, 0);
    CHECK_INT(compact(&fixture, 0.1, true).segments, 1);
    CHECK_INT(compact(&fixture, 0.1, false).segments, 1);
    wait_for_end_of(&fixture, 1);
    CHECK_INT(count_findings(&fixture, VERIFY_KIND_COUNT), 0);
    fixture_close(&fixture);
}

TEST(who_reads_an_instance_reads_on_while_it_is_moved)
{
    struct fixture fixture;
    struct instance *reading, *listed;
    struct error err = { 0 };
    open_small(&fixture, test_folder(), false);
    store_some(&fixture, 0, INSTANCES, PIXELS);
    remove_most(&fixture, 0, INSTANCES);
    wait_for_dead(&fixture);
    CHECK_OK(instance_open(fixture.archive, "1.1", "1.1.1", "1.1.1.3", &reading, &err), err);
    CHECK_OK(read_pixels(reading, 3, &err), err);
    /* Has its record, and not yet its bytes. */
    CHECK_OK(instance_open(fixture.archive, "1.1", "1.1.1", "1.1.1.12", &listed, &err), err);
    CHECK_INT(compact(&fixture, 0.3, false).moved, 10);
    wait_for_end_of(&fixture, 2);
    CHECK(has_segment(&fixture, 1));
    CHECK_OK(read_pixels(reading, 3, &err), err);
    CHECK_OK(read_pixels(listed, 12, &err), err);
    instance_close(reading);
    instance_close(listed);
    wait_for_end_of(&fixture, 1);
    fixture_close(&fixture);
}

static void write_unknown(struct fixture *fixture, const char *instance, struct blob_id *id)
{
    struct error err = { 0 };
    struct identity identity = { .study = "1.1", .series = "1.1.1" };
    struct blob_writer *writer = NULL;
    struct key key;
    const struct blob_facts facts = { .stored_at_us = clock_unix_us() };
    snprintf(identity.instance, UID_SIZE, "%s", instance);
    blob_key_encode(&key, &identity, &facts);
    CHECK_OK(blob_writer_open(fixture->storage, key_slice(&key), &writer, &err), err);
    CHECK_OK(blob_writer_write(writer, slice_text("cut off"), &err), err);
    CHECK_OK(blob_writer_finish(writer, id, &err), err);
    blob_writer_close(writer);
}

static void flip(struct fixture *fixture, const struct blob_id *id)
{
    fixture_flip(fixture, id->segment, id->offset + 641);
}

TEST(records_that_nothing_refers_to_go_and_broken_ones_stay)
{
    struct fixture fixture;
    struct blob_id unknown, broken;
    struct error err = { 0 };
    open_small(&fixture, test_folder(), false);
    write_unknown(&fixture, "1.1.1.700", &unknown); /* a store that a crash ended */
    write_unknown(&fixture, "1.1.1.0", &unknown);   /* one whose instance was sent again */
    store_some(&fixture, 0, 9, PIXELS);
    write_unknown(&fixture, "1.1.1.701", &broken);
    flip(&fixture, &broken);
    store_some(&fixture, 9, 9, PIXELS);
    struct blob_id rotten = fixture_blob_of(&fixture, "1.1", "1.1.1", "1.1.1.12");
    flip(&fixture, &rotten);
    CHECK_INT(unknown.segment, 1);
    CHECK_INT(broken.segment, 1);
    CHECK_INT(rotten.segment, 2);
    store_some(&fixture, 18, 18, PIXELS);
    remove_most(&fixture, 0, 36);
    wait_for_dead(&fixture);
    struct compact_report report = compact(&fixture, 0.3, false);
    CHECK_INT(report.removed, 2);
    CHECK_INT(report.kept, 2);
    CHECK(report.segments >= 3);
    wait_for_end_of(&fixture, 3);
    CHECK(has_segment(&fixture, 1) && has_segment(&fixture, 2));
    struct blob *blob = NULL;
    CHECK_OK(blob_open(fixture.storage, &broken, &blob, &err), err);
    blob_close(blob);
    CHECK_INT(fixture_blob_of(&fixture, "1.1", "1.1.1", "1.1.1.12").offset, rotten.offset);
    flip(&fixture, &rotten);
    flip(&fixture, &broken);
    report = compact(&fixture, 0.3, false);
    CHECK(report.moved >= 1);
    CHECK_INT(report.removed, 1);
    wait_for_end_of(&fixture, 1);
    wait_for_end_of(&fixture, 2);
    check_rest(&fixture, 36);
    CHECK_INT(count_findings(&fixture, VERIFY_KIND_COUNT), 0);
    fixture_close(&fixture);
}

TEST(a_moved_record_has_the_time_at_which_it_was_stored)
{
    struct fixture fixture;
    struct blob_walk *walk = NULL;
    struct blob_record record;
    struct error err = { 0 };
    int64_t last = 0;
    bool found;
    int count = 0;
    open_small(&fixture, test_folder(), false);
    store_some(&fixture, 0, INSTANCES, PIXELS);
    int64_t stored = clock_unix_us();
    remove_most(&fixture, 0, INSTANCES);
    wait_for_dead(&fixture);
    CHECK_INT(compact(&fixture, 0.3, false).moved, 10);
    CHECK_OK(blob_walk_open(fixture.storage, &walk, &err), err);
    while (blob_walk_next(walk, &record, &found, &err) && found) {
        struct identity identity;
        struct blob_facts facts;
        if (record.dead)
            continue;
        CHECK(blob_key_decode(record.key, &identity, &facts));
        CHECK(facts.stored_at_us > 0 && facts.stored_at_us <= stored);
        last = facts.stored_at_us;
        count++;
    }
    blob_walk_close(walk);
    CHECK(last > 0);
    CHECK_INT(count, 11);
    archive_close(fixture.archive);
    storage_close(fixture.storage);
    const struct rebuild_options options = { .ae_title = "TESTARCHIVE" };
    struct rebuild_report report;
    CHECK_OK(archive_rebuild(fixture.folder, &options, NULL, &report, &err), err);
    CHECK_INT(report.instances, 11);
    open_small(&fixture, fixture.folder, false);
    check_rest(&fixture, 1);
    CHECK_INT(count_findings(&fixture, VERIFY_KIND_COUNT), 0);
    fixture_close(&fixture);
}

TEST(dead_space_is_known_also_after_the_index_was_made_anew)
{
    const struct rebuild_options options = { .ae_title = "TESTARCHIVE" };
    for (int can_punch = 0; can_punch < 2; can_punch++) {
        struct fixture fixture;
        struct storage_figures before, after;
        struct rebuild_report report;
        struct error err = { 0 };
        open_small(&fixture, test_folder(), can_punch);
        store_some(&fixture, 0, INSTANCES, PIXELS);
        remove_most(&fixture, 0, INSTANCES);
        wait_for_dead(&fixture);
        storage_figures(fixture.storage, &before);
        fixture_close(&fixture);
        CHECK_OK(archive_rebuild(fixture.folder, &options, NULL, &report, &err), err);
        open_small(&fixture, fixture.folder, can_punch);
        storage_figures(fixture.storage, &after);
        CHECK_INT(after.blob_bytes, before.blob_bytes);
        CHECK_INT(after.dead_bytes, before.dead_bytes);
        CHECK_INT(compact(&fixture, 0.3, true).segments, can_punch ? 0 : 3);
        fixture_close(&fixture);
    }
}

#ifdef HOUNSFIELD_FAULTS

/* Compaction in a process of its own, which is killed on the way; begun anew with exec, because
 * this one has threads. */
__attribute__((constructor)) static void enter_child(void)
{
    const char *folder = getenv("COMPACT_TEST_CHILD");
    const struct compact_options options = { .dead_share = 0.3 };
    struct fixture fixture;
    struct compact_report report;
    struct error err = { 0 };
    if (!folder)
        return;
    open_small(&fixture, folder, false);
    archive_compact(fixture.archive, &options, NULL, &report, &err);
    fixture_close(&fixture);
    _exit(0);
}

static void compact_until(const char *folder, const char *fault)
{
    int status = 0;
    fflush(stdout);
    setenv("COMPACT_TEST_CHILD", folder, 1);
    setenv("HOUNSFIELD_FAULT", fault, 1);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "archive_tests", (char *)NULL);
        _exit(1);
    }
    unsetenv("COMPACT_TEST_CHILD");
    unsetenv("HOUNSFIELD_FAULT");
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(a_compaction_that_is_killed_loses_nothing_and_leaves_nothing_twice)
{
    static const char *const points[] = {
        "before-segment-write:2", "after-segment-write:5", "after-segment-sync:3",
        "compact_copied:1",       "after-index-write:1",   "compact_committed:2",
        "before-blob-reclaim:1",  "after-blob-dead:1",     "compact_copied:2",
    };
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        struct fixture fixture;
        open_small(&fixture, test_folder(), false);
        store_some(&fixture, 0, INSTANCES, PIXELS);
        remove_most(&fixture, 0, INSTANCES);
        wait_for_dead(&fixture);
        fixture_close(&fixture);
        compact_until(fixture.folder, points[i]);
        open_small(&fixture, fixture.folder, false);
        check_rest(&fixture, INSTANCES);
        CHECK_TEXT(counts_text(&fixture), "1 1 1 11");
        CHECK_INT(count_findings(&fixture, VERIFY_BLOB_UNKNOWN), 0); /* copies made in vain */
        wait_for_dead(&fixture);
        compact(&fixture, 0.3, false);
        for (uint32_t number = 1; number <= 3; number++)
            wait_for_end_of(&fixture, number);
        check_rest(&fixture, INSTANCES);
        CHECK_INT(count_findings(&fixture, VERIFY_BLOB_UNKNOWN), 0);
        fixture_close(&fixture);
    }
}

#endif

/* All at once. */

enum { WRITERS = 3, READERS = 2, PLACES = 40, STRESS_MS = 2500 };

struct stress {
    struct fixture *fixture;
    atomic_bool stop;
    atomic_int wrong;
    atomic_int seed;
    atomic_int moved;
};

static bool is_expected(const struct error *err)
{
    return err->code == ERROR_GONE || err->code == ERROR_NOT_FOUND;
}

static void tell(struct stress *stress, const char *who, const struct error *err)
{
    printf("    %s: %s\n", who, err->message);
    atomic_fetch_add(&stress->wrong, 1);
}

static void *write_all(void *argument)
{
    struct stress *stress = argument;
    unsigned seed = (unsigned)atomic_fetch_add(&stress->seed, 1);
    while (!atomic_load(&stress->stop)) {
        struct error err = { 0 };
        enum ingest_outcome outcome;
        char uid[UID_SIZE];
        int number = (int)(rand_r(&seed) >> 4) % PLACES;
        name_instance(number, uid);
        struct object object = make_object(uid, 20000 + (size_t)number * 1000);
        bool ok = (rand_r(&seed) >> 4) % 3
                      ? object_store(stress->fixture->archive, &object, &outcome, &err)
                      : remove_instance(stress->fixture->archive, number, &err) ||
                            is_expected(&err);
        if (!ok)
            tell(stress, "write", &err);
    }
    return NULL;
}

static void *read_all(void *argument)
{
    struct stress *stress = argument;
    unsigned seed = (unsigned)atomic_fetch_add(&stress->seed, 1);
    while (!atomic_load(&stress->stop)) {
        struct error err = { 0 };
        int number = (int)(rand_r(&seed) >> 4) % PLACES;
        if (!check_instance(stress->fixture->archive, number, &err) && !is_expected(&err))
            tell(stress, "read", &err);
    }
    return NULL;
}

static void *compact_all(void *argument)
{
    struct stress *stress = argument;
    const struct compact_options options = { .dead_share = 0.05 };
    while (!atomic_load(&stress->stop)) {
        struct compact_report report;
        struct error err = { 0 };
        if (!archive_compact(stress->fixture->archive, &options, NULL, &report, &err))
            tell(stress, "compact", &err);
        atomic_fetch_add(&stress->moved, (int)report.moved);
        if (report.kept) {
            error_set(&err, ERROR_CORRUPT, "a record was kept");
            tell(stress, "compact", &err);
        }
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
    return NULL;
}

static void *verify_all(void *argument)
{
    struct stress *stress = argument;
    const struct verify_options options = { .finding = print_finding };
    while (!atomic_load(&stress->stop)) {
        struct verify_report report;
        struct error err = { 0 };
        if (!archive_verify(stress->fixture->archive, &options, NULL, &report, &err))
            tell(stress, "verify", &err);
        for (int i = 0; i < VERIFY_KIND_COUNT; i++)
            atomic_fetch_add(&stress->wrong, (int)report.findings[i]);
    }
    return NULL;
}

TEST(stores_deletes_reads_verification_and_compaction_at_once_fit_together)
{
    static void *(*const work[])(void *) = { write_all, write_all,   write_all, read_all,
                                             read_all,  compact_all, verify_all };
    enum { COUNT = sizeof(work) / sizeof(work[0]) };
    struct fixture fixture;
    struct stress stress = { .fixture = &fixture };
    pthread_t threads[COUNT];
    open_small(&fixture, test_folder(), false);
    for (int i = 0; i < COUNT; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, work[i], &stress), 0);
    nanosleep(&(struct timespec){ STRESS_MS / 1000, STRESS_MS % 1000 * 1000000 }, NULL);
    for (unsigned turn = 0; !atomic_load(&stress.moved) && test_wait(&turn);)
        ;
    atomic_store(&stress.stop, true);
    for (int i = 0; i < COUNT; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&stress.wrong), 0);
    CHECK(atomic_load(&stress.moved) > 0);
    for (int round = 0; round < 2; round++) {
        struct archive_counts counts;
        struct error err = { 0 };
        uint64_t there = 0;
        for (int i = 0; i < PLACES; i++) {
            bool ok = check_instance(fixture.archive, i, &err);
            CHECK(ok || is_expected(&err));
            there += ok;
        }
        CHECK_OK(archive_count(fixture.archive, &counts, &err), err);
        CHECK_INT(counts.instances, there);
        CHECK_INT(count_findings(&fixture, VERIFY_KIND_COUNT), 0);
        reopen_small(&fixture);
    }
    fixture_close(&fixture);
}

TEST(the_compactor_does_it_by_itself_and_stops_when_it_is_told_to)
{
    struct fixture fixture;
    struct compactor *compactor = NULL;
    struct error err = { 0 };
    open_small(&fixture, test_folder(), false);
    store_some(&fixture, 0, INSTANCES, PIXELS);
    remove_most(&fixture, 0, INSTANCES);
    wait_for_dead(&fixture);
    CHECK_OK(compactor_open(fixture.archive, 0.3, &compactor, &err), err);
    for (uint32_t number = 1; number <= 3; number++)
        wait_for_end_of(&fixture, number);
    compactor_close(compactor);
    check_rest(&fixture, INSTANCES);
    fixture_close(&fixture);
}

static bool is_cancelled(void *context)
{
    return --*(int *)context < 0;
}

TEST(a_cancelled_compaction_leaves_everything_whole)
{
    struct fixture fixture;
    const struct compact_options options = { .dead_share = 0.3 };
    struct compact_report report;
    struct error err = { 0 };
    int steps = 1;
    struct job job = { .cancelled = is_cancelled, .context = &steps };
    open_small(&fixture, test_folder(), false);
    store_some(&fixture, 0, INSTANCES, PIXELS);
    remove_most(&fixture, 0, INSTANCES);
    wait_for_dead(&fixture);
    CHECK(!archive_compact(fixture.archive, &options, &job, &report, &err));
    CHECK_INT(err.code, ERROR_STOPPED);
    CHECK(report.moved > 0 && report.moved < 10);
    check_rest(&fixture, INSTANCES);
    CHECK_INT(count_findings(&fixture, VERIFY_KIND_COUNT), 0);
    CHECK_INT(compact(&fixture, 0.3, false).moved, 10 - report.moved);
    fixture_close(&fixture);
}
