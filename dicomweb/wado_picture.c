/* SPDX-License-Identifier: MIT */
#include "dicomweb/wado_picture.h"

#include <stdio.h>

#include "dicom/caption.h"
#include "dicom/codec.h"
#include "dicom/icc.h"
#include "dicom/icc_profile.h"
#include "dicom/image_file.h"
#include "dicom/presentation.h"
#include "dicomweb/picture_cache.h"
#include "dicomweb/wado_pixels.h"
#include "dicomweb/wado_values.h"

enum {
    PICTURE_LIMIT = 1 << 30,
    DRAWN_SHARE = 3, /* bytes of a pixel in three colours */
    VIEW_SHARE = 9,  /* of one that is seen: itself, and in a file that grows */
    PROFILE_MEMORY = 3 * ICC_PROFILE_MAX, /* read, reduced, and as the library has it */
    STATE_MEMORY = 40 << 20, /* for an overlay, points and texts of a presentation state */
};

const char *picture_media_type(enum picture_type type)
{
    static const char *const types[PICTURE_TYPE_COUNT] = {
        [PICTURE_JPEG] = "image/jpeg",
        [PICTURE_PNG] = "image/png",
        [PICTURE_GIF] = "image/gif",
    };
    return types[type];
}

/* One drawing. */
struct drawing {
    struct instance *instance;
    const struct dataset *header;
    struct slice table;
    uint32_t number;
    unsigned shift; /* bits before the first pixel */
    struct pixel_format format;
    struct buffer fragments; /* struct fragment64 */
    struct buffer pixels;
    struct value_source source;
    struct value_source state_source;
    struct render_input input;
    bool has_area; /* a presentation state says what is seen: */
    struct presentation_area area;
};

static bool find_frame(struct drawing *drawing, struct error *err)
{
    uint32_t count = frame_table_count(drawing->table);
    if (!count)
        return error_set(err, ERROR_UNSUPPORTED, "the instance has no image");
    if (!drawing->number)
        drawing->number = render_representative_frame(drawing->header, count);
    drawing->format = pixels_format(drawing->header);
    if (!drawing->format.samples_per_pixel)
        drawing->format.samples_per_pixel = 1;
    return frame_table_find(drawing->table, drawing->number, &drawing->fragments, &drawing->shift,
                            err);
}

static uint64_t memory_needed(const struct drawing *drawing, const struct picture_options *options)
{
    const struct viewport *viewport = &options->viewport;
    const struct pixel_format *format = &drawing->format;
    uint64_t pixels = (uint64_t)format->rows * format->columns;
    uint64_t frame = pixels * format->samples_per_pixel * (format->bits_allocated + 7u) / 8;
    uint32_t rows = format->rows;
    uint32_t columns = format->columns;
    double pixel_height = render_pixel_height(drawing->header);
    uint64_t area = 0;
    if (drawing->has_area) {
        bool across = drawing->area.rotation % 2;
        rows = across ? drawing->area.columns : drawing->area.rows;
        columns = across ? drawing->area.rows : drawing->area.columns;
        pixel_height = presentation_pixel_height(&drawing->area);
        area = (uint64_t)rows * columns * DRAWN_SHARE + STATE_MEMORY;
    }
    uint64_t seen = raster_view_pixels(rows, columns, viewport, pixel_height);
    bool decode = frame_table_is_encapsulated(drawing->table);
    if (options->overlays && !drawing->has_area)
        area += STATE_MEMORY;
    if (options->profile != PROFILE_NONE && render_has_profile(&drawing->input))
        area += PROFILE_MEMORY;
    return fragments_size(&drawing->fragments) + area + pixels * DRAWN_SHARE + seen * VIEW_SHARE +
           frame * (decode ? PIXELS_DECODER_SHARE : 1);
}

static bool read_pixels(struct drawing *drawing, struct error *err)
{
    bool decode = frame_table_is_encapsulated(drawing->table);
    if (decode && !codec_can_decode(instance_syntax(drawing->instance)))
        return error_set(err, ERROR_UNSUPPORTED, "images of this transfer syntax are not decoded");
    return pixels_read(drawing->instance, drawing->header, &drawing->fragments, drawing->shift,
                       decode, &drawing->format, &drawing->pixels, err);
}

static bool read_value(void *context, uint64_t offset, struct space space, struct error *err)
{
    return instance_read_inflated(context, offset, space, err);
}

static bool write_gif(const struct raster *raster, const struct picture_options *options,
                      struct buffer *out, struct error *err)
{
    if (options->animation == ANIMATION_NONE)
        return image_write_gif(raster, out, err);
    return (options->animation == ANIMATION_NEXT || image_gif_begin(raster, true, out, err)) &&
           image_gif_add(raster, options->delay_cs, out, err);
}

static bool write_file(const struct raster *raster, enum picture_type type,
                       const struct picture_options *options, struct slice profile,
                       struct buffer *out, struct error *err)
{
    switch (type) {
    case PICTURE_PNG:
        return image_write_png(raster, profile, out, err);
    case PICTURE_GIF:
        return write_gif(raster, options, out, err);
    default:
        return image_write_jpeg(raster, options->quality, profile, out, err);
    }
}

/* Turns the colours into those that are asked for; `profile` becomes what goes with the file. */
static bool colour(struct drawing *drawing, const struct picture_options *options,
                   struct raster *view, struct buffer *profile, struct error *err)
{
    if (options->profile == PROFILE_NONE)
        return true;
    if (!render_profile(&drawing->input, view->samples, profile, err))
        return value_is_undecodable(err);
    if (options->profile == PROFILE_OF_IMAGE)
        return true;
    if (options->profile == PROFILE_ALWAYS)
        return profile->size || icc_write(ICC_SRGB, view->samples == 1, profile, err);
    enum icc_space space = options->profile == PROFILE_SRGB        ? ICC_SRGB
                           : options->profile == PROFILE_ADOBE_RGB ? ICC_ADOBE_RGB
                                                                   : ICC_ROMM_RGB;
    bool ok = icc_convert(view, buffer_slice(profile), space, err);
    buffer_clear(profile);
    return ok && icc_write(space, false, profile, err);
}

static bool colour_and_write(struct drawing *drawing, enum picture_type type,
                             const struct picture_options *options, struct raster *view,
                             struct buffer *out, struct error *err)
{
    struct buffer profile = buffer_up_to(ICC_PROFILE_MAX);
    bool ok = (type == PICTURE_GIF || colour(drawing, options, view, &profile, err)) &&
              write_file(view, type, options, buffer_slice(&profile), out, err);
    buffer_release(&profile);
    return ok;
}

/* The region's missing ends are those of the image. */
static struct viewport complete(const struct viewport *viewport, const struct raster *raster)
{
    struct viewport whole = *viewport;
    if (whole.has_region && whole.region_width == 0)
        whole.region_width = raster->columns - whole.left;
    if (whole.has_region && whole.region_height == 0)
        whole.region_height = raster->rows - whole.top;
    return whole;
}

/* Whether the state is for this image is known before anything is decoded. */
static bool prepare(struct drawing *drawing, const struct picture_options *options,
                    struct error *err)
{
    drawing->source = (struct value_source){ read_value, drawing->instance };
    drawing->state_source = (struct value_source){ read_value, options->state };
    drawing->input = (struct render_input){
        .header = drawing->header,
        .source = &drawing->source,
        .format = &drawing->format,
        .frame = drawing->number,
        .window = options->has_window ? &options->window : NULL,
        .frame_groups = options->frame_groups,
        .state_source = &drawing->state_source,
        .instance = instance_identity(drawing->instance)->instance,
    };
    if (!options->state)
        return true;
    if (!instance_header(options->state, &drawing->input.state, err))
        return false;
    if (!presentation_refers_to(drawing->input.state, drawing->input.instance, drawing->number))
        return error_set(err, ERROR_INVALID, "the presentation state is for other images");
    drawing->has_area = true;
    return presentation_area_of(&drawing->input, &drawing->area, err) || value_is_undecodable(err);
}

/* The picture of all that there is to be seen. What is wrong in the image is no fault of the
 * request's. */
static bool draw_whole(struct drawing *drawing, const struct picture_options *options,
                       struct raster *raster, struct error *err)
{
    drawing->input.pixels = buffer_slice(&drawing->pixels);
    bool ok = render_frame(&drawing->input, raster, err);
    if (ok && drawing->has_area)
        ok = presentation_place(&drawing->input, &drawing->area, raster, err);
    else if (ok && options->overlays)
        ok = presentation_image_overlays(&drawing->input, raster, err);
    return ok || value_is_undecodable(err);
}

static bool annotate(struct drawing *drawing, const struct picture_options *options,
                     const struct viewport *viewport, struct raster *view, struct error *err)
{
    if (drawing->has_area &&
        !presentation_annotate(&drawing->input, &drawing->area, viewport, view, err))
        return value_is_undecodable(err);
    if (options->patient)
        caption_patient(drawing->header, view);
    if (options->technique)
        caption_technique(drawing->header, view);
    return true;
}

static bool draw(struct drawing *drawing, enum picture_type type,
                 const struct picture_options *options, struct buffer *out, struct error *err)
{
    struct raster raster = { 0 };
    struct raster view = { 0 };
    if (!draw_whole(drawing, options, &raster, err)) {
        raster_release(&raster);
        return false;
    }
    double pixel_height = drawing->has_area ? presentation_pixel_height(&drawing->area)
                                            : render_pixel_height(drawing->header);
    struct viewport viewport = complete(&options->viewport, &raster);
    bool ok = true;
    if (raster_is_view(&raster, &viewport, pixel_height)) {
        view = raster;
    } else {
        ok = raster_view(&raster, &viewport, pixel_height, &view, err);
        raster_release(&raster);
    }
    ok = ok && annotate(drawing, options, &viewport, &view, err) &&
         colour_and_write(drawing, type, options, &view, out, err);
    raster_release(&view);
    return ok;
}

bool picture_draw(struct dicomweb *dicomweb, struct instance *instance, uint32_t number,
                  enum picture_type type, const struct picture_options *options,
                  struct picture *picture, struct error *err)
{
    struct drawing drawing = {
        .instance = instance,
        .number = number,
        .fragments = buffer_up_to(PIXELS_MAX_FRAGMENTS),
        .pixels = buffer_up_to(PIXELS_MAX_FRAME),
    };
    uint64_t taken = 0;
    *picture = (struct picture){ .dicomweb = dicomweb, .bytes = buffer_up_to(PICTURE_LIMIT) };
    bool ok = instance_header(instance, &drawing.header, err) &&
              instance_frames(instance, &drawing.table, err) && find_frame(&drawing, err) &&
              prepare(&drawing, options, err) &&
              decode_budget_take(dicomweb->decoding, memory_needed(&drawing, options),
                                 PIXELS_MEMORY_WAIT_MS, &taken, err);
    if (ok)
        ok = read_pixels(&drawing, err) && draw(&drawing, type, options, &picture->bytes, err);
    buffer_release(&drawing.fragments);
    buffer_release(&drawing.pixels);
    if (ok)
        picture->memory = picture->bytes.size < taken ? picture->bytes.size : taken;
    decode_budget_give_back(dicomweb->decoding, taken - picture->memory);
    if (!ok)
        picture_release(picture);
    return ok;
}

void picture_release(struct picture *picture)
{
    if (picture->kept)
        picture_cache_release(picture->dicomweb->picture_cache, picture->kept);
    if (picture->memory)
        decode_budget_give_back(picture->dicomweb->decoding, picture->memory);
    buffer_release(&picture->bytes);
    *picture = (struct picture){ .dicomweb = NULL };
}

struct slice picture_bytes(const struct picture *picture)
{
    return picture->kept ? kept_picture_bytes(picture->kept) : buffer_slice(&picture->bytes);
}

void picture_etag(const struct request *request, const char *path, const struct instance *instance,
                  uint32_t number, enum picture_type type, const struct picture_options *options,
                  char etag[DICOMWEB_ETAG_SIZE])
{
    char as[64];
    snprintf(as, sizeof(as), "%s %08x %u", picture_media_type(type),
             options->state ? instance_checksum(options->state) : 0, number);
    dicomweb_etag(request, path, instance, as, etag);
}

bool picture_get(struct dicomweb *dicomweb, struct instance *instance, uint32_t number,
                 enum picture_type type, const struct picture_options *options, const char *etag,
                 struct picture *picture, struct error *err)
{
    const char *uid = instance_identity(instance)->instance;
    *picture = (struct picture){ .dicomweb = dicomweb };
    picture->kept = picture_cache_find(dicomweb->picture_cache, uid, etag);
    if (picture->kept)
        return true;
    if (!picture_draw(dicomweb, instance, number, type, options, picture, err))
        return false;
    picture_cache_keep(dicomweb->picture_cache, uid, etag, options->followed,
                       buffer_slice(&picture->bytes));
    return true;
}
