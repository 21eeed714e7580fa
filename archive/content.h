/* SPDX-License-Identifier: MIT */
#pragma once
/* The data set of an instance on its way in: in memory, or, when it was too big for that, in its
 * finished blob. And its comparison with one that is stored. */

#include "archive/core.h"
#include "storage/blob.h"

struct content {
    struct slice bytes; /* of the data set; data is NULL when it stands in the blob */
    struct blob *blob;
    uint64_t offset; /* in the blob */
    uint64_t size;
};

/* `space` is filled whole. */
bool content_read(const struct content *content, uint64_t offset, struct space space,
                  struct error *err);

enum comparison {
    COMPARISON_SAME,
    COMPARISON_OTHER,
    COMPARISON_VANISHED, /* the stored one was deleted meanwhile */
};

/* Compares with the stored instance of the same SOP Instance UID, which stands at `place`: the same
 * is only what stands in the same study and series, has the same transfer syntax, and is equal byte
 * for byte, or equal to what the stored one was amended from. Returns COMPARISON_SAME when the
 * stored one is durable. */
bool content_compare(struct archive *archive, const struct content *content,
                     const struct identity *identity, const char *transfer_syntax,
                     const struct identity *place, enum comparison *comparison, struct error *err);
