/* SPDX-License-Identifier: MIT */
#pragma once
/* The keys of an identifier, one by one, with the sequences that they stand in (PS3.4 C.2.2.2.6: a
 * sequence key has one item, or none). One thread at a time. */

#include "dicom/dataset.h"

enum { KEY_PATH_MAX = 16 };

struct key_visitor {
    void *context;
    size_t depth; /* tags of a path at most, up to KEY_PATH_MAX */
    /* An attribute; its own tag is the last of the path. */
    bool (*attribute)(void *context, const uint32_t *path, size_t depth,
                      const struct element *element, struct error *err);
    /* The end of a sequence without keys in it: universal. *is_key: it is one for the sequence
     * around it. */
    bool (*sequence)(void *context, const uint32_t *path, size_t depth, bool *is_key,
                     struct error *err);
};

/* ERROR_MISMATCH with the tag for what is no identifier. */
bool identifier_keys(const struct dataset *identifier, const struct key_visitor *visitor,
                     struct error *err);
