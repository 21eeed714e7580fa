/* SPDX-License-Identifier: MIT */
#include "http/conditional.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Without the mark of a weak one: 13.1.2 compares like that. */
static struct slice opaque_tag(struct slice tag)
{
    return slice_starts_with(tag, slice_text("W/")) ? slice_skip(tag, 2) : tag;
}

static bool next_tag(struct slice *list, struct slice *tag)
{
    while (list->size && (list->data[0] == ' ' || list->data[0] == ',' || list->data[0] == '\t'))
        *list = slice_skip(*list, 1);
    size_t size = 0;
    bool quoted = false;
    while (size < list->size && (quoted || list->data[size] != ',')) {
        quoted ^= list->data[size] == '"';
        size++;
    }
    *tag = slice_take(*list, size);
    *list = slice_skip(*list, size);
    while (tag->size && tag->data[tag->size - 1] == ' ')
        tag->size--;
    return tag->size > 0;
}

static bool matches(const char *field, const char *etag)
{
    struct slice list = slice_text(field);
    struct slice tag;
    if (!strcmp(field, "*"))
        return true;
    while (next_tag(&list, &tag))
        if (slice_equal(opaque_tag(tag), opaque_tag(slice_text(etag))))
            return true;
    return false;
}

bool response_etag(struct response *response, const struct request *request, const char *etag)
{
    const char *known = request_header(request, "If-None-Match");
    /* Of what came to nothing, and had another instead. */
    response_drop_header(response, "ETag");
    response_drop_header(response, "Cache-Control");
    response_header(response, "ETag", etag);
    response_header(response, "Cache-Control", "private, no-cache");
    if (!known || !matches(known, etag))
        return false;
    response_status(response, 304);
    return true;
}

/* --- a part of a body --- */

struct window {
    struct body_source inner;
    uint64_t skip; /* bytes before the part */
    uint64_t left; /* of the part */
};

static bool next_in_window(void *state, struct piece *piece, struct error *err)
{
    struct window *window = state;
    for (;;) {
        piece->kind = PIECE_END;
        if (!window->left)
            return true;
        if (!window->inner.next(window->inner.state, piece, err))
            return false;
        if (piece->kind == PIECE_END)
            return error_set(err, ERROR_CORRUPT, "the body is shorter than its size");
        bool is_file = piece->kind == PIECE_FILE;
        uint64_t size = is_file ? piece->file.size : piece->bytes.size;
        uint64_t skip = window->skip < size ? window->skip : size;
        uint64_t take = size - skip < window->left ? size - skip : window->left;
        window->skip -= skip;
        window->left -= take;
        piece->file.offset += is_file ? skip : 0;
        piece->file.size = is_file ? take : 0;
        if (!is_file)
            piece->bytes = slice_take(slice_skip(piece->bytes, (size_t)skip), (size_t)take);
        if (take)
            return true;
    }
}

static void close_window(void *state)
{
    struct window *window = state;
    if (window->inner.close)
        window->inner.close(window->inner.state);
    free(window);
}

/* Digits, or false when there are none or too many. */
static bool read_offset(const char **text, uint64_t *offset)
{
    const char *from = *text;
    *offset = 0;
    for (; **text >= '0' && **text <= '9' && *text - from < 19; ++*text)
        *offset = *offset * 10 + (uint64_t)(**text - '0');
    return *text != from && !(**text >= '0' && **text <= '9');
}

enum range { RANGE_NONE, RANGE_OUTSIDE, RANGE_PART };

/* One range of bytes; a list of them, and what cannot be read, is ignored (14.2). */
static enum range read_range(const char *field, uint64_t size, uint64_t *first, uint64_t *last)
{
    if (strncmp(field, "bytes=", 6) != 0)
        return RANGE_NONE;
    const char *text = field + 6;
    bool has_first = read_offset(&text, first);
    if (*text++ != '-')
        return RANGE_NONE;
    bool has_last = read_offset(&text, last);
    if (*text || (!has_first && !has_last) || (has_first && has_last && *last < *first))
        return RANGE_NONE;
    if (!has_first) { /* the last so many */
        if (!*last || !size)
            return RANGE_OUTSIDE;
        *first = *last < size ? size - *last : 0;
        *last = size - 1;
        return RANGE_PART;
    }
    if (*first >= size)
        return RANGE_OUTSIDE;
    if (!has_last || *last >= size)
        *last = size - 1;
    return RANGE_PART;
}

/* If-Range: the part is wanted only of what the client has the rest of; weak tags do not tell. */
static bool is_same(const struct request *request, const struct response *response)
{
    const char *field = request_header(request, "If-Range");
    const char *etag = response_find_header(response, "ETag");
    return !field || (etag && strncmp(field, "W/", 2) != 0 && !strcmp(field, etag));
}

static void take_part(struct response *response, uint64_t first, uint64_t last)
{
    char text[80];
    struct window *window = mem_alloc(sizeof(*window));
    snprintf(text, sizeof(text), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, last,
             response->source_size);
    window->inner = response->source;
    window->skip = first;
    window->left = last - first + 1;
    response->source = (struct body_source){ next_in_window, close_window, window };
    response->source_size = window->left;
    response_status(response, 206);
    response_header(response, "Content-Range", text);
}

static void drop_body(struct response *response)
{
    struct buffer none = buffer_up_to(0);
    response_body_take(response, &none);
}

void range_apply(const struct request *request, struct response *response)
{
    uint64_t first;
    uint64_t last;
    char text[48];
    const char *field = request_header(request, "Range");
    if (response->status != 200 || !response->source.next || response->source_size == UINT64_MAX)
        return;
    response_header(response, "Accept-Ranges", "bytes");
    if (!field || strcmp(request->method, "GET") != 0 || !is_same(request, response))
        return;
    switch (read_range(field, response->source_size, &first, &last)) {
    case RANGE_NONE:
        return;
    case RANGE_PART:
        take_part(response, first, last);
        return;
    case RANGE_OUTSIDE:
        snprintf(text, sizeof(text), "bytes */%" PRIu64, response->source_size);
        drop_body(response);
        response_status(response, 416);
        response_header(response, "Content-Range", text);
        return;
    }
}
