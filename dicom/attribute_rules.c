/* SPDX-License-Identifier: MIT */
#include "dicom/attribute_rules.h"

static void note(uint32_t *tags, size_t *count, uint32_t tag)
{
    for (size_t i = 0; i < *count; i++)
        if (tags[i] == tag)
            return;
    if (*count < RULES_TAGS)
        tags[(*count)++] = tag;
}

/* Padding alone is no value. */
static bool has_value(const struct dataset *dataset, const struct element *element)
{
    if (element->vr == VR_SQ)
        return dataset_item_count(dataset, element->tag) > 0;
    if (element->elided)
        return true;
    for (size_t i = 0; i < element->value.size; i++)
        if (element->value.data[i] != ' ' && element->value.data[i] != '\0')
            return true;
    /* Zeroes are a value of numbers. */
    return element->value.size && (element->vr == VR_US || element->vr == VR_UL ||
                                   element->vr == VR_FD || element->vr == VR_FL);
}

static void check_one(const struct dataset *dataset, const struct attribute_rule *rule,
                      struct rules_result *result)
{
    struct element element;
    bool found = dataset_find(dataset, rule->tag, &element);
    if (!found && (rule->type == ATTRIBUTE_1 || rule->type == ATTRIBUTE_2))
        note(result->missing, &result->missing_count, rule->tag);
    if (found && rule->type <= ATTRIBUTE_1C && !has_value(dataset, &element))
        note(result->empty, &result->empty_count, rule->tag);
}

/* The rules of one depth, from the first on; those behind a sequence that are deeper are of its
 * items. Goes as deep as the table, not as the data set. */
static void check(const struct dataset *dataset, const struct attribute_rule *rules, size_t count,
                  struct rules_result *result)
{
    for (size_t i = 0; i < count;) {
        size_t inner = i + 1;
        while (inner < count && rules[inner].depth > rules[i].depth)
            inner++;
        check_one(dataset, &rules[i], result);
        if (inner > i + 1) {
            struct dataset_items items = dataset_items(dataset, rules[i].tag);
            struct dataset *item;
            while ((item = dataset_items_next(&items))) {
                check(item, &rules[i + 1], inner - i - 1, result);
                dataset_close(item);
            }
        }
        i = inner;
    }
}

bool rules_check(const struct dataset *dataset, const struct attribute_rule *rules, size_t count,
                 struct rules_result *result)
{
    *result = (struct rules_result){ .missing_count = 0 };
    check(dataset, rules, count, result);
    return !result->missing_count && !result->empty_count;
}
