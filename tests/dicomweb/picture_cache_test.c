/* SPDX-License-Identifier: MIT */
#include "dicomweb/picture_cache.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive/delete.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "tests/archive/fixture.h"

enum { BUDGET = 64 << 10 };

static void keep(struct picture_cache *cache, const char *instance, const char *etag, size_t size,
                 uint8_t fill)
{
    uint64_t followed = picture_cache_follow(cache);
    uint8_t *bytes = mem_alloc(size);
    memset(bytes, fill, size);
    picture_cache_keep(cache, instance, etag, followed, slice_of(bytes, size));
    free(bytes);
}

/* The first byte of the picture, or -1 when there is none. */
static int find(struct picture_cache *cache, const char *instance, const char *etag)
{
    struct kept_picture *picture = picture_cache_find(cache, instance, etag);
    int first = picture ? kept_picture_bytes(picture).data[0] : -1;
    picture_cache_release(cache, picture);
    return first;
}

static void store_one(struct fixture *fixture, const char *instance)
{
    struct object object = { .study = "1.2.1", .series = "1.2.1.1", .instance = instance };
    store(fixture, &object);
}

static void delete_one(struct fixture *fixture, const char *instance)
{
    struct error err;
    uint64_t deleted;
    CHECK_OK(archive_delete(fixture->archive, "1.2.1", "1.2.1.1", instance, &deleted, &err), err);
    CHECK_INT(deleted, 1);
}

TEST(a_picture_is_found_under_the_etag_of_its_instance_alone)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct picture_cache *cache = picture_cache_new(fixture.archive, BUDGET);
    keep(cache, "1.1", "a", 100, 7);
    keep(cache, "1.2", "a", 100, 8);
    keep(cache, "1.1", "a", 100, 9); /* what was kept stays */
    CHECK_INT(find(cache, "1.1", "a"), 7);
    CHECK_INT(find(cache, "1.2", "a"), 8);
    CHECK_INT(find(cache, "1.1", "b"), -1);
    CHECK_INT(find(cache, "1.3", "a"), -1);
    picture_cache_free(cache);
    CHECK_INT(metric_get(METRIC_PICTURE_CACHE_BYTES), 0);
    fixture_close(&fixture);
}

TEST(the_pictures_stay_within_the_budget_and_the_least_recently_used_goes_first)
{
    struct fixture fixture;
    char instance[16];
    fixture_open(&fixture, true);
    struct picture_cache *cache = picture_cache_new(fixture.archive, BUDGET);
    for (int i = 0; i < 100; i++) {
        snprintf(instance, sizeof(instance), "1.%d", i);
        keep(cache, instance, "a", 4000, (uint8_t)i);
        CHECK_INT(find(cache, "1.0", "a"), 0); /* in use all the time */
        CHECK(metric_get(METRIC_PICTURE_CACHE_BYTES) <= BUDGET);
    }
    CHECK_INT(find(cache, "1.99", "a"), 99);
    CHECK_INT(find(cache, "1.1", "a"), -1);
    keep(cache, "1.100", "a", BUDGET / 8 + 1, 1);
    CHECK_INT(find(cache, "1.100", "a"), -1);
    CHECK_INT(find(cache, "1.0", "a"), 0);
    picture_cache_free(cache);
    fixture_close(&fixture);
}

TEST(a_picture_that_is_being_sent_counts_and_stays_until_it_was_sent)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    store_one(&fixture, "1.1");
    struct picture_cache *cache = picture_cache_new(fixture.archive, BUDGET);
    keep(cache, "1.1", "a", 5000, 7);
    struct kept_picture *held = picture_cache_find(cache, "1.1", "a");
    CHECK(held);
    delete_one(&fixture, "1.1");
    picture_cache_follow(cache);
    CHECK_INT(find(cache, "1.1", "a"), -1);
    CHECK(metric_get(METRIC_PICTURE_CACHE_BYTES) >= 5000);
    struct slice bytes = kept_picture_bytes(held);
    CHECK(bytes.size == 5000 && bytes.data[0] == 7 && bytes.data[4999] == 7);
    picture_cache_release(cache, held);
    CHECK_INT(metric_get(METRIC_PICTURE_CACHE_BYTES), 0);
    picture_cache_free(cache);
    fixture_close(&fixture);
}

TEST(pictures_of_what_is_deleted_go_and_others_stay)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct picture_cache *cache = picture_cache_new(fixture.archive, BUDGET);
    store_one(&fixture, "1.1");
    store_one(&fixture, "1.2");
    keep(cache, "1.1", "a", 100, 1);
    keep(cache, "1.1", "b", 100, 2);
    keep(cache, "1.2", "a", 100, 3);
    delete_one(&fixture, "1.1");
    picture_cache_follow(cache);
    CHECK_INT(find(cache, "1.1", "a"), -1);
    CHECK_INT(find(cache, "1.1", "b"), -1);
    CHECK_INT(find(cache, "1.2", "a"), 3);
    picture_cache_free(cache);
    fixture_close(&fixture);
}

TEST(a_picture_is_not_kept_when_its_instance_was_deleted_while_it_was_drawn)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct picture_cache *cache = picture_cache_new(fixture.archive, BUDGET);
    store_one(&fixture, "1.1");
    store_one(&fixture, "1.2");
    uint64_t before = picture_cache_follow(cache);
    delete_one(&fixture, "1.1");
    picture_cache_follow(cache); /* somebody else's */
    picture_cache_keep(cache, "1.1", "a", before, slice_text("drawn before"));
    CHECK_INT(find(cache, "1.1", "a"), -1);
    /* And when nobody has looked since: the next who does lets it go. */
    before = picture_cache_follow(cache);
    delete_one(&fixture, "1.2");
    picture_cache_keep(cache, "1.2", "a", before, slice_text("drawn before"));
    picture_cache_follow(cache);
    CHECK_INT(find(cache, "1.2", "a"), -1);
    picture_cache_free(cache);
    fixture_close(&fixture);
}

TEST(after_more_changes_than_are_looked_at_no_picture_is_left)
{
    struct fixture fixture;
    char instance[16];
    fixture_open(&fixture, true);
    struct picture_cache *cache = picture_cache_new(fixture.archive, BUDGET);
    keep(cache, "1.1", "a", 100, 1);
    for (int i = 0; i < 600; i++) {
        snprintf(instance, sizeof(instance), "2.%d", i);
        store_one(&fixture, instance);
    }
    CHECK_INT(picture_cache_follow(cache), changes_latest(fixture.archive));
    CHECK_INT(find(cache, "1.1", "a"), -1);
    keep(cache, "1.1", "a", 100, 1);
    CHECK_INT(find(cache, "1.1", "a"), 1);
    picture_cache_free(cache);
    fixture_close(&fixture);
}

TEST(without_a_budget_nothing_is_kept)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct picture_cache *cache = picture_cache_new(fixture.archive, 0);
    keep(cache, "1.1", "a", 10, 1);
    CHECK_INT(find(cache, "1.1", "a"), -1);
    picture_cache_free(cache);
    fixture_close(&fixture);
}

struct crowd {
    struct picture_cache *cache;
    int wrong; /* guarded by the end of the threads */
};

static void *use(void *context)
{
    struct crowd *crowd = context;
    char instance[16];
    for (int i = 0; i < 3000; i++) {
        snprintf(instance, sizeof(instance), "1.%d", i % 37);
        keep(crowd->cache, instance, "a", 900, (uint8_t)(i % 37));
        struct kept_picture *picture = picture_cache_find(crowd->cache, instance, "a");
        if (picture && kept_picture_bytes(picture).data[899] != i % 37)
            __atomic_add_fetch(&crowd->wrong, 1, __ATOMIC_RELAXED);
        picture_cache_release(crowd->cache, picture);
    }
    return NULL;
}

TEST(many_use_the_pictures_at_once_while_instances_go)
{
    struct fixture fixture;
    pthread_t threads[4];
    char instance[16];
    fixture_open(&fixture, true);
    struct crowd crowd = { picture_cache_new(fixture.archive, BUDGET / 4), 0 };
    for (int i = 0; i < 37; i++) {
        snprintf(instance, sizeof(instance), "1.%d", i);
        store_one(&fixture, instance);
    }
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, use, &crowd), 0);
    for (int i = 0; i < 37; i++) {
        snprintf(instance, sizeof(instance), "1.%d", i);
        delete_one(&fixture, instance);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(crowd.wrong, 0);
    picture_cache_free(crowd.cache);
    CHECK_INT(metric_get(METRIC_PICTURE_CACHE_BYTES), 0);
    fixture_close(&fixture);
}
