/* SPDX-License-Identifier: MIT */
#pragma once
/* Tables of dicom/fold.c. */

#include <stddef.h>
#include <stdint.h>

enum {
    FOLD_LOW_FIRST = 0xA0, /* Latin, Greek, Cyrillic, Armenian, combining marks */
    FOLD_LOW_END = 0x590,
    FOLD_HIGH_FIRST = 0x1E00, /* Latin Extended Additional, Greek Extended */
    FOLD_HIGH_END = 0x2000,
    FOLD_EXPANDS = 1, /* stands in the tables for an entry of fold_expansions */
};

struct fold_expansion {
    uint16_t code;
    const char *text;
};

extern const uint16_t fold_table_low[];
extern const uint16_t fold_table_high[];
extern const struct fold_expansion fold_expansions[]; /* ascending */
extern const size_t fold_expansion_count;
