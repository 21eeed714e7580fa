/* SPDX-License-Identifier: MIT */
#include "cast/attributes.h"

#include <stdio.h>

#include "cast/text.h"

static bool has(const struct dataset *dataset, uint32_t tag)
{
    struct element element;
    if (!dataset || !dataset_find(dataset, tag, &element))
        return false;
    return element.vr == VR_SQ ? dataset_item_count(dataset, tag) > 0 : element.value.size > 0;
}

const struct dataset *attributes_with(const struct attributes *attributes, uint32_t tag)
{
    if (has(attributes->level, tag))
        return attributes->level;
    return has(attributes->header, tag) ? attributes->header : NULL;
}

size_t attributes_item_count(const struct attributes *attributes, uint32_t tag)
{
    const struct dataset *dataset = attributes_with(attributes, tag);
    return dataset ? dataset_item_count(dataset, tag) : 0;
}

struct dataset *attributes_item(const struct attributes *attributes, uint32_t tag, size_t index)
{
    const struct dataset *dataset = attributes_with(attributes, tag);
    return dataset ? dataset_item(dataset, tag, index) : NULL;
}

bool dataset_clean_text(const struct dataset *dataset, uint32_t tag, char *text, size_t size)
{
    text[0] = 0;
    return dataset && dataset_string(dataset, tag, text, size) && text_clean(text);
}

bool attributes_text(const struct attributes *attributes, uint32_t tag, char *text, size_t size)
{
    return dataset_clean_text(attributes->level, tag, text, size) ||
           dataset_clean_text(attributes->header, tag, text, size);
}

bool attributes_value(const struct attributes *attributes, uint32_t tag, size_t index, char *text,
                      size_t size)
{
    const struct dataset *dataset = attributes_with(attributes, tag);
    struct buffer all = buffer_up_to(64 * 1024);
    bool found = false;

    text[0] = 0;
    if (!dataset || !dataset_text(dataset, tag, &all))
        goto out;
    const char *at = buffer_text(&all);
    for (; index && at; index--)
        if ((at = strchr(at, '\\')))
            at++;
    if (!at)
        goto out;
    size_t length = strcspn(at, "\\");
    if (length >= size)
        goto out;
    memcpy(text, at, length);
    text[length] = 0;
    found = true;
out:
    buffer_release(&all);
    return found;
}

bool attributes_say(const struct attributes *attributes, uint32_t tag, const char *value)
{
    char text[64];
    return attributes_text(attributes, tag, text, sizeof text) && strcmp(text, value) == 0;
}
