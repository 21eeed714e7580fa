/* SPDX-License-Identifier: MIT */
#pragma once
/* The header document of an instance: its data set with the big values elided, in the encoding it
 * came in, and where the elided values stand. All that is derived is derived from it. One thread at
 * a time. */

#include "archive/core.h"
#include "archive/keys.h"
#include "base/buffer.h"
#include "dicom/dataset.h"
#include "dicom/scan.h"

/* Of a header document, and of a frame table. The scan's limits keep both below it. */
#define DOCUMENT_SIZE ((size_t)512 << 20)

/* Appended to `out`. */
void document_encode(const char *transfer_syntax, struct slice header,
                     const struct elision *elisions, size_t elision_count, struct buffer *out);

/* A document taken apart; all borrowed from its bytes. */
struct document_parts {
    char transfer_syntax[UID_SIZE];
    struct slice elisions; /* see document_elision */
    uint32_t elision_count;
    struct slice header;
};
bool document_split(struct slice bytes, struct document_parts *parts, struct error *err);
struct elision document_elision(const struct document_parts *parts, uint32_t index);

/* The data set of a document; borrows the bytes. ERROR_CORRUPT when they are no document. */
bool document_open(struct slice bytes, struct dataset **dataset, struct error *err);

struct document {
    struct buffer bytes;
    struct dataset *dataset; /* NULL until loaded; borrows `bytes` */
};

struct document document_init(void);
void document_release(struct document *document);

/* Fills a document, which may have been used before, with the header of an instance. */
bool document_load(struct archive *archive, const struct identity *identity,
                   struct document *document, bool *found, struct error *err);
