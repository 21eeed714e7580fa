/* SPDX-License-Identifier: MIT */
#include "archive/document.h"

#include <stdlib.h>

#include "archive/fields.h"
#include "base/memory.h"

enum { DOCUMENT_VERSION = 1, ELISION_SIZE = 16 };

void document_encode(const char *transfer_syntax, struct slice header,
                     const struct elision *elisions, size_t elision_count, struct buffer *out)
{
    buffer_append_byte(out, DOCUMENT_VERSION);
    fields_put_text(out, transfer_syntax);
    buffer_append_u32le(out, (uint32_t)elision_count);
    for (size_t i = 0; i < elision_count; i++) {
        buffer_append_u64le(out, elisions[i].offset);
        buffer_append_u64le(out, elisions[i].size);
    }
    buffer_append(out, header);
}

struct document document_init(void)
{
    struct document document = { buffer_up_to(DOCUMENT_SIZE), NULL };
    return document;
}

void document_release(struct document *document)
{
    dataset_close(document->dataset);
    document->dataset = NULL;
    buffer_release(&document->bytes);
}

static bool open_dataset(struct document *document, struct error *err)
{
    struct fields fields = { buffer_slice(&document->bytes), false };
    char transfer_syntax[UID_SIZE];
    if (fields_u8(&fields) != DOCUMENT_VERSION)
        fields.broken = true;
    fields_text(&fields, transfer_syntax, UID_SIZE);
    uint32_t count = fields_u32(&fields);
    struct fields table = { fields_take(&fields, (size_t)count * ELISION_SIZE), false };
    if (fields.broken)
        return error_set(err, ERROR_CORRUPT, "a header document of the index cannot be read");
    struct elision *elisions = mem_alloc_array(count ? count : 1, sizeof(*elisions));
    for (uint32_t i = 0; i < count; i++) {
        elisions[i].offset = fields_u64(&table);
        elisions[i].size = fields_u64(&table);
    }
    bool ok = dataset_open(fields.rest, transfer_syntax_or_private(slice_text(transfer_syntax)),
                           elisions, count, &document->dataset, err);
    free(elisions);
    if (!ok && err)
        err->code = ERROR_CORRUPT;
    return ok;
}

bool document_load(struct archive *archive, const struct identity *identity,
                   struct document *document, bool *found, struct error *err)
{
    struct key key;
    dataset_close(document->dataset);
    document->dataset = NULL;
    key_place(&key, DOCUMENT_HEADER, identity->study, identity->series, identity->instance);
    if (!storage_get(archive->storage, TABLE_DOCUMENT, key_slice(&key), &document->bytes, found,
                     err))
        return false;
    return !*found || open_dataset(document, err);
}
