/* SPDX-License-Identifier: MIT */
#include "cast/heap.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { FIRST_ROOM = 64 };

static struct heap_place *place_of(const struct heap *heap, void *item)
{
    return (struct heap_place *)(void *)((char *)item + heap->place);
}

static void put(struct heap *heap, size_t at, void *item)
{
    heap->items[at] = item;
    place_of(heap, item)->at = at;
}

static void rise(struct heap *heap, size_t at)
{
    void *item = heap->items[at];
    while (at > 0 && heap->before(item, heap->items[(at - 1) / 2])) {
        put(heap, at, heap->items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(heap, at, item);
}

static void sink(struct heap *heap, size_t at)
{
    void *item = heap->items[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->before(heap->items[child + 1], heap->items[child]))
            child++;
        if (!heap->before(heap->items[child], item))
            break;
        put(heap, at, heap->items[child]);
        at = child;
    }
    put(heap, at, item);
}

void heap_release(struct heap *heap)
{
    free(heap->items);
    heap->items = NULL;
    heap->count = heap->room = 0;
}

void *heap_first(const struct heap *heap)
{
    return heap->count ? heap->items[0] : NULL;
}

void heap_add(struct heap *heap, void *item)
{
    if (heap->count == heap->room) {
        size_t room = heap->room ? 2 * heap->room : FIRST_ROOM;
        void **items = mem_alloc_array(room, sizeof *items);
        if (heap->count)
            memcpy(items, heap->items, heap->count * sizeof *items);
        free(heap->items);
        heap->items = items;
        heap->room = room;
    }
    put(heap, heap->count++, item);
    rise(heap, heap->count - 1);
}

void heap_remove(struct heap *heap, void *item)
{
    struct heap_place *place = place_of(heap, item);
    size_t at = place->at;
    if (at == HEAP_NOWHERE)
        return;
    void *last = heap->items[--heap->count];
    place->at = HEAP_NOWHERE;
    if (last == item)
        return;
    put(heap, at, last);
    heap_moved(heap, last);
}

void heap_moved(struct heap *heap, void *item)
{
    size_t at = place_of(heap, item)->at;
    if (at == HEAP_NOWHERE)
        return;
    rise(heap, at);
    sink(heap, place_of(heap, item)->at);
}

void heap_order(struct heap *heap)
{
    for (size_t at = heap->count / 2; at > 0; at--)
        sink(heap, at - 1);
}
