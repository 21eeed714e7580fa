/* SPDX-License-Identifier: MIT */
/* Query parameters of pictures (PS3.18 8.3.5.1). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicomweb/wado_picture.h"

enum { THUMBNAIL_SIDE = 128 };

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
        if (values[i] < 1 || values[i] > PICTURE_SIDE_MAX || values[i] != floor(values[i]))
            return error_set(err, ERROR_INVALID, "a viewport has sides of 1 to %d",
                             PICTURE_SIDE_MAX);
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

bool picture_profile_read(const char *text, enum picture_profile *profile, struct error *err)
{
    static const char *const names[] = {
        [PROFILE_NONE] = "no",          [PROFILE_ALWAYS] = "yes",
        [PROFILE_SRGB] = "srgb",        [PROFILE_ADOBE_RGB] = "adobergb",
        [PROFILE_ROMM_RGB] = "rommrgb",
    };
    for (int i = PROFILE_NONE; i <= PROFILE_ROMM_RGB; i++)
        if (!strcmp(text, names[i])) {
            *profile = (enum picture_profile)i;
            return true;
        }
    return error_set(err, ERROR_INVALID, "iccprofile is no, yes, srgb, adobergb or rommrgb");
}

bool picture_profile_check(const struct picture_options *options, enum picture_type type,
                           struct error *err)
{
    return type != PICTURE_GIF || options->profile <= PROFILE_NONE ||
           error_set(err, ERROR_INVALID, "iccprofile: a GIF has none");
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
        else if (slice_equals_text(name, "overlays"))
            options->overlays = true;
        else
            others = true;
        text += size + (text[size] == ',');
    }
    if (others)
        warn(options, "annotation: patient, technique and overlays are known, all else is ignored");
}

bool picture_options_read(const struct request *request, bool thumbnail,
                          struct picture_options *options, struct error *err)
{
    const char *window = request_query_value(request, "window");
    const char *viewport = request_query_value(request, "viewport");
    const char *quality = request_query_value(request, "quality");
    const char *annotation = request_query_value(request, "annotation");
    const char *profile = request_query_value(request, "iccprofile");
    *options = (struct picture_options){ .quality = PICTURE_QUALITY };
    if (thumbnail) {
        options->viewport.width = THUMBNAIL_SIDE;
        options->viewport.height = THUMBNAIL_SIDE;
        options->profile = PROFILE_NONE; /* it could be larger than the picture */
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
    if (profile && !thumbnail && !picture_profile_read(profile, &options->profile, err))
        return false;
    if (annotation && !thumbnail)
        picture_annotation_read(annotation, options);
    return true;
}
