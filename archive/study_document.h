/* SPDX-License-Identifier: MIT */
#pragma once
/* The documents of a study as archive/study gives them out: headers, with long texts read in from
 * the stored file. Bounded for each study. One thread at a time. */

#include "archive/core.h"
#include "archive/document.h"

struct study_budget {
    size_t documents;
    uint64_t bytes;
};
struct study_budget study_budget_init(void);

/* Leaves `document` without a data set when it is beyond the budget: *beyond. Not *found: it was
 * deleted meanwhile. */
bool study_document_load(struct archive *archive, const struct identity *identity,
                         struct study_budget *budget, struct document *document, bool *found,
                         bool *beyond, struct error *err);
