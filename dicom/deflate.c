/* SPDX-License-Identifier: MIT */
#include "dicom/deflate.h"

#include <stdlib.h>

#define ZLIB_CONST
#include <zlib.h>

#include "base/memory.h"

enum {
    WINDOW = 32 << 10,
    INPUT_PIECE = 1 << 20,
    RATIO_LIMIT = 1000, /* raw deflate cannot do much better than 1032 */
    ALWAYS_ALLOWED = 1 << 20,
    GZIP_TRAILER = 8,
};

struct inflater {
    z_stream stream;
    bool ended;
    uint64_t limit;
    uint64_t taken;
    uint64_t given;
    uint64_t trailer; /* bytes seen behind the end */
    uint8_t window[WINDOW];
};

struct inflater *inflater_new(uint64_t limit)
{
    struct inflater *inflater = mem_alloc(sizeof(*inflater));
    inflater->limit = limit;
    if (inflateInit2(&inflater->stream, -MAX_WBITS) != Z_OK)
        abort(); /* out of memory, as in mem_alloc */
    return inflater;
}

void inflater_free(struct inflater *inflater)
{
    if (!inflater)
        return;
    inflateEnd(&inflater->stream);
    free(inflater);
}

/* Behind the end there may be a NUL to make the length even (PS3.5 A.5). Some send more of them,
 * and some leave gzip's check sum and size there. */
static bool take_trailer(struct inflater *inflater, struct slice *input, struct error *err)
{
    for (size_t i = 0; i < input->size; i++)
        if (inflater->trailer++ >= GZIP_TRAILER && input->data[i])
            return error_set(err, ERROR_INVALID, "bytes behind the end of the deflated data set");
    *input = slice_skip(*input, input->size);
    return true;
}

bool inflater_next(struct inflater *inflater, struct slice *input, struct slice *output,
                   struct error *err)
{
    *output = slice_of(inflater->window, 0);
    if (inflater->ended)
        return take_trailer(inflater, input, err);
    struct slice piece = slice_take(*input, INPUT_PIECE);
    z_stream *stream = &inflater->stream;
    stream->next_in = piece.data;
    stream->avail_in = (uInt)piece.size;
    stream->next_out = inflater->window;
    stream->avail_out = WINDOW;
    int result = inflate(stream, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return error_set(err, ERROR_INVALID, "deflated data set is broken");
    inflater->ended = result == Z_STREAM_END;
    size_t taken = piece.size - stream->avail_in;
    output->size = WINDOW - stream->avail_out;
    *input = slice_skip(*input, taken);
    inflater->taken += taken;
    inflater->given += output->size;
    if (inflater->given > inflater->limit ||
        inflater->given > RATIO_LIMIT * inflater->taken + ALWAYS_ALLOWED)
        return error_set(err, ERROR_LIMIT, "deflated data set expands too far");
    return true;
}

bool inflater_finish(const struct inflater *inflater, struct error *err)
{
    if (!inflater->ended)
        return error_set(err, ERROR_INVALID, "deflated data set ends too early");
    return true;
}
