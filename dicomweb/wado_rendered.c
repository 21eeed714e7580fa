/* SPDX-License-Identifier: MIT */
/* WADO-RS, rendered resources (PS3.18 10.4.1.1.3): pictures of frames as browsers show them. An
 * instance or a frame is one picture, several frames, a series or a study are a part each. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/presentation.h"
#include "dicomweb/routes.h"
#include "dicomweb/wado_document.h"
#include "dicomweb/wado_frame_list.h"
#include "dicomweb/wado_picture.h"
#include "dicomweb/wado_stream.h"
#include "dicomweb/wado_values.h"
#include "http/multipart_writer.h"

enum {
    MAX_FRAMES_ASKED = 1000, /* of one request, drawn one after the other */
};

static const struct offer multipart_offers[PICTURE_TYPE_COUNT] = {
    [PICTURE_JPEG] = { "multipart/related", "image/jpeg", NULL, false },
    [PICTURE_PNG] = { "multipart/related", "image/png", NULL, false },
    [PICTURE_GIF] = { "multipart/related", "image/gif", NULL, false },
};

/* An answer of several parts: the frames of one instance, one frame of each of several, or all that
 * a presentation state shows. */
struct gallery {
    const struct request *request;
    struct dicomweb *dicomweb;
    struct buffer references;  /* struct presentation_reference, when `instance` is a state */
    struct retrieve *retrieve; /* NULL: the frames of `instance` */
    struct instance *instance; /* of the cursor, or our own */
    struct frame_list list;
    size_t next;
    enum picture_type type;
    struct picture_options options;
    struct item_index *frame_groups; /* of `instance`, when it is our own */
    struct picture picture;
    struct buffer path; /* that the picture has by itself; of a state's, that of the state */
    struct multipart_writer writer;
    struct buffer head;
    enum { PART_HEAD, PART_BODY, DONE } state;
    bool begun;
};

/* The type of a picture, by its place among offers of all types, once or twice. */
static bool choose_type(struct request *request, struct response *response,
                        const struct offer *offers, size_t count,
                        const struct picture_options *options, size_t *choice)
{
    struct error err;
    if (!dicomweb_choose(request, response, offers, count, choice))
        return false;
    if (picture_profile_check(options, (enum picture_type)(*choice % PICTURE_TYPE_COUNT), &err))
        return true;
    response_error(response, request, http_status_of(err.code), err.message);
    return false;
}

static struct gallery *open_gallery(const struct request *request,
                                    const struct picture_options *options)
{
    struct gallery *gallery = mem_alloc(sizeof(*gallery));
    gallery->request = request;
    gallery->dicomweb = request_context(request);
    gallery->options = *options;
    gallery->path = buffer_up_to(4096);
    gallery->head = buffer_up_to(8192);
    return gallery;
}

static void close_gallery(void *state)
{
    struct gallery *gallery = state;
    picture_release(&gallery->picture);
    item_index_free(gallery->frame_groups);
    if (gallery->retrieve)
        retrieve_close(gallery->retrieve);
    else
        instance_close(gallery->instance);
    buffer_release(&gallery->path);
    buffer_release(&gallery->head);
    buffer_release(&gallery->references);
    frame_list_release(&gallery->list);
    free(gallery);
}

static bool draw(struct gallery *gallery, struct instance *image, uint32_t number,
                 struct error *err)
{
    const struct identity *named = instance_identity(gallery->options.state ? gallery->options.state
                                                                            : image);
    char etag[DICOMWEB_ETAG_SIZE];
    buffer_clear(&gallery->path);
    buffer_append_format(&gallery->path, "%s/studies/%s/series/%s/instances/%s",
                         gallery->dicomweb->prefix, named->study, named->series, named->instance);
    if (gallery->list.count)
        buffer_append_format(&gallery->path, "/frames/%u", number);
    buffer_append_text(&gallery->path, "/rendered");
    picture_etag(gallery->request, buffer_text(&gallery->path), image, number, gallery->type,
                 &gallery->options, etag);
    return picture_get(gallery->dicomweb, image, number, gallery->type, &gallery->options, etag,
                       &gallery->picture, err);
}

/* Is it no more than that there is nothing to be shown? */
static bool can_be_left_out(const struct error *err)
{
    return err->code == ERROR_UNSUPPORTED || err->code == ERROR_GONE ||
           err->code == ERROR_NOT_FOUND;
}

/* *found false at the end. What has no image, or was deleted meanwhile, is left out. */
static bool draw_next_instance(struct gallery *gallery, bool *found, struct error *err)
{
    for (;;) {
        if (!retrieve_next(gallery->retrieve, &gallery->instance, err))
            return false;
        *found = gallery->instance != NULL;
        if (!*found || draw(gallery, gallery->instance, 0, err))
            return true;
        if (!can_be_left_out(err))
            return false;
    }
}

static size_t reference_count(const struct gallery *gallery)
{
    return gallery->references.size / sizeof(struct presentation_reference);
}

static const struct presentation_reference *references_of(const struct gallery *gallery)
{
    return (const struct presentation_reference *)(const void *)gallery->references.data;
}

/* The next image of the state's study that is here. */
static bool draw_next_reference(struct gallery *gallery, bool *found, struct error *err)
{
    const struct presentation_reference *references = references_of(gallery);
    const char *study = instance_identity(gallery->instance)->study;
    for (*found = false; !*found && gallery->next < reference_count(gallery);) {
        const struct presentation_reference *reference = &references[gallery->next++];
        struct instance *image = NULL;
        *found = instance_open(gallery->dicomweb->archive, study, reference->series,
                               reference->instance, &image, err) &&
                 draw(gallery, image, reference->frame, err);
        instance_close(image);
        if (!*found && !can_be_left_out(err))
            return false;
    }
    return true;
}

static bool draw_next(struct gallery *gallery, bool *found, struct error *err)
{
    picture_release(&gallery->picture);
    if (gallery->references.size)
        return draw_next_reference(gallery, found, err);
    if (gallery->retrieve)
        return draw_next_instance(gallery, found, err);
    *found = gallery->next < gallery->list.count;
    return !*found ||
           draw(gallery, gallery->instance, frame_list_at(&gallery->list, gallery->next++), err);
}

static void write_head(struct gallery *gallery)
{
    struct buffer location = buffer_up_to(8192);
    buffer_append_text(&location, request_base_url(gallery->request));
    buffer_append(&location, buffer_slice(&gallery->path));
    multipart_begin_part(&gallery->writer, picture_media_type(gallery->type),
                         buffer_text(&location), &gallery->head);
    buffer_release(&location);
}

/* The first part is drawn before the answer begins, so that a request that cannot be met is
 * refused. */
static bool next_part(struct gallery *gallery, struct piece *piece, struct error *err)
{
    bool found = true;
    if (gallery->begun && !draw_next(gallery, &found, err))
        return false;
    gallery->begun = true;
    buffer_clear(&gallery->head);
    if (found)
        write_head(gallery);
    else
        multipart_end(&gallery->writer, &gallery->head);
    gallery->state = found ? PART_BODY : DONE;
    *piece = (struct piece){ .kind = PIECE_BYTES, .bytes = buffer_slice(&gallery->head) };
    return true;
}

static bool next_piece(void *state, struct piece *piece, struct error *err)
{
    struct gallery *gallery = state;
    switch (gallery->state) {
    case PART_HEAD:
        return next_part(gallery, piece, err);
    case PART_BODY:
        gallery->state = PART_HEAD;
        *piece = (struct piece){ .kind = PIECE_BYTES, .bytes = picture_bytes(&gallery->picture) };
        return true;
    case DONE:
        piece->kind = PIECE_END;
        return true;
    }
    return false;
}

/* Takes `gallery` with its source and options. */
static void answer_gallery(struct request *request, struct response *response,
                           struct gallery *gallery)
{
    struct buffer type = buffer_up_to(4096);
    struct error err = { 0 };
    bool found = false;
    if (!draw_next(gallery, &found, &err) || !found) {
        int status = found || err.code != ERROR_NONE ? http_status_of(err.code) : 406;
        response_error(response, request, status,
                       *err.message ? err.message : "nothing in it has an image");
        close_gallery(gallery);
        return;
    }
    gallery->writer = multipart_writer_for(picture_media_type(gallery->type));
    multipart_content_type(&gallery->writer, &type);
    response_status(response, 200);
    response_content_type(response, buffer_text(&type));
    wado_say_warning(response, &gallery->options, gallery->type, request);
    const struct body_source source = { next_piece, close_gallery, gallery };
    response_stream_take(response, &source, UINT64_MAX);
    buffer_release(&type);
}

/* A frame beyond the end is found out before anything is sent. */
static bool find_frames(struct gallery *gallery, const char *list, struct error *err)
{
    struct slice table;
    if (!frame_list_parse(&gallery->list, list, MAX_FRAMES_ASKED, err))
        return false;
    if (wado_is_video(gallery->instance))
        return error_set(err, ERROR_UNSUPPORTED, "frames of video are not decoded");
    bool ok = instance_frames(gallery->instance, &table, err) &&
              frame_list_check(&gallery->list, table, err);
    /* A frame that is cut short is not there (DAT-08). */
    if (!ok && err->code == ERROR_CORRUPT)
        err->code = ERROR_NOT_FOUND;
    return ok;
}

/* Documents are not pictures (PS3.18 8.7.4). True: the response is filled, and the instance taken.
 */
static bool rendered_document(struct request *request, struct response *response,
                              const struct dataset *header, struct instance **instance)
{
    size_t choice;
    struct document_offers document = wado_document_offers(header);
    if (document.kind == DOCUMENT_NONE)
        return false;
    if (dicomweb_choose(request, response, document.offers, document.count, &choice)) {
        wado_answer_document_take(request, response, *instance, &document, choice);
        *instance = NULL;
    }
    return true;
}

/* Video goes as it is stored; none of it is decoded. True: the response is filled, and the instance
 * may be taken. */
static bool rendered_video(struct request *request, struct response *response,
                           struct instance **instance)
{
    struct offer offer = { 0 };
    struct error err;
    size_t choice;
    if (!wado_is_video(*instance))
        return false;
    bool ok = wado_video_type(*instance, &offer.type, &err);
    if (ok && dicomweb_choose(request, response, &offer, 1, &choice)) {
        ok = wado_answer_video_file_take(request, response, *instance, offer.type, &err);
        *instance = NULL;
    }
    if (!ok)
        response_error(response, request, http_status_of(err.code), err.message);
    return true;
}

static bool answer_first_reference(struct request *request, struct response *response,
                                   const struct gallery *gallery, struct error *err)
{
    const struct presentation_reference *first = references_of(gallery);
    const char *study = instance_identity(gallery->instance)->study;
    struct instance *image = NULL;
    bool ok = instance_open(gallery->dicomweb->archive, study, first->series, first->instance,
                            &image, err) &&
              wado_answer_picture(request, response, image, first->frame, gallery->type,
                                  &gallery->options, err);
    instance_close(image);
    return ok;
}

/* The images that a presentation state is for, as it shows them (PS3.18 10.4.1.1.3): a part each,
 * or the first one when a single picture is asked for. Takes `gallery`. */
static void rendered_state(struct request *request, struct response *response,
                           struct gallery *gallery, const struct dataset *header)
{
    /* One picture, then parts; of several images the other way round. */
    struct offer offers[2 * PICTURE_TYPE_COUNT];
    struct error err;
    size_t choice;
    gallery->references = buffer_up_to(MAX_FRAMES_ASKED * sizeof(struct presentation_reference));
    presentation_references(header, MAX_FRAMES_ASKED, &gallery->references);
    bool several = reference_count(gallery) > 1;
    if (gallery->options.has_window) {
        response_error(response, request, 400, "a presentation state has its own window");
        goto out;
    }
    if (!reference_count(gallery)) {
        response_error(response, request, 406, "the presentation state is for no image");
        goto out;
    }
    memcpy(offers, several ? multipart_offers : wado_picture_offers, sizeof(multipart_offers));
    memcpy(offers + PICTURE_TYPE_COUNT, several ? wado_picture_offers : multipart_offers,
           sizeof(multipart_offers));
    if (!choose_type(request, response, offers, 2 * PICTURE_TYPE_COUNT, &gallery->options, &choice))
        goto out;
    gallery->type = (enum picture_type)(choice % PICTURE_TYPE_COUNT);
    gallery->options.state = gallery->instance;
    if (several == (choice < PICTURE_TYPE_COUNT)) {
        answer_gallery(request, response, gallery);
        return;
    }
    if (!answer_first_reference(request, response, gallery, &err))
        response_error(response, request, http_status_of(err.code), err.message);
out:
    close_gallery(gallery);
}

/* One picture, an animation or, of several frames, a part each. Takes `gallery`. */
static void rendered_image(struct request *request, struct response *response,
                           struct gallery *gallery, const struct dataset *header)
{
    size_t asked = gallery->list.count;
    struct slice table;
    struct error err;
    size_t choice;
    if (!choose_type(request, response, asked > 1 ? multipart_offers : wado_picture_offers,
                     PICTURE_TYPE_COUNT, &gallery->options, &choice))
        goto out;
    gallery->type = (enum picture_type)choice;
    if (asked > 1) {
        gallery->frame_groups = item_index_new(header, TAG_PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        gallery->options.frame_groups = gallery->frame_groups;
        answer_gallery(request, response, gallery);
        return;
    }
    bool ok = instance_frames(gallery->instance, &table, &err);
    if (ok && gallery->type == PICTURE_GIF && !asked && frame_table_count(table) > 1) {
        struct instance *instance = gallery->instance;
        gallery->instance = NULL;
        ok = wado_answer_animation_take(request, response, instance, frame_table_count(table),
                                        &gallery->options, &err);
    } else if (ok) {
        ok = wado_answer_picture(request, response, gallery->instance,
                                 asked ? frame_list_at(&gallery->list, 0) : 0, gallery->type,
                                 &gallery->options, &err);
    }
    if (!ok)
        response_error(response, request, http_status_of(err.code), err.message);
out:
    close_gallery(gallery);
}

static void rendered_instance(struct request *request, struct response *response,
                              const struct path_uids *uids, const struct picture_options *options)
{
    const char *list = request_parameter(request, "frames");
    struct gallery *gallery = open_gallery(request, options);
    const struct dataset *header;
    struct error err;
    if (!instance_open(gallery->dicomweb->archive, uids->study, uids->series, uids->instance,
                       &gallery->instance, &err) ||
        !instance_header(gallery->instance, &header, &err) ||
        (list && !find_frames(gallery, list, &err))) {
        response_error(response, request, http_status_of(err.code), err.message);
        close_gallery(gallery);
    } else if (!list && presentation_is_state(header)) {
        rendered_state(request, response, gallery, header);
    } else if (!list && (rendered_document(request, response, header, &gallery->instance) ||
                         rendered_video(request, response, &gallery->instance))) {
        close_gallery(gallery);
    } else {
        rendered_image(request, response, gallery, header);
    }
}

static void rendered_many(struct request *request, struct response *response,
                          const struct path_uids *uids, const struct picture_options *options)
{
    struct dicomweb *dicomweb = request_context(request);
    const struct selection selection = { NULL, uids->study, uids->series, NULL };
    struct error err;
    size_t choice;
    if (!archive_find(dicomweb->archive, uids->study, *uids->series ? uids->series : NULL, &err)) {
        response_error(response, request, http_status_of(err.code), err.message);
        return;
    }
    if (!choose_type(request, response, multipart_offers, PICTURE_TYPE_COUNT, options, &choice))
        return;
    struct gallery *gallery = open_gallery(request, options);
    gallery->type = (enum picture_type)choice;
    if (!retrieve_open(dicomweb->archive, &selection, &gallery->retrieve, &err)) {
        response_error(response, request, http_status_of(err.code), err.message);
        close_gallery(gallery);
        return;
    }
    answer_gallery(request, response, gallery);
}

void wado_rendered(struct request *request, struct response *response)
{
    struct path_uids uids;
    struct picture_options options;
    if (!wado_begin_picture(request, response, false, &uids, &options))
        return;
    if (*uids.instance)
        rendered_instance(request, response, &uids, &options);
    else
        rendered_many(request, response, &uids, &options);
}
