/* SPDX-License-Identifier: MIT */
/* WADO-RS, rendered resources and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.4): pictures of frames as
 * browsers show them. An instance or a frame is one picture, several frames, a series or a study
 * are a part each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/metrics.h"
#include "dicom/codec.h"
#include "dicom/presentation.h"
#include "dicomweb/picture_cache.h"
#include "dicomweb/routes.h"
#include "dicomweb/wado_document.h"
#include "dicomweb/wado_frame_list.h"
#include "dicomweb/wado_picture.h"
#include "dicomweb/wado_stream.h"
#include "dicomweb/wado_values.h"
#include "http/multipart_writer.h"

enum {
    MAX_FRAMES_ASKED = 1000, /* of one request, drawn one after the other */
    THUMBNAIL_TRIES = 1000,  /* instances that are looked at for one with an image */
};

static const struct offer single_offers[PICTURE_TYPE_COUNT] = {
    [PICTURE_JPEG] = { "image/jpeg", NULL, NULL, false },
    [PICTURE_PNG] = { "image/png", NULL, NULL, false },
    [PICTURE_GIF] = { "image/gif", NULL, NULL, false },
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

static void say_warning(struct response *response, const struct picture_options *options,
                        enum picture_type type, const struct request *request)
{
    char text[256];
    bool quality = type != PICTURE_JPEG && request_query_value(request, "quality");
    if (!*options->warning && !quality)
        return;
    snprintf(text, sizeof(text), "299 hounsfield \"%s%s%s\"", options->warning,
             *options->warning && quality ? "; " : "",
             quality ? "quality is ignored: this type loses nothing" : "");
    response_header(response, "Warning", text);
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
    say_warning(response, &gallery->options, gallery->type, request);
    const struct body_source source = { next_piece, close_gallery, gallery };
    response_stream_take(response, &source, UINT64_MAX);
    buffer_release(&text);
}

/* One picture as the whole answer: just drawn, or kept from before. It holds its memory until it
 * was sent. */
struct sheet {
    struct picture picture;
    struct picture_cache *cache;
    struct kept_picture *kept; /* NULL: drawn */
    bool sent;
};

static struct slice sheet_bytes(const struct sheet *sheet)
{
    return sheet->kept ? kept_picture_bytes(sheet->kept) : buffer_slice(&sheet->picture.bytes);
}

static bool next_sheet(void *state, struct piece *piece, struct error *err)
{
    struct sheet *sheet = state;
    (void)err;
    piece->kind = sheet->sent ? PIECE_END : PIECE_BYTES;
    piece->bytes = sheet_bytes(sheet);
    sheet->sent = true;
    return true;
}

static void close_sheet(void *state)
{
    struct sheet *sheet = state;
    picture_cache_release(sheet->cache, sheet->kept);
    picture_release(&sheet->picture);
    free(sheet);
}

static bool fill_sheet(struct sheet *sheet, struct dicomweb *dicomweb, struct instance *instance,
                       uint32_t number, enum picture_type type,
                       const struct picture_options *options, const char *etag, struct error *err)
{
    const char *uid = instance_identity(instance)->instance;
    sheet->cache = dicomweb->picture_cache;
    sheet->kept = picture_cache_find(sheet->cache, uid, etag);
    if (sheet->kept)
        return true;
    if (!picture_draw(dicomweb, instance, number, type, options, &sheet->picture, err))
        return false;
    picture_cache_keep(sheet->cache, uid, etag, options->followed,
                       buffer_slice(&sheet->picture.bytes));
    return true;
}

bool wado_answer_picture(struct request *request, struct response *response,
                         struct instance *instance, uint32_t number, enum picture_type type,
                         const struct picture_options *options, struct error *err)
{
    char as[64];
    char etag[DICOMWEB_ETAG_SIZE];
    snprintf(as, sizeof(as), "%s %08x", picture_media_type(type),
             options->state ? instance_checksum(options->state) : 0);
    dicomweb_etag(request, instance, as, etag);
    if (response_etag(response, request, etag))
        return true;
    struct sheet *sheet = mem_alloc(sizeof(*sheet));
    if (!fill_sheet(sheet, request_context(request), instance, number, type, options, etag, err)) {
        close_sheet(sheet);
        return false;
    }
    const struct body_source source = { next_sheet, close_sheet, sheet };
    response_status(response, 200);
    response_content_type(response, picture_media_type(type));
    say_warning(response, options, type, request);
    response_stream_take(response, &source, sheet_bytes(sheet).size);
    return true;
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
    if (!choose_type(request, response, several ? multipart_offers : single_offers,
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

static bool is_dicom(const char *type)
{
    return !strncmp(type, "application/dicom", strlen("application/dicom"));
}

static bool is_picture(const char *type)
{
    return !strncmp(type, "image/", strlen("image/"));
}

/* Objects and pictures of them cannot be asked for at once (PS3.18 8.7.2). */
static bool check_mixture(const struct request *request, struct error *err)
{
    struct accept accept;
    bool dicom = false;
    bool picture = false;
    if (!accept_of_request(request, &accept, err))
        return false;
    for (size_t i = 0; i < accept.count; i++) {
        const struct media_range *range = &accept.ranges[i];
        const char *type = strcmp(range->type, "multipart/related") ? range->type : range->inner;
        dicom |= range->quality && is_dicom(type);
        picture |= range->quality && is_picture(type);
    }
    return !(dicom && picture) ||
           error_set(err, ERROR_INVALID, "DICOM and rendered media types do not go together");
}

static bool begin(struct request *request, struct response *response, bool thumbnail,
                  struct path_uids *uids, struct picture_options *options)
{
    struct error err;
    if (!dicomweb_path_uids(request, response, uids))
        return false;
    if (check_mixture(request, &err) && picture_options_read(request, thumbnail, options, &err)) {
        struct dicomweb *dicomweb = request_context(request);
        options->followed = picture_cache_follow(dicomweb->picture_cache);
        return true;
    }
    response_error(response, request, http_status_of(err.code), err.message);
    return false;
}

void wado_rendered(struct request *request, struct response *response)
{
    struct path_uids uids;
    struct picture_options options;
    if (!begin(request, response, false, &uids, &options))
        return;
    if (*uids.instance)
        rendered_instance(request, response, &uids, &options);
    else
        rendered_many(request, response, &uids, &options);
}

static bool can_be_drawn(const struct instance *instance, struct slice table)
{
    return frame_table_count(table) &&
           (!frame_table_is_encapsulated(table) || codec_can_decode(instance_syntax(instance)));
}

/* The first instance of the selection that has an image; its series stands for the selection. */
static bool find_image(struct archive *archive, const struct selection *selection,
                       struct identity *identity, struct error *err)
{
    struct retrieve *retrieve;
    struct instance *instance = NULL;
    bool found = false;
    bool ok = retrieve_open(archive, selection, &retrieve, err);
    if (!ok)
        return false;
    for (int i = 0; ok && i < THUMBNAIL_TRIES && !found; i++) {
        struct slice table = { 0 };
        ok = retrieve_next(retrieve, &instance, err);
        if (!ok || !instance)
            break;
        *identity = *instance_identity(instance);
        if (instance_frames(instance, &table, err))
            found = can_be_drawn(instance, table);
        else
            ok = err->code == ERROR_GONE;
    }
    retrieve_close(retrieve);
    return ok && (found || error_set(err, ERROR_NOT_FOUND, "nothing in it has an image"));
}

/* The one in the middle of a series shows more of it than the first. */
static bool draw_middle(struct request *request, struct response *response,
                        const struct identity *identity, enum picture_type type,
                        const struct picture_options *options, struct error *err)
{
    struct dicomweb *dicomweb = request_context(request);
    const struct selection selection = { NULL, identity->study, identity->series, NULL };
    struct retrieve *retrieve;
    struct instance *instance = NULL;
    if (!retrieve_open(dicomweb->archive, &selection, &retrieve, err))
        return false;
    bool ok = retrieve_skip(retrieve, retrieve_count(retrieve) / 2, err) &&
              retrieve_next(retrieve, &instance, err) && instance &&
              wado_answer_picture(request, response, instance, 0, type, options, err);
    retrieve_close(retrieve);
    return ok;
}

static bool draw_one(struct request *request, struct response *response,
                     const struct path_uids *uids, uint32_t number, enum picture_type type,
                     const struct picture_options *options, struct error *err)
{
    struct dicomweb *dicomweb = request_context(request);
    struct instance *instance;
    if (!instance_open(dicomweb->archive, uids->study, uids->series, uids->instance, &instance,
                       err))
        return false;
    bool ok = wado_answer_picture(request, response, instance, number, type, options, err);
    instance_close(instance);
    return ok;
}

static bool thumbnail_of_many(struct request *request, struct response *response,
                              const struct path_uids *uids, enum picture_type type,
                              const struct picture_options *options, struct error *err)
{
    struct dicomweb *dicomweb = request_context(request);
    const struct selection selection = { NULL, uids->study, uids->series, NULL };
    struct identity identity;
    if (!archive_find(dicomweb->archive, uids->study, *uids->series ? uids->series : NULL, err) ||
        !find_image(dicomweb->archive, &selection, &identity, err))
        return false;
    if (draw_middle(request, response, &identity, type, options, err))
        return true;
    /* Series can be mixed: the first was seen to have an image. */
    const struct path_uids first = { identity.study, identity.series, identity.instance };
    return draw_one(request, response, &first, 0, type, options, err);
}

void wado_thumbnail(struct request *request, struct response *response)
{
    struct path_uids uids;
    struct picture_options options;
    struct error err;
    struct frame_list frames = { NULL, 0 };
    size_t choice;
    const char *list = request_parameter(request, "frames");
    if (!begin(request, response, true, &uids, &options) ||
        !dicomweb_choose(request, response, single_offers, PICTURE_TYPE_COUNT, &choice))
        return;
    enum picture_type type = (enum picture_type)choice;
    bool ok = !list || frame_list_parse(&frames, list, MAX_FRAMES_ASKED, &err);
    uint32_t number = frames.count ? frame_list_at(&frames, 0) : 0;
    frame_list_release(&frames);
    ok = ok && (*uids.instance ? draw_one(request, response, &uids, number, type, &options, &err)
                               : thumbnail_of_many(request, response, &uids, type, &options, &err));
    if (ok)
        return;
    /* An instance without an image has none (PS3.18 10.4.1.1.4). */
    if (err.code == ERROR_UNSUPPORTED)
        err.code = ERROR_NOT_FOUND;
    response_error(response, request, http_status_of(err.code), err.message);
}
