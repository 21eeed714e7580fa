/* SPDX-License-Identifier: MIT */
#pragma once
/* Inside dicomdir.c: which record an instance has, and which attributes stand in each type of
 * record (PS3.3 F.5). Immutable, thread-safe. */

#include "dicom/dataset.h"

enum record_presence {
    RECORD_REQUIRED, /* type 1 */
    RECORD_EMPTY,    /* type 2: empty when it is not known */
    RECORD_IF_THERE, /* type 1C and 3 */
};

struct record_attribute {
    uint32_t tag;
    enum record_presence presence;
    const char *fallback; /* of a required one */
};

enum { RECORD_MAX_ATTRIBUTES = 12 };

struct record_type {
    const char *name;
    struct record_attribute attributes[RECORD_MAX_ATTRIBUTES]; /* tags ascend; the last has tag 0 */
};

enum record_level { RECORD_OF_PATIENT, RECORD_OF_STUDY, RECORD_OF_SERIES, RECORD_OF_INSTANCE };

/* That of a level above the instances. */
const struct record_type *record_type_of_level(enum record_level level);
/* That of an instance. */
const struct record_type *record_type_of_instance(const struct dataset *header,
                                                  const char *sop_class);
