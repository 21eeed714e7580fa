/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/memory.h"
#include "dicom/transcode_parts.h"

enum { PIECE = 64 << 10 };

struct value_reader value_reader_init(const struct transcode_source *source, bool deflated)
{
    struct value_reader reader = { .source = source };
    if (deflated) {
        /* No more is inflated than the header has values left out, and the scan has bounded
         * those. */
        reader.inflater = inflater_new(UINT64_MAX);
        reader.piece = mem_alloc(PIECE);
    }
    return reader;
}

void value_reader_release(struct value_reader *reader)
{
    inflater_free(reader->inflater);
    free(reader->piece);
}

static bool take_input(struct value_reader *reader, struct error *err)
{
    uint64_t left = reader->source->size - reader->stored_at;
    struct space space = { reader->piece, left < PIECE ? (size_t)left : PIECE };
    if (!left)
        return error_set(err, ERROR_CORRUPT, "deflated data set ends too early");
    if (!reader->source->read(reader->source->context, reader->stored_at, space, err))
        return false;
    reader->stored_at += space.size;
    reader->input = slice_of(space.data, space.size);
    return true;
}

static bool inflate_more(struct value_reader *reader, struct error *err)
{
    while (!reader->inflated.size) {
        if (!reader->input.size && !take_input(reader, err))
            return false;
        if (!inflater_next(reader->inflater, &reader->input, &reader->inflated, err))
            return false;
    }
    return true;
}

static void advance(struct value_reader *reader, size_t size)
{
    reader->inflated = slice_skip(reader->inflated, size);
    reader->position += size;
}

static bool read_inflated(struct value_reader *reader, uint64_t offset, struct space space,
                          struct error *err)
{
    if (offset < reader->position)
        return error_set(err, ERROR_CORRUPT, "values of a deflated data set out of order");
    while (space.size) {
        if (!inflate_more(reader, err))
            return false;
        uint64_t before = offset - reader->position;
        if (before) {
            size_t size = reader->inflated.size;
            advance(reader, before < size ? (size_t)before : size);
            continue;
        }
        struct slice part = slice_take(reader->inflated, space.size);
        memcpy(space.data, part.data, part.size);
        space.data += part.size;
        space.size -= part.size;
        offset += part.size;
        advance(reader, part.size);
    }
    return true;
}

bool value_reader_read(struct value_reader *reader, uint64_t offset, struct space space,
                       struct error *err)
{
    if (reader->inflater)
        return read_inflated(reader, offset, space, err);
    if (offset > reader->source->size || space.size > reader->source->size - offset)
        return error_set(err, ERROR_CORRUPT, "data set of %llu bytes is cut short",
                         (unsigned long long)reader->source->size);
    return !space.size || reader->source->read(reader->source->context, offset, space, err);
}
