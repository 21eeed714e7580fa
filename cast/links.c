/* SPDX-License-Identifier: MIT */
#include "cast/links.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct link {
    char *key; /* "type|system|value" */
    char *reference;
    bool ours;
};

struct links {
    struct link *items; /* by key */
    size_t count;
    size_t capacity;
};

struct links *links_new(void)
{
    return mem_alloc(sizeof(struct links));
}

void links_free(struct links *links)
{
    if (!links)
        return;
    for (size_t i = 0; i < links->count; i++) {
        free(links->items[i].key);
        free(links->items[i].reference);
    }
    free(links->items);
    free(links);
}

size_t links_count(const struct links *links)
{
    return links->count;
}

static char *key_of(const char *type, const cJSON *identifier)
{
    const char *system = json_text(identifier, "system");
    const char *value = json_text(identifier, "value");
    return mem_format("%s|%s|%s", type, system ? system : "", value ? value : "");
}

/* Where the key stands, or would. */
static size_t place_of(const struct links *links, const char *key, bool *found)
{
    size_t low = 0, high = links->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(key, links->items[middle].key);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    *found = false;
    return low;
}

bool links_add(struct links *links, const char *type, const cJSON *identifier,
               const char *reference, bool ours)
{
    bool found;
    char *key = key_of(type, identifier);
    size_t place = place_of(links, key, &found);
    if (found) {
        free(key);
        return false;
    }
    if (links->count == links->capacity) {
        links->capacity = links->capacity ? links->capacity * 2 : 16;
        links->items = mem_resize_array(links->items, links->capacity, sizeof *links->items);
    }
    memmove(links->items + place + 1, links->items + place,
            (links->count - place) * sizeof *links->items);
    links->items[place] = (struct link){ key, mem_copy_text(reference), ours };
    links->count++;
    return true;
}

static const struct link *find(const struct links *links, const char *type, const cJSON *identifier)
{
    bool found;
    char *key = key_of(type, identifier);
    size_t place = place_of(links, key, &found);
    free(key);
    return found ? &links->items[place] : NULL;
}

const char *links_find(const struct links *links, const char *type, const cJSON *identifier)
{
    const struct link *link = find(links, type, identifier);
    return link ? link->reference : NULL;
}

static void set_reference(cJSON *object, const struct link *link)
{
    if (link->ours) {
        json_remove(object, "type");
        json_remove(object, "identifier");
    }
    json_set_text(object, "reference", link->reference);
}

static bool apply_here(const struct links *links, cJSON *object)
{
    const char *type = json_text(object, "type");
    const cJSON *identifier = json_get(object, "identifier");
    if (!type || !cJSON_IsObject(identifier) || json_get(object, "reference"))
        return false;
    const struct link *link = find(links, type, identifier);
    if (link)
        set_reference(object, link);
    return link != NULL;
}

bool links_apply(const struct links *links, cJSON *resource)
{
    struct json_walk walk = { .depth = 0 };
    bool changed = false;
    for (cJSON *item = resource; item; item = json_walk_next(&walk, item))
        if (cJSON_IsObject(item) && apply_here(links, item))
            changed = true;
    return changed;
}
