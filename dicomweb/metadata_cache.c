/* SPDX-License-Identifier: MIT */
#include "dicomweb/metadata_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/memory.h"

enum {
    SHARE = 4,               /* no answer takes more than this part of the budget */
    ENTRY_SIZE = 16 << 10,   /* what an entry counts beside its bytes: bounds their number */
    SMALLEST_KEPT = 4 << 10, /* compressed bytes: what is smaller is soon made anew */
};

struct metadata_answer {
    char *key;
    uint64_t hash; /* of the key */
    uint64_t change;
    struct buffer bytes;
    uint64_t charged; /* of the budget; this and the rest are guarded by the cache's lock */
    unsigned references;
    TAILQ_ENTRY(metadata_answer) entry;
};

TAILQ_HEAD(answers, metadata_answer);

struct metadata_cache {
    uint64_t limit;
    pthread_mutex_t lock;
    uint64_t charged;       /* guarded by lock */
    struct answers answers; /* least recently used first; guarded by lock */
};

struct metadata_cache *metadata_cache_new(uint64_t bytes)
{
    struct metadata_cache *cache = mem_alloc(sizeof(*cache));
    cache->limit = bytes;
    pthread_mutex_init(&cache->lock, NULL);
    TAILQ_INIT(&cache->answers);
    return cache;
}

/* With the lock. */
static void drop_reference(struct metadata_cache *cache, struct metadata_answer *answer)
{
    if (--answer->references)
        return;
    cache->charged -= answer->charged;
    buffer_release(&answer->bytes);
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

struct slice metadata_answer_bytes(const struct metadata_answer *answer)
{
    return buffer_slice(&answer->bytes);
}

void metadata_answer_release(struct metadata_cache *cache, struct metadata_answer *answer)
{
    if (!answer)
        return;
    pthread_mutex_lock(&cache->lock);
    drop_reference(cache, answer);
    pthread_mutex_unlock(&cache->lock);
}

/* Charges the answer up to `bytes`, at the cost of those that were not used for long. What others
 * are just sending is freed when they have sent it, and counts until then. */
static bool charge(struct metadata_cache *cache, struct metadata_answer *answer, uint64_t bytes)
{
    uint64_t more = bytes > answer->charged ? bytes - answer->charged : 0;
    pthread_mutex_lock(&cache->lock);
    while (cache->charged + more > cache->limit && !TAILQ_EMPTY(&cache->answers))
        unlist(cache, TAILQ_FIRST(&cache->answers));
    bool ok = cache->charged + more <= cache->limit;
    if (ok) {
        cache->charged += more;
        answer->charged += more;
    }
    pthread_mutex_unlock(&cache->lock);
    return ok;
}

struct metadata_answer *metadata_cache_begin(struct metadata_cache *cache, const char *key,
                                             uint64_t change)
{
    if (!cache->limit)
        return NULL;
    struct metadata_answer *answer = mem_alloc(sizeof(*answer));
    answer->key = mem_copy_text(key);
    answer->hash = hash_of(key);
    answer->change = change;
    answer->references = 1;
    answer->bytes = buffer_up_to(cache->limit / SHARE);
    return answer;
}

bool metadata_answer_append(struct metadata_cache *cache, struct metadata_answer *answer,
                            struct slice bytes)
{
    struct buffer *kept = &answer->bytes;
    if (kept->overflowed)
        return false;
    /* A buffer that grows takes up to twice its size. */
    uint64_t needed = kept->size + bytes.size;
    if (needed <= kept->capacity || charge(cache, answer, 2 * needed + ENTRY_SIZE))
        buffer_append(kept, bytes);
    else
        kept->overflowed = true;
    if (kept->overflowed)
        buffer_release(kept);
    return !kept->overflowed;
}

void metadata_cache_keep(struct metadata_cache *cache, struct metadata_answer *answer)
{
    struct buffer *kept = &answer->bytes;
    if (kept->overflowed || kept->size < SMALLEST_KEPT)
        return;
    kept->data = mem_resize(kept->data, kept->size);
    kept->capacity = kept->size;
    uint64_t size = kept->size + ENTRY_SIZE;
    pthread_mutex_lock(&cache->lock);
    struct metadata_answer *before = look_up(cache, answer->key, answer->hash);
    if (before)
        unlist(cache, before);
    cache->charged -= answer->charged - size;
    answer->charged = size;
    answer->references++;
    TAILQ_INSERT_TAIL(&cache->answers, answer, entry);
    pthread_mutex_unlock(&cache->lock);
}
