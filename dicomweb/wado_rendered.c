/* SPDX-License-Identifier: MIT */
/* WADO-RS, rendered resources (PS3.18 10.4.1.1.3): pictures of frames as browsers show them. An
 * instance or a frame is one picture, several frames, a series or a study are a part each. */
#include <stdlib.h>

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
    struct multipart_writer writer;
    char *base_url;
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

static void close_gallery(void *state)
{
    struct gallery *gallery = state;
    picture_release(&gallery->picture);
    item_index_free(gallery->frame_groups);
    if (gallery->retrieve)
        retrieve_close(gallery->retrieve);
    else
        instance_close(gallery->instance);
    buffer_release(&gallery->head);
    buffer_release(&gallery->references);
    frame_list_release(&gallery->list);
    free(gallery->base_url);
    free(gallery);
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
        if (!*found || picture_draw(gallery->dicomweb, gallery->instance, 0, gallery->type,
                                    &gallery->options, &gallery->picture, err))
            return true;
        if (!can_be_left_out(err))
            return false;
    }
}

static size_t reference_count(const struct gallery *gallery)
{
    return gallery->references.size / sizeof(struct presentation_reference);
}

/* The next image of the state's study that is here. */
static bool draw_next_reference(struct gallery *gallery, bool *found, struct error *err)
{
    const struct presentation_reference *references =
        (const struct presentation_reference *)(const void *)gallery->references.data;
    const char *study = instance_identity(gallery->instance)->study;
    for (*found = false; !*found && gallery->next < reference_count(gallery);) {
        const struct presentation_reference *reference = &references[gallery->next++];
        struct instance *image = NULL;
        *found = instance_open(gallery->dicomweb->archive, study, reference->series,
                               reference->instance, &image, err) &&
                 picture_draw(gallery->dicomweb, image, reference->frame, gallery->type,
                              &gallery->options, &gallery->picture, err);
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
    return !*found || picture_draw(gallery->dicomweb, gallery->instance,
                                   frame_list_at(&gallery->list, gallery->next++), gallery->type,
                                   &gallery->options, &gallery->picture, err);
}

static void write_head(struct gallery *gallery)
{
    const struct identity *identity = instance_identity(gallery->instance);
    struct buffer location = buffer_up_to(4096);
    buffer_append_format(&location, "%s/studies/%s/series/%s/instances/%s", gallery->base_url,
                         identity->study, identity->series, identity->instance);
    if (!gallery->retrieve && !gallery->references.size)
        buffer_append_format(&location, "/frames/%u",
                             frame_list_at(&gallery->list, gallery->next - 1));
    buffer_append_text(&location, "/rendered");
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
        *piece = (struct piece){ .kind = PIECE_BYTES,
                                 .bytes = buffer_slice(&gallery->picture.bytes) };
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
    struct buffer text = buffer_up_to(4096);
    struct error err = { 0 };
    bool found = false;
    if (!draw_next(gallery, &found, &err) || !found) {
        int status = found || err.code != ERROR_NONE ? http_status_of(err.code) : 406;
        response_error(response, request, status,
                       *err.message ? err.message : "nothing in it has an image");
        close_gallery(gallery);
        return;
    }
    dicomweb_base_url(gallery->dicomweb, request, &text);
    gallery->base_url = mem_copy_text(buffer_text(&text));
    buffer_clear(&text);
    gallery->writer = multipart_writer_for(picture_media_type(gallery->type));
    multipart_content_type(&gallery->writer, &text);
    response_status(response, 200);
    response_content_type(response, buffer_text(&text));
    wado_say_warning(response, &gallery->options, gallery->type, request);
    const struct body_source source = { next_piece, close_gallery, gallery };
    response_stream_take(response, &source, UINT64_MAX);
    buffer_release(&text);
}

/* A frame beyond the end is found out before anything is sent. */
static bool check_frames(struct instance *instance, const struct frame_list *list,
                         struct error *err)
{
    struct slice table;
    bool ok = instance_frames(instance, &table, err) && frame_list_check(list, table, err);
    /* A frame that is cut short is not there (DAT-08). */
    if (!ok && err->code == ERROR_CORRUPT)
        err->code = ERROR_NOT_FOUND;
    return ok;
}

/* Documents are not pictures (PS3.18 8.7.4). True: the response is filled, and the instance taken.
 */
static bool rendered_document(struct request *request, struct response *response,
                              struct instance **instance)
{
    const struct dataset *header;
    struct error err;
    size_t choice;
    if (!instance_header(*instance, &header, &err)) {
        response_error(response, request, http_status_of(err.code), err.message);
        return true;
    }
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

/* The images that a presentation state is for, as it shows them (PS3.18 10.4.1.1.3): a part each,
 * or the first one when a single picture is asked for. Takes `gallery`. */
static void rendered_state(struct request *request, struct response *response,
                           struct gallery *gallery, const struct dataset *header)
{
    /* One picture, then parts; where there are several images the other way round. */
    static const struct offer offers[3 * PICTURE_TYPE_COUNT] = {
        { "image/jpeg", NULL, NULL, false },
        { "image/png", NULL, NULL, false },
        { "image/gif", NULL, NULL, false },
        { "multipart/related", "image/jpeg", NULL, false },
        { "multipart/related", "image/png", NULL, false },
        { "multipart/related", "image/gif", NULL, false },
        { "image/jpeg", NULL, NULL, false },
        { "image/png", NULL, NULL, false },
        { "image/gif", NULL, NULL, false },
    };
    struct error err = { 0 };
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
    size_t first_offer = several ? PICTURE_TYPE_COUNT : 0;
    if (!choose_type(request, response, offers + first_offer, 2 * PICTURE_TYPE_COUNT,
                     &gallery->options, &choice))
        goto out;
    gallery->type = (enum picture_type)(choice % PICTURE_TYPE_COUNT);
    gallery->options.state = gallery->instance;
    if (several == (choice < PICTURE_TYPE_COUNT)) {
        answer_gallery(request, response, gallery);
        return;
    }
    const struct presentation_reference *first =
        (const struct presentation_reference *)(const void *)gallery->references.data;
    struct instance *image = NULL;
    if (!instance_open(gallery->dicomweb->archive, instance_identity(gallery->instance)->study,
                       first->series, first->instance, &image, &err) ||
        !wado_answer_picture(request, response, image, first->frame, gallery->type,
                             &gallery->options, &err))
        response_error(response, request, http_status_of(err.code), err.message);
    instance_close(image);
out:
    close_gallery(gallery);
}

static void rendered_instance(struct request *request, struct response *response,
                              const struct path_uids *uids, const struct picture_options *options)
{
    struct dicomweb *dicomweb = request_context(request);
    const char *list = request_parameter(request, "frames");
    struct gallery *gallery = mem_alloc(sizeof(*gallery));
    struct error err;
    size_t choice;
    gallery->dicomweb = dicomweb;
    gallery->options = *options;
    gallery->head = buffer_up_to(8192);
    if (!instance_open(dicomweb->archive, uids->study, uids->series, uids->instance,
                       &gallery->instance, &err) ||
        (list && !frame_list_parse(&gallery->list, list, MAX_FRAMES_ASKED, &err)))
        goto failed;
    if (list && wado_is_video(gallery->instance)) {
        error_set(&err, ERROR_UNSUPPORTED, "frames of video are not decoded");
        goto failed;
    }
    if (list && !check_frames(gallery->instance, &gallery->list, &err))
        goto failed;
    if (!list && (rendered_document(request, response, &gallery->instance) ||
                  rendered_video(request, response, &gallery->instance))) {
        close_gallery(gallery);
        return;
    }
    const struct dataset *header;
    if (!instance_header(gallery->instance, &header, &err))
        goto failed;
    if (!list && presentation_is_state(header)) {
        rendered_state(request, response, gallery, header);
        return;
    }
    bool several = gallery->list.count > 1;
    if (!choose_type(request, response, several ? multipart_offers : wado_picture_offers,
                     PICTURE_TYPE_COUNT, options, &choice)) {
        close_gallery(gallery);
        return;
    }
    gallery->type = (enum picture_type)choice;
    if (several) {
        gallery->frame_groups = item_index_new(header, TAG_PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        gallery->options.frame_groups = gallery->frame_groups;
        answer_gallery(request, response, gallery);
        return;
    }
    struct slice table;
    if (!instance_frames(gallery->instance, &table, &err))
        goto failed;
    if (gallery->type == PICTURE_GIF && !list && frame_table_count(table) > 1) {
        struct instance *instance = gallery->instance;
        gallery->instance = NULL;
        if (!wado_answer_animation_take(request, response, instance, frame_table_count(table),
                                        options, &err))
            goto failed;
        close_gallery(gallery);
        return;
    }
    if (!wado_answer_picture(request, response, gallery->instance,
                             list ? frame_list_at(&gallery->list, 0) : 0, gallery->type, options,
                             &err))
        goto failed;
    close_gallery(gallery);
    return;
failed:
    close_gallery(gallery);
    response_error(response, request, http_status_of(err.code), err.message);
}

static void rendered_many(struct request *request, struct response *response,
                          const struct path_uids *uids, const struct picture_options *options)
{
    struct dicomweb *dicomweb = request_context(request);
    const struct selection selection = { NULL, uids->study, uids->series, NULL };
    struct gallery *gallery;
    struct error err;
    size_t choice;
    if (!archive_find(dicomweb->archive, uids->study, *uids->series ? uids->series : NULL, &err)) {
        response_error(response, request, http_status_of(err.code), err.message);
        return;
    }
    if (!choose_type(request, response, multipart_offers, PICTURE_TYPE_COUNT, options, &choice))
        return;
    gallery = mem_alloc(sizeof(*gallery));
    gallery->dicomweb = dicomweb;
    gallery->options = *options;
    gallery->type = (enum picture_type)choice;
    gallery->head = buffer_up_to(8192);
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
