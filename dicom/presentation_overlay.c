/* SPDX-License-Identifier: MIT */
/* What covers the pixels of an image: shutters (PS3.3 C.7.6.11, C.7.6.15) and overlays (C.9.2,
 * C.11.7). */
#include <string.h>

#include "dicom/presentation_parts.h"

enum {
    TAG_SHUTTER_SHAPE = 0x00181600,
    TAG_SHUTTER_LEFT = 0x00181602,
    TAG_SHUTTER_RIGHT = 0x00181604,
    TAG_SHUTTER_UPPER = 0x00181606,
    TAG_SHUTTER_LOWER = 0x00181608,
    TAG_SHUTTER_CENTER = 0x00181610,
    TAG_SHUTTER_RADIUS = 0x00181612,
    TAG_SHUTTER_VERTICES = 0x00181620,
    TAG_SHUTTER_VALUE = 0x00181622,
    TAG_SHUTTER_OVERLAY_GROUP = 0x00181623,
    OVERLAY_ROWS = 0x60000010,
    OVERLAY_COLUMNS = 0x60000011,
    OVERLAY_FRAMES = 0x60000015,
    OVERLAY_ORIGIN = 0x60000050,
    OVERLAY_FRAME_ORIGIN = 0x60000051,
    OVERLAY_BITS_ALLOCATED = 0x60000100,
    OVERLAY_BIT_POSITION = 0x60000102,
    OVERLAY_ACTIVATION_LAYER = 0x60001001,
    OVERLAY_DATA = 0x60003000,
    OVERLAY_GROUPS = 16,
    OVERLAY_BYTES = 32 << 20,
    VERTICES_MAX = 2000,
};

static void fill_row(struct raster *raster, uint32_t y, double from, double to, uint8_t level)
{
    double columns = raster->columns;
    uint32_t first = from <= 0 ? 0 : from >= columns ? raster->columns : (uint32_t)from;
    uint32_t end = to <= 0 ? 0 : to >= columns ? raster->columns : (uint32_t)to;
    if (end > first)
        memset(raster->bytes.data + ((size_t)y * raster->columns + first) * raster->samples, level,
               (size_t)(end - first) * raster->samples);
}

/* The edges belong to what is seen. */
static void cover_around_rectangle(const struct dataset *state, struct raster *raster,
                                   uint8_t level)
{
    double left, right, upper, lower;
    if (numbers_of(state, TAG_SHUTTER_LEFT, &left, 1) != 1 ||
        numbers_of(state, TAG_SHUTTER_RIGHT, &right, 1) != 1 ||
        numbers_of(state, TAG_SHUTTER_UPPER, &upper, 1) != 1 ||
        numbers_of(state, TAG_SHUTTER_LOWER, &lower, 1) != 1)
        return;
    for (uint32_t y = 0; y < raster->rows; y++) {
        bool seen = y + 1 >= upper && y + 1 <= lower;
        fill_row(raster, y, 0, seen ? left - 1 : raster->columns, level);
        if (seen)
            fill_row(raster, y, right, raster->columns, level);
    }
}

static void cover_around_circle(const struct dataset *state, struct raster *raster, uint8_t level)
{
    double center[2]; /* row, column */
    double radius;
    if (numbers_of(state, TAG_SHUTTER_CENTER, center, 2) != 2 ||
        numbers_of(state, TAG_SHUTTER_RADIUS, &radius, 1) != 1)
        return;
    uint8_t *out = raster->bytes.data;
    for (uint32_t y = 0; y < raster->rows; y++)
        for (uint32_t x = 0; x < raster->columns; x++, out += raster->samples) {
            double dy = y + 1 - center[0];
            double dx = x + 1 - center[1];
            if (dx * dx + dy * dy > radius * radius)
                memset(out, level, raster->samples);
        }
}

static void cover_around_polygon(const struct dataset *state, struct raster *raster, uint8_t level)
{
    double numbers[VERTICES_MAX * 2]; /* row, column of each */
    struct point corners[VERTICES_MAX];
    struct canvas canvas = canvas_over(raster);
    size_t count = numbers_of(state, TAG_SHUTTER_VERTICES, numbers, VERTICES_MAX * 2) / 2;
    for (size_t i = 0; i < count; i++)
        corners[i] = (struct point){ numbers[2 * i + 1] - 0.5, numbers[2 * i] - 0.5 };
    canvas.level = level;
    canvas_fill(&canvas, corners, count, true);
}

/* One bit plane. */
struct overlay {
    uint32_t rows;
    uint32_t columns;
    int64_t top; /* of its first pixel, in the image */
    int64_t left;
    uint64_t first_bit;
    bool big_endian;
    bool is_of_frame; /* the bits are those of the frame that is drawn, not of all */
    struct buffer bits;
};

static uint32_t side_of(const struct dataset *place, uint32_t tag)
{
    int64_t value;
    return dataset_integer(place, tag, &value) && value > 0 && value <= UINT16_MAX ? (uint32_t)value
                                                                                   : 0;
}

/* A bit of each pixel that is none of its value, of the frame that is drawn (retired: PS3.3 C.9.2
 * of before 2004). */
static bool take_bits_of_pixels(const struct render_input *input, unsigned position,
                                struct overlay *overlay, struct error *err)
{
    size_t word = input->format->bits_allocated / 8;
    size_t count = (size_t)overlay->rows * overlay->columns;
    struct space space = buffer_reserve(&overlay->bits, (count + 7) / 8);
    if (!space.data)
        return buffer_check(&overlay->bits, "an overlay", err);
    memset(space.data, 0, space.size);
    for (size_t i = 0; i < count; i++) {
        uint8_t byte = input->pixels.data[i * word + position / 8];
        space.data[i / 8] |= (uint8_t)((byte >> position % 8 & 1) << i % 8);
    }
    buffer_advance(&overlay->bits, space.size);
    overlay->is_of_frame = true;
    return true;
}

static bool find_in_pixels(const struct render_input *input, uint32_t group, int64_t allocated,
                           struct overlay *overlay, bool *found, struct error *err)
{
    const struct pixel_format *format = input->format;
    int64_t position = 0;
    size_t size = (size_t)overlay->rows * overlay->columns * (format->bits_allocated / 8);
    dataset_integer(input->header, OVERLAY_BIT_POSITION + group, &position);
    *found = allocated == format->bits_allocated && format->samples_per_pixel == 1 &&
             overlay->rows == format->rows && overlay->columns == format->columns &&
             position >= 0 && position < allocated && allocated % 8 == 0 &&
             input->pixels.size >= size;
    return !*found || take_bits_of_pixels(input, (unsigned)position, overlay, err);
}

/* *found false when there is none. */
static bool read_bits(const struct render_input *input, const struct dataset *place,
                      const struct value_source *source, uint32_t group, struct overlay *overlay,
                      bool *found, struct error *err)
{
    struct element element;
    int64_t allocated = 1;
    *found = false;
    overlay->rows = side_of(place, OVERLAY_ROWS + group);
    overlay->columns = side_of(place, OVERLAY_COLUMNS + group);
    dataset_integer(place, OVERLAY_BITS_ALLOCATED + group, &allocated);
    if (!overlay->rows || !overlay->columns)
        return true;
    if (!dataset_find(place, OVERLAY_DATA + group, &element))
        return place != input->header ||
               find_in_pixels(input, group, allocated, overlay, found, err);
    if (allocated != 1)
        return true;
    overlay->big_endian = element.big_endian && element.vr == VR_OW;
    *found = true;
    return value_read(&element, source, OVERLAY_BYTES, &overlay->bits, err);
}

/* False when this frame of the image has none. */
static bool find_plane(const struct dataset *place, uint32_t group, uint32_t frame,
                       struct overlay *overlay)
{
    double origin[2] = { 1, 1 };
    int64_t frames = 1;
    int64_t first = 1;
    numbers_of(place, OVERLAY_ORIGIN + group, origin, 2);
    if (!(origin[0] > -1e9 && origin[0] < 1e9 && origin[1] > -1e9 && origin[1] < 1e9))
        return false;
    overlay->top = (int64_t)origin[0] - 1;
    overlay->left = (int64_t)origin[1] - 1;
    dataset_integer(place, OVERLAY_FRAMES + group, &frames);
    dataset_integer(place, OVERLAY_FRAME_ORIGIN + group, &first);
    if (frames <= 1 || overlay->is_of_frame)
        return true;
    if (first < 1 || frame < (uint64_t)first || frame - (uint64_t)first >= (uint64_t)frames)
        return false;
    overlay->first_bit = (frame - (uint64_t)first) * overlay->rows * overlay->columns;
    return true;
}

static bool bit_of(const struct overlay *overlay, uint64_t index)
{
    uint64_t bit = overlay->first_bit + index;
    uint64_t byte = overlay->big_endian ? (bit / 8) ^ 1 : bit / 8;
    return byte < overlay->bits.size && overlay->bits.data[byte] >> bit % 8 & 1;
}

/* Which pixels of one side of an overlay are within the picture: an overlay may be much larger. */
static void cut_side(int64_t from, uint32_t size, uint32_t seen, uint32_t *first, uint32_t *end)
{
    int64_t last = (int64_t)seen - from;
    *first = from < 0 ? (from > -(int64_t)size ? (uint32_t)-from : size) : 0;
    *end = last < 0 ? 0 : last < size ? (uint32_t)last : size;
}

static void draw_bits(const struct overlay *overlay, struct raster *raster, uint8_t level)
{
    uint32_t first_x, end_x, first_y, end_y;
    cut_side(overlay->left, overlay->columns, raster->columns, &first_x, &end_x);
    cut_side(overlay->top, overlay->rows, raster->rows, &first_y, &end_y);
    for (uint32_t y = first_y; y < end_y; y++) {
        size_t row = (size_t)(overlay->top + y) * raster->columns;
        for (uint32_t x = first_x; x < end_x; x++)
            if (bit_of(overlay, (uint64_t)y * overlay->columns + x))
                memset(raster->bytes.data + (row + (size_t)(overlay->left + x)) * raster->samples,
                       level, raster->samples);
    }
}

/* The state's own of that group, else the image's. */
static bool draw_group(const struct render_input *input, uint32_t group, uint8_t level,
                       struct raster *raster, struct error *err)
{
    struct overlay overlay = { .bits = buffer_up_to(OVERLAY_BYTES) };
    const struct dataset *place = input->state;
    bool found = false;
    bool ok = !place || read_bits(input, place, input->state_source, group, &overlay, &found, err);
    if (ok && !found) {
        place = input->header;
        ok = read_bits(input, place, input->source, group, &overlay, &found, err);
    }
    if (ok && found && find_plane(place, group, input->frame, &overlay))
        draw_bits(&overlay, raster, level);
    buffer_release(&overlay.bits);
    return ok;
}

bool presentation_overlays(const struct render_input *input, struct raster *raster,
                           struct error *err)
{
    char layer[17];
    for (uint32_t i = 0; i < OVERLAY_GROUPS; i++) {
        uint32_t group = i * 2 << 16;
        /* Without a layer it is not active (PS3.3 C.11.7). */
        if (!dataset_string(input->state, OVERLAY_ACTIVATION_LAYER + group, layer, sizeof(layer)))
            continue;
        if (!draw_group(input, group, presentation_layer_level(input->state, layer), raster, err))
            return false;
    }
    return true;
}

bool presentation_image_overlays(const struct render_input *input, struct raster *raster,
                                 struct error *err)
{
    for (uint32_t i = 0; i < OVERLAY_GROUPS; i++)
        if (!draw_group(input, i * 2 << 16, UINT8_MAX, raster, err))
            return false;
    return true;
}

bool presentation_shutters(const struct render_input *input, struct raster *raster,
                           struct error *err)
{
    const struct dataset *state = input->state;
    struct buffer shapes = buffer_up_to(256);
    int64_t value = 0;
    int64_t group;
    bool ok = true;
    dataset_integer(state, TAG_SHUTTER_VALUE, &value);
    uint8_t level = (uint8_t)(value >> 8);
    dataset_text(state, TAG_SHUTTER_SHAPE, &shapes);
    const char *text = buffer_text(&shapes);
    if (strstr(text, "RECTANGULAR"))
        cover_around_rectangle(state, raster, level);
    if (strstr(text, "CIRCULAR"))
        cover_around_circle(state, raster, level);
    if (strstr(text, "POLYGONAL"))
        cover_around_polygon(state, raster, level);
    if (strstr(text, "BITMAP") && dataset_integer(state, TAG_SHUTTER_OVERLAY_GROUP, &group) &&
        group >= 0x6000 && group < 0x6000 + 2 * OVERLAY_GROUPS && group % 2 == 0)
        ok = draw_group(input, (uint32_t)(group - 0x6000) << 16, level, raster, err);
    buffer_release(&shapes);
    return ok;
}
