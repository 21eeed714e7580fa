/* SPDX-License-Identifier: MIT */
/* Extended query tags: searches by their index are those without one. */
#include "archive/query_tags.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "archive/delete.h"
#include "archive/query_scan.h"
#include "tests/archive/fixture.h"

enum { STUDIES = 30, SEARCHES = 200 };

static void add_tag(struct fixture *fixture, uint32_t tag, enum level level)
{
    struct query_tag asked = {
        .path = { tag }, .depth = 1, .vr = dictionary_vr(tag), .level = level
    };
    struct error err = { 0 };
    CHECK_OK(query_tags_add(fixture->archive, &asked, 1, &err), err);
}

static void wait_ready(struct fixture *fixture, uint32_t tag)
{
    struct query_tag found;
    struct error err = { 0 };
    do {
        usleep(1000);
        CHECK_OK(query_tags_find(fixture->archive, &tag, 1, &found, &err), err);
    } while (found.status != QUERY_TAG_READY);
}

static const char *const texts[] = {
    "Head", "HEAD", "Abdomen left", "Abdomen", "", "head and neck"
};
static const char *const keys[] = { "Head", "H*", "Abdomen*", "*left", "nothing", "head and neck" };
static const char *const dates[] = { "20250101", "20250301", "", "20260101" };

static const char *pick(const char *const *values, size_t count)
{
    return values[(size_t)rand() % count];
}
#define PICK(values) pick(values, sizeof(values) / sizeof(values[0]))

static void store_random(struct fixture *fixture, int number)
{
    char study[64], series[80], instance[96], id[16];
    snprintf(study, sizeof(study), "1.%d", rand() % STUDIES + 1);
    snprintf(series, sizeof(series), "%s.%d", study, rand() % 3 + 1);
    snprintf(instance, sizeof(instance), "%s.%d", series, number);
    snprintf(id, sizeof(id), "STEP%d", rand() % 4);
    struct object object = { .study = study,
                             .series = series,
                             .instance = instance,
                             .patient_id = "P1",
                             .study_date = PICK(dates),
                             .description = PICK(texts),
                             .modality = "CT",
                             .series_number = "1",
                             .instance_number = id + 4,
                             .step_id = id };
    store(fixture, &object);
}

/* By an index, and by a walk through everything. */
static void search_both_ways(struct fixture *fixture, const uint32_t *path, size_t depth,
                             const char *key)
{
    enum level level = LEVEL_STUDY + (enum level)(rand() % 3);
    uint32_t returned = level == LEVEL_STUDY    ? TAG_STUDY_INSTANCE_UID
                        : level == LEVEL_SERIES ? TAG_SERIES_INSTANCE_UID
                                                : TAG_SOP_INSTANCE_UID;
    struct error err = { 0 };
    struct query *indexed = query_new(fixture->archive, level);
    struct query *walked = query_new(fixture->archive, level);
    query_limit_index(walked, 0);
    CHECK_OK(query_add_key(indexed, path, depth, slice_text(key), &err), err);
    CHECK_OK(query_add_key(walked, path, depth, slice_text(key), &err), err);
    char *first = strdup(query_list(indexed, returned));
    CHECK_TEXT(query_list(walked, returned), first);
    free(first);
}

static void search_at_random(struct fixture *fixture)
{
    static const uint32_t step[] = { TAG_REQUEST_ATTRIBUTES_SEQUENCE,
                                     TAG_SCHEDULED_PROCEDURE_STEP_ID };
    static const uint32_t description[] = { TAG_STUDY_DESCRIPTION };
    static const uint32_t number[] = { TAG_INSTANCE_NUMBER };
    static const char *const steps[] = { "STEP1", "STEP2", "STEP*", "STEP9" };
    static const char *const numbers[] = { "1", "3", "9" };
    for (int i = 0; i < SEARCHES; i++) {
        search_both_ways(fixture, description, 1, PICK(keys));
        search_both_ways(fixture, step, 2, PICK(steps));
        search_both_ways(fixture, number, 1, PICK(numbers));
    }
}

TEST(searches_by_the_index_of_a_query_tag_are_those_without_it)
{
    struct fixture fixture;
    struct tag_indexer *indexer = NULL;
    struct error err = { 0 };
    struct query_tag step = { .path = { TAG_REQUEST_ATTRIBUTES_SEQUENCE,
                                        TAG_SCHEDULED_PROCEDURE_STEP_ID },
                              .depth = 2,
                              .vr = VR_SH,
                              .level = LEVEL_INSTANCE };
    fixture_open(&fixture, true);
    srand(6);
    for (int i = 0; i < 150; i++)
        store_random(&fixture, i);
    CHECK_OK(tag_indexer_open(fixture.archive, &indexer, &err), err);
    add_tag(&fixture, TAG_STUDY_DESCRIPTION, LEVEL_STUDY);
    add_tag(&fixture, TAG_INSTANCE_NUMBER, LEVEL_INSTANCE);
    CHECK_OK(query_tags_add(fixture.archive, &step, 1, &err), err);
    wait_ready(&fixture, TAG_STUDY_DESCRIPTION);
    wait_ready(&fixture, TAG_INSTANCE_NUMBER);
    struct query_tag found;
    do {
        usleep(1000);
        CHECK_OK(query_tags_find(fixture.archive, step.path, 2, &found, &err), err);
    } while (found.status != QUERY_TAG_READY);
    search_at_random(&fixture);
    for (int i = 150; i < 250; i++)
        store_random(&fixture, i);
    for (int i = 1; i < STUDIES; i += 3) {
        char study[64];
        uint64_t count;
        snprintf(study, sizeof(study), "1.%d", i);
        archive_delete(fixture.archive, study, NULL, NULL, &count, NULL);
    }
    search_at_random(&fixture);
    tag_indexer_close(indexer);
    fixture_close(&fixture);
}
