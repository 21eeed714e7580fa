/* SPDX-License-Identifier: MIT */
/* WADO-RS, thumbnails (PS3.18 10.4.1.1.4): one small picture that stands for a study, a series, an
 * instance or a frame. */
#include "dicom/codec.h"
#include "dicomweb/routes.h"
#include "dicomweb/wado_frame_list.h"
#include "dicomweb/wado_picture.h"

enum {
    MAX_FRAMES_ASKED = 1000,
    TRIES = 1000, /* instances that are looked at for one with an image */
};

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
    for (int i = 0; ok && i < TRIES && !found; i++) {
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
    if (!wado_begin_picture(request, response, true, &uids, &options) ||
        !dicomweb_choose(request, response, wado_picture_offers, PICTURE_TYPE_COUNT, &choice))
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
