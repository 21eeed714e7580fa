/* SPDX-License-Identifier: MIT */
#include "http/compress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <zlib.h>

#include "base/memory.h"
#include "http/gzip.h"
#include "http/media_type.h"

enum {
    SMALLEST = 1024, /* bytes: below, a packet is a packet */
    LEVEL = 1,       /* four times as fast as 6 on metadata, for a fifth more bytes */
    GZIP_WINDOW = 15 + 16,
    OUTPUT_SIZE = 64 << 10,
    INPUT_SIZE = 64 << 10,
};

/* --- may it be compressed? --- */

static bool is_zero_quality(struct slice member)
{
    const uint8_t *semicolon = memchr(member.data, ';', member.size);
    if (!semicolon)
        return false;
    struct slice parameter = slice_skip(member, (size_t)(semicolon - member.data) + 1);
    const uint8_t *equals = memchr(parameter.data, '=', parameter.size);
    if (!equals)
        return false;
    for (const uint8_t *p = equals + 1; p < member.data + member.size; p++)
        if (*p >= '1' && *p <= '9')
            return false;
    return true;
}

static bool names_coding(struct slice member, const char *coding)
{
    while (member.size && (member.data[0] == ' ' || member.data[0] == '\t'))
        member = slice_skip(member, 1);
    size_t size = strlen(coding);
    if (member.size < size || strncasecmp((const char *)member.data, coding, size) != 0)
        return false;
    return member.size == size || strchr("; \t", member.data[size]) != NULL;
}

bool accepts_gzip(const char *field)
{
    struct slice list = slice_text(field);
    struct slice member;
    bool any = false;
    while (media_type_next_member(&list, &member)) {
        if (names_coding(member, "gzip") || names_coding(member, "x-gzip"))
            return !is_zero_quality(member);
        if (names_coding(member, "*"))
            any = !is_zero_quality(member);
    }
    return any;
}

static bool is_text(const struct response *response)
{
    struct media_type type;
    const char *field = response_find_header(response, "Content-Type");
    if (!field || !media_type_parse(slice_text(field), &type))
        return false;
    size_t size = strlen(type.type);
    /* Whose pieces are for now. */
    if (strcmp(type.type, "text/event-stream") == 0)
        return false;
    return strncmp(type.type, "text/", 5) == 0 || strcmp(type.type, "application/json") == 0 ||
           (size > 5 && strcmp(type.type + size - 5, "+json") == 0) ||
           (size > 4 && strcmp(type.type + size - 4, "+xml") == 0);
}

/* --- a body that is there --- */

static void start(z_stream *stream)
{
    memset(stream, 0, sizeof(*stream));
    /* Fails for lack of memory alone, where this program ends in any case. */
    if (deflateInit2(stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
}

/* False when it would not get smaller. */
static bool compress_buffer(struct buffer *body)
{
    z_stream stream;
    if (body->size > UINT32_MAX / 2)
        return false;
    struct buffer packed = buffer_up_to(body->size);
    struct space space = buffer_reserve(&packed, body->size);
    start(&stream);
    stream.next_in = body->data;
    stream.avail_in = (uInt)body->size;
    stream.next_out = space.data;
    stream.avail_out = (uInt)space.size;
    bool ok = deflate(&stream, Z_FINISH) == Z_STREAM_END;
    buffer_advance(&packed, stream.total_out);
    deflateEnd(&stream);
    if (!ok) {
        buffer_release(&packed);
        return false;
    }
    buffer_release(body);
    *body = packed;
    return true;
}

/* --- a body that is made while it is sent --- */

struct packer {
    struct body_source inner;
    z_stream stream;
    struct piece piece; /* of the inner source: what is left of it */
    bool inner_ended;
    bool ended;
    uint8_t input[INPUT_SIZE]; /* of a piece that is a file */
    uint8_t output[OUTPUT_SIZE];
};

/* Points the stream at more input, unless there is some left. */
static bool refill(struct packer *packer, struct error *err)
{
    struct piece *piece = &packer->piece;
    while (!packer->stream.avail_in && !packer->inner_ended) {
        if (piece->kind == PIECE_FILE && piece->file.size) {
            size_t wanted = piece->file.size < INPUT_SIZE ? (size_t)piece->file.size : INPUT_SIZE;
            ssize_t size = pread(piece->file.fd, packer->input, wanted, (off_t)piece->file.offset);
            if (size <= 0)
                return error_set_errno(err, size < 0 ? errno : EIO, "reading an answer");
            piece->file.offset += (uint64_t)size;
            piece->file.size -= (uint64_t)size;
            packer->stream.next_in = packer->input;
            packer->stream.avail_in = (uInt)size;
        } else if (piece->kind == PIECE_BYTES && piece->bytes.size) {
            struct slice part = slice_take(piece->bytes, INT32_MAX);
            piece->bytes = slice_skip(piece->bytes, part.size);
            packer->stream.next_in = (Bytef *)(uintptr_t)part.data; /* zlib only reads it */
            packer->stream.avail_in = (uInt)part.size;
        } else {
            memset(piece, 0, sizeof(*piece));
            if (!packer->inner.next(packer->inner.state, piece, err))
                return false;
            packer->inner_ended = piece->kind == PIECE_END;
        }
    }
    return true;
}

static bool next_packed(void *state, struct piece *out, struct error *err)
{
    struct packer *packer = state;
    packer->stream.next_out = packer->output;
    packer->stream.avail_out = OUTPUT_SIZE;
    while (packer->stream.avail_out && !packer->ended) {
        if (!refill(packer, err))
            return false;
        packer->ended = deflate(&packer->stream, packer->inner_ended ? Z_FINISH : Z_NO_FLUSH) ==
                        Z_STREAM_END;
    }
    size_t size = OUTPUT_SIZE - packer->stream.avail_out;
    out->kind = size ? PIECE_BYTES : PIECE_END;
    out->bytes = slice_of(packer->output, size);
    return true;
}

static void close_packed(void *state)
{
    struct packer *packer = state;
    deflateEnd(&packer->stream);
    if (packer->inner.close)
        packer->inner.close(packer->inner.state);
    free(packer);
}

bool request_accepts_gzip(const struct request *request)
{
    return accepts_gzip(request_header(request, "Accept-Encoding"));
}

struct body_source gzip_source(const struct body_source *inner)
{
    struct packer *packer = mem_alloc(sizeof(*packer));
    packer->inner = *inner;
    start(&packer->stream);
    return (struct body_source){ next_packed, close_packed, packer };
}

static void compress_source(struct response *response)
{
    response->source = gzip_source(&response->source);
    response->source_size = UINT64_MAX;
}

void compress_response(const struct request *request, struct response *response)
{
    bool is_stream = response->source.next != NULL;
    uint64_t size = is_stream ? response->source_size : response->body.size;
    if (size < SMALLEST || !is_text(response) || response_find_header(response, "Content-Encoding"))
        return;
    response_header(response, "Vary", "Accept-Encoding");
    if (!request_accepts_gzip(request))
        return;
    if (is_stream)
        compress_source(response);
    else if (!compress_buffer(&response->body))
        return;
    response_header(response, "Content-Encoding", "gzip");
}
