/* SPDX-License-Identifier: MIT */
#pragma once
/* A worklist in a fresh folder, and data sets in a few words. */

#include "dicom/dataset.h"
#include "storage/storage.h"
#include "tests/test.h"
#include "worklist/objects.h"
#include "worklist/worklist.h"

struct fixture {
    char folder[128];
    bool index_in_memory;
    struct storage *storage;
    struct worklist *worklist;
};

void fixture_open(struct fixture *fixture, bool index_in_memory);
void fixture_reopen(struct fixture *fixture); /* only with an index on disk */
void fixture_close(struct fixture *fixture);

/* A data set of "ggggeeee value" lines, tags ascending; "ggggeeee [" begins a sequence with one
 * item, "," ends the item and begins another, "]" ends the sequence. VRs are the dictionary's;
 * values UTF-8. Borrowed from a few buffers that take turns: 16 at once. */
const struct dataset *dataset_of(const char *lines);
/* One attribute of the object's data set, top level or in the one item of a sequence. */
const char *text_of(const struct object *object, uint32_t tag);
const char *text_in(const struct object *object, uint32_t sequence, uint32_t tag);

/* Keys of a walk, "a,b,c". */
const char *walk_list(struct fixture *fixture, const struct object_range *range);
