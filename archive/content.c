/* SPDX-License-Identifier: MIT */
#include "archive/content.h"

#include <stdlib.h>

#include "archive/lookup.h"
#include "archive/versions.h"
#include "base/memory.h"

enum { PIECE_SIZE = 256 << 10 };

bool content_read(const struct content *content, uint64_t offset, struct space space,
                  struct error *err)
{
    if (offset > content->size || space.size > content->size - offset)
        return error_set(err, ERROR_INVALID, "a range beyond the end of the data set");
    if (!content->bytes.data)
        return blob_read(content->blob, content->offset + offset, space, err);
    if (space.size)
        memcpy(space.data, content->bytes.data + offset, space.size);
    return true;
}

static bool compare_bytes(const struct content *content, struct blob *stored, uint64_t offset,
                          enum comparison *comparison, struct error *err)
{
    uint8_t *pieces = mem_resize(NULL, (size_t)2 * PIECE_SIZE);
    bool ok = true;
    *comparison = COMPARISON_SAME;
    for (uint64_t at = 0; ok && *comparison == COMPARISON_SAME && at < content->size;) {
        uint64_t left = content->size - at;
        size_t size = left < PIECE_SIZE ? (size_t)left : PIECE_SIZE;
        ok = content_read(content, at, (struct space){ pieces, size }, err) &&
             blob_read(stored, offset + at, (struct space){ pieces + PIECE_SIZE, size }, err);
        if (ok && memcmp(pieces, pieces + PIECE_SIZE, size) != 0)
            *comparison = COMPARISON_OTHER;
        at += size;
    }
    free(pieces);
    return ok;
}

static bool compare_record(struct archive *archive, const struct content *content,
                           const char *transfer_syntax, const struct instance_record *record,
                           enum comparison *comparison, struct error *err)
{
    struct blob *blob = NULL;
    struct error reason = { 0 };
    *comparison = COMPARISON_OTHER;
    if (strcmp(record->transfer_syntax, transfer_syntax) != 0 ||
        record->blob.size - record->dataset_offset != content->size)
        return true;
    if (!blob_open(archive->storage, &record->blob, &blob, &reason)) {
        *comparison = COMPARISON_VANISHED;
        if (reason.code == ERROR_NOT_FOUND)
            return true;
        if (err)
            *err = reason;
        return false;
    }
    bool ok = compare_bytes(content, blob, record->dataset_offset, comparison, err);
    blob_close(blob);
    if (ok && *comparison == COMPARISON_SAME)
        ok = storage_settle(archive->storage, err); /* seen a moment before its sync ends */
    return ok;
}

bool content_compare(struct archive *archive, const struct content *content,
                     const struct identity *identity, const char *transfer_syntax,
                     const struct identity *place, enum comparison *comparison, struct error *err)
{
    struct instance_record record;
    bool found;
    *comparison = COMPARISON_OTHER;
    if (strcmp(place->study, identity->study) != 0 || strcmp(place->series, identity->series) != 0)
        return true;
    instance_record_init(&record);
    bool ok = lookup_instance(archive, place, &record, &found, err);
    if (ok && !found)
        *comparison = COMPARISON_VANISHED;
    else if (ok)
        ok = compare_record(archive, content, transfer_syntax, &record, comparison, err);
    if (ok && found && record.amended && *comparison == COMPARISON_OTHER) {
        ok = version_first(archive, place, &record, &found, err);
        if (ok && found)
            ok = compare_record(archive, content, transfer_syntax, &record, comparison, err);
    }
    instance_record_release(&record);
    return ok;
}
