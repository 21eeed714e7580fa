/* SPDX-License-Identifier: MIT */
#pragma once
/* The values of an extended query tag in a data set, folded as keys of queries are. */

#include "archive/query_tags.h"
#include "base/buffer.h"
#include "dicom/dataset.h"

/* What is wrong with a value; the index has it all the same, as it is. */
enum tag_fault {
    TAG_FAULT_NONE,
    TAG_FAULT_DATE,
    TAG_FAULT_TIME,
    TAG_FAULT_DATE_TIME,
    TAG_FAULT_NUMBER,
    TAG_FAULT_UID,
    TAG_FAULT_VR,
    TAG_FAULT_ELIDED,
    TAG_FAULT_COUNT,
};
const char *tag_fault_text(enum tag_fault fault);

struct tag_values {
    uint16_t number;
    struct buffer *entries; /* {16-bit number, 8-bit size, value} each is appended, each once */
    size_t begin;           /* of this tag's entries */
    size_t count;
    size_t items; /* of sequences that were looked into */
    enum tag_fault fault;
};
void tag_values_gather(struct tag_values *values, const struct query_tag *tag,
                       const struct dataset *dataset);
