/* SPDX-License-Identifier: MIT */
/* How an answer goes out: streamed, from memory, or by hand in front of a connection's end. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/tls.h"
#include "http/compress.h"
#include "http/conditional.h"
#include "http/listen.h"
#include "http/server_parts.h"

enum {
    STREAM_BLOCK = 256 << 10, /* of an answer made while it is sent */
    LINGER_MS = 2000,         /* for the client to read an answer that came before its body's end */
};

static bool next_piece(struct exchange *exchange)
{
    struct error err = { 0 };
    struct body_source *source = &exchange->response.source;
    memset(&exchange->piece, 0, sizeof(exchange->piece));
    bool ok = source->next(source->state, &exchange->piece, &err);
    /* A range that ends before its size is found out while there may still be a status for it. */
    if (ok && exchange->piece.kind == PIECE_FILE && exchange->piece.file.size)
        ok = file_reader_take(&exchange->reader, &exchange->piece.file, &err);
    if (!ok) {
        if (exchange->stream_begun || http_status_of(err.code) >= 500)
            log_warn("http: an answer broke off pattern=%s error=%s",
                     exchange->request.match.pattern, err.message);
        exchange->stream_failed = true;
        exchange->stream_error = err;
        return false;
    }
    exchange->stream_begun = true;
    exchange->stream_ended = exchange->piece.kind == PIECE_END;
    return !exchange->stream_ended;
}

/* Copies from the present piece; 0 when it is used up, -1 when the file failed. */
static ssize_t take_from_piece(struct piece *piece, char *out, size_t room)
{
    if (piece->kind == PIECE_BYTES) {
        size_t size = piece->bytes.size < room ? piece->bytes.size : room;
        if (size)
            memcpy(out, piece->bytes.data, size);
        piece->bytes = slice_skip(piece->bytes, size);
        return (ssize_t)size;
    }
    if (piece->kind == PIECE_END || !piece->file.size)
        return 0;
    size_t wanted = piece->file.size < room ? (size_t)piece->file.size : room;
    ssize_t size;
    do
        size = pread(piece->file.fd, out, wanted, (off_t)piece->file.offset);
    while (size < 0 && errno == EINTR);
    if (size <= 0)
        return -1; /* a range that ends before its size is as bad as a failing disk */
    piece->file.offset += (uint64_t)size;
    piece->file.size -= (uint64_t)size;
    return size;
}

void exchange_reset_on_close(struct exchange *exchange)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(exchange->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static ssize_t read_stream(void *context, uint64_t position, char *out, size_t room)
{
    (void)position;
    struct exchange *exchange = context;
    size_t filled = 0;
    while (filled < room && !exchange->stream_failed && !exchange->stream_ended) {
        ssize_t size = take_from_piece(&exchange->piece, out + filled, room - filled);
        if (size < 0) {
            log_warn("http: a stored file could not be read to its end pattern=%s",
                     exchange->request.match.pattern);
            exchange->stream_failed = true;
        } else if (size == 0) {
            if (filled && exchange->piece.flush)
                break;
            watch_busy(exchange->watched, true);
            next_piece(exchange);
            watch_busy(exchange->watched, false);
        } else {
            filled += (size_t)size;
        }
    }
    exchange->sent_bytes += filled;
    if (filled)
        return (ssize_t)filled;
    bool too_short = exchange->response.source_size != UINT64_MAX &&
                     exchange->sent_bytes < exchange->response.source_size;
    if (!exchange->stream_failed && !too_short)
        return MHD_CONTENT_READER_END_OF_STREAM;
    exchange_reset_on_close(exchange);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* Files are read and copied, not handed to sendfile: pages of the file would lie in the socket's
 * queue (and, on this host, in the reader's) after the answer has ended here, and when the instance
 * is deleted then and its space given back, the client reads zeros. */
static struct MHD_Response *stream_response(struct exchange *exchange)
{
    uint64_t size = exchange->response.source_size;
    bool is_head = strcmp(exchange->request.method, "HEAD") == 0;
    if (!is_head && !next_piece(exchange) && exchange->stream_failed)
        return NULL;
    /* All of it lies there until the source is closed: it goes out with the head, without a copy.
     */
    struct slice bytes = exchange->piece.bytes;
    if (exchange->piece.kind == PIECE_BYTES && bytes.size == size) {
        exchange->sent_bytes = size;
        return MHD_create_response_from_buffer(bytes.size, (void *)(uintptr_t)bytes.data,
                                               MHD_RESPMEM_PERSISTENT);
    }
    return MHD_create_response_from_callback(size == UINT64_MAX ? MHD_SIZE_UNKNOWN : size,
                                             STREAM_BLOCK, read_stream, exchange, NULL);
}

static struct MHD_Response *buffer_response(struct exchange *exchange)
{
    struct buffer *body = &exchange->response.body;
    exchange->sent_bytes = body->size;
    struct MHD_Response *response = MHD_create_response_from_buffer(body->size, body->data,
                                                                    MHD_RESPMEM_MUST_FREE);
    if (response)
        *body = buffer_up_to(0);
    return response;
}

void exchange_fail(struct exchange *exchange, int status, const char *message)
{
    response_release(&exchange->response);
    response_error(&exchange->response, &exchange->request, status, message);
}

static struct MHD_Response *build_response(struct exchange *exchange)
{
    struct response *response = &exchange->response;
    range_apply(&exchange->request, response);
    if (response->status != 206) /* its range is one of the bytes as they are */
        compress_response(&exchange->request, response);
    struct MHD_Response *built = response->source.next ? stream_response(exchange)
                                                       : buffer_response(exchange);
    if (!built && response->source.next) {
        /* Nothing was sent yet, so what failed at its very beginning still has a status. */
        int status = http_status_of(exchange->stream_error.code);
        if (status < 400 || status >= 500)
            exchange_fail(exchange, status < 500 ? 500 : status, "the answer could not be made");
        else
            exchange_fail(exchange, status, exchange->stream_error.message);
        built = buffer_response(exchange);
    }
    if (!built)
        return NULL;
    gate_finish(exchange->server->gate, &exchange->request, response);
    for (size_t i = 0; i < response->header_count; i++)
        MHD_add_response_header(built, response->headers[i].name, response->headers[i].value);
    MHD_add_response_header(built, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(built, "X-Request-Id", exchange->request.id);
    if (exchange->must_close || atomic_load(&exchange->server->stopping))
        MHD_add_response_header(built, "Connection", "close");
    return built;
}

enum MHD_Result exchange_answer(struct exchange *exchange, struct MHD_Connection *connection)
{
    if (exchange->response.serve)
        return exchange_upgrade(exchange, connection);
    struct MHD_Response *response = build_response(exchange);
    if (!response)
        return MHD_NO;
    watch_set(exchange->watched, WATCH_ANSWER);
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)exchange->response.status,
                                                response);
    MHD_destroy_response(response);
    return result;
}

/* The library sends no answer while a body is still coming, so this one goes out by hand. The
 * connection ends after it; it lingers, as closing over unread bytes would reset it and take the
 * answer from the client (RFC 9112 9.6). */
enum MHD_Result exchange_answer_and_cut(struct exchange *exchange)
{
    struct response *response = &exchange->response;
    struct buffer text = buffer_up_to(64 << 10);
    gate_finish(exchange->server->gate, &exchange->request, response);
    buffer_append_format(&text, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n",
                         response->status, http_reason(response->status), response->body.size);
    buffer_append_format(&text, "X-Content-Type-Options: nosniff\r\nX-Request-Id: %s\r\n",
                         exchange->request.id);
    for (size_t i = 0; i < response->header_count; i++)
        buffer_append_format(&text, "%s: %s\r\n", response->headers[i].name,
                             response->headers[i].value);
    buffer_append_text(&text, "\r\n");
    if (strcmp(exchange->request.method, "HEAD") != 0)
        buffer_append(&text, buffer_slice(&response->body));
    if (!text.overflowed && !response->source.next && exchange->link->session)
        tls_session_end(exchange->link->session, buffer_slice(&text));
    else if (!text.overflowed && !response->source.next)
        (void)!send(exchange->fd, text.data, text.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    exchange->sent_bytes = response->body.size;
    buffer_release(&text);
    linger_and_shut(exchange->fd, LINGER_MS);
    return MHD_NO;
}
