/* SPDX-License-Identifier: MIT */
/* One picture as the answer of a request: what rendered resources, thumbnails and WADO-URI share.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicomweb/picture_cache.h"
#include "dicomweb/routes.h"
#include "dicomweb/wado_picture.h"

const struct offer wado_picture_offers[PICTURE_TYPE_COUNT] = {
    [PICTURE_JPEG] = { "image/jpeg", NULL, NULL, false },
    [PICTURE_PNG] = { "image/png", NULL, NULL, false },
    [PICTURE_GIF] = { "image/gif", NULL, NULL, false },
};

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

bool wado_begin_picture(struct request *request, struct response *response, bool thumbnail,
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

void wado_say_warning(struct response *response, const struct picture_options *options,
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

/* One picture as the whole answer. */
struct sheet {
    struct picture picture;
    bool sent;
};

static bool next_sheet(void *state, struct piece *piece, struct error *err)
{
    struct sheet *sheet = state;
    (void)err;
    piece->kind = sheet->sent ? PIECE_END : PIECE_BYTES;
    piece->bytes = picture_bytes(&sheet->picture);
    sheet->sent = true;
    return true;
}

static void close_sheet(void *state)
{
    struct sheet *sheet = state;
    picture_release(&sheet->picture);
    free(sheet);
}

bool wado_answer_picture(struct request *request, struct response *response,
                         struct instance *instance, uint32_t number, enum picture_type type,
                         const struct picture_options *options, struct error *err)
{
    char etag[DICOMWEB_ETAG_SIZE];
    picture_etag(request, request_path(request), instance, number, type, options, etag);
    if (response_etag(response, request, etag))
        return true;
    struct sheet *sheet = mem_alloc(sizeof(*sheet));
    if (!picture_get(request_context(request), instance, number, type, options, etag,
                     &sheet->picture, err)) {
        close_sheet(sheet);
        return false;
    }
    const struct body_source source = { next_sheet, close_sheet, sheet };
    response_status(response, 200);
    response_content_type(response, picture_media_type(type));
    wado_say_warning(response, options, type, request);
    response_stream_take(response, &source, picture_bytes(&sheet->picture).size);
    return true;
}
