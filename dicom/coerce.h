/* SPDX-License-Identifier: MIT */
#pragma once
/* Attributes of a data set that are given other values, as edits of its bytes: all else stays as it
 * was received, and an item of Original Attributes Sequence (PS3.3 C.12.1.1.9) tells what was
 * changed. Any transfer syntax but deflated ones. Pure functions. */

#include "base/buffer.h"
#include "base/error.h"
#include "dicom/dataset.h"

enum { COERCIONS_MAX = 32, COERCED_VALUE_MAX = 4096 };

/* A text attribute of the top level and its new value, encoded as the data set is; or a sequence
 * and its items. */
struct coercion {
    uint32_t tag;
    uint16_t vr;
    bool corrects; /* what was there is wrong (CORRECT); else it is made to agree (COERCE) */
    struct slice value;
};

/* What the item says besides. */
struct coercion_note {
    const char *date_time; /* DT (0400,0562) */
    const char *system;    /* who changed it, (0400,0563) */
    const char *source;    /* who sent the old values, (0400,0564); "" */
};

struct edit {
    uint64_t offset;  /* in the data set, ascending */
    uint64_t removed; /* so many bytes of it, in whose place stand */
    size_t inserted;  /* so many of `bytes`, the edits' one after the other */
};
struct edit_list {
    struct edit edits[COERCIONS_MAX + 2];
    size_t count;
    struct buffer bytes;
};

/* `coercions` in ascending order of their tags, each tag once. Fills `edits`, to be released in any
 * case. ERROR_INVALID when an old value is too long to be kept. */
bool coerce_edits(const struct dataset *header, const struct coercion *coercions, size_t count,
                  const struct coercion_note *note, struct edit_list *edits, struct error *err);
void edit_list_release(struct edit_list *edits);

/* The items alone, as a data set in Explicit VR Little Endian. Appends. */
bool coerce_items(const struct dataset *header, const struct coercion *coercions, size_t count,
                  const struct coercion_note *note, struct buffer *out, struct error *err);
