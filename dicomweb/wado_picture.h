/* SPDX-License-Identifier: MIT */
#pragma once
/* Pictures of frames (PS3.18 8.3.5.1): the query parameters that say how, and one frame drawn by
 * them into an image file. */

#include "archive/retrieve.h"
#include "dicom/render.h"
#include "dicomweb/routes.h"

enum {
    PICTURE_SIDE_MAX = 16384, /* that may be asked for */
    PICTURE_QUALITY = 90,     /* of a JPEG, when none is asked for */
};
enum picture_type { PICTURE_JPEG, PICTURE_PNG, PICTURE_GIF, PICTURE_TYPE_COUNT };
/* A GIF by itself, or a part of one: its beginning with the first frame, or one more. */
enum picture_animation { ANIMATION_NONE, ANIMATION_FIRST, ANIMATION_NEXT };
const char *picture_media_type(enum picture_type type);

/* What a file says of the picture's colours, and which they are (PS3.18 8.3.5.1.5). */
enum picture_profile {
    PROFILE_OF_IMAGE, /* as they are, with the profile of the image when it has one */
    PROFILE_NONE,
    PROFILE_ALWAYS, /* that of the image, else sRGB */
    PROFILE_SRGB,   /* turned into these, with their profile */
    PROFILE_ADOBE_RGB,
    PROFILE_ROMM_RGB,
};

struct picture_options {
    bool has_window;
    struct voi_window window;
    struct viewport viewport;
    int quality;                           /* 1 to 100 */
    const struct item_index *frame_groups; /* see render_input */
    struct instance *state; /* presentation state that is applied; NULL: none. Borrowed */
    enum picture_profile profile;
    bool patient; /* who it is, and how it was made, is written over it */
    bool technique;
    bool overlays; /* of the image are drawn, when no state says which */
    enum picture_animation animation;
    unsigned delay_cs; /* of a frame of it, in hundredths of a second */
    uint64_t followed; /* what the cache of pictures knew before the instance was opened */
    char warning[160]; /* what was asked for and is not done; "" for nothing */
};

/* wado_picture_options.c: from the query of the request. `thumbnail`: the viewport has two numbers,
 * and is small when there is none; a window and a profile are not for thumbnails. ERROR_INVALID for
 * a value that cannot be. */
bool picture_options_read(const struct request *request, bool thumbnail,
                          struct picture_options *options, struct error *err);

/* annotation=patient,technique (PS3.18 8.3.5.1.1): what else is asked for is warned of. */
void picture_annotation_read(const char *text, struct picture_options *options);

/* The value of iccprofile. */
bool picture_profile_read(const char *text, enum picture_profile *profile, struct error *err);
/* ERROR_INVALID when files of the type can have no profile, and one is asked for. */
bool picture_profile_check(const struct picture_options *options, enum picture_type type,
                           struct error *err);

/* What was made, and how much of the decoding memory it holds until picture_release; or what was
 * kept of one that was made before. */
struct picture {
    struct dicomweb *dicomweb;
    struct buffer bytes;
    uint64_t memory;
    struct kept_picture *kept; /* NULL: just drawn */
};
struct slice picture_bytes(const struct picture *picture);
/* Frame `number` from 1; 0 for the one that stands for all. ERROR_NOT_FOUND when there is no such
 * frame, ERROR_UNSUPPORTED when it cannot be drawn. */
bool picture_draw(struct dicomweb *dicomweb, struct instance *instance, uint32_t number,
                  enum picture_type type, const struct picture_options *options,
                  struct picture *picture, struct error *err);
void picture_release(struct picture *picture);

/* Names a picture of an instance as the answer to `path` with the query of the request. */
void picture_etag(const struct request *request, const char *path, const struct instance *instance,
                  uint32_t number, enum picture_type type, const struct picture_options *options,
                  char etag[DICOMWEB_ETAG_SIZE]);
/* As picture_draw, unless the picture of that name is kept; what is drawn is kept. */
bool picture_get(struct dicomweb *dicomweb, struct instance *instance, uint32_t number,
                 enum picture_type type, const struct picture_options *options, const char *etag,
                 struct picture *picture, struct error *err);

/* wado_picture_answer.c: the types of pictures as offers, by enum picture_type. */
extern const struct offer wado_picture_offers[PICTURE_TYPE_COUNT];
/* What a request for pictures says: false: the response is filled, 400. */
bool wado_begin_picture(struct request *request, struct response *response, bool thumbnail,
                        struct path_uids *uids, struct picture_options *options);
/* A Warning of what was asked for and is not done. */
void wado_say_warning(struct response *response, const struct picture_options *options,
                      enum picture_type type, const struct request *request);
/* One picture as the whole answer, or 304. */
bool wado_answer_picture(struct request *request, struct response *response,
                         struct instance *instance, uint32_t number, enum picture_type type,
                         const struct picture_options *options, struct error *err);
/* All frames as an animated GIF, or 304; takes the instance, also when it fails:
 * wado_animation.c */
bool wado_answer_animation_take(struct request *request, struct response *response,
                                struct instance *instance_take, uint32_t frames,
                                const struct picture_options *options, struct error *err);
