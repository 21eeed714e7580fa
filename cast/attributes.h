/* SPDX-License-Identifier: MIT */
#pragma once
/* Where the mapping looks for an attribute: first in what the archive keeps for the level, then in
 * the header of an instance, which has everything that was sent. Either may be NULL. Borrowed,
 * immutable. */

#include "base/buffer.h"
#include "dicom/dataset.h"

struct attributes {
    const struct dataset *level;
    const struct dataset *header;
};

/* The data set that has a value (or an item) for the tag; NULL when none has. */
const struct dataset *attributes_with(const struct attributes *attributes, uint32_t tag);
size_t attributes_item_count(const struct attributes *attributes, uint32_t tag);
/* Close it. NULL when there is none. */
struct dataset *attributes_item(const struct attributes *attributes, uint32_t tag, size_t index);

enum { ATTRIBUTE_SIZE = 4096 };
/* The first value, cleaned for FHIR; false when there is nothing in it. */
bool attributes_text(const struct attributes *attributes, uint32_t tag, char *text, size_t size);
/* The same of one data set. */
bool dataset_clean_text(const struct dataset *dataset, uint32_t tag, char *text, size_t size);
/* Value `index` of an attribute with several. */
bool attributes_value(const struct attributes *attributes, uint32_t tag, size_t index, char *text,
                      size_t size);
/* Is the first value this one? For CS flags such as YES. */
bool attributes_say(const struct attributes *attributes, uint32_t tag, const char *value);
