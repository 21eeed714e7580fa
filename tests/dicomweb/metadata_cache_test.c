/* SPDX-License-Identifier: MIT */
#include "dicomweb/metadata_cache.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "tests/test.h"

enum { BUDGET = 1 << 20 };

static uint8_t byte_at(uint64_t change, size_t at)
{
    return (uint8_t)(change + at / 7);
}

/* Gathers an answer of `size` bytes and keeps it, if it can be kept. */
static bool put(struct metadata_cache *cache, const char *key, uint64_t change, size_t size)
{
    struct metadata_answer *answer = metadata_cache_begin(cache, key, change);
    uint8_t *bytes = mem_alloc(size);
    bool ok = true;
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(change, i);
    for (size_t done = 0; ok && done < size; done += 1000)
        ok = metadata_answer_append(cache, answer,
                                    slice_take(slice_of(bytes + done, size - done), 1000));
    if (ok)
        metadata_cache_keep(cache, answer);
    metadata_answer_release(cache, answer);
    free(bytes);
    return ok;
}

static void check_bytes(struct metadata_cache *cache, const struct metadata_answer *answer,
                        uint64_t change)
{
    struct slice piece;
    size_t at = 0, wrong = 0;
    while ((piece = metadata_answer_piece(cache, answer, at)).size)
        for (size_t i = 0; i < piece.size; i++)
            wrong += piece.data[i] != byte_at(change, at++);
    CHECK_INT(wrong, 0);
    CHECK_INT(at, metadata_answer_size(answer));
}

static bool has(struct metadata_cache *cache, const char *key, uint64_t change)
{
    struct metadata_answer *answer = metadata_cache_find(cache, key, change);
    if (answer)
        check_bytes(cache, answer, change);
    metadata_answer_release(cache, answer);
    return answer != NULL;
}

TEST(an_answer_is_found_under_its_key_and_its_change_alone)
{
    struct metadata_cache *cache = metadata_cache_new(BUDGET);
    CHECK(put(cache, "a", 7, 50000));
    CHECK(has(cache, "a", 7));
    CHECK(!has(cache, "b", 7));
    CHECK(!has(cache, "a", 8));
    CHECK(!has(cache, "a", 7)); /* it was known to be out of date */
    metadata_cache_free(cache);
}

TEST(a_newer_answer_takes_the_place_of_the_older)
{
    struct metadata_cache *cache = metadata_cache_new(BUDGET);
    CHECK(put(cache, "a", 7, 50000));
    CHECK(put(cache, "a", 9, 60000));
    struct metadata_answer *answer = metadata_cache_find(cache, "a", 9);
    CHECK_INT(metadata_answer_size(answer), 60000);
    metadata_answer_release(cache, answer);
    metadata_cache_free(cache);
}

TEST(what_was_used_least_recently_goes_first)
{
    struct metadata_cache *cache = metadata_cache_new(BUDGET);
    char key[16];
    for (int i = 0; i < 8; i++) {
        snprintf(key, sizeof(key), "%d", i);
        CHECK(put(cache, key, 1, 100000));
        CHECK(has(cache, "0", 1));
    }
    CHECK(put(cache, "last", 1, 200000));
    CHECK(has(cache, "0", 1));
    CHECK(!has(cache, "1", 1));
    CHECK(has(cache, "last", 1));
    metadata_cache_free(cache);
}

TEST(an_answer_that_is_being_sent_counts_until_it_was_sent)
{
    struct metadata_cache *cache = metadata_cache_new(BUDGET);
    struct metadata_answer *sent[4];
    char key[16];
    for (int i = 0; i < 4; i++) {
        snprintf(key, sizeof(key), "%d", i);
        CHECK(put(cache, key, 1, 200000));
        sent[i] = metadata_cache_find(cache, key, 1);
        CHECK(sent[i] != NULL);
    }
    CHECK(!put(cache, "more", 1, 200000));
    CHECK_INT(metadata_answer_size(sent[0]), 200000);
    check_bytes(cache, sent[0], 1);
    for (int i = 0; i < 4; i++)
        metadata_answer_release(cache, sent[i]);
    CHECK(put(cache, "more", 1, 200000));
    metadata_cache_free(cache);
}

TEST(an_answer_larger_than_its_share_is_not_kept)
{
    struct metadata_cache *cache = metadata_cache_new(BUDGET);
    CHECK(put(cache, "small", 1, 50000));
    CHECK(!put(cache, "large", 1, BUDGET / 2));
    CHECK(has(cache, "small", 1));
    metadata_cache_free(cache);
}

TEST(an_answer_is_kept_in_the_gaps_that_others_left)
{
    struct metadata_cache *cache = metadata_cache_new(BUDGET + 5000);
    char key[16];
    for (int i = 0; i < 60; i++) {
        snprintf(key, sizeof(key), "%d", i);
        CHECK(put(cache, key, 3, 16000));
    }
    for (int i = 0; i < 60; i += 3) {
        snprintf(key, sizeof(key), "%d", i);
        CHECK(!has(cache, key, 4)); /* gone */
    }
    CHECK(put(cache, "scattered", 11, 250000));
    CHECK(has(cache, "scattered", 11));
    for (int i = 0; i < 60; i++) {
        snprintf(key, sizeof(key), "%d", i);
        CHECK_INT(has(cache, key, 3), i % 3 != 0);
    }
    metadata_cache_free(cache);
}

TEST(without_a_budget_nothing_is_kept)
{
    struct metadata_cache *cache = metadata_cache_new(0);
    CHECK(metadata_cache_begin(cache, "a", 1) == NULL);
    CHECK(metadata_cache_find(cache, "a", 1) == NULL);
    metadata_cache_free(cache);
}

static void *use(void *context)
{
    char key[16];
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "%d", i % 12);
        if (!has(context, key, (uint64_t)i % 5))
            put(context, key, (uint64_t)i % 5, 90000);
    }
    return NULL;
}

TEST(many_threads_share_it)
{
    struct metadata_cache *cache = metadata_cache_new(BUDGET);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, use, cache), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    metadata_cache_free(cache);
}
