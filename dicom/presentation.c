/* SPDX-License-Identifier: MIT */
#include "dicom/presentation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/presentation_parts.h"
#include "dicom/render_parts.h"

enum {
    TAG_HORIZONTAL_FLIP = 0x00700041,
    TAG_ROTATION = 0x00700042,
    TAG_AREA_TOP_LEFT = 0x00700052,
    TAG_AREA_BOTTOM_RIGHT = 0x00700053,
    TAG_DISPLAYED_AREA_SEQUENCE = 0x0070005A,
    TAG_PRESENTATION_PIXEL_SPACING = 0x00700101,
    TAG_PRESENTATION_PIXEL_ASPECT_RATIO = 0x00700102,
    FRAMES_MAX = 1000, /* numbers of a list that are read */
    NUMBER_MAX = 1000000000,
};
#define AREA_MAX ((uint64_t)1 << 28) /* pixels */

bool presentation_is_state(const struct dataset *header)
{
    static const char *const classes[] = {
        "1.2.840.10008.5.1.4.1.1.11.1",
        "1.2.840.10008.5.1.4.1.1.11.2",
        "1.2.840.10008.5.1.4.1.1.11.5",
    };
    char uid[UID_SIZE];
    if (!dataset_uid(header, TAG_SOP_CLASS_UID, uid))
        return false;
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (!strcmp(uid, classes[i]))
            return true;
    return false;
}

size_t numbers_of(const struct dataset *dataset, uint32_t tag, double *values, size_t most)
{
    struct buffer text = buffer_up_to(1 << 20);
    size_t count = 0;
    if (dataset_text(dataset, tag, &text)) {
        const char *at = buffer_text(&text);
        char *end;
        for (; count < most; at = end + 1) {
            double value = strtod(at, &end);
            /* Also what is no number, which strtod can read, and what no picture could have. */
            if (end == at || !(fabs(value) <= NUMBER_MAX))
                break;
            values[count++] = value;
            if (*end != '\\')
                break;
        }
    }
    buffer_release(&text);
    return count;
}

/* Is the frame in the list of numbers, or is there none? */
static bool has_frame(const struct dataset *item, uint32_t frame)
{
    struct buffer text = buffer_up_to(1 << 20);
    bool has = true;
    if (dataset_text(item, TAG_REFERENCED_FRAME_NUMBER, &text)) {
        const char *at = buffer_text(&text);
        char *end;
        for (has = false; !has; at = end + 1) {
            has = strtoul(at, &end, 10) == frame;
            if (end == at || *end != '\\')
                break;
        }
    }
    buffer_release(&text);
    return has;
}

/* Do the references in the item, if it has any, name the image? */
static bool names_image(const struct dataset *item, const char *instance, uint32_t frame,
                        bool otherwise)
{
    char uid[UID_SIZE];
    struct dataset_items references = dataset_items(item, TAG_REFERENCED_IMAGE_SEQUENCE);
    struct dataset *reference;
    bool any = false;
    bool named = false;
    while (!named && (reference = dataset_items_next(&references))) {
        any = true;
        named = dataset_uid(reference, TAG_REFERENCED_SOP_INSTANCE_UID, uid) &&
                !strcmp(uid, instance) && has_frame(reference, frame);
        dataset_close(reference);
    }
    return any ? named : otherwise;
}

bool presentation_applies(const struct dataset *item, const struct render_input *input)
{
    return names_image(item, input->instance, input->frame, true);
}

struct dataset *presentation_item(const struct render_input *input, uint32_t sequence_tag)
{
    struct dataset_items items = dataset_items(input->state, sequence_tag);
    struct dataset *item;
    while ((item = dataset_items_next(&items))) {
        if (presentation_applies(item, input))
            return item;
        dataset_close(item);
    }
    return NULL;
}

static void add_image(const struct dataset *item, const char *series, size_t most,
                      struct buffer *references)
{
    struct presentation_reference one = { .frame = 0 };
    double frames[FRAMES_MAX];
    memcpy(one.series, series, UID_SIZE);
    if (!dataset_uid(item, TAG_REFERENCED_SOP_INSTANCE_UID, one.instance))
        return;
    size_t count = numbers_of(item, TAG_REFERENCED_FRAME_NUMBER, frames, FRAMES_MAX);
    for (size_t i = 0; i < (count ? count : 1) && references->size < most * sizeof(one); i++) {
        one.frame = count && frames[i] >= 1 && frames[i] < UINT32_MAX ? (uint32_t)frames[i] : 0;
        buffer_append(references, slice_of(&one, sizeof(one)));
    }
}

void presentation_references(const struct dataset *state, size_t most, struct buffer *references)
{
    struct dataset_items all = dataset_items(state, TAG_REFERENCED_SERIES_SEQUENCE);
    struct dataset *series;
    while ((series = dataset_items_next(&all))) {
        char uid[UID_SIZE] = { 0 };
        struct dataset_items images = dataset_items(series, TAG_REFERENCED_IMAGE_SEQUENCE);
        struct dataset *image;
        dataset_uid(series, TAG_SERIES_INSTANCE_UID, uid);
        while (*uid && (image = dataset_items_next(&images))) {
            add_image(image, uid, most, references);
            dataset_close(image);
        }
        dataset_close(series);
    }
}

bool presentation_refers_to(const struct dataset *state, const char *instance, uint32_t frame)
{
    struct dataset_items all = dataset_items(state, TAG_REFERENCED_SERIES_SEQUENCE);
    struct dataset *series;
    bool refers = false;
    while (!refers && (series = dataset_items_next(&all))) {
        refers = names_image(series, instance, frame, false);
        dataset_close(series);
    }
    return refers;
}

/* Height of a pixel in widths of it: of spacing (vertical, horizontal) or ratio. */
static bool read_pixel_height(const struct dataset *item, double *height)
{
    const uint32_t tags[] = { TAG_PRESENTATION_PIXEL_SPACING, TAG_PRESENTATION_PIXEL_ASPECT_RATIO };
    double pair[2];
    for (size_t i = 0; i < 2; i++)
        if (numbers_of(item, tags[i], pair, 2) == 2 && pair[0] > 0 && pair[1] > 0) {
            *height = pair[0] / pair[1];
            return true;
        }
    return false;
}

/* Both corners belong to it, and are counted from 1; turned images have them the other way round
 * (PS3.3 C.10.4). */
static bool read_corners(const struct dataset *item, struct presentation_area *area,
                         struct error *err)
{
    double first[2];
    double last[2];
    if (numbers_of(item, TAG_AREA_TOP_LEFT, first, 2) != 2 ||
        numbers_of(item, TAG_AREA_BOTTOM_RIGHT, last, 2) != 2)
        return true;
    for (int i = 0; i < 2; i++)
        if (first[i] > last[i]) {
            double other = first[i];
            first[i] = last[i];
            last[i] = other;
        }
    double columns = last[0] - first[0] + 1;
    double rows = last[1] - first[1] + 1;
    if (columns > UINT16_MAX || rows > UINT16_MAX || columns * rows > (double)AREA_MAX)
        return error_set_tag(err, ERROR_UNSUPPORTED, TAG_AREA_BOTTOM_RIGHT,
                             "the displayed area is too large");
    area->left = (int64_t)first[0] - 1;
    area->top = (int64_t)first[1] - 1;
    area->columns = (uint32_t)columns;
    area->rows = (uint32_t)rows;
    return true;
}

bool presentation_area_of(const struct render_input *input, struct presentation_area *area,
                          struct error *err)
{
    int64_t rotation = 0;
    char flip[17];
    *area = (struct presentation_area){
        .columns = input->format->columns,
        .rows = input->format->rows,
        .pixel_height = render_pixel_height(input->header),
    };
    struct dataset *item = presentation_item(input, TAG_DISPLAYED_AREA_SEQUENCE);
    bool ok = true;
    if (item) {
        read_pixel_height(item, &area->pixel_height);
        ok = read_corners(item, area, err);
    }
    dataset_close(item);
    dataset_integer(input->state, TAG_ROTATION, &rotation);
    area->rotation = (unsigned)((rotation % 360 + 360) % 360 / 90);
    area->flipped = dataset_string(input->state, TAG_HORIZONTAL_FLIP, flip, sizeof(flip)) &&
                    !strcmp(flip, "Y");
    return ok;
}

double presentation_pixel_height(const struct presentation_area *area)
{
    return area->rotation % 2 ? 1 / area->pixel_height : area->pixel_height;
}

/* Where in the picture a pixel of the area comes to stand. */
static size_t place_of(const struct presentation_area *area, uint32_t x, uint32_t y)
{
    uint32_t columns = area->rotation % 2 ? area->rows : area->columns;
    uint32_t rows = area->rotation % 2 ? area->columns : area->rows;
    uint32_t to_x = x;
    uint32_t to_y = y;
    switch (area->rotation) {
    case 1:
        to_x = columns - 1 - y;
        to_y = x;
        break;
    case 2:
        to_x = columns - 1 - x;
        to_y = rows - 1 - y;
        break;
    case 3:
        to_x = y;
        to_y = rows - 1 - x;
        break;
    default:
        break;
    }
    if (area->flipped)
        to_x = columns - 1 - to_x;
    return (size_t)to_y * columns + to_x;
}

static bool is_whole(const struct presentation_area *area, const struct raster *raster)
{
    return !area->left && !area->top && area->columns == raster->columns &&
           area->rows == raster->rows && !area->rotation && !area->flipped;
}

/* What is outside of the image is black. */
static bool cut_and_turn(const struct presentation_area *area, struct raster *raster,
                         struct error *err)
{
    struct raster turned;
    if (is_whole(area, raster))
        return true;
    bool across = area->rotation % 2;
    if (!raster_init(&turned, across ? area->columns : area->rows,
                     across ? area->rows : area->columns, raster->samples, err))
        return false;
    memset(turned.bytes.data, 0, turned.bytes.size);
    for (uint32_t y = 0; y < area->rows; y++) {
        int64_t from_y = area->top + y;
        for (uint32_t x = 0; x < area->columns; x++) {
            int64_t from_x = area->left + x;
            if (from_y < 0 || from_y >= raster->rows || from_x < 0 || from_x >= raster->columns)
                continue;
            size_t from = (size_t)from_y * raster->columns + (size_t)from_x;
            memcpy(turned.bytes.data + place_of(area, x, y) * raster->samples,
                   raster->bytes.data + from * raster->samples, raster->samples);
        }
    }
    raster_release(raster);
    *raster = turned;
    return true;
}

bool presentation_place(const struct render_input *input, const struct presentation_area *area,
                        struct raster *raster, struct error *err)
{
    return presentation_shutters(input, raster, err) && presentation_overlays(input, raster, err) &&
           cut_and_turn(area, raster, err);
}
