/* SPDX-License-Identifier: MIT */
#pragma once
/* The references of a storage commitment transaction (PS3.4 J.3.2) as text, so that they can be
 * kept: a line "=UID" is the SOP class of the instances in the lines behind it. Pure functions. */

#include "base/buffer.h"
#include "base/error.h"
#include "dicom/dataset.h"
#include "dicom/uid.h"

enum {
    COMMITMENT_REFERENCES = 20000,        /* of one transaction */
    COMMITMENT_REFERENCES_SIZE = 4 << 20, /* text of one list */
};

struct reference {
    char sop_class[UID_SIZE];
    char sop_instance[UID_SIZE];
};

/* Appends the list: in order of class and instance, each once. The references are put in order. */
void references_write(struct reference *references, size_t count, struct buffer *text);
/* Takes the next one off the front of the text; `reference` must be zeroed before the first, and
 * keeps the class between calls. False at the end. */
bool references_next(struct slice *text, struct reference *reference);
size_t references_count(struct slice text);
/* Those of a request (PS3.4 table J.3-1), as references_write. ERROR_INVALID when there are none or
 * one has not its UIDs, ERROR_LIMIT. */
bool references_read(const struct dataset *request, struct buffer *text, size_t *count,
                     struct error *err);
