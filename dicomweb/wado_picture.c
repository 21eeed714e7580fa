/* SPDX-License-Identifier: MIT */
#include "dicomweb/wado_picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/caption.h"
#include "dicom/codec.h"
#include "dicom/image_file.h"
#include "dicom/presentation.h"
#include "dicomweb/wado_pixels.h"
#include "dicomweb/wado_values.h"

enum {
    PICTURE_LIMIT = 1 << 30,
    DRAWN_SHARE = 3, /* bytes of a pixel in three colours */
    VIEW_SHARE = 9,  /* of one that is seen: itself, and in a file that grows */
    VIEWPORT_MAX = 16384,
    THUMBNAIL_SIDE = 128,
    QUALITY_DEFAULT = 90,
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

/* The next of numbers with commas between; *has is false for an empty one, and at the end. */
static bool next_number(const char **text, double *value, bool *has)
{
    const char *from = *text;
    size_t size = strcspn(from, ",");
    char *end;
    *text = from + size + (from[size] == ',');
    *has = size > 0;
    if (!*has)
        return true;
    *value = strtod(from, &end);
    /* Digits only: strtod also takes names of numbers. */
    return end == from + size && strspn(from, "+-.0123456789eE") >= size && isfinite(*value);
}

static bool read_function(const char *name, enum voi_function *function)
{
    static const char *const names[] = { "linear", "linear-exact", "sigmoid" };
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) {
            *function = (enum voi_function)i;
            return true;
        }
    return false;
}

/* window=center,width,function (PS3.18 8.3.5.1.4). */
static bool read_window(const char *text, struct voi_window *window, struct error *err)
{
    bool has[2];
    if (!next_number(&text, &window->center, &has[0]) ||
        !next_number(&text, &window->width, &has[1]) || !has[0] || !has[1] ||
        !read_function(text, &window->function))
        return error_set(err, ERROR_INVALID,
                         "window is center,width,function; the function linear, linear-exact or "
                         "sigmoid");
    if (window->width <= 0 || (window->function == VOI_LINEAR && window->width < 1))
        return error_set(err, ERROR_INVALID, "the width of the window is too small");
    return true;
}

/* viewport=vw,vh[,sx,sy,sw,sh] (PS3.18 8.3.5.1.3); of the region each may be left empty. */
static bool read_viewport(const char *text, bool thumbnail, struct viewport *viewport,
                          struct error *err)
{
    double values[6] = { 0 };
    bool has[6] = { false };
    size_t count = 0;
    for (const char *c = text; *c; c++)
        count += *c == ',';
    count++;
    for (size_t i = 0; i < 6; i++)
        if (!next_number(&text, &values[i], &has[i]))
            return error_set(err, ERROR_INVALID, "viewport is numbers with commas between");
    if (count > (thumbnail ? 2 : 6) || !has[0] || !has[1])
        return error_set(err, ERROR_INVALID, "viewport is vw,vh%s",
                         thumbnail ? "" : " or vw,vh,sx,sy,sw,sh");
    for (int i = 0; i < 2; i++)
        if (values[i] < 1 || values[i] > VIEWPORT_MAX || values[i] != floor(values[i]))
            return error_set(err, ERROR_INVALID, "a viewport has sides of 1 to %d", VIEWPORT_MAX);
    if ((has[4] && values[4] == 0) || (has[5] && values[5] == 0) || values[2] < 0 || values[3] < 0)
        return error_set(err, ERROR_INVALID, "the region of the viewport is empty or outside");
    viewport->width = (uint32_t)values[0];
    viewport->height = (uint32_t)values[1];
    viewport->has_region = has[2] || has[3] || has[4] || has[5];
    viewport->left = values[2];
    viewport->top = values[3];
    viewport->region_width = values[4]; /* 0: to the end */
    viewport->region_height = values[5];
    return true;
}

static bool read_quality(const char *text, int *quality, struct error *err)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (!*text || *end || strspn(text, "0123456789") != strlen(text) || value < 1 || value > 100)
        return error_set(err, ERROR_INVALID, "quality is 1 to 100");
    *quality = (int)value;
    return true;
}

static void warn(struct picture_options *options, const char *what)
{
    size_t size = strlen(options->warning);
    snprintf(options->warning + size, sizeof(options->warning) - size, "%s%s", size ? "; " : "",
             what);
}

void picture_annotation_read(const char *text, struct picture_options *options)
{
    bool others = !*text;
    while (*text) {
        size_t size = strcspn(text, ",");
        struct slice name = slice_of(text, size);
        if (slice_equals_text(name, "patient"))
            options->patient = true;
        else if (slice_equals_text(name, "technique"))
            options->technique = true;
        else
            others = true;
        text += size + (text[size] == ',');
    }
    if (others)
        warn(options, "annotation: only patient and technique are known, all else is ignored");
}

bool picture_options_read(const struct request *request, bool thumbnail,
                          struct picture_options *options, struct error *err)
{
    const char *window = request_query_value(request, "window");
    const char *viewport = request_query_value(request, "viewport");
    const char *quality = request_query_value(request, "quality");
    const char *annotation = request_query_value(request, "annotation");
    *options = (struct picture_options){ .quality = QUALITY_DEFAULT };
    if (thumbnail) {
        options->viewport.width = THUMBNAIL_SIDE;
        options->viewport.height = THUMBNAIL_SIDE;
    }
    if (viewport && !read_viewport(viewport, thumbnail, &options->viewport, err))
        return false;
    if (quality && !read_quality(quality, &options->quality, err))
        return false;
    if (window && !thumbnail) {
        options->has_window = true;
        if (!read_window(window, &options->window, err))
            return false;
    }
    if (annotation && !thumbnail)
        picture_annotation_read(annotation, options);
    return true;
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

static uint64_t memory_needed(const struct drawing *drawing, const struct viewport *viewport)
{
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
                       const struct picture_options *options, struct buffer *out, struct error *err)
{
    switch (type) {
    case PICTURE_PNG:
        return image_write_png(raster, out, err);
    case PICTURE_GIF:
        return write_gif(raster, options, out, err);
    default:
        return image_write_jpeg(raster, options->quality, out, err);
    }
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
static bool draw_whole(struct drawing *drawing, struct raster *raster, struct error *err)
{
    drawing->input.pixels = buffer_slice(&drawing->pixels);
    return (render_frame(&drawing->input, raster, err) &&
            (!drawing->has_area ||
             presentation_place(&drawing->input, &drawing->area, raster, err))) ||
           value_is_undecodable(err);
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
    if (!draw_whole(drawing, &raster, err)) {
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
         write_file(&view, type, options, out, err);
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
              decode_budget_take(dicomweb->decoding, memory_needed(&drawing, &options->viewport),
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
    if (picture->dicomweb)
        decode_budget_give_back(picture->dicomweb->decoding, picture->memory);
    picture->memory = 0;
    buffer_release(&picture->bytes);
}
