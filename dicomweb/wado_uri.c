/* SPDX-License-Identifier: MIT */
/* WADO-URI (PS3.18 clause 9): one instance, named and described by the query alone; as a picture or
 * as its file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/presentation.h"
#include "dicomweb/picture_cache.h"
#include "dicomweb/routes.h"
#include "dicomweb/wado_document.h"
#include "dicomweb/wado_picture.h"
#include "dicomweb/wado_stream.h"
#include "dicomweb/wado_values.h"

enum form { FORM_DICOM, FORM_JPEG, FORM_PNG, FORM_GIF };

struct uri_request {
    struct path_uids uids;
    const char *transfer_syntax; /* NULL: none asked for */
    uint32_t frame;              /* 0: none asked for */
    const char *state;           /* presentation state; NULL: none asked for */
    const char *state_series;
    bool has_region;
    double region[4];   /* left, top, right, bottom, of 1 */
    bool wants_picture; /* something is asked for that only a picture has */
    struct picture_options options;
};

/* The one value of a parameter. ERROR_INVALID when it is given twice. */
static bool read_once(const struct request *request, const char *name, const char **value,
                      struct error *err)
{
    size_t count;
    const struct query_pair *query = request_query(request, &count);
    *value = NULL;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(query[i].name, name) != 0)
            continue;
        if (*value)
            return error_set(err, ERROR_INVALID, "%s is given twice", name);
        *value = query[i].value;
    }
    return true;
}

static bool read_uid(const struct request *request, const char *name, const char **uid,
                     struct error *err)
{
    if (!read_once(request, name, uid, err))
        return false;
    if (!*uid || !uid_is_safe(slice_text(*uid)))
        return error_set(err, ERROR_INVALID, "%s is missing or no UID", name);
    return true;
}

static bool read_identity(const struct request *request, struct uri_request *uri, struct error *err)
{
    const char *type;
    if (!read_once(request, "requestType", &type, err))
        return false;
    if (!type || strcmp(type, "WADO") != 0)
        return error_set(err, ERROR_INVALID, "requestType is WADO");
    return read_uid(request, "studyUID", &uri->uids.study, err) &&
           read_uid(request, "seriesUID", &uri->uids.series, err) &&
           read_uid(request, "objectUID", &uri->uids.instance, err);
}

static bool is_decimal(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return *text && !*end && strspn(text, "+-.0123456789eE") == strlen(text) && isfinite(*value);
}

/* *value stays as it is when the parameter is absent. */
static bool read_whole(const struct request *request, const char *name, uint32_t most,
                       uint32_t *value, bool *given, struct error *err)
{
    const char *text;
    char *end;
    if (!read_once(request, name, &text, err))
        return false;
    if (!text)
        return true;
    unsigned long number = strtoul(text, &end, 10);
    if (!*text || *end || strspn(text, "0123456789") != strlen(text) || !number || number > most)
        return error_set(err, ERROR_INVALID, "%s is a whole number from 1 to %u", name, most);
    *value = (uint32_t)number;
    *given = true;
    return true;
}

/* Center and width belong together (9.5.1.2.5). */
static bool read_window(const struct request *request, struct uri_request *uri, struct error *err)
{
    const char *center;
    const char *width;
    if (!read_once(request, "windowCenter", &center, err) ||
        !read_once(request, "windowWidth", &width, err))
        return false;
    if (!center && !width)
        return true;
    struct voi_window *window = &uri->options.window;
    if (!center || !width || !is_decimal(center, &window->center) ||
        !is_decimal(width, &window->width) || window->width < 1)
        return error_set(err, ERROR_INVALID,
                         "windowCenter and windowWidth are numbers and come together, the width at "
                         "least 1");
    uri->options.has_window = true;
    uri->wants_picture = true;
    return true;
}

/* region=left,top,right,bottom, each of 0 to 1 (9.5.1.2.4). */
static bool read_region(const struct request *request, struct uri_request *uri, struct error *err)
{
    const char *text;
    if (!read_once(request, "region", &text, err))
        return false;
    if (!text)
        return true;
    for (int i = 0; i < 4; i++) {
        char number[32];
        size_t size = strcspn(text, ",");
        if (size < sizeof(number))
            memcpy(number, text, size);
        number[size < sizeof(number) ? size : 0] = '\0';
        if (!is_decimal(number, &uri->region[i]) || uri->region[i] < 0 || uri->region[i] > 1 ||
            (i < 3) != (text[size] == ','))
            return error_set(err, ERROR_INVALID, "region is four numbers from 0.0 to 1.0");
        text += size + (i < 3);
    }
    if (uri->region[2] <= uri->region[0] || uri->region[3] <= uri->region[1])
        return error_set(err, ERROR_INVALID, "the region is empty");
    uri->has_region = true;
    uri->wants_picture = true;
    return true;
}

/* A presentation state says itself what of the image is seen, and how (9.5.1.2.7). */
static bool read_state(const struct request *request, struct uri_request *uri, struct error *err)
{
    if (!request_query_value(request, "presentationUID") &&
        !request_query_value(request, "presentationSeriesUID"))
        return true;
    if (!read_uid(request, "presentationUID", &uri->state, err) ||
        !read_uid(request, "presentationSeriesUID", &uri->state_series, err))
        return false;
    uri->wants_picture = true;
    if (uri->has_region || uri->options.has_window)
        return error_set(err, ERROR_INVALID,
                         "region and window are the presentation state's, not the request's");
    return true;
}

static bool read_picture(const struct request *request, struct uri_request *uri, struct error *err)
{
    uint32_t quality = PICTURE_QUALITY;
    const char *annotation;
    const char *profile;
    struct viewport *viewport = &uri->options.viewport;
    bool *given = &uri->wants_picture;
    if (!read_whole(request, "frameNumber", UINT32_MAX - 1, &uri->frame, given, err) ||
        !read_whole(request, "rows", PICTURE_SIDE_MAX, &viewport->height, given, err) ||
        !read_whole(request, "columns", PICTURE_SIDE_MAX, &viewport->width, given, err) ||
        !read_whole(request, "imageQuality", 100, &quality, given, err) ||
        !read_window(request, uri, err) || !read_region(request, uri, err) ||
        !read_once(request, "annotation", &annotation, err) ||
        !read_once(request, "iccprofile", &profile, err) ||
        (profile && !picture_profile_read(profile, &uri->options.profile, err)) ||
        !read_state(request, uri, err))
        return false;
    uri->options.quality = (int)quality;
    uri->wants_picture |= annotation || profile;
    if (annotation)
        picture_annotation_read(annotation, &uri->options);
    return true;
}

/* What is not offered is said, not left undone in silence. */
static bool refuse_others(const struct request *request, struct error *err)
{
    if (request_query_value(request, "anonymize"))
        return error_set(err, ERROR_INVALID, "anonymize is not offered here");
    return true;
}

static bool read_syntax(const struct request *request, struct uri_request *uri, struct error *err)
{
    if (!read_once(request, "transferSyntax", &uri->transfer_syntax, err))
        return false;
    if (!uri->transfer_syntax)
        return true;
    if (!uid_is_safe(slice_text(uri->transfer_syntax)) ||
        !strcmp(uri->transfer_syntax, UID_IMPLICIT_LITTLE_ENDIAN) ||
        !strcmp(uri->transfer_syntax, UID_EXPLICIT_BIG_ENDIAN))
        return error_set(err, ERROR_INVALID,
                         "transferSyntax is a UID, and neither Implicit VR nor Big Endian");
    return true;
}

/* The best of what contentType, or else Accept, takes; -1 when that is none. */
static bool choose(const struct request *request, const struct offer *offers, size_t count,
                   int *choice, struct error *err)
{
    const char *types;
    struct accept accept;
    if (!read_once(request, "contentType", &types, err))
        return false;
    if (types)
        accept_parse(types, &accept);
    else if (!accept_of_request(request, &accept, err))
        return false;
    *choice = accept_choose(&accept, offers, count, NULL);
    return true;
}

/* 9.1.3 has the defaults: a single-frame image
 * is a picture, all else its file. */
static bool choose_form(const struct request *request, const struct uri_request *uri,
                        uint32_t frames, enum form *form, struct error *err)
{
    static const struct offer picture_first[] = {
        { "image/jpeg", NULL, NULL, false },
        { "image/png", NULL, NULL, false },
        { "image/gif", NULL, NULL, false },
        { "application/dicom", NULL, NULL, false },
    };
    static const struct offer file_first[] = {
        { "application/dicom", NULL, NULL, false },
        { "image/jpeg", NULL, NULL, false },
        { "image/png", NULL, NULL, false },
        { "image/gif", NULL, NULL, false },
    };
    static const enum form forms[2][4] = { { FORM_DICOM, FORM_JPEG, FORM_PNG, FORM_GIF },
                                           { FORM_JPEG, FORM_PNG, FORM_GIF, FORM_DICOM } };
    bool picture = (frames == 1 || uri->wants_picture) && !uri->transfer_syntax;
    int choice;
    if (!choose(request, picture ? picture_first : file_first, 4, &choice, err))
        return false;
    if (choice < 0)
        return error_set(err, ERROR_UNSUPPORTED,
                         "available: image/jpeg, image/png, image/gif, application/dicom");
    *form = forms[picture][choice];
    if (*form == FORM_DICOM && uri->wants_picture)
        return error_set(err, ERROR_INVALID, "what a picture is to look like goes with a picture");
    if (*form != FORM_DICOM && uri->transfer_syntax)
        return error_set(err, ERROR_INVALID, "transferSyntax goes with application/dicom");
    return *form != FORM_GIF || picture_profile_check(&uri->options, PICTURE_GIF, err);
}

/* What is no picture has its own types, and its file (9.1.3): documents, and video. */
struct other_forms {
    struct document_offers document;
    struct offer offers[3];
    size_t count;
    size_t file; /* the place of application/dicom in them */
};

/* *is_other false: it is an image. */
static bool find_forms(const struct dataset *header, struct instance *instance,
                       struct other_forms *forms, bool *is_other, struct error *err)
{
    static const struct offer file = { "application/dicom", NULL, NULL, false };
    const char *video;
    *forms = (struct other_forms){ .document = wado_document_offers(header) };
    /* A video that is broken has its file still. */
    if (!wado_video_type(instance, &video, err) && err->code != ERROR_UNSUPPORTED &&
        err->code != ERROR_CORRUPT)
        return false;
    for (size_t i = 0; i < forms->document.count; i++)
        forms->offers[forms->count++] = forms->document.offers[i];
    forms->file = forms->count;
    forms->offers[forms->count++] = file;
    if (video)
        forms->offers[forms->count++] = (struct offer){ video, NULL, NULL, false };
    *is_other = forms->count > 1 || wado_is_video(instance);
    return true;
}

/* *taken: the response is filled with it, and the instance taken. */
static bool answer_other(struct request *request, struct response *response,
                         const struct uri_request *uri, struct instance *instance,
                         const struct other_forms *forms, bool *taken, struct error *err)
{
    int choice;
    *taken = false;
    if (uri->wants_picture)
        return error_set(err, ERROR_INVALID, "what a picture is to look like goes with a picture");
    if (!choose(request, forms->offers, forms->count, &choice, err))
        return false;
    if (choice < 0)
        return error_set(err, ERROR_UNSUPPORTED, "a document or video is not to be had as that");
    if (choice == (int)forms->file)
        return wado_answer_instance(request, response, &uri->uids, "", err);
    *taken = true;
    if (choice > (int)forms->file)
        return wado_answer_video_file_take(request, response, instance, forms->offers[choice].type,
                                           err);
    wado_answer_document_take(request, response, instance, &forms->document, (size_t)choice);
    return true;
}

static void place_region(struct uri_request *uri, const struct dataset *header)
{
    int64_t rows = 0;
    int64_t columns = 0;
    struct viewport *viewport = &uri->options.viewport;
    if (!uri->has_region)
        return;
    dataset_integer(header, TAG_ROWS, &rows);
    dataset_integer(header, TAG_COLUMNS, &columns);
    viewport->has_region = true;
    viewport->left = uri->region[0] * (double)columns;
    viewport->top = uri->region[1] * (double)rows;
    viewport->region_width = uri->region[2] * (double)columns - viewport->left;
    viewport->region_height = uri->region[3] * (double)rows - viewport->top;
}

static bool open_state(struct dicomweb *dicomweb, struct uri_request *uri, struct error *err)
{
    const struct dataset *header;
    if (!instance_open(dicomweb->archive, uri->uids.study, uri->state_series, uri->state,
                       &uri->options.state, err) ||
        !instance_header(uri->options.state, &header, err))
        return false;
    return presentation_is_state(header) ||
           error_set(err, ERROR_INVALID, "presentationUID is of no presentation state");
}

static bool answer(struct request *request, struct response *response, struct uri_request *uri,
                   struct error *err)
{
    struct dicomweb *dicomweb = request_context(request);
    struct instance *instance;
    const struct dataset *header;
    struct slice table;
    enum form form = FORM_DICOM;
    uri->options.followed = picture_cache_follow(dicomweb->picture_cache);
    if (!instance_open(dicomweb->archive, uri->uids.study, uri->uids.series, uri->uids.instance,
                       &instance, err))
        return false;
    bool ok = instance_header(instance, &header, err) && instance_frames(instance, &table, err);
    struct other_forms forms;
    bool is_other = false;
    if (ok && !uri->transfer_syntax)
        ok = find_forms(header, instance, &forms, &is_other, err);
    if (ok && is_other) {
        bool taken;
        ok = answer_other(request, response, uri, instance, &forms, &taken, err);
        if (!taken)
            instance_close(instance);
        return ok;
    }
    ok = ok && choose_form(request, uri, frame_table_count(table), &form, err);
    if (ok && form == FORM_DICOM) {
        ok = wado_answer_instance(request, response, &uri->uids,
                                  uri->transfer_syntax ? uri->transfer_syntax : "", err);
    } else if (ok) {
        place_region(uri, header);
        ok = !uri->state || open_state(dicomweb, uri, err);
    }
    if (ok && form != FORM_DICOM)
        ok = wado_answer_picture(request, response, instance, uri->frame,
                                 form == FORM_PNG   ? PICTURE_PNG
                                 : form == FORM_GIF ? PICTURE_GIF
                                                    : PICTURE_JPEG,
                                 &uri->options, err);
    instance_close(uri->options.state);
    instance_close(instance);
    return ok;
}

void wado_uri(struct request *request, struct response *response)
{
    struct uri_request uri = { .options = { .quality = 0 } };
    struct error err;
    if (read_identity(request, &uri, &err) && refuse_others(request, &err) &&
        read_syntax(request, &uri, &err) && read_picture(request, &uri, &err) &&
        answer(request, response, &uri, &err))
        return;
    response_error(response, request, http_status_of(err.code), err.message);
}
