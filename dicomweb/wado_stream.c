/* SPDX-License-Identifier: MIT */
#include "dicomweb/wado_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "http/multipart_writer.h"

enum { ITEM_SIZE = 8, MAX_FRAGMENTS = 1 << 28 /* bytes of a list of them */ };

struct video {
    struct instance *instance;
    struct buffer fragments;
    size_t next;
    struct multipart_writer writer;
    bool multipart;
    struct buffer text; /* before the stream, then behind it */
    enum { HEAD, BODY, TAIL, DONE } state;
};

bool wado_is_video(const struct instance *instance)
{
    const char *type = instance_syntax(instance)->media_type;
    return type && !strncmp(type, "video/", 6);
}

bool wado_find_fragments(struct instance *instance, const struct element *pixels,
                         struct buffer *fragments, struct error *err)
{
    uint64_t at = pixels->offset;
    uint64_t end = pixels->offset + pixels->size;
    for (size_t i = 0; end - at >= ITEM_SIZE; i++) {
        uint8_t item[ITEM_SIZE];
        if (!instance_read(instance, at, (struct space){ item, ITEM_SIZE }, err))
            return false;
        uint32_t tag = (uint32_t)get_u16le(item) << 16 | get_u16le(item + 2);
        const struct fragment64 fragment = { at + ITEM_SIZE, get_u32le(item + 4) };
        if (tag != TAG_ITEM)
            break;
        if (fragment.size > end - fragment.offset)
            return error_set(err, ERROR_CORRUPT, "a fragment is cut short");
        if (i && fragment.size)
            buffer_append(fragments, slice_of(&fragment, sizeof(fragment)));
        at = fragment.offset + fragment.size;
    }
    return buffer_check(fragments, "the list of fragments", err);
}

static void close_video(void *state)
{
    struct video *video = state;
    instance_close(video->instance);
    buffer_release(&video->fragments);
    buffer_release(&video->text);
    free(video);
}

static bool next_text(struct video *video, struct piece *piece)
{
    piece->kind = PIECE_BYTES;
    piece->bytes = buffer_slice(&video->text);
    return true;
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct video *video = state;
    const struct fragment64 *fragments = (const struct fragment64 *)video->fragments.data;
    switch (video->state) {
    case HEAD:
        video->state = BODY;
        if (video->multipart)
            return next_text(video, piece);
        /* fall through */
    case BODY:
        if (video->next < video->fragments.size / sizeof(*fragments)) {
            const struct fragment64 *fragment = &fragments[video->next++];
            piece->kind = PIECE_FILE;
            return instance_range(video->instance, fragment->offset, fragment->size, &piece->file,
                                  err);
        }
        video->state = TAIL;
        /* fall through */
    case TAIL:
        video->state = DONE;
        if (video->multipart) {
            buffer_clear(&video->text);
            multipart_end(&video->writer, &video->text);
            return next_text(video, piece);
        }
        /* fall through */
    case DONE:
        break;
    }
    piece->kind = PIECE_END;
    return true;
}

static void start_answer(struct video *video, struct request *request, struct response *response,
                         const struct offer *offer)
{
    struct buffer type = buffer_up_to(512);
    video->multipart = offer->inner != NULL;
    buffer_append_format(&type, "%s; transfer-syntax=%s",
                         video->multipart ? offer->inner : offer->type, offer->transfer_syntax);
    if (video->multipart) {
        char *location = mem_format("%s%s", request_base_url(request), request_path(request));
        video->writer = multipart_writer_for(offer->inner);
        multipart_begin_part(&video->writer, buffer_text(&type), location, &video->text);
        buffer_clear(&type);
        multipart_content_type(&video->writer, &type);
        free(location);
    }
    const struct body_source source = { next_piece, close_video, video };
    response_status(response, 200);
    response_content_type(response, buffer_text(&type));
    response_stream_take(response, &source,
                         video->multipart ? UINT64_MAX : fragments_size(&video->fragments));
    buffer_release(&type);
}

void wado_answer_video_take(struct request *request, struct response *response,
                            struct instance *instance_take, const struct element *pixels)
{
    const char *uid = instance_syntax_uid(instance_take);
    const char *type = instance_syntax(instance_take)->media_type;
    /* PS3.18 names MPEG2 video/mpeg2, RFC 4856 video/mpeg. */
    const char *other = !strcmp(type, "video/mpeg") ? "video/mpeg2" : type;
    const struct offer offers[] = {
        { other, NULL, uid, false },
        { type, NULL, uid, false },
        { "multipart/related", other, uid, false },
        { "multipart/related", type, uid, false },
        { "application/octet-stream", NULL, uid, true },
        { "multipart/related", "application/octet-stream", uid, true },
    };
    struct video *video = mem_alloc(sizeof(*video));
    struct file_range stored;
    struct error err = { 0 };
    char as[256];
    size_t offer;
    video->instance = instance_take;
    video->fragments = buffer_up_to(MAX_FRAGMENTS);
    video->text = buffer_up_to(16 << 10);
    /* Opened now, the bytes can be read to their end even when the instance is deleted. */
    if (!instance_dataset(video->instance, &stored, &err) ||
        !wado_find_fragments(video->instance, pixels, &video->fragments, &err)) {
        response_error(response, request, http_status_of(err.code), err.message);
    } else if (dicomweb_choose(request, response, offers, sizeof(offers) / sizeof(offers[0]),
                               &offer)) {
        snprintf(as, sizeof(as), "%s %s", offers[offer].type,
                 offers[offer].inner ? offers[offer].inner : "");
        if (!dicomweb_is_known(request, response, video->instance, as)) {
            start_answer(video, request, response, &offers[offer]);
            return;
        }
    }
    close_video(video);
}
