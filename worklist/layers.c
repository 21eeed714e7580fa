/* SPDX-License-Identifier: MIT */
#include "worklist/layers.h"

#include <stdlib.h>

#include "base/memory.h"

struct tags {
    uint32_t *items;
    size_t count;
    size_t capacity;
};

static void add_tags(const struct dataset *dataset, struct tags *tags)
{
    struct walk walk = dataset_walk(dataset);
    struct element element;
    size_t depth = 0;
    for (enum walk_event event; (event = walk_next(&walk, &element)) != WALK_END;) {
        if (event == WALK_SEQUENCE_END)
            depth--;
        bool is_attribute = event == WALK_ELEMENT || event == WALK_SEQUENCE;
        if (is_attribute && depth == 0 && element.tag & 0xFFFF &&
            element.tag != TAG_SPECIFIC_CHARACTER_SET) {
            if (tags->count == tags->capacity) {
                tags->capacity = tags->capacity ? 2 * tags->capacity : 64;
                tags->items = mem_resize_array(tags->items, tags->capacity, sizeof(uint32_t));
            }
            tags->items[tags->count++] = element.tag;
        }
        if (event == WALK_SEQUENCE)
            depth++;
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static bool is_without(const struct layers *layers, uint32_t tag)
{
    for (size_t i = 0; i < layers->without_count; i++)
        if (layers->without[i] == tag)
            return true;
    return false;
}

void layers_encode(const struct layers *layers, struct encoder *encoder)
{
    struct tags tags = { NULL, 0, 0 };
    for (size_t i = 0; i < LAYERS_MAX; i++)
        if (layers->of[i])
            add_tags(layers->of[i], &tags);
    if (tags.count)
        qsort(tags.items, tags.count, sizeof(uint32_t), compare);
    for (size_t i = 0; i < tags.count; i++) {
        if ((i && tags.items[i] == tags.items[i - 1]) || is_without(layers, tags.items[i]))
            continue;
        for (size_t j = LAYERS_MAX; j-- > 0;)
            if (layers->of[j] && encode_copy(encoder, layers->of[j], tags.items[i]))
                break;
    }
    free(tags.items);
}

bool layers_write(const struct layers *layers, struct buffer *out, struct error *err)
{
    struct encoder encoder = { out, true };
    buffer_clear(out);
    encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    layers_encode(layers, &encoder);
    return buffer_check(out, "data set", err);
}
