/* SPDX-License-Identifier: MIT */
/* WADO-RS, frames (PS3.18 10.4.1.1.1, 8.7.3): each frame as it is stored, straight from the
 * segment, or decoded to native little endian. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/metrics.h"
#include "dicom/codec.h"
#include "dicomweb/routes.h"
#include "dicomweb/wado_accept.h"
#include "dicomweb/wado_frame_list.h"
#include "dicomweb/wado_pixels.h"
#include "dicomweb/wado_stream.h"
#include "dicomweb/wado_values.h"
#include "http/multipart_writer.h"

enum {
    MAX_FRAMES_ASKED = 20000,
    MAX_OFFERS = 6,
};

struct frames {
    struct dicomweb *dicomweb;
    struct instance *instance;
    const struct dataset *header;
    struct slice table;
    struct frame_list list;
    size_t next;
    bool multipart;
    bool decode;
    struct multipart_writer writer;
    char *base_url;
    char type[160]; /* Content-Type of each part */
    struct buffer head;
    struct buffer bytes;     /* a frame that was decoded or put in order */
    uint64_t memory;         /* of the budget, for the present frame */
    struct buffer fragments; /* struct fragment64 of the present frame */
    size_t fragment;
    enum { FRAME_HEAD, FRAME_BODY, DONE } state;
};

static void close_frames(void *state)
{
    struct frames *frames = state;
    decode_budget_give_back(frames->dicomweb->decoding, frames->memory);
    instance_close(frames->instance);
    buffer_release(&frames->head);
    buffer_release(&frames->bytes);
    buffer_release(&frames->fragments);
    frame_list_release(&frames->list);
    free(frames->base_url);
    free(frames);
}

static bool find_frame(struct frames *frames, size_t index, unsigned *shift, struct error *err)
{
    buffer_clear(&frames->fragments);
    frames->fragment = 0;
    return frame_table_find(frames->table, frame_list_at(&frames->list, index), &frames->fragments,
                            shift, err);
}

/* Before a frame is made in memory; it is held until the frame has been sent. */
static bool take_memory(struct frames *frames, struct error *err)
{
    struct pixel_format format = pixels_format(frames->header);
    uint64_t bytes = fragments_size(&frames->fragments);
    if (frames->decode)
        bytes += PIXELS_DECODER_SHARE *
                 ((uint64_t)format.rows * format.columns * format.samples_per_pixel *
                  (format.bits_allocated + 7) / 8);
    return decode_budget_take(frames->dicomweb->decoding, bytes, PIXELS_MEMORY_WAIT_MS,
                              &frames->memory, err);
}

/* All but what the finished frame takes. */
static void give_memory_back(struct frames *frames)
{
    uint64_t kept = frames->bytes.size < frames->memory ? frames->bytes.size : frames->memory;
    decode_budget_give_back(frames->dicomweb->decoding, frames->memory - kept);
    frames->memory = kept;
}

/* Frames that cannot go out as they stand on the disk are made in memory. */
static bool prepare_frame(struct frames *frames, struct error *err)
{
    unsigned shift;
    const struct transfer_syntax *syntax = instance_syntax(frames->instance);
    buffer_release(&frames->bytes);
    frames->bytes = buffer_up_to(PIXELS_MAX_FRAME);
    give_memory_back(frames);
    if (!find_frame(frames, frames->next, &shift, err))
        return false;
    if (!frames->decode && !shift && !syntax->big_endian && !syntax->deflated)
        return true;
    if (!take_memory(frames, err))
        return false;
    struct pixel_format format = pixels_format(frames->header);
    bool ok = pixels_read(frames->instance, frames->header, &frames->fragments, shift,
                          frames->decode, &format, &frames->bytes, err);
    if (frames->decode)
        give_memory_back(frames);
    return ok;
}

static void write_head(struct frames *frames)
{
    const struct identity *identity = instance_identity(frames->instance);
    struct buffer location = buffer_up_to(4096);
    buffer_append_format(&location, "%s/studies/%s/series/%s/instances/%s/frames/%u",
                         frames->base_url, identity->study, identity->series, identity->instance,
                         frame_list_at(&frames->list, frames->next));
    multipart_begin_part(&frames->writer, frames->type, buffer_text(&location), &frames->head);
    buffer_release(&location);
}

static bool begin_frame(struct frames *frames, struct error *err)
{
    buffer_clear(&frames->head);
    if (frames->next == frames->list.count) {
        if (frames->multipart)
            multipart_end(&frames->writer, &frames->head);
        frames->state = DONE;
        return true;
    }
    if (!prepare_frame(frames, err))
        return false;
    if (!frames->bytes.size && !frames->fragments.size)
        return error_set(err, ERROR_CORRUPT, "the frame is empty");
    if (frames->multipart)
        write_head(frames);
    frames->next++;
    frames->state = FRAME_BODY;
    return true;
}

static bool continue_frame(struct frames *frames, struct piece *piece, struct error *err)
{
    const struct fragment64 *fragments = (const struct fragment64 *)frames->fragments.data;
    size_t count = frames->fragments.size / sizeof(*fragments);
    if (frames->bytes.size) {
        piece->kind = PIECE_BYTES;
        piece->bytes = buffer_slice(&frames->bytes);
        frames->state = FRAME_HEAD;
        return true;
    }
    const struct fragment64 *fragment = &fragments[frames->fragment++];
    if (frames->fragment >= count)
        frames->state = FRAME_HEAD;
    piece->kind = PIECE_FILE;
    return instance_range(frames->instance, fragment->offset, fragment->size, &piece->file, err);
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct frames *frames = state;
    for (;;) {
        switch (frames->state) {
        case DONE:
            piece->kind = PIECE_END;
            return true;
        case FRAME_BODY:
            return continue_frame(frames, piece, err);
        case FRAME_HEAD:
            if (!begin_frame(frames, err))
                return false;
            piece->kind = PIECE_BYTES;
            piece->bytes = buffer_slice(&frames->head);
            if (piece->bytes.size)
                return true;
            break;
        }
    }
}

/* What can be given of this instance, the default first. Multipart offers stand first; one frame
 * can also be had as a single part (10.4.4). */
static size_t make_offers(const struct frames *frames, struct offer offers[MAX_OFFERS])
{
    const struct transfer_syntax *syntax = instance_syntax(frames->instance);
    const char *uid = instance_syntax_uid(frames->instance);
    struct offer simple[3];
    size_t simple_count = 0;
    size_t count = 0;
    bool encapsulated = frame_table_is_encapsulated(frames->table);
    if (encapsulated) {
        struct offer stored = { "application/octet-stream", NULL, uid, true };
        simple[simple_count++] = stored;
    }
    if (!encapsulated || codec_can_decode(syntax)) {
        struct offer native = { "application/octet-stream", NULL, UID_EXPLICIT_LITTLE_ENDIAN,
                                false };
        simple[simple_count++] = native;
    }
    if (encapsulated && syntax->media_type) {
        struct offer stored = { syntax->media_type, NULL, uid, wado_must_be_named(syntax) };
        simple[simple_count++] = stored;
    }
    for (size_t i = 0; i < simple_count; i++) {
        struct offer multipart = { "multipart/related", simple[i].type, simple[i].transfer_syntax,
                                   simple[i].named_only };
        offers[count++] = multipart;
    }
    for (size_t i = 0; i < simple_count && frames->list.count == 1; i++)
        offers[count++] = simple[i];
    return count;
}

/* Of one frame that goes out as it is stored; of what is made on the way nobody knows. */
static uint64_t size_of_answer(struct frames *frames)
{
    struct error err;
    unsigned shift;
    const struct transfer_syntax *syntax = instance_syntax(frames->instance);
    if (frames->multipart || frames->decode || syntax->deflated ||
        !find_frame(frames, 0, &shift, &err))
        return UINT64_MAX;
    return fragments_size(&frames->fragments);
}

static void start_answer(struct frames *frames, struct request *request, struct response *response,
                         const struct offer *offer)
{
    struct buffer text = buffer_up_to(4096);
    const char *inner = offer->inner ? offer->inner : offer->type;
    frames->multipart = offer->inner != NULL;
    frames->decode = frame_table_is_encapsulated(frames->table) &&
                     !strcmp(offer->transfer_syntax, UID_EXPLICIT_LITTLE_ENDIAN);
    frames->writer = multipart_writer_for(inner);
    snprintf(frames->type, sizeof(frames->type), "%s; transfer-syntax=%s", inner,
             offer->transfer_syntax);
    dicomweb_base_url(request_context(request), request, &text);
    frames->base_url = mem_copy_text(buffer_text(&text));
    buffer_clear(&text);
    if (frames->multipart)
        multipart_content_type(&frames->writer, &text);
    else
        buffer_append_text(&text, frames->type);
    const struct body_source source = { next_piece, close_frames, frames };
    response_status(response, 200);
    response_content_type(response, buffer_text(&text));
    response_stream_take(response, &source, size_of_answer(frames));
    buffer_release(&text);
}

static bool answer_is_known(const struct frames *frames, struct request *request,
                            struct response *response, const struct offer *offer)
{
    char as[256];
    snprintf(as, sizeof(as), "%s %s %s", offer->type, offer->inner ? offer->inner : "",
             offer->transfer_syntax);
    return dicomweb_is_known(request, response, frames->instance, as);
}

/* `list` NULL: every frame there is. */
void wado_answer_frames(struct request *request, struct response *response,
                        const struct path_uids *uids, const char *list)
{
    struct dicomweb *dicomweb = request_context(request);
    struct frames *frames = mem_alloc(sizeof(*frames));
    struct offer offers[MAX_OFFERS];
    struct file_range stored;
    struct error err;
    size_t offer;
    frames->dicomweb = dicomweb;
    frames->head = buffer_up_to(8192);
    frames->bytes = buffer_up_to(PIXELS_MAX_FRAME);
    frames->fragments = buffer_up_to(PIXELS_MAX_FRAGMENTS);
    if (list && !frame_list_parse(&frames->list, list, MAX_FRAMES_ASKED, &err))
        goto failed;
    if (!instance_open(dicomweb->archive, uids->study, uids->series, uids->instance,
                       &frames->instance, &err) ||
        !instance_header(frames->instance, &frames->header, &err) ||
        !instance_frames(frames->instance, &frames->table, &err))
        goto failed;
    /* PS3.18 8.7.3.3.2: video is one stream, whatever of its frames can be told. */
    if (wado_is_video(frames->instance)) {
        error_set(&err, ERROR_UNSUPPORTED, "frames of video are not given one by one");
        goto failed;
    }
    if (!list)
        frames->list.count = frame_table_count(frames->table);
    if (!frames->list.count) {
        error_set(&err, ERROR_NOT_FOUND, "the instance has no frames");
        goto failed;
    }
    /* Nothing is sent before it is sure that every frame is there (WADO-06). Opened now, the bytes
     * can be read to their end even when the instance is deleted. */
    if (!frame_list_check(&frames->list, frames->table, &err) ||
        !instance_dataset(frames->instance, &stored, &err))
        goto failed;
    if (!dicomweb_choose(request, response, offers, make_offers(frames, offers), &offer)) {
        close_frames(frames);
        return;
    }
    if (answer_is_known(frames, request, response, &offers[offer])) {
        close_frames(frames);
        return;
    }
    start_answer(frames, request, response, &offers[offer]);
    return;
failed:
    close_frames(frames);
    /* A frame that is cut short is not there; the others are served (DAT-08). */
    response_error(response, request, err.code == ERROR_CORRUPT ? 404 : http_status_of(err.code),
                   err.message);
}

void wado_frames(struct request *request, struct response *response)
{
    struct path_uids uids;
    if (dicomweb_path_uids(request, response, &uids))
        wado_answer_frames(request, response, &uids, request_parameter(request, "frames"));
}
