/* SPDX-License-Identifier: MIT */
#pragma once
/* Which attribute belongs to which level of the tree, and the summaries made of them: what queries
 * commonly ask of a study (patient and study level), a series or an instance, kept in its record. A
 * summary is a data set in Explicit VR Little Endian and UTF-8. The table is immutable. */

#include "archive/archive.h"
#include "base/buffer.h"
#include "dicom/dataset.h"

/* What would make a summary larger than SUMMARY_SOFT_SIZE stays in the header document only, but
 * for what terms, keys and orders are made of: that always fits, as values in a header have a
 * limit. */
enum { SUMMARY_SOFT_SIZE = 16 << 10, SUMMARY_SIZE = 256 << 10 };

/* The summaries are of LEVEL_STUDY (with the patient's attributes), LEVEL_SERIES and
 * LEVEL_INSTANCE. False for an attribute that is not in the table. */
bool attribute_level(uint32_t tag, enum level *level);

/* Walks the attributes of one level in ascending order from *position = 0. */
bool attribute_next(enum level level, size_t *position, uint32_t *tag);

struct summary {
    uint64_t present; /* a bit for each attribute of its level that has a value */
    bool partial;     /* something was too big: what is absent may stand in the header */
    struct buffer bytes;
};

struct summary summary_init(void);
void summary_release(struct summary *summary);

/* Which attributes of the summary of `level` have a value in `header`. */
uint64_t summary_presence(const struct dataset *header, enum level level);
/* Made of what `first` has, and where it has no value of what `second` (may be NULL) has. */
void summary_build(struct summary *summary, enum level level, const struct dataset *first,
                   const struct dataset *second);
