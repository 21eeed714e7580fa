/* SPDX-License-Identifier: MIT */
#pragma once
/* Recycled, page-aligned blocks in which blobs are gathered. A block is address space of which only
 * the touched pages take memory; a recycled one keeps its first pages, because faulting in fresh
 * ones costs more than the copy into them. Thread-safe. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block_pool;

struct block_pool *block_pool_new(size_t block_size);
void block_pool_free(struct block_pool *pool);

/* Its content is of former use. NULL when there is no address space. */
uint8_t *block_pool_take(struct block_pool *pool);
/* Leave to touch `size` more bytes of blocks beyond what each may always touch; false when all that
 * is allowed to all blocks together is taken. Given back with block_pool_return. */
bool block_pool_grant(struct block_pool *pool, size_t size);
void block_pool_return(struct block_pool *pool, size_t size);
/* Bytes for all together, 128 MiB unless set. */
void block_pool_set_budget(struct block_pool *pool, size_t budget);

/* Gives the memory back, but for the first pages; the block stays usable. */
void block_pool_trim(struct block_pool *pool, uint8_t *block);
/* `touched`: how far it was written to. */
void block_pool_give(struct block_pool *pool, uint8_t *block, size_t touched);
