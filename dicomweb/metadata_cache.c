/* SPDX-License-Identifier: MIT */
/* The bytes lie in blocks of one mapping that has the size of the budget and huge pages: an answer
 * of some megabytes that grows in memory of its own, freshly mapped and doubled each time, costs as
 * much in page faults as its JSON costs to write. The lowest free blocks are taken, so that no more
 * of the mapping is ever resident than was needed at once. */
#include "dicomweb/metadata_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>

#include "base/memory.h"

enum {
    SHARE = 4, /* no answer takes more than this part of the budget */
    BLOCK_SIZE = 16 << 10,
    BLOCKS_OF_WORD = 64,
    HUGE_PAGE = 2 << 20,
    SMALLEST_KEPT = 4 << 10, /* what is smaller is soon made anew */
};

struct metadata_answer {
    char *key;
    uint64_t hash; /* of the key */
    uint64_t change;
    uint32_t *blocks;
    size_t block_count;
    size_t block_capacity;
    size_t size;
    bool refused;
    unsigned references; /* this and the entry are guarded by the cache's lock */
    TAILQ_ENTRY(metadata_answer) entry;
};

TAILQ_HEAD(answers, metadata_answer);

struct metadata_cache {
    uint8_t *mapping;
    size_t mapping_size;
    uint8_t *blocks; /* in the mapping, at a huge page */
    size_t block_count;
    pthread_mutex_t lock;
    uint64_t *taken;        /* a bit for each block; guarded by lock */
    size_t first_free;      /* no word of `taken` before it has a free block; guarded by lock */
    size_t free_count;      /* guarded by lock */
    struct answers answers; /* least recently used first; guarded by lock */
};

struct metadata_cache *metadata_cache_new(uint64_t bytes)
{
    struct metadata_cache *cache = mem_alloc(sizeof(*cache));
    pthread_mutex_init(&cache->lock, NULL);
    TAILQ_INIT(&cache->answers);
    if (bytes < BLOCK_SIZE || bytes / BLOCK_SIZE > UINT32_MAX)
        return cache;
    cache->mapping_size = bytes + HUGE_PAGE;
    void *mapping = mmap(NULL, cache->mapping_size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
        return cache; /* an address space that is limited: nothing is kept */
    madvise(mapping, cache->mapping_size, MADV_HUGEPAGE);
    cache->mapping = mapping;
    cache->blocks = cache->mapping + (HUGE_PAGE - (uintptr_t)mapping % HUGE_PAGE) % HUGE_PAGE;
    cache->block_count = cache->free_count = bytes / BLOCK_SIZE;
    size_t words = (cache->block_count + BLOCKS_OF_WORD - 1) / BLOCKS_OF_WORD;
    cache->taken = mem_alloc_array(words, sizeof(*cache->taken));
    if (cache->block_count % BLOCKS_OF_WORD) /* there are none behind the last */
        cache->taken[words - 1] = UINT64_MAX << cache->block_count % BLOCKS_OF_WORD;
    return cache;
}

/* With the lock, and one is free. */
static uint32_t take_block(struct metadata_cache *cache)
{
    while (cache->taken[cache->first_free] == UINT64_MAX)
        cache->first_free++;
    uint64_t *word = &cache->taken[cache->first_free];
    unsigned bit = (unsigned)__builtin_ctzll(~*word);
    *word |= UINT64_C(1) << bit;
    cache->free_count--;
    return (uint32_t)(cache->first_free * BLOCKS_OF_WORD + bit);
}

/* With the lock. */
static void give_blocks_back(struct metadata_cache *cache, struct metadata_answer *answer)
{
    for (size_t i = 0; i < answer->block_count; i++) {
        size_t word = answer->blocks[i] / BLOCKS_OF_WORD;
        cache->taken[word] &= ~(UINT64_C(1) << answer->blocks[i] % BLOCKS_OF_WORD);
        if (word < cache->first_free)
            cache->first_free = word;
    }
    cache->free_count += answer->block_count;
    answer->block_count = 0;
    answer->size = 0;
}

/* With the lock. */
static void drop_reference(struct metadata_cache *cache, struct metadata_answer *answer)
{
    if (--answer->references)
        return;
    give_blocks_back(cache, answer);
    free(answer->blocks);
    free(answer->key);
    free(answer);
}

/* With the lock. */
static void unlist(struct metadata_cache *cache, struct metadata_answer *answer)
{
    TAILQ_REMOVE(&cache->answers, answer, entry);
    drop_reference(cache, answer);
}

void metadata_cache_free(struct metadata_cache *cache)
{
    if (!cache)
        return;
    while (!TAILQ_EMPTY(&cache->answers))
        unlist(cache, TAILQ_FIRST(&cache->answers));
    pthread_mutex_destroy(&cache->lock);
    if (cache->mapping)
        munmap(cache->mapping, cache->mapping_size);
    free(cache->taken);
    free(cache);
}

/* FNV-1a */
static uint64_t hash_of(const char *key)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 0x100000001B3u;
    return hash;
}

/* With the lock. They are some thousands at most. */
static struct metadata_answer *look_up(struct metadata_cache *cache, const char *key, uint64_t hash)
{
    struct metadata_answer *answer;
    TAILQ_FOREACH_REVERSE(answer, &cache->answers, answers, entry)
    if (answer->hash == hash && strcmp(answer->key, key) == 0)
        return answer;
    return NULL;
}

struct metadata_answer *metadata_cache_find(struct metadata_cache *cache, const char *key,
                                            uint64_t change)
{
    uint64_t hash = hash_of(key);
    pthread_mutex_lock(&cache->lock);
    struct metadata_answer *answer = look_up(cache, key, hash);
    if (answer && answer->change != change) {
        unlist(cache, answer);
        answer = NULL;
    }
    if (answer) {
        answer->references++;
        TAILQ_REMOVE(&cache->answers, answer, entry);
        TAILQ_INSERT_TAIL(&cache->answers, answer, entry);
    }
    pthread_mutex_unlock(&cache->lock);
    return answer;
}

size_t metadata_answer_size(const struct metadata_answer *answer)
{
    return answer->size;
}

/* As many blocks as stand one behind the other. */
struct slice metadata_answer_piece(const struct metadata_cache *cache,
                                   const struct metadata_answer *answer, size_t from)
{
    size_t first = from / BLOCK_SIZE, end = first + 1;
    if (from >= answer->size)
        return slice_of(NULL, 0);
    while (end < answer->block_count && answer->blocks[end] == answer->blocks[end - 1] + 1)
        end++;
    size_t size = (end * BLOCK_SIZE < answer->size ? end * BLOCK_SIZE : answer->size) - from;
    return slice_of(cache->blocks + (size_t)answer->blocks[first] * BLOCK_SIZE + from % BLOCK_SIZE,
                    size);
}

void metadata_answer_release(struct metadata_cache *cache, struct metadata_answer *answer)
{
    if (!answer)
        return;
    pthread_mutex_lock(&cache->lock);
    drop_reference(cache, answer);
    pthread_mutex_unlock(&cache->lock);
}

/* At the cost of answers that were not used for long. What others are just sending is freed when
 * they have sent it, and counts until then. */
static bool take_blocks(struct metadata_cache *cache, struct metadata_answer *answer, size_t count)
{
    if (count > answer->block_capacity) {
        answer->block_capacity = 2 * count;
        answer->blocks = mem_resize_array(answer->blocks, answer->block_capacity,
                                          sizeof(*answer->blocks));
    }
    pthread_mutex_lock(&cache->lock);
    size_t more = count - answer->block_count;
    while (cache->free_count < more && !TAILQ_EMPTY(&cache->answers))
        unlist(cache, TAILQ_FIRST(&cache->answers));
    bool ok = cache->free_count >= more;
    while (ok && answer->block_count < count)
        answer->blocks[answer->block_count++] = take_block(cache);
    pthread_mutex_unlock(&cache->lock);
    return ok;
}

struct metadata_answer *metadata_cache_begin(struct metadata_cache *cache, const char *key,
                                             uint64_t change)
{
    if (!cache->block_count)
        return NULL;
    struct metadata_answer *answer = mem_alloc(sizeof(*answer));
    answer->key = mem_copy_text(key);
    answer->hash = hash_of(key);
    answer->change = change;
    answer->references = 1;
    return answer;
}

static void refuse(struct metadata_cache *cache, struct metadata_answer *answer)
{
    answer->refused = true;
    pthread_mutex_lock(&cache->lock);
    give_blocks_back(cache, answer);
    pthread_mutex_unlock(&cache->lock);
}

bool metadata_answer_append(struct metadata_cache *cache, struct metadata_answer *answer,
                            struct slice bytes)
{
    size_t limit = cache->block_count * BLOCK_SIZE / SHARE;
    if (answer->refused)
        return false;
    if (bytes.size > limit - answer->size ||
        !take_blocks(cache, answer, (answer->size + bytes.size + BLOCK_SIZE - 1) / BLOCK_SIZE)) {
        refuse(cache, answer);
        return false;
    }
    while (bytes.size) {
        size_t in_block = answer->size % BLOCK_SIZE;
        struct slice part = slice_take(bytes, BLOCK_SIZE - in_block);
        size_t block = answer->blocks[answer->size / BLOCK_SIZE];
        memcpy(cache->blocks + block * BLOCK_SIZE + in_block, part.data, part.size);
        answer->size += part.size;
        bytes = slice_skip(bytes, part.size);
    }
    return true;
}

void metadata_cache_keep(struct metadata_cache *cache, struct metadata_answer *answer)
{
    if (answer->refused || answer->size < SMALLEST_KEPT)
        return;
    pthread_mutex_lock(&cache->lock);
    struct metadata_answer *before = look_up(cache, answer->key, answer->hash);
    if (before)
        unlist(cache, before);
    answer->references++;
    TAILQ_INSERT_TAIL(&cache->answers, answer, entry);
    pthread_mutex_unlock(&cache->lock);
}
