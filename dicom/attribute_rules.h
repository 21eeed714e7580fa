/* SPDX-License-Identifier: MIT */
#pragma once
/* Which attributes a data set must have (PS3.5 7.4), as a table: sequences are followed by the
 * rules of their items, one level deeper. Pure; thread-safe. */

#include "dicom/dataset.h"

enum attribute_type {
    ATTRIBUTE_1,  /* there, with a value */
    ATTRIBUTE_1C, /* with a value if it is there */
    ATTRIBUTE_2,  /* there, with a value or without */
    ATTRIBUTE_3,  /* need not be there; named for the sake of what stands in it */
};

struct attribute_rule {
    uint8_t depth; /* 0: of the data set; 1: of the items of the sequence that stands before */
    uint8_t type;  /* enum attribute_type */
    uint32_t tag;
};

enum { RULES_TAGS = 16 };
struct rules_result {
    uint32_t missing[RULES_TAGS];
    size_t missing_count; /* those above RULES_TAGS are not named */
    uint32_t empty[RULES_TAGS];
    size_t empty_count;
};

/* Holds the data set against the table, items of sequences too. True: it is as the table has it. */
bool rules_check(const struct dataset *dataset, const struct attribute_rule *rules, size_t count,
                 struct rules_result *result);
