/* SPDX-License-Identifier: MIT */
#include "dicom/tag.h"

#include <string.h>

#include "dicom/dictionary_table.h"

/* The attributes of these are as many as the 50xx and 60xx groups, or as the numbers within
 * (0020,31xx), (0028,04x0), (1000,xxx0), (1010,xxxx), (7Fxx,0010). All are retired but overlays, so
 * they need not be fast. */
static const struct dictionary_entry *find_repeating(uint32_t tag)
{
    for (size_t i = PLAIN_COUNT; i < ENTRY_COUNT; i++)
        if ((tag & masks[i - PLAIN_COUNT]) == entries[i].tag)
            return &entries[i];
    return NULL;
}

static bool may_repeat(uint32_t tag)
{
    uint32_t group = tag >> 16;
    return group >> 8 == 0x50 || group >> 8 == 0x60 || group >> 8 == 0x7F || group == 0x0020 ||
           group == 0x0028 || group == 0x1000 || group == 0x1010;
}

const struct dictionary_entry *dictionary_find(uint32_t tag)
{
    if (tag_is_private(tag))
        return NULL;
    /* The hash is the one of dictionary.awk. */
    uint32_t slot = ((tag >> 16) * 25173u + (tag & 0xFFFF) * 40503u) % SLOT_COUNT;
    for (; slots[slot]; slot = (slot + 1) % SLOT_COUNT)
        if (entries[slots[slot] - 1].tag == tag)
            return &entries[slots[slot] - 1];
    return may_repeat(tag) ? find_repeating(tag) : NULL;
}

const struct dictionary_entry *dictionary_find_keyword(const char *keyword)
{
    size_t low = 0, high = ENTRY_COUNT;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct dictionary_entry *entry = &entries[by_keyword[middle]];
        int order = strcmp(keyword, entry->keyword);
        if (!order)
            return entry;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

uint16_t dictionary_vr(uint32_t tag)
{
    uint32_t element = tag & 0xFFFF;
    if (element == 0)
        return VR_UL;
    if (tag_is_private(tag))
        return element >= 0x10 && element <= 0xFF ? VR_LO : VR_UN;
    const struct dictionary_entry *entry = dictionary_find(tag);
    return entry ? entry->vr : VR_UN;
}
