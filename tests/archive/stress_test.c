/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive/changes.h"
#include "archive/delete.h"
#include "archive/retrieve.h"
#include "archive/study.h"
#include "tests/archive/fixture.h"

/* Everything at once on a few studies: what remains must fit together, and nobody may see anything
 * that does not. */

enum { WRITERS = 4, READERS = 4, STUDIES = 3, SERIES = 2, INSTANCES = 6, STRESS_MS = 1500 };

struct stress {
    struct fixture *fixture;
    atomic_bool stop;
    atomic_int wrong;
    atomic_int seed;
};

static void name_place(int number, char study[16], char series[32], char instance[48])
{
    int s = number % STUDIES, e = number / STUDIES % SERIES, i = number / STUDIES / SERIES;
    snprintf(study, 16, "1.%d", s + 1);
    snprintf(series, 32, "%s.%d", study, e + 1);
    snprintf(instance, 48, "%s.%d", series, i % INSTANCES + 1);
}

static bool is_expected(const struct error *err)
{
    return err->code == ERROR_GONE || err->code == ERROR_NOT_FOUND;
}

static void *write_all(void *argument)
{
    struct stress *stress = argument;
    unsigned seed = (unsigned)atomic_fetch_add(&stress->seed, 1);
    while (!atomic_load(&stress->stop)) {
        char study[16], series[32], instance[48];
        struct error err = { 0 };
        enum ingest_outcome outcome;
        uint64_t count;
        name_place((int)(rand_r(&seed) >> 4) % (STUDIES * SERIES * INSTANCES), study, series,
                   instance);
        struct object object = { .study = study,
                                 .series = series,
                                 .instance = instance,
                                 .patient_id = "A",
                                 .patient_name = "DOE^JOHN",
                                 .modality = series[4] == '1' ? "CT" : "MR",
                                 .pixels = 3000 };
        unsigned what = rand_r(&seed) >> 4;
        bool ok = true;
        if (what % 8 == 0)
            ok = archive_delete(stress->fixture->archive, study, what % 16 ? series : NULL,
                                what % 3 && what % 16 ? instance : NULL, &count, &err) ||
                 is_expected(&err);
        else
            ok = object_store(stress->fixture->archive, &object, &outcome, &err);
        if (!ok) {
            printf("    %s\n", err.message);
            atomic_fetch_add(&stress->wrong, 1);
        }
    }
    return NULL;
}

static bool read_study(struct archive *archive, const char *uid, struct error *err)
{
    struct study *study;
    char text[16];
    size_t instances = 0, series;
    if (!study_open(archive, uid, &study, err))
        return is_expected(err);
    for (size_t i = 0; i < study->series_count; i++) {
        instances += study->series[i].instance_count;
        dataset_string(study->series[i].attributes, TAG_NUMBER_OF_SERIES_RELATED_INSTANCES, text,
                       sizeof(text));
        if ((size_t)atol(text) != study->series[i].instance_count)
            instances = SIZE_MAX / 2;
    }
    dataset_string(study->attributes, TAG_NUMBER_OF_STUDY_RELATED_SERIES, text, sizeof(text));
    series = (size_t)atol(text);
    dataset_string(study->attributes, TAG_NUMBER_OF_STUDY_RELATED_INSTANCES, text, sizeof(text));
    bool fits = series == study->series_count && (size_t)atol(text) == instances;
    study_close(study);
    return fits || error_set(err, ERROR_CORRUPT, "counts and lists do not agree");
}

static bool read_instances(struct archive *archive, const char *uid, struct error *err)
{
    struct retrieve *retrieve;
    struct instance *instance;
    struct selection selection = { .studies = uid };
    const struct dataset *header;
    uint8_t bytes[16];
    bool ok = true;
    if (!retrieve_open(archive, &selection, &retrieve, err))
        return false;
    while (ok && (ok = retrieve_next(retrieve, &instance, err)) && instance) {
        ok = (instance_header(instance, &header, err) || is_expected(err)) &&
             (instance_read(instance, 0, (struct space){ bytes, sizeof(bytes) }, err) ||
              is_expected(err));
    }
    retrieve_close(retrieve);
    return ok;
}

static bool read_query(struct archive *archive, struct error *err)
{
    struct query *query = query_new(archive, LEVEL_INSTANCE);
    const struct dataset *match;
    uint32_t tag = TAG_PATIENT_NAME;
    char name[32];
    bool ok = query_add_key(query, &tag, 1, slice_text("doe*"), err);
    while (ok && (ok = query_next(query, &match, err)) && match) {
        dataset_string(match, TAG_PATIENT_NAME, name, sizeof(name));
        ok = strcmp(name, "DOE^JOHN") == 0 || error_set(err, ERROR_CORRUPT, "another name");
    }
    query_close(query);
    return ok;
}

static void *read_all(void *argument)
{
    struct stress *stress = argument;
    struct archive *archive = stress->fixture->archive;
    unsigned seed = (unsigned)atomic_fetch_add(&stress->seed, 1);
    while (!atomic_load(&stress->stop)) {
        struct error err = { 0 };
        char uid[16];
        snprintf(uid, sizeof(uid), "1.%d", (int)(rand_r(&seed) >> 4) % STUDIES + 1);
        if (!read_study(archive, uid, &err) || !read_instances(archive, uid, &err) ||
            !read_query(archive, &err)) {
            printf("    %s\n", err.message);
            atomic_fetch_add(&stress->wrong, 1);
        }
    }
    return NULL;
}

/* Counts of the whole against the feed: creates less deletes are what is there. */
static void check_feed(struct fixture *fixture)
{
    struct error err = { 0 };
    struct changes *changes;
    struct change change;
    struct archive_counts counts;
    int64_t there = 0;
    uint64_t last = 0;
    bool found = true;
    CHECK_OK(changes_open(fixture->archive, 0, &changes, &err), err);
    for (;;) {
        CHECK_OK(changes_next(changes, &change, &found, &err), err);
        if (!found)
            break;
        CHECK(change.sequence > last);
        last = change.sequence;
        there += change.action == CHANGE_CREATE ? 1 : -1;
        CHECK(there >= 0);
    }
    changes_close(changes);
    CHECK_OK(archive_count(fixture->archive, &counts, &err), err);
    CHECK_INT(counts.instances, there);
}

static void check_stress(bool in_memory)
{
    struct fixture fixture;
    struct stress stress = { .fixture = &fixture };
    pthread_t threads[WRITERS + READERS];
    struct timespec pause = { STRESS_MS / 1000, STRESS_MS % 1000 * 1000000 };
    fixture_open(&fixture, in_memory);
    for (int i = 0; i < WRITERS + READERS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, i < WRITERS ? write_all : read_all, &stress),
                  0);
    nanosleep(&pause, NULL);
    for (unsigned turn = 0; changes_latest(fixture.archive) <= 50 && test_wait(&turn);)
        ;
    atomic_store(&stress.stop, true);
    for (int i = 0; i < WRITERS + READERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&stress.wrong), 0);
    CHECK(changes_latest(fixture.archive) > 50);
    check_feed(&fixture);
    fixture_close(&fixture);
}

TEST(stores_deletes_and_reads_at_once_never_see_anything_that_does_not_fit)
{
    check_stress(true);
    check_stress(false);
}
