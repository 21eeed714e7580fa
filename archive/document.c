/* SPDX-License-Identifier: MIT */
#include "archive/document.h"

#include <stdlib.h>

#include "base/fields.h"
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

bool document_split(struct slice bytes, struct document_parts *parts, struct error *err)
{
    struct fields fields = { bytes, false };
    if (fields_u8(&fields) != DOCUMENT_VERSION)
        fields.broken = true;
    fields_text(&fields, parts->transfer_syntax, UID_SIZE);
    parts->elision_count = fields_u32(&fields);
    parts->elisions = fields_take(&fields, (size_t)parts->elision_count * ELISION_SIZE);
    parts->header = fields.rest;
    if (fields.broken)
        return error_set(err, ERROR_CORRUPT, "a header document of the index cannot be read");
    return true;
}

struct elision document_elision(const struct document_parts *parts, uint32_t index)
{
    const uint8_t *bytes = parts->elisions.data + (size_t)index * ELISION_SIZE;
    return (struct elision){ get_u64le(bytes), get_u64le(bytes + 8) };
}

bool document_open(struct slice bytes, struct dataset **dataset, struct error *err)
{
    struct document_parts parts;
    if (!document_split(bytes, &parts, err))
        return false;
    uint32_t count = parts.elision_count;
    struct elision *elisions = mem_alloc_array(count ? count : 1, sizeof(*elisions));
    for (uint32_t i = 0; i < count; i++)
        elisions[i] = document_elision(&parts, i);
    bool ok = dataset_open(parts.header,
                           transfer_syntax_or_private(slice_text(parts.transfer_syntax)), elisions,
                           count, dataset, err);
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
    return !*found || document_open(buffer_slice(&document->bytes), &document->dataset, err);
}
