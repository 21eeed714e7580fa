/* SPDX-License-Identifier: MIT */
/* The multipart reader: the first byte says how the rest is cut. What comes out must not depend on
 * the cuts, and no more may come out than went in. */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "http/multipart_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything the reader tells, as text. */
static void read_all(struct slice body, size_t step, struct buffer *told)
{
    struct multipart_limits limits = { .header_bytes = 1024, .parts = 20 };
    struct multipart_reader *reader = multipart_reader_new("b", &limits);
    struct multipart_event event;
    struct error err;
    bool finished = false;
    uint8_t *piece = NULL;
    while (multipart_next(reader, &event, &err)) {
        if (event.kind == MULTIPART_CONTENT) {
            buffer_append(told, event.content);
        } else if (event.kind == MULTIPART_PART) {
            const char *type = multipart_part_header(reader, "Content-Type");
            buffer_append_format(told, "[%s|", type ? type : "");
        } else if (event.kind != MULTIPART_MORE) {
            buffer_append_text(told, event.kind == MULTIPART_END ? "." : "]");
        } else if (finished) {
            break;
        } else if (body.size) {
            struct slice next = slice_take(body, step);
            free(piece);
            piece = malloc(next.size);
            if (!piece)
                abort();
            memcpy(piece, next.data, next.size);
            multipart_feed(reader, slice_of(piece, next.size));
            body = slice_skip(body, next.size);
        } else {
            multipart_finish(reader);
            finished = true;
        }
    }
    free(piece);
    multipart_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct slice body = slice_of(data + 1, size - 1);
    struct buffer whole = buffer_up_to(64 + 8 * size);
    struct buffer cut = buffer_up_to(64 + 8 * size);
    read_all(body, body.size ? body.size : 1, &whole);
    read_all(body, 1 + data[0] % 100, &cut);
    if (whole.overflowed || !slice_equal(buffer_slice(&whole), buffer_slice(&cut)))
        abort();
    buffer_release(&whole);
    buffer_release(&cut);
    return 0;
}
