/* SPDX-License-Identifier: MIT */
/* What is drawn and written over an image: Graphic Annotation and Graphic Layer (PS3.3 C.10.5,
 * C.10.7). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/presentation_parts.h"

enum {
    TAG_GRAPHIC_ANNOTATION_SEQUENCE = 0x00700001,
    TAG_GRAPHIC_LAYER = 0x00700002,
    TAG_BOX_UNITS = 0x00700003,
    TAG_ANCHOR_UNITS = 0x00700004,
    TAG_GRAPHIC_UNITS = 0x00700005,
    TAG_TEXT = 0x00700006,
    TAG_TEXT_OBJECT_SEQUENCE = 0x00700008,
    TAG_GRAPHIC_OBJECT_SEQUENCE = 0x00700009,
    TAG_BOX_TOP_LEFT = 0x00700010,
    TAG_BOX_BOTTOM_RIGHT = 0x00700011,
    TAG_ANCHOR_POINT = 0x00700014,
    TAG_ANCHOR_VISIBLE = 0x00700015,
    TAG_GRAPHIC_DATA = 0x00700022,
    TAG_GRAPHIC_TYPE = 0x00700023,
    TAG_GRAPHIC_FILLED = 0x00700024,
    TAG_GRAPHIC_LAYER_SEQUENCE = 0x00700060,
    TAG_GRAPHIC_LAYER_ORDER = 0x00700062,
    TAG_GRAPHIC_LAYER_GREY = 0x00700066,
    LAYERS_MAX = 64,
    POINTS_MAX = 20000, /* of one graphic */
    OUTLINE = 96,       /* corners of what is round */
    SMOOTH = 8,         /* lines between two points of a curve */
    VIEW_OF_DOT = 700,  /* pixels of the view for each pixel of a letter's dot */
};

struct layer {
    char name[17];
    int64_t order;
    uint8_t level;
};

static uint8_t level_of(const struct dataset *item)
{
    int64_t grey;
    bool has = dataset_integer(item, TAG_GRAPHIC_LAYER_GREY, &grey) && grey >= 0 &&
               grey <= UINT16_MAX;
    return has ? (uint8_t)(grey >> 8) : UINT8_MAX;
}

uint8_t presentation_layer_level(const struct dataset *state, const char *layer)
{
    char name[17];
    struct dataset_items items = dataset_items(state, TAG_GRAPHIC_LAYER_SEQUENCE);
    struct dataset *item;
    for (size_t i = 0; i < LAYERS_MAX && (item = dataset_items_next(&items)); i++) {
        bool is_it = dataset_string(item, TAG_GRAPHIC_LAYER, name, sizeof(name)) &&
                     !strcmp(name, layer);
        uint8_t level = level_of(item);
        dataset_close(item);
        if (is_it)
            return level;
    }
    return UINT8_MAX;
}

static int compare_layers(const void *a, const void *b)
{
    const struct layer *first = a, *second = b;
    return first->order < second->order ? -1 : first->order > second->order;
}

static size_t read_layers(const struct dataset *state, struct layer layers[LAYERS_MAX])
{
    struct dataset_items items = dataset_items(state, TAG_GRAPHIC_LAYER_SEQUENCE);
    struct dataset *item;
    size_t count = 0;
    while (count < LAYERS_MAX && (item = dataset_items_next(&items))) {
        struct layer *layer = &layers[count];
        *layer = (struct layer){ .level = level_of(item) };
        dataset_integer(item, TAG_GRAPHIC_LAYER_ORDER, &layer->order);
        count += dataset_string(item, TAG_GRAPHIC_LAYER, layer->name, sizeof(layer->name));
        dataset_close(item);
    }
    qsort(layers, count, sizeof(*layers), compare_layers);
    return count;
}

/* From where the state says to where it is seen. */
struct sheet {
    const struct render_input *input;
    const struct presentation_area *area;
    double left; /* of what is seen of the area as turned, in its pixels; a width below 0 mirrors */
    double top;
    double width;
    double height;
    struct canvas canvas;
};

/* Of the area as turned and seen, in shares of it from 0 to 1. */
static struct point on_view(const struct sheet *sheet, struct point share)
{
    const struct presentation_area *area = sheet->area;
    const struct raster *view = sheet->canvas.raster;
    bool across = area->rotation % 2;
    double x = share.x * (across ? area->rows : area->columns) - sheet->left;
    double y = share.y * (across ? area->columns : area->rows) - sheet->top;
    x /= fabs(sheet->width);
    y /= fabs(sheet->height);
    return (struct point){ (sheet->width < 0 ? 1 - x : x) * view->columns,
                           (sheet->height < 0 ? 1 - y : y) * view->rows };
}

/* `pixels`: of the image, the middle of the first one being 1\1, else shares of the area. */
static struct point place(const struct sheet *sheet, struct point at, bool pixels)
{
    const struct presentation_area *area = sheet->area;
    if (!pixels)
        return on_view(sheet, at);
    double u = (at.x - 0.5 - (double)area->left) / area->columns;
    double v = (at.y - 0.5 - (double)area->top) / area->rows;
    struct point share = area->rotation == 1   ? (struct point){ 1 - v, u }
                         : area->rotation == 2 ? (struct point){ 1 - u, 1 - v }
                         : area->rotation == 3 ? (struct point){ v, 1 - u }
                                               : (struct point){ u, v };
    if (area->flipped)
        share.x = 1 - share.x;
    return on_view(sheet, share);
}

static bool in_pixels(const struct dataset *item, uint32_t units_tag)
{
    char units[17];
    return dataset_string(item, units_tag, units, sizeof(units)) && !strcmp(units, "PIXEL");
}

static void draw_lines(struct sheet *sheet, const struct point *points, size_t count)
{
    for (size_t i = 0; i + 1 < count; i++)
        canvas_line(&sheet->canvas, points[i], points[i + 1]);
}

/* Through all points (Catmull and Rom). */
static void draw_curve(struct sheet *sheet, const struct point *points, size_t count)
{
    for (size_t i = 0; i + 1 < count; i++) {
        struct point a = points[i ? i - 1 : 0];
        struct point b = points[i];
        struct point c = points[i + 1];
        struct point d = points[i + 2 < count ? i + 2 : i + 1];
        struct point last = b;
        for (int k = 1; k <= SMOOTH; k++) {
            double t = (double)k / SMOOTH;
            double wa = -t + 2 * t * t - t * t * t;
            double wb = 2 - 5 * t * t + 3 * t * t * t;
            double wc = t + 4 * t * t - 3 * t * t * t;
            double wd = -t * t + t * t * t;
            struct point next = { (wa * a.x + wb * b.x + wc * c.x + wd * d.x) / 2,
                                  (wa * a.y + wb * b.y + wc * c.y + wd * d.y) / 2 };
            canvas_line(&sheet->canvas, last, next);
            last = next;
        }
    }
}

static void draw_point(struct sheet *sheet, struct point at)
{
    const double arm = 3;
    canvas_line(&sheet->canvas, (struct point){ at.x - arm, at.y },
                (struct point){ at.x + arm, at.y });
    canvas_line(&sheet->canvas, (struct point){ at.x, at.y - arm },
                (struct point){ at.x, at.y + arm });
}

/* What is round: its middle and the halves of two diameters that stand on each other. */
static void draw_round(struct sheet *sheet, struct point middle, struct point first,
                       struct point second, bool pixels, bool filled)
{
    struct point outline[OUTLINE + 1];
    for (int i = 0; i <= OUTLINE; i++) {
        double angle = 2 * M_PI * i / OUTLINE;
        outline[i] = place(
            sheet,
            (struct point){ middle.x + cos(angle) * first.x + sin(angle) * second.x,
                            middle.y + cos(angle) * first.y + sin(angle) * second.y },
            pixels);
    }
    if (filled)
        canvas_fill(&sheet->canvas, outline, OUTLINE, false);
    draw_lines(sheet, outline, OUTLINE + 1);
}

/* The middle, and a point of the line. */
static void draw_circle(struct sheet *sheet, const struct point *points, bool pixels, bool filled)
{
    double radius = hypot(points[1].x - points[0].x, points[1].y - points[0].y);
    draw_round(sheet, points[0], (struct point){ radius, 0 }, (struct point){ 0, radius }, pixels,
               filled);
}

/* The ends of the long diameter, then those of the short one. */
static void draw_ellipse(struct sheet *sheet, const struct point *points, bool pixels, bool filled)
{
    struct point middle = { (points[0].x + points[1].x) / 2, (points[0].y + points[1].y) / 2 };
    struct point first = { (points[1].x - points[0].x) / 2, (points[1].y - points[0].y) / 2 };
    struct point second = { (points[3].x - points[2].x) / 2, (points[3].y - points[2].y) / 2 };
    draw_round(sheet, middle, first, second, pixels, filled);
}

/* The points of a graphic, as the state says them; its value stands outside of the header when
 * there are many. */
static bool read_points(const struct sheet *sheet, const struct dataset *item,
                        struct point **points, size_t *count, struct error *err)
{
    enum { PAIR = 8 };
    struct element element;
    *points = NULL;
    *count = 0;
    if (!dataset_find(item, TAG_GRAPHIC_DATA, &element) || element.vr != VR_FL)
        return true;
    struct buffer stored = buffer_up_to(POINTS_MAX * PAIR);
    struct buffer text = buffer_up_to(POINTS_MAX * PAIR * 16);
    bool ok = value_read(&element, sheet->input->state_source, POINTS_MAX * PAIR, &stored, err);
    element.elided = false;
    element.value = buffer_slice(&stored);
    if (ok && dataset_element_text(item, &element, &text)) {
        const char *at = buffer_text(&text);
        *points = mem_alloc_array(element.size / PAIR + 1, sizeof(**points));
        for (size_t most = element.size / PAIR; *count < most; ++*count) {
            char *end;
            (*points)[*count].x = strtod(at, &end);
            if (*end != '\\')
                break;
            (*points)[*count].y = strtod(end + 1, &end);
            at = *end ? end + 1 : end;
        }
    }
    buffer_release(&text);
    buffer_release(&stored);
    return ok;
}

static void draw_shape(struct sheet *sheet, const struct dataset *item, struct point *points,
                       size_t count)
{
    char type[17];
    char filled[17];
    bool pixels = in_pixels(item, TAG_GRAPHIC_UNITS);
    bool fill = dataset_string(item, TAG_GRAPHIC_FILLED, filled, sizeof(filled)) &&
                !strcmp(filled, "Y");
    dataset_string(item, TAG_GRAPHIC_TYPE, type, sizeof(type));
    if (!strcmp(type, "CIRCLE") && count >= 2) {
        draw_circle(sheet, points, pixels, fill);
        return;
    }
    if (!strcmp(type, "ELLIPSE") && count >= 4) {
        draw_ellipse(sheet, points, pixels, fill);
        return;
    }
    for (size_t i = 0; i < count; i++)
        points[i] = place(sheet, points[i], pixels);
    if (!strcmp(type, "POINT") && count)
        draw_point(sheet, points[0]);
    if (fill && !strcmp(type, "POLYLINE"))
        canvas_fill(&sheet->canvas, points, count, false);
    if (!strcmp(type, "POLYLINE"))
        draw_lines(sheet, points, count);
    if (!strcmp(type, "INTERPOLATED"))
        draw_curve(sheet, points, count);
}

static bool draw_graphics(struct sheet *sheet, const struct dataset *annotation, struct error *err)
{
    struct dataset_items items = dataset_items(annotation, TAG_GRAPHIC_OBJECT_SEQUENCE);
    struct dataset *item;
    bool ok = true;
    while (ok && (item = dataset_items_next(&items))) {
        struct point *points;
        size_t count;
        ok = read_points(sheet, item, &points, &count, err);
        if (ok)
            draw_shape(sheet, item, points, count);
        free(points);
        dataset_close(item);
    }
    return ok;
}

static bool read_place(const struct sheet *sheet, const struct dataset *item, uint32_t tag,
                       uint32_t units_tag, struct point *at)
{
    double pair[2];
    if (numbers_of(item, tag, pair, 2) != 2)
        return false;
    *at = place(sheet, (struct point){ pair[0], pair[1] }, in_pixels(item, units_tag));
    return fabs(at->x) < 1e6 && fabs(at->y) < 1e6;
}

/* In its box, or else at its anchor, upright however the image is turned. */
static void write_text(struct sheet *sheet, const struct dataset *item)
{
    struct buffer text = buffer_up_to(4096);
    struct point corner = { 0, 0 };
    struct point other = { 0, 0 };
    struct point anchor = { 0, 0 };
    char visible[17];
    unsigned size = sheet->canvas.raster->rows / VIEW_OF_DOT + 1;
    bool has_box = read_place(sheet, item, TAG_BOX_TOP_LEFT, TAG_BOX_UNITS, &corner);
    bool has_anchor = read_place(sheet, item, TAG_ANCHOR_POINT, TAG_ANCHOR_UNITS, &anchor);
    if (has_box && read_place(sheet, item, TAG_BOX_BOTTOM_RIGHT, TAG_BOX_UNITS, &other)) {
        corner.x = fmin(corner.x, other.x);
        corner.y = fmin(corner.y, other.y);
    }
    if (has_box && has_anchor &&
        dataset_string(item, TAG_ANCHOR_VISIBLE, visible, sizeof(visible)) && !strcmp(visible, "Y"))
        canvas_line(&sheet->canvas, corner, anchor);
    struct point at = has_box ? corner : anchor;
    if ((has_box || has_anchor) && dataset_text(item, TAG_TEXT, &text))
        canvas_text(&sheet->canvas, (int)at.x, (int)at.y, size, buffer_text(&text));
    buffer_release(&text);
}

/* `layer` NULL: those of layers that the state does not name. */
static bool is_of_layer(const struct dataset *annotation, const struct layer *layer,
                        const struct layer *layers, size_t count)
{
    char name[17];
    dataset_string(annotation, TAG_GRAPHIC_LAYER, name, sizeof(name));
    if (layer)
        return !strcmp(name, layer->name);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(name, layers[i].name))
            return false;
    return true;
}

static bool draw_layer(struct sheet *sheet, const struct layer *layer, const struct layer *layers,
                       size_t count, struct error *err)
{
    const struct dataset *state = sheet->input->state;
    struct dataset_items items = dataset_items(state, TAG_GRAPHIC_ANNOTATION_SEQUENCE);
    struct dataset *annotation;
    bool ok = true;
    sheet->canvas.level = layer ? layer->level : UINT8_MAX;
    while (ok && (annotation = dataset_items_next(&items))) {
        if (is_of_layer(annotation, layer, layers, count) &&
            presentation_applies(annotation, sheet->input)) {
            ok = draw_graphics(sheet, annotation, err);
            struct dataset_items texts = dataset_items(annotation, TAG_TEXT_OBJECT_SEQUENCE);
            struct dataset *text;
            while (ok && (text = dataset_items_next(&texts))) {
                write_text(sheet, text);
                dataset_close(text);
            }
        }
        dataset_close(annotation);
    }
    return ok;
}

bool presentation_annotate(const struct render_input *input, const struct presentation_area *area,
                           const struct viewport *viewport, struct raster *view, struct error *err)
{
    struct layer layers[LAYERS_MAX] = { 0 };
    bool across = area->rotation % 2;
    struct sheet sheet = {
        .input = input,
        .area = area,
        .width = across ? area->rows : area->columns,
        .height = across ? area->columns : area->rows,
        .canvas = canvas_over(view),
    };
    if (viewport->has_region) {
        sheet.left = viewport->left;
        sheet.top = viewport->top;
        sheet.width = viewport->region_width;
        sheet.height = viewport->region_height;
    }
    size_t count = read_layers(input->state, layers);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = draw_layer(&sheet, &layers[i], layers, count, err);
    ok = ok && draw_layer(&sheet, NULL, layers, count, err);
    if (ok && sheet.canvas.exhausted)
        ok = error_set(err, ERROR_UNSUPPORTED, "the state draws more than can be shown");
    return ok;
}
