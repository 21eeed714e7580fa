/* SPDX-License-Identifier: MIT */
#pragma once
/* Metadata of studies and series as they were sent, compressed or not: viewers ask for the same
 * series again and again, and to make a thousand instances' JSON anew and compress it takes a
 * hundred times as long as to send it. An answer is kept under the change number of what it tells
 * of, so that it is never given out after a store or delete. What is kept and what is being kept is
 * within one budget; the least recently used goes first. Thread-safe. */

#include "base/buffer.h"

struct metadata_cache;
struct metadata_answer;

/* bytes 0: nothing is kept. The memory is taken when it is needed first, and held from then on. */
struct metadata_cache *metadata_cache_new(uint64_t bytes);
void metadata_cache_free(struct metadata_cache *cache); /* no answer is held any more */

/* NULL when there is none of this change. Release it. */
struct metadata_answer *metadata_cache_find(struct metadata_cache *cache, const char *key,
                                            uint64_t change);
size_t metadata_answer_size(const struct metadata_answer *answer);
/* Its bytes in order: what stands together from the byte `from`; empty at the end. Lives as long as
 * the answer is held. */
struct slice metadata_answer_piece(const struct metadata_cache *cache,
                                   const struct metadata_answer *answer, size_t from);
void metadata_answer_release(struct metadata_cache *cache, struct metadata_answer *answer);

/* An answer that is gathered while it is sent. NULL: nothing is kept. One thread at a time, and
 * released in any case. */
struct metadata_answer *metadata_cache_begin(struct metadata_cache *cache, const char *key,
                                             uint64_t change);
/* False when there is no room for it: it is never kept. */
bool metadata_answer_append(struct metadata_cache *cache, struct metadata_answer *answer,
                            struct slice bytes);
/* It is whole, and nothing changed while it was made. */
void metadata_cache_keep(struct metadata_cache *cache, struct metadata_answer *answer);
