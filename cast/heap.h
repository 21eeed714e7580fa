/* SPDX-License-Identifier: MIT */
#pragma once
/* A heap of things that know their place in it, so that one can be moved or taken out. One thread
 * at a time. */

#include <stdbool.h>
#include <stddef.h>

struct heap_place {
    size_t at; /* the heap's own; HEAP_NOWHERE when it is in none */
};
#define HEAP_NOWHERE ((size_t)-1)

struct heap {
    void **items;
    size_t count;
    size_t room;
    bool (*before)(const void *a, const void *b);
    size_t place; /* offset of the struct heap_place in an item */
};

void heap_release(struct heap *heap);      /* not the items */
void *heap_first(const struct heap *heap); /* NULL when empty */
void heap_add(struct heap *heap, void *item);
void heap_remove(struct heap *heap, void *item); /* nothing when it is not in it */
void heap_moved(struct heap *heap, void *item);  /* what it is ordered by has changed */
void heap_order(struct heap *heap);              /* as heap_moved, of any number of them */
