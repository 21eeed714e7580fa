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

/* Opened now, the bytes can be read to their end even when the instance is deleted. Takes the
 * instance, also when it fails. */
static struct video *open_video(struct instance *instance_take, const struct element *pixels,
                                struct error *err)
{
    struct file_range stored;
    struct video *video = mem_alloc(sizeof(*video));
    video->instance = instance_take;
    video->fragments = buffer_up_to(MAX_FRAGMENTS);
    video->text = buffer_up_to(16 << 10);
    if (instance_dataset(video->instance, &stored, err) &&
        wado_find_fragments(video->instance, pixels, &video->fragments, err))
        return video;
    close_video(video);
    return NULL;
}

static void send_video_take(struct video *video, struct response *response, const char *type)
{
    const struct body_source source = { next_piece, close_video, video };
    response_status(response, 200);
    response_content_type(response, type);
    response_stream_take(response, &source,
                         video->multipart ? UINT64_MAX : fragments_size(&video->fragments));
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
    send_video_take(video, response, buffer_text(&type));
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
    struct error err = { 0 };
    char as[256];
    size_t offer;
    struct video *video = open_video(instance_take, pixels, &err);
    if (!video) {
        response_error(response, request, http_status_of(err.code), err.message);
        return;
    }
    if (dicomweb_choose(request, response, offers, sizeof(offers) / sizeof(offers[0]), &offer)) {
        snprintf(as, sizeof(as), "%s %s", offers[offer].type,
                 offers[offer].inner ? offers[offer].inner : "");
        if (!dicomweb_is_known(request, response, video->instance, as)) {
            start_answer(video, request, response, &offers[offer]);
            return;
        }
    }
    close_video(video);
}

/* --- As a file. */

static bool find_pixels(struct instance *instance, struct element *pixels, struct error *err)
{
    const struct dataset *header;
    if (!instance_header(instance, &header, err))
        return false;
    return (dataset_find(header, TAG_PIXEL_DATA, pixels) && pixels->undefined_length) ||
           error_set(err, ERROR_UNSUPPORTED, "the instance has no video");
}

/* ISO 14496-12 4.3, ISO 13818-1 2.4.3.2 and 2.5.3.3, ISO 13818-2 6.2.2. */
static const char *type_of_file(const uint8_t *head, size_t size, const char *otherwise)
{
    static const uint8_t start[] = { 0, 0, 1 };
    if (size >= 8 && !memcmp(head + 4, "ftyp", 4))
        return "video/mp4";
    if (size >= 4 && !memcmp(head, start, sizeof(start)) && (head[3] == 0xBA || head[3] == 0xB3))
        return "video/mpeg";
    return size && head[0] == 0x47 ? "video/mp2t" : otherwise;
}

bool wado_video_type(struct instance *instance, const char **type, struct error *err)
{
    struct element pixels;
    struct buffer fragments = buffer_up_to(MAX_FRAGMENTS);
    uint8_t head[8];
    *type = NULL;
    if (!wado_is_video(instance))
        return true;
    bool ok = find_pixels(instance, &pixels, err) &&
              wado_find_fragments(instance, &pixels, &fragments, err);
    if (ok && fragments.size) {
        const struct fragment64 *first = (const struct fragment64 *)fragments.data;
        size_t size = first->size < sizeof(head) ? (size_t)first->size : sizeof(head);
        ok = instance_read(instance, first->offset, (struct space){ head, size }, err);
        *type = ok ? type_of_file(head, size, instance_syntax(instance)->media_type) : NULL;
    } else if (ok) {
        ok = error_set(err, ERROR_UNSUPPORTED, "the video is empty");
    }
    buffer_release(&fragments);
    return ok;
}

bool wado_answer_video_file_take(struct request *request, struct response *response,
                                 struct instance *instance_take, const char *type,
                                 struct error *err)
{
    struct element pixels;
    bool known = dicomweb_is_known(request, response, instance_take, type);
    if (known || !find_pixels(instance_take, &pixels, err)) {
        instance_close(instance_take);
        return known;
    }
    struct video *video = open_video(instance_take, &pixels, err);
    if (video)
        send_video_take(video, response, type);
    return video != NULL;
}
