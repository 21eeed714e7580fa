/* SPDX-License-Identifier: MIT */
#include "dicomweb/picture_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"

enum {
    SHARE = 8, /* no picture takes more than this part of the budget */
    BUCKETS = 4096,
    MOST_CHANGES = 500, /* that are looked at one by one; beyond, all pictures go */
};

struct kept_picture {
    char *instance;
    char *etag;
    size_t size;
    uint64_t memory;     /* with all that belongs to it */
    unsigned references; /* this and the entries are guarded by the cache's lock */
    TAILQ_ENTRY(kept_picture) by_use;
    LIST_ENTRY(kept_picture) by_instance;
    LIST_ENTRY(kept_picture) by_etag;
    uint8_t bytes[];
};

struct picture_cache {
    struct archive *archive;
    uint64_t budget;
    pthread_mutex_t following; /* held while the feed is read; taken before `lock` */
    pthread_mutex_t lock;
    uint64_t followed; /* position in the feed; guarded by lock */
    uint64_t lost;     /* position of the last deletion or replacement; guarded by lock */
    uint64_t memory;   /* of all that is kept or still held; guarded by lock */
    TAILQ_HEAD(uses, kept_picture) uses; /* least recently used first; guarded by lock */
    /* Guarded by lock. One image may have hundreds, each with a window of its own. */
    LIST_HEAD(bucket, kept_picture) instances[BUCKETS];
    struct bucket etags[BUCKETS];
};

struct picture_cache *picture_cache_new(struct archive *archive, uint64_t bytes)
{
    struct picture_cache *cache = mem_alloc(sizeof(*cache));
    cache->archive = archive;
    cache->budget = bytes;
    cache->followed = changes_latest(archive);
    pthread_mutex_init(&cache->following, NULL);
    pthread_mutex_init(&cache->lock, NULL);
    TAILQ_INIT(&cache->uses);
    for (int i = 0; i < BUCKETS; i++) {
        LIST_INIT(&cache->instances[i]);
        LIST_INIT(&cache->etags[i]);
    }
    return cache;
}

/* With the lock. */
static void drop_reference(struct picture_cache *cache, struct kept_picture *picture)
{
    if (--picture->references)
        return;
    cache->memory -= picture->memory;
    metric_set(METRIC_PICTURE_CACHE_BYTES, (int64_t)cache->memory);
    free(picture->instance);
    free(picture->etag);
    free(picture);
}

/* With the lock. */
static void unlist(struct picture_cache *cache, struct kept_picture *picture)
{
    TAILQ_REMOVE(&cache->uses, picture, by_use);
    LIST_REMOVE(picture, by_instance);
    LIST_REMOVE(picture, by_etag);
    drop_reference(cache, picture);
}

static void unlist_all(struct picture_cache *cache)
{
    while (!TAILQ_EMPTY(&cache->uses))
        unlist(cache, TAILQ_FIRST(&cache->uses));
}

void picture_cache_free(struct picture_cache *cache)
{
    if (!cache)
        return;
    unlist_all(cache);
    pthread_mutex_destroy(&cache->lock);
    pthread_mutex_destroy(&cache->following);
    free(cache);
}

/* FNV-1a */
static struct bucket *bucket_of(struct bucket buckets[BUCKETS], const char *name)
{
    uint32_t hash = 0x811C9DC5u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x01000193u;
    return &buckets[hash % BUCKETS];
}

/* --- What the feed tells. */

static void lose(struct picture_cache *cache, const struct change *change)
{
    struct bucket *bucket = bucket_of(cache->instances, change->identity.instance);
    pthread_mutex_lock(&cache->lock);
    struct kept_picture *picture = LIST_FIRST(bucket);
    while (picture) {
        struct kept_picture *next = LIST_NEXT(picture, by_instance);
        if (!strcmp(picture->instance, change->identity.instance))
            unlist(cache, picture);
        picture = next;
    }
    cache->lost = change->sequence;
    pthread_mutex_unlock(&cache->lock);
}

static void lose_all(struct picture_cache *cache, uint64_t position)
{
    pthread_mutex_lock(&cache->lock);
    unlist_all(cache);
    cache->lost = position;
    pthread_mutex_unlock(&cache->lock);
}

/* With `following`. */
static bool read_changes(struct picture_cache *cache, uint64_t *position, struct error *err)
{
    struct changes *changes;
    struct change change;
    bool found = true;
    if (!changes_open(cache->archive, *position, &changes, err))
        return false;
    bool ok = true;
    while (ok && found) {
        ok = changes_next(changes, &change, &found, err);
        if (ok && found && change.action != CHANGE_CREATE)
            lose(cache, &change);
        if (ok && found)
            *position = change.sequence;
    }
    changes_close(changes);
    return ok;
}

static uint64_t position_of(struct picture_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    uint64_t position = cache->followed;
    pthread_mutex_unlock(&cache->lock);
    return position;
}

uint64_t picture_cache_follow(struct picture_cache *cache)
{
    struct error err;
    if (!cache->budget)
        return 0;
    uint64_t position = position_of(cache);
    uint64_t latest = changes_latest(cache->archive);
    /* Who finds another at it has an earlier position, and that is as good. */
    if (latest == position || pthread_mutex_trylock(&cache->following) != 0)
        return position;
    position = position_of(cache);
    if (changes_behind(cache->archive, position) > MOST_CHANGES) {
        lose_all(cache, latest);
    } else if (!read_changes(cache, &position, &err)) {
        log_warn("pictures: the changes cannot be read, none is kept: %s", err.message);
        lose_all(cache, latest);
    }
    if (position < latest) /* also when no entry has that number, as after a restore */
        position = latest;
    pthread_mutex_lock(&cache->lock);
    cache->followed = position;
    pthread_mutex_unlock(&cache->lock);
    pthread_mutex_unlock(&cache->following);
    return position;
}

/* --- Pictures. */

/* With the lock. */
static struct kept_picture *look_up(struct picture_cache *cache, const char *instance,
                                    const char *etag)
{
    struct kept_picture *picture;
    LIST_FOREACH(picture, bucket_of(cache->etags, etag), by_etag)
    if (!strcmp(picture->etag, etag) && !strcmp(picture->instance, instance))
        return picture;
    return NULL;
}

struct kept_picture *picture_cache_find(struct picture_cache *cache, const char *instance,
                                        const char *etag)
{
    if (!cache->budget)
        return NULL;
    pthread_mutex_lock(&cache->lock);
    struct kept_picture *picture = look_up(cache, instance, etag);
    if (picture) {
        picture->references++;
        TAILQ_REMOVE(&cache->uses, picture, by_use);
        TAILQ_INSERT_TAIL(&cache->uses, picture, by_use);
    }
    pthread_mutex_unlock(&cache->lock);
    metric_add(picture ? METRIC_PICTURE_CACHE_HITS : METRIC_PICTURE_CACHE_MISSES, 1);
    return picture;
}

struct slice kept_picture_bytes(const struct kept_picture *picture)
{
    return slice_of(picture->bytes, picture->size);
}

void picture_cache_release(struct picture_cache *cache, struct kept_picture *picture)
{
    if (!picture)
        return;
    pthread_mutex_lock(&cache->lock);
    drop_reference(cache, picture);
    pthread_mutex_unlock(&cache->lock);
}

/* With the lock. At the cost of those that were not used for long; what others are just sending is
 * freed when they have sent it, and counts until then. */
static bool make_room(struct picture_cache *cache, uint64_t memory)
{
    while (cache->memory + memory > cache->budget && !TAILQ_EMPTY(&cache->uses))
        unlist(cache, TAILQ_FIRST(&cache->uses));
    return cache->memory + memory <= cache->budget;
}

static struct kept_picture *copy(const char *instance, const char *etag, struct slice bytes)
{
    struct kept_picture *picture = mem_alloc(sizeof(*picture) + bytes.size);
    picture->instance = mem_copy_text(instance);
    picture->etag = mem_copy_text(etag);
    picture->size = bytes.size;
    picture->memory = sizeof(*picture) + bytes.size + strlen(instance) + strlen(etag) + 2;
    picture->references = 1;
    memcpy(picture->bytes, bytes.data, bytes.size);
    return picture;
}

void picture_cache_keep(struct picture_cache *cache, const char *instance, const char *etag,
                        uint64_t followed, struct slice bytes)
{
    if (bytes.size > cache->budget / SHARE)
        return;
    struct kept_picture *picture = copy(instance, etag, bytes);
    pthread_mutex_lock(&cache->lock);
    bool ok = followed >= cache->lost && !look_up(cache, instance, etag) &&
              make_room(cache, picture->memory);
    cache->memory += picture->memory;
    if (ok) {
        picture->references++;
        TAILQ_INSERT_TAIL(&cache->uses, picture, by_use);
        LIST_INSERT_HEAD(bucket_of(cache->instances, instance), picture, by_instance);
        LIST_INSERT_HEAD(bucket_of(cache->etags, etag), picture, by_etag);
    }
    drop_reference(cache, picture);
    metric_set(METRIC_PICTURE_CACHE_BYTES, (int64_t)cache->memory);
    pthread_mutex_unlock(&cache->lock);
}
