/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "dicom/render_lut.h"
#include "dicom/render_parts.h"

static bool read_window(const struct dataset *place, struct voi_window *window)
{
    char function[17];
    if (!number_of(place, TAG_WINDOW_CENTER, &window->center) ||
        !number_of(place, TAG_WINDOW_WIDTH, &window->width))
        return false;
    window->function = VOI_LINEAR;
    if (dataset_string(place, TAG_VOI_LUT_FUNCTION, function, sizeof(function))) {
        if (!strcmp(function, "LINEAR_EXACT"))
            window->function = VOI_LINEAR_EXACT;
        else if (!strcmp(function, "SIGMOID"))
            window->function = VOI_SIGMOID;
    }
    return window->width >= 1 || (window->function != VOI_LINEAR && window->width > 0);
}

/* PS3.3 C.7.6.3.1.2: MONOCHROME1 shows its lowest value white; Presentation LUT Shape says the same
 * in another place, and where both stand they agree. */
static bool is_inverse(const struct render_input *input)
{
    char shape[17];
    if (!strcmp(input->format->photometric_interpretation, "MONOCHROME1"))
        return true;
    return dataset_string(input->header, TAG_PRESENTATION_LUT_SHAPE, shape, sizeof(shape)) &&
           !strcmp(shape, "INVERSE");
}

/* Softcopy VOI LUT and Presentation LUT of a state (PS3.3 C.11.8, C.11.6): the image's own, and
 * that its photometric interpretation inverts, do not count (PS3.4 N.2.1). */
static bool find_in_state(const struct render_input *input, struct voi *voi, struct error *err)
{
    char shape[17];
    struct render_input of_state = *input;
    struct dataset *item = presentation_item(input, TAG_SOFTCOPY_VOI_LUT_SEQUENCE);
    bool ok = true;
    of_state.source = input->state_source;
    if (item) {
        voi->has_window = read_window(item, &voi->window);
        ok = voi->has_window || lut_find(item, TAG_VOI_LUT_SEQUENCE, &of_state, &voi->lut, err);
    }
    dataset_close(item);
    voi->inverse = dataset_string(input->state, TAG_PRESENTATION_LUT_SHAPE, shape, sizeof(shape)) &&
                   !strcmp(shape, "INVERSE");
    return ok && lut_find(input->state, TAG_PRESENTATION_LUT_SEQUENCE, &of_state,
                          &voi->presentation, err);
}

bool voi_find(const struct render_input *input, struct voi *voi, struct error *err)
{
    if (input->state) {
        *voi = (struct voi){ .inverse = false };
        return find_in_state(input, voi, err);
    }
    *voi = (struct voi){ .inverse = is_inverse(input) };
    if (input->window) {
        voi->has_window = true;
        voi->window = *input->window;
        return true;
    }
    struct group_item group = group_find(input, TAG_FRAME_VOI_LUT_SEQUENCE);
    const struct dataset *place = group.item ? group.item : input->header;
    voi->has_window = read_window(place, &voi->window);
    bool ok = voi->has_window || lut_find(place, TAG_VOI_LUT_SEQUENCE, input, &voi->lut, err);
    group_close(&group);
    return ok;
}

void voi_show_all(struct voi *voi, double lowest, double highest)
{
    voi->has_window = true;
    voi->window.function = VOI_LINEAR_EXACT;
    voi->window.center = (lowest + highest) / 2;
    voi->window.width = highest > lowest ? highest - lowest : 1;
}

/* Of a value of any size; what is no number is black. */
static double table_value(const struct lut *lut, double value)
{
    double index = value - lut->first;
    if (isnan(index))
        return 0;
    uint32_t entry = index < 0.5 ? 0 : index >= lut->count ? lut->count - 1 : (uint32_t)index;
    if (entry + 1 < lut->count && index - entry >= 0.5)
        entry++;
    return (double)lut->entries[entry] * 255 / (double)((1u << lut->bits) - 1);
}

static double scaled(const struct voi *voi, double value)
{
    const struct voi_window *window = &voi->window;
    if (!voi->has_window)
        return table_value(voi->lut, value);
    switch (window->function) {
    case VOI_SIGMOID:
        return 255 / (1 + exp(-4 * (value - window->center) / window->width));
    case VOI_LINEAR_EXACT:
        return ((value - window->center) / window->width + 0.5) * 255;
    case VOI_LINEAR:
        break;
    }
    /* PS3.3 C.11.2.1.2.1: a width of 1 is a threshold. */
    if (window->width <= 1)
        return value <= window->center - 0.5 ? 0 : 255;
    return ((value - (window->center - 0.5)) / (window->width - 1) + 0.5) * 255;
}

uint8_t voi_apply(const struct voi *voi, double value)
{
    double shown = scaled(voi, value);
    if (!(shown > 0))
        shown = 0;
    else if (shown > 255)
        shown = 255;
    if (voi->presentation) /* from end to end of its entries */
        shown = table_value(voi->presentation,
                            voi->presentation->first +
                                shown / 255 * (double)(voi->presentation->count - 1));
    uint8_t level = (uint8_t)(shown + 0.5);
    return voi->inverse ? (uint8_t)(255 - level) : level;
}

void voi_release(struct voi *voi)
{
    lut_free(voi->lut);
    lut_free(voi->presentation);
    voi->lut = NULL;
    voi->presentation = NULL;
}
