/* SPDX-License-Identifier: MIT */
#pragma once
/* Pictures as they were sent: viewers ask for the same thumbnails and frames again and again, and
 * to draw one takes a millisecond or, compressed, many. One is kept under the ETag that it was sent
 * with, so that it can be no other than what that ETag names, and goes when its instance is deleted
 * or replaced. All are within one budget; the least recently used goes first. Thread-safe. */

#include "archive/changes.h"

struct picture_cache;
struct kept_picture;

/* bytes 0: nothing is kept. The archive is borrowed. */
struct picture_cache *picture_cache_new(struct archive *archive, uint64_t bytes);
void picture_cache_free(struct picture_cache *cache); /* none is held any more */

/* Lets go what was deleted or replaced since the last time. What it returns says until when it
 * looked: for picture_cache_keep, when it is called before the instance is opened. */
uint64_t picture_cache_follow(struct picture_cache *cache);

/* NULL when it is not here. Release it. */
struct kept_picture *picture_cache_find(struct picture_cache *cache, const char *instance,
                                        const char *etag);
struct slice kept_picture_bytes(const struct kept_picture *picture);
void picture_cache_release(struct picture_cache *cache, struct kept_picture *picture);

/* Keeps a copy, unless it is too large, or something was deleted since `followed`: it could be this
 * instance. */
void picture_cache_keep(struct picture_cache *cache, const char *instance, const char *etag,
                        uint64_t followed, struct slice bytes);
