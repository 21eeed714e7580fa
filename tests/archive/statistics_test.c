/* SPDX-License-Identifier: MIT */
#include "archive/statistics.h"

#include <stdio.h>
#include <stdlib.h>

#include "archive/changes.h"
#include "archive/delete.h"
#include "base/clock.h"
#include "base/memory.h"
#include "storage/store.h"
#include "tests/archive/fixture.h"

#define MR_IMAGE_STORAGE "1.2.840.10008.5.1.4.1.1.4"

static const struct object head_ct = { .study = "1.1",
                                       .series = "1.1.1",
                                       .instance = "1.1.1.1",
                                       .patient_id = "A",
                                       .modality = "CT",
                                       .pixels = 1000 };
static const struct object head_ct_next = { .study = "1.1",
                                            .series = "1.1.1",
                                            .instance = "1.1.1.2",
                                            .patient_id = "A",
                                            .modality = "CT",
                                            .pixels = 1000 };
static const struct object knee_mr = { .study = "1.2",
                                       .series = "1.2.1",
                                       .instance = "1.2.1.1",
                                       .sop_class = MR_IMAGE_STORAGE,
                                       .patient_id = "B",
                                       .modality = "MR",
                                       .pixels = 50000 };
static const struct object unknown = {
    .study = "1.2", .series = "1.2.2", .instance = "1.2.2.1", .patient_id = "B"
};

/* Free it. */
static struct statistics *count(struct fixture *fixture, bool quick)
{
    struct error err = { 0 };
    struct statistics *statistics = mem_alloc(sizeof(*statistics));
    CHECK_OK(archive_statistics(fixture->archive, quick, NULL, statistics, &err), err);
    return statistics;
}

static void check_entry(const struct statistics_list *list, size_t index, const char *name,
                        uint64_t series, uint64_t instances)
{
    CHECK(index < list->count);
    CHECK_TEXT(list->entries[index].name, name);
    CHECK_INT(list->entries[index].series, series);
    CHECK_INT(list->entries[index].instances, instances);
}

static uint64_t sum_of_bytes(const struct statistics_list *list)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < list->count; i++)
        bytes += list->entries[i].bytes;
    return bytes;
}

TEST(an_empty_archive_counts_nothing)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct statistics *statistics = count(&fixture, false);
    CHECK_INT(statistics->counts.patients, 0);
    CHECK_INT(statistics->counts.instances, 0);
    CHECK_INT(statistics->modalities.count, 0);
    CHECK_INT(statistics->sop_classes.count, 0);
    CHECK_INT(statistics->transfer_syntaxes.count, 0);
    CHECK_INT(statistics->oldest_ms, 0);
    CHECK_INT(statistics->newest_ms, 0);
    CHECK_INT(statistics->feed_first, 0);
    CHECK_INT(statistics->feed_last, 0);
    CHECK_INT(statistics->follower_count, 0);
    free(statistics);
    fixture_close(&fixture);
}

TEST(what_is_there_is_counted_by_modality_class_and_syntax_the_most_bytes_first)
{
    struct fixture fixture;
    int64_t before = clock_unix_ms();
    fixture_open(&fixture, true);
    store(&fixture, &head_ct);
    store(&fixture, &head_ct_next);
    store(&fixture, &knee_mr);
    store(&fixture, &unknown);
    struct statistics *statistics = count(&fixture, false);
    CHECK_INT(statistics->counts.patients, 2);
    CHECK_INT(statistics->counts.studies, 2);
    CHECK_INT(statistics->counts.series, 3);
    CHECK_INT(statistics->counts.instances, 4);
    CHECK_INT(statistics->modalities.count, 3);
    check_entry(&statistics->modalities, 0, "MR", 1, 1);
    check_entry(&statistics->modalities, 1, "CT", 1, 2);
    check_entry(&statistics->modalities, 2, "none", 1, 1);
    CHECK_INT(statistics->sop_classes.count, 2);
    check_entry(&statistics->sop_classes, 0, MR_IMAGE_STORAGE, 0, 1);
    check_entry(&statistics->sop_classes, 1, CT_IMAGE_STORAGE, 0, 3);
    CHECK_INT(statistics->transfer_syntaxes.count, 1);
    check_entry(&statistics->transfer_syntaxes, 0, UID_EXPLICIT_LITTLE_ENDIAN, 0, 4);
    CHECK(statistics->counts.bytes > 52000);
    CHECK_INT(sum_of_bytes(&statistics->modalities), statistics->counts.bytes);
    CHECK_INT(sum_of_bytes(&statistics->sop_classes), statistics->counts.bytes);
    CHECK_INT(sum_of_bytes(&statistics->transfer_syntaxes), statistics->counts.bytes);
    CHECK(statistics->oldest_ms >= before && statistics->oldest_ms <= statistics->newest_ms);
    CHECK(statistics->newest_ms <= clock_unix_ms());
    CHECK_INT(statistics->feed_first, 1);
    CHECK_INT(statistics->feed_last, 4);
    free(statistics);
    fixture_close(&fixture);
}

TEST(quick_statistics_read_no_instance_records)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    store(&fixture, &head_ct);
    struct statistics *statistics = count(&fixture, true);
    CHECK_INT(statistics->counts.instances, 1);
    check_entry(&statistics->modalities, 0, "CT", 1, 1);
    CHECK_INT(statistics->sop_classes.count, 0);
    CHECK_INT(statistics->transfer_syntaxes.count, 0);
    CHECK_INT(statistics->oldest_ms, 0);
    CHECK_INT(statistics->feed_last, 1);
    free(statistics);
    fixture_close(&fixture);
}

TEST(what_was_deleted_counts_in_the_feed_alone)
{
    struct fixture fixture;
    struct error err = { 0 };
    uint64_t deleted;
    fixture_open(&fixture, true);
    store(&fixture, &head_ct);
    store(&fixture, &head_ct_next);
    store(&fixture, &knee_mr);
    CHECK_OK(archive_delete(fixture.archive, "1.1", NULL, NULL, &deleted, &err), err);
    struct statistics *statistics = count(&fixture, false);
    CHECK_INT(statistics->counts.patients, 1);
    CHECK_INT(statistics->counts.instances, 1);
    CHECK_INT(statistics->modalities.count, 1);
    check_entry(&statistics->modalities, 0, "MR", 1, 1);
    CHECK_INT(statistics->sop_classes.count, 1);
    CHECK_INT(statistics->feed_first, 1);
    CHECK_INT(statistics->feed_last, 5);
    free(statistics);
    fixture_close(&fixture);
}

TEST(the_last_number_of_the_feed_is_that_of_its_last_entry)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    store(&fixture, &head_ct);
    feed_advance(fixture.storage, 1000000); /* as after a restore */
    struct statistics *statistics = count(&fixture, true);
    CHECK_INT(statistics->feed_first, 1);
    CHECK_INT(statistics->feed_last, 1);
    free(statistics);
    fixture_close(&fixture);
}

TEST(followers_are_listed_with_their_positions_and_without_their_state)
{
    struct fixture fixture;
    struct error err = { 0 };
    fixture_open(&fixture, true);
    store(&fixture, &head_ct);
    store(&fixture, &head_ct_next);
    CHECK_OK(follower_save(fixture.archive, "cast", 1, &err), err);
    CHECK_OK(follower_save(fixture.archive, "forward.PACS", 0x0102030405060708, &err), err);
    CHECK_OK(follower_put(fixture.archive, "cast", "8 bytes", slice_text("12345678"), &err), err);
    struct statistics *statistics = count(&fixture, true);
    CHECK_INT(statistics->follower_count, 2);
    CHECK_TEXT(statistics->followers[0].name, "cast");
    CHECK_INT(statistics->followers[0].position, 1);
    CHECK_INT(statistics->followers[0].behind, 1);
    CHECK_TEXT(statistics->followers[1].name, "forward.PACS");
    CHECK_INT(statistics->followers[1].position, 0x0102030405060708);
    CHECK_INT(statistics->followers[1].behind, 0);
    free(statistics);
    fixture_close(&fixture);
}

TEST(of_more_names_than_are_counted_the_rest_are_others)
{
    enum { MORE = 5 };
    struct fixture fixture;
    fixture_open(&fixture, true);
    for (int i = 0; i < STATISTICS_NAMES + MORE; i++) {
        char series[32], instance[40], modality[17];
        snprintf(series, sizeof(series), "1.1.%d", i + 1);
        snprintf(instance, sizeof(instance), "%s.1", series);
        snprintf(modality, sizeof(modality), "M%d", i);
        store(&fixture, &(struct object){ .study = "1.1",
                                          .series = series,
                                          .instance = instance,
                                          .patient_id = "A",
                                          .modality = modality });
    }
    struct statistics *statistics = count(&fixture, true);
    const struct statistics_list *list = &statistics->modalities;
    CHECK_INT(list->count, STATISTICS_NAMES + 1);
    check_entry(list, 0, "other", MORE, MORE); /* they have the most bytes */
    for (size_t i = 1; i < list->count; i++)
        CHECK_INT(list->entries[i].instances, 1);
    CHECK_INT(sum_of_bytes(list), statistics->counts.bytes);
    free(statistics);
    fixture_close(&fixture);
}

struct watcher {
    uint64_t steps;
    uint64_t allowed;
    uint64_t last_done;
    uint64_t last_total;
};

static void watch(void *context, const char *phase, const char *unit, uint64_t done, uint64_t total)
{
    struct watcher *watcher = context;
    (void)phase;
    (void)unit;
    watcher->steps++;
    watcher->last_done = done;
    watcher->last_total = total;
}

static bool has_enough(void *context)
{
    const struct watcher *watcher = context;
    return watcher->steps >= watcher->allowed;
}

TEST(counting_tells_how_far_it_is_and_can_be_stopped)
{
    struct fixture fixture;
    struct error err = { 0 };
    struct watcher watcher = { .allowed = UINT64_MAX };
    struct job job = { .progress = watch, .cancelled = has_enough, .context = &watcher };
    struct statistics *statistics = mem_alloc(sizeof(*statistics));
    fixture_open(&fixture, true);
    store(&fixture, &head_ct);
    store(&fixture, &head_ct_next);
    store(&fixture, &knee_mr);
    CHECK_OK(archive_statistics(fixture.archive, false, &job, statistics, &err), err);
    CHECK_INT(watcher.steps, 2 + 3);
    CHECK_INT(watcher.last_done, 3);
    CHECK_INT(watcher.last_total, 3);
    watcher = (struct watcher){ .allowed = 1 };
    CHECK(!archive_statistics(fixture.archive, false, &job, statistics, &err));
    CHECK_INT(err.code, ERROR_STOPPED);
    CHECK_INT(watcher.steps, 1);
    free(statistics);
    fixture_close(&fixture);
}
